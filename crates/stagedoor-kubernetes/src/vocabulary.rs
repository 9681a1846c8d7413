//! From a subject and attributes to the request that policies decide.

use std::collections::HashMap;
use std::sync::Arc;

use cedar_policy::{Context, EntityUid, Schema};
use stagedoor_core::{Entities, EntitiesError, Entity, Record, Request};

use crate::attributes::Attributes;
use crate::impersonation::{self, is_constrained};
use crate::mentions::{ExtraMentions, Mentions};
use crate::names::{NAMES, uid};
use crate::policy_mode::UnknownMode;
use crate::resource::{ResourceKind, entity, kind};
use crate::subject::{Principal, PrincipalIds, PrincipalKind, Subject};

/// The action of a verb that the schema does not declare for the resource it is asked about.
pub(crate) const UNLISTED_VERB: &str = "unlistedVerb";

/// The kinds of principals that requests come from.
const EVERY_PRINCIPAL: [PrincipalKind; 3] =
    [PrincipalKind::User, PrincipalKind::ServiceAccount, PrincipalKind::Node];

/// Names that stand for several verbs, which a request must not be able to pick as a verb.
const GROUPS: [&str; 3] = ["readOnly", "write", UNLISTED_VERB];

/// The verbs that a policy set knows: how a request becomes Cedar's.
///
/// # Examples
///
/// ```
/// use stagedoor_kubernetes::{ResourceAttributes, SCHEMA, Subject, Vocabulary};
///
/// let (schema, _) = cedar_policy::Schema::from_cedarschema_str(SCHEMA)?;
/// let vocabulary = Vocabulary::of(&schema)?;
///
/// let alice = vocabulary.principal(&Subject::new("alice").with_group("payments"))?;
/// let pods = ResourceAttributes::new("list", "", "pods").with_namespace("payments");
/// let (request, entities) = vocabulary.request(&alice, &pods.into())?;
/// assert_eq!(request.action.to_string(), r#"k8s::Action::"list""#);
/// assert!(entities.get(&request.resource).is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Vocabulary {
    /// The declared verbs, or nothing where there is no schema and every verb is an action.
    declared: Option<Arc<HashMap<String, DeclaredAction>>>,
    /// Whether the verbs of constrained impersonation can be asked as `impersonate`.
    constrained: bool,
    ids: PrincipalIds,
}

/// An action with the kinds of principals and resources that it applies to, as sets of bits.
#[derive(Debug, Clone)]
struct DeclaredAction {
    action: EntityUid,
    principals: u8,
    resources: u8,
}

/// What a request asks: the kind of its resource, the action, and the verb where that is another.
pub(crate) struct ReviewParts {
    pub(crate) kind: ResourceKind,
    pub(crate) action: EntityUid,
    pub(crate) context: Record,
}

/// Failure to find the words of Kubernetes in a schema.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum VocabularyError {
    /// Requests with verbs that the schema does not know could not be decided.
    #[error(
        "the schema does not declare `k8s::Action::\"unlistedVerb\"` for users, service accounts \
         and nodes on `k8s::Resource` and `k8s::NonResourceURL`; load the Kubernetes schema that \
         Stagedoor ships, and keep only additions beside it"
    )]
    NoUnlistedVerb,
    /// A policy's mode is none.
    #[error("policy `{policy}`: `@mode`: {reason}")]
    UnknownMode {
        /// The policy.
        policy: String,
        /// What is wrong.
        reason: UnknownMode,
    },
}

/// Failure to make a request of a subject and attributes. It must count as a refusal.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum AttributesError {
    /// Something is longer or more than [`stagedoor_core::Limits`] accept.
    #[error(transparent)]
    Entities(#[from] EntitiesError),
    /// The UID of the one who asks is the user name of the one they want to impersonate, so
    /// that both would be one entity.
    #[error("`{0}` is the one who asks by UID and the impersonated by name")]
    AmbiguousIdentity(EntityUid),
    /// The schema is from before constrained impersonation, which its policies would not see.
    #[error(
        "`{0}`: the schema beside the policies does not let `k8s::Action::\"impersonate\"` stand \
         for constrained impersonation; put the schema that Stagedoor ships in its place"
    )]
    OldSchema(String),
}

impl Vocabulary {
    /// Returns the verbs that a schema declares.
    ///
    /// # Errors
    ///
    /// [`VocabularyError::NoUnlistedVerb`] if the schema lacks the action for all other verbs.
    pub fn of(schema: &Schema) -> Result<Self, VocabularyError> {
        let names = &*NAMES;
        let mut declared = HashMap::new();
        for action in schema.actions().filter(|action| *action.type_name() == names.action) {
            let principals = schema.principals_for_action(action).into_iter().flatten();
            let resources = schema.resources_for_action(action).into_iter().flatten();
            let entry = DeclaredAction {
                action: action.clone(),
                principals: principals.fold(0, |set, name| set | principal_bit(name)),
                resources: resources.fold(0, |set, name| set | resource_bit(name)),
            };
            declared.insert(action.id().unescaped().to_owned(), entry);
        }
        let every_principal = EVERY_PRINCIPAL.iter().fold(0, |set, kind| set | *kind as u8);
        let both = ResourceKind::Resource as u8 | ResourceKind::NonResourceUrl as u8;
        let complete = declared.get(UNLISTED_VERB).is_some_and(|unlisted| {
            unlisted.principals & every_principal == every_principal
                && unlisted.resources & both == both
        });
        if !complete {
            return Err(VocabularyError::NoUnlistedVerb);
        }
        let constrained = declared.get(impersonation::ACTION).is_some_and(|impersonate| {
            let verb = serde_json::json!({ "verb": "impersonate:user-info" });
            impersonate.resources & both == both
                && Context::from_json_value(verb, Some((schema, &impersonate.action))).is_ok()
        });
        Ok(Self { declared: Some(Arc::new(declared)), constrained, ids: PrincipalIds::default() })
    }

    /// Returns the verbs for policies without a schema: every verb is an action of its own.
    #[must_use]
    pub fn without_schema() -> Self {
        Self { declared: None, constrained: true, ids: PrincipalIds::default() }
    }

    /// Sets what stands as the entity id of a principal.
    #[must_use]
    pub fn with_principal_ids(mut self, ids: PrincipalIds) -> Self {
        self.ids = ids;
        self
    }

    pub(crate) fn principal_ids(&self) -> PrincipalIds {
        self.ids
    }

    /// Whether the name is taken: by a declared action, or by one that is not a verb.
    pub(crate) fn knows(&self, verb: &str) -> bool {
        GROUPS.contains(&verb)
            || (self.constrained && is_constrained(verb))
            || self.declared.as_ref().is_none_or(|d| d.contains_key(verb))
    }

    /// Whether some, and whether all, principals' requests of this verb for this kind of
    /// resource are asked as the action of that name.
    pub(crate) fn declares(&self, verb: &str, resource: ResourceKind) -> (bool, bool) {
        let declared = EVERY_PRINCIPAL.map(|kind| self.action(verb, kind, resource).is_some());
        (declared.contains(&true), !declared.contains(&false))
    }

    /// Returns the principal that a subject is, with its groups, for as many requests as one likes.
    ///
    /// # Errors
    ///
    /// [`EntitiesError`] if a name is too long or the groups are too many.
    pub fn principal(&self, subject: &Subject) -> Result<Principal, EntitiesError> {
        Principal::new(subject, self.ids, &ExtraMentions::Every)
    }

    /// Returns the same with what these mention of it.
    pub(crate) fn mentioned_principal(
        &self,
        subject: &Subject,
        mentions: &Mentions,
    ) -> Result<Principal, EntitiesError> {
        Principal::new(subject, self.ids, &mentions.extra)
    }

    /// Returns the request that policies decide, and every entity that they may look at.
    ///
    /// # Errors
    ///
    /// [`AttributesError`] if a name is too long, somebody wants to impersonate a user whose name
    /// is their own UID, or the schema is too old for the verb.
    pub fn request(
        &self,
        principal: &Principal,
        attributes: &Attributes,
    ) -> Result<(Request, Entities), AttributesError> {
        let ReviewParts { kind, action, context } = self.asked(principal.kind(), attributes)?;
        let resource = entity(kind, attributes);
        let uid_of_resource = resource.uid.clone();
        let mut entities = principal.entities().clone();
        match entities.get(&resource.uid) {
            // One's own group or name: there already.
            Some(known) if same_identity(known, &resource) => {}
            Some(_) => return Err(AttributesError::AmbiguousIdentity(resource.uid)),
            None => entities = entities.with([resource])?,
        }
        if self.declared.is_none() {
            entities = entities.with([action_entity(&action)])?;
        }
        let mut request = Request::new(principal.uid().clone(), action, uid_of_resource);
        request.context = context;
        Ok((request, entities))
    }

    /// Returns what a request asks in the words of the schema.
    ///
    /// # Errors
    ///
    /// [`AttributesError`] if the schema is too old for the verb.
    pub(crate) fn asked(
        &self,
        principal: PrincipalKind,
        attributes: &Attributes,
    ) -> Result<ReviewParts, AttributesError> {
        let verb = attributes.verb();
        if !self.constrained && is_constrained(verb) {
            return Err(AttributesError::OldSchema(verb.to_owned()));
        }
        let asked = kind(attributes);
        let (kind, action) = match self.action(verb, principal, asked) {
            Some(action) => (asked, Some(action)),
            None if asked == ResourceKind::NonResourceUrl => (asked, None),
            None => (ResourceKind::Resource, None),
        };
        let action = action.unwrap_or_else(|| uid(&NAMES.action, UNLISTED_VERB));
        let own = action.id().unescaped() == verb && verb != UNLISTED_VERB;
        let mut context = Record::new();
        if !own {
            context.insert("verb".into(), verb.into());
        }
        Ok(ReviewParts { kind, action, context })
    }

    /// Returns the action of a verb, if it is declared for this principal and resource.
    pub(crate) fn action(
        &self,
        verb: &str,
        principal: PrincipalKind,
        resource: ResourceKind,
    ) -> Option<EntityUid> {
        if verb == UNLISTED_VERB {
            return None;
        }
        let verb = if is_constrained(verb) { impersonation::ACTION } else { verb };
        let Some(declared) = &self.declared else {
            return (!GROUPS.contains(&verb)).then(|| uid(&NAMES.action, verb));
        };
        let entry = declared.get(verb)?;
        let applies =
            entry.principals & principal as u8 != 0 && entry.resources & resource as u8 != 0;
        applies.then(|| entry.action.clone())
    }
}

/// Whether an entity that the principal brings stands for the same as the impersonated.
fn same_identity(known: &Entity, impersonated: &Entity) -> bool {
    impersonated.attributes.iter().all(|(name, value)| known.attributes.get(name) == Some(value))
}

/// The groups of verbs, for policies without the schema that declares them.
fn action_entity(action: &EntityUid) -> Entity {
    let parent = match action.id().unescaped() {
        "get" | "list" | "watch" => Some("readOnly"),
        "create" | "update" | "patch" | "delete" | "deletecollection" => Some("write"),
        _ => None,
    };
    let entity = Entity::new(action.clone());
    match parent {
        Some(parent) => entity.with_parent(uid(&NAMES.action, parent)),
        None => entity,
    }
}

fn principal_bit(name: &cedar_policy::EntityTypeName) -> u8 {
    let names = &*NAMES;
    let bits = [
        (&names.user, PrincipalKind::User),
        (&names.service_account, PrincipalKind::ServiceAccount),
        (&names.node, PrincipalKind::Node),
    ];
    bits.iter().find(|(known, _)| *known == name).map_or(0, |(_, kind)| *kind as u8)
}

fn resource_bit(name: &cedar_policy::EntityTypeName) -> u8 {
    let names = &*NAMES;
    let bits = [
        (&names.resource, ResourceKind::Resource),
        (&names.non_resource_url, ResourceKind::NonResourceUrl),
        (&names.user, ResourceKind::User),
        (&names.service_account, ResourceKind::ServiceAccount),
        (&names.node, ResourceKind::Node),
        (&names.group, ResourceKind::Group),
        (&names.principal_uid, ResourceKind::PrincipalUid),
        (&names.extra, ResourceKind::Extra),
    ];
    bits.iter().find(|(known, _)| *known == name).map_or(0, |(_, kind)| *kind as u8)
}
