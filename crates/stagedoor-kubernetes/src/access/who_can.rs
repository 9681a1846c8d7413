//! Who can do this?

use std::fmt;

use serde::Serialize;
use stagedoor_analysis::{EntityType, EntityUID, KnownEntity, KnownRequest, ScopeConstraint};
use stagedoor_core::Effect;

use super::facts::{anything, close, join, of_subject, of_type, of_user, tell};
use super::policies::{AccessPolicies, ScopedPolicy, joined};
use crate::attributes::{Attributes, NonResourceAttributes, ResourceAttributes};
use crate::names::NAMES;
use crate::resource::{ResourceKind, kind, node_name};
use crate::subject::{PrincipalKind, Subject};
use crate::vocabulary::UNLISTED_VERB;

/// Who can do this? What is left open is asked for every value.
#[derive(Debug, Clone)]
pub struct AccessQuestion {
    attributes: Attributes,
    namespace_is_open: bool,
    name_is_open: bool,
}

impl AccessQuestion {
    /// Asks about a resource, in any namespace and of any name.
    ///
    /// A request to create an object has no name.
    #[must_use]
    pub fn resource(
        verb: impl Into<String>,
        group: impl Into<String>,
        resource: impl Into<String>,
    ) -> Self {
        let attributes = ResourceAttributes::new(verb, group, resource);
        let name_is_open = !matches!(attributes.verb.as_str(), "create" | "deletecollection");
        Self { attributes: attributes.into(), namespace_is_open: true, name_is_open }
    }

    /// Asks about a path outside the resource API.
    #[must_use]
    pub fn path(verb: impl Into<String>, path: impl Into<String>) -> Self {
        let attributes = NonResourceAttributes::new(verb, path).into();
        Self { attributes, namespace_is_open: false, name_is_open: false }
    }

    /// Sets the subresource. Its requests have a name, also those to create it.
    #[must_use]
    pub fn with_subresource(mut self, subresource: impl Into<String>) -> Self {
        if let Attributes::Resource(attributes) = &mut self.attributes {
            attributes.subresource = subresource.into();
            self.name_is_open |= attributes.name.is_empty();
        }
        self
    }

    /// Sets the namespace; empty is that of cluster-scoped objects and of all namespaces at once.
    #[must_use]
    pub fn in_namespace(mut self, namespace: impl Into<String>) -> Self {
        if let Attributes::Resource(attributes) = &mut self.attributes {
            attributes.namespace = namespace.into();
            self.namespace_is_open = false;
        }
        self
    }

    /// Sets the name of the object.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        if let Attributes::Resource(attributes) = &mut self.attributes {
            attributes.name = name.into();
            self.name_is_open = false;
        }
        self
    }

    fn known_resource(&self, of_kind: ResourceKind) -> KnownEntity {
        let mut known = anything();
        close(&mut known, &NAMES.group);
        close(&mut known, &NAMES.user_name);
        let attributes = match &self.attributes {
            Attributes::NonResource(attributes) => {
                known.type_name = Some(of_type(&NAMES.non_resource_url));
                known.id = Some(attributes.path.as_str().into());
                tell(&mut known, "path", Some(&attributes.path));
                close(&mut known, &NAMES.namespace);
                return known;
            }
            Attributes::Resource(attributes) => attributes,
        };
        let ResourceAttributes { namespace, group, resource, subresource, name, .. } = attributes;
        let (in_namespace, of_name) = (!self.namespace_is_open, !self.name_is_open);
        if in_namespace || of_kind as u8 & NAMESPACED == 0 {
            close(&mut known, &NAMES.namespace);
            if !namespace.is_empty() {
                join(&mut known, &NAMES.namespace, namespace);
            }
        }
        let type_name = match of_kind {
            ResourceKind::Resource | ResourceKind::NonResourceUrl => {
                tell(&mut known, "apiGroup", Some(group));
                tell(&mut known, "resource", Some(resource));
                tell(&mut known, "subresource", given(subresource));
                if in_namespace {
                    tell(&mut known, "namespace", given(namespace));
                }
                if of_name {
                    tell(&mut known, "name", given(name));
                }
                &NAMES.resource
            }
            ResourceKind::User | ResourceKind::Node | ResourceKind::Group => {
                if of_name {
                    let whole = match of_kind {
                        ResourceKind::Node => node_name(attributes),
                        _ => name.as_str().into(),
                    };
                    known.id = Some(whole.as_ref().into());
                    let name = whole
                        .strip_prefix("system:node:")
                        .filter(|_| of_kind == ResourceKind::Node)
                        .unwrap_or(&whole);
                    tell(&mut known, "name", Some(name));
                }
                match of_kind {
                    ResourceKind::User => &NAMES.user,
                    ResourceKind::Node => &NAMES.node,
                    _ => &NAMES.group,
                }
            }
            ResourceKind::ServiceAccount => {
                if of_name {
                    tell(&mut known, "name", Some(name));
                }
                if in_namespace {
                    tell(&mut known, "namespace", Some(namespace));
                }
                if of_name && in_namespace {
                    known.id = Some(format!("system:serviceaccount:{namespace}:{name}").into());
                }
                &NAMES.service_account
            }
            ResourceKind::PrincipalUid => {
                known.id = of_name.then(|| name.into());
                &NAMES.principal_uid
            }
            ResourceKind::Extra => {
                known.id = Some(subresource.into());
                tell(&mut known, "key", Some(subresource));
                if of_name {
                    tell(&mut known, "value", given(name));
                }
                &NAMES.extra
            }
        };
        known.type_name = Some(of_type(type_name));
        known
    }
}

/// Returns a text unless it is empty.
fn given(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// The kinds of resources that may be in a namespace.
const NAMESPACED: u8 = ResourceKind::Resource as u8 | ResourceKind::ServiceAccount as u8;

/// Somebody, or some set of people, that a policy is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(tag = "kind", content = "name")]
#[non_exhaustive]
pub enum AccessSubject {
    /// Everybody.
    Everybody,
    /// All principals of one type, such as `k8s::ServiceAccount`.
    Every(String),
    /// The members of a group.
    Group(String),
    /// The bearer of a user name.
    User(String),
    /// The service accounts of a namespace.
    ServiceAccountsOf(String),
    /// The principal of this entity id, which may be a UID.
    Principal(String),
}

impl fmt::Display for AccessSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everybody => f.write_str("everybody"),
            Self::Every(type_name) => write!(f, "every {type_name}"),
            Self::Group(name) => write!(f, "Group/{name}"),
            Self::User(name) => write!(f, "User/{name}"),
            Self::ServiceAccountsOf(name) => write!(f, "service accounts of {name}"),
            Self::Principal(uid) => f.write_str(uid),
        }
    }
}

/// One way in which somebody can do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Access {
    /// Who.
    pub subject: AccessSubject,
    /// By which part of the subject, where that is a known user who is in a group.
    pub via: Option<AccessSubject>,
    /// In which namespace, if the question left that open and the policy does not.
    pub namespace: Option<String>,
    /// The permit, or the binding that it comes from.
    pub policy: String,
    /// On what it depends, in Cedar's words; nothing where it is a plain yes.
    pub condition: Option<String>,
    /// The custom rules that have to say yes as well.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub guards: Vec<String>,
    /// The forbids that may be in the way.
    pub except: Vec<Exception>,
}

/// A forbid that is in the way under a condition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Exception {
    /// The forbid.
    pub policy: String,
    /// When it forbids, in Cedar's words.
    pub condition: String,
    /// The custom rules that keep it from forbidding if one of them says no.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub guards: Vec<String>,
}

/// Somebody, and what is known of them.
struct PossibleSubject {
    subject: AccessSubject,
    via: Option<AccessSubject>,
    principal: KnownEntity,
}

impl AccessPolicies<'_> {
    /// Returns everybody who can do something, by policy.
    ///
    /// Complete for policies that name whom they are about in their scope, as imported RBAC
    /// does; where a policy is about everybody under a condition, the answer says so. Whom a
    /// forbid stops for sure is left out.
    #[must_use]
    pub fn who_can(&self, question: &AccessQuestion) -> Vec<Access> {
        let mut found: Vec<Access> = self
            .of_effect(Effect::Permit)
            .filter_map(|permit| {
                let (subject, principal) = subject_of(&permit.parsed.scope.principal);
                self.access(
                    permit,
                    question,
                    PossibleSubject { subject, via: None, principal },
                    false,
                )
            })
            .collect();
        found.sort_by(|a, b| (&a.subject, &a.policy).cmp(&(&b.subject, &b.policy)));
        found
    }

    /// Returns which of these subjects can do something, by policy.
    #[must_use]
    pub fn who_of_can(&self, question: &AccessQuestion, subjects: &[Subject]) -> Vec<Access> {
        let mut found = Vec::new();
        for subject in subjects {
            let known = of_subject(subject);
            for permit in self.of_effect(Effect::Permit) {
                if known.meets(&permit.parsed.scope.principal) == Some(false) {
                    continue;
                }
                let subject = AccessSubject::User(subject.user.clone());
                let (via, _) = subject_of(&permit.parsed.scope.principal);
                let via = (via != subject).then_some(via);
                let whom = PossibleSubject { subject, via, principal: known.clone() };
                found.extend(self.access(permit, question, whom, true));
            }
        }
        found
    }

    fn access(
        &self,
        permit: &ScopedPolicy<'_>,
        question: &AccessQuestion,
        whom: PossibleSubject,
        with_scope: bool,
    ) -> Option<Access> {
        let PossibleSubject { subject, via, principal } = whom;
        let mut known = self.known(question, principal);
        if !permit.is_about(&known) {
            return None;
        }
        let namespace = self.namespace_of(permit, question, &mut known);
        let open = permit.open(&known, with_scope)?;
        let mut except = Vec::new();
        for forbid in self.of_effect(Effect::Forbid) {
            if !forbid.is_about(&known) {
                continue;
            }
            let Some(open) = forbid.open(&known, true) else { continue };
            let guards = forbid.guards();
            let condition = match joined(&open) {
                Some(condition) => condition,
                // A forbid that nothing is left open of stops everybody.
                None if guards.is_empty() => return None,
                None => "true".to_owned(),
            };
            except.push(Exception { policy: forbid.info.id().to_owned(), condition, guards });
        }
        Some(Access {
            subject,
            via,
            namespace,
            policy: permit.info.id().to_owned(),
            condition: joined(&open),
            guards: permit.guards(),
            except,
        })
    }

    fn known(&self, question: &AccessQuestion, principal: KnownEntity) -> KnownRequest {
        let asked = kind(&question.attributes);
        let kinds = [
            (&NAMES.service_account, PrincipalKind::ServiceAccount),
            (&NAMES.node, PrincipalKind::Node),
            (&NAMES.user, PrincipalKind::User),
        ];
        let is = |name| principal.is_a(AsRef::as_ref(name)) == Some(true);
        let kind = kinds.into_iter().find(|(name, _)| is(*name)).map(|(_, kind)| kind);
        let (action, verb) = self.verb(question.attributes.verb(), kind, asked);
        let is_unlisted = action.id.as_deref() == Some(UNLISTED_VERB);
        let asked = match asked {
            ResourceKind::NonResourceUrl => asked,
            _ if is_unlisted => ResourceKind::Resource,
            _ => asked,
        };
        let resource = question.known_resource(asked);
        let context = [("verb".into(), verb.map(|verb| verb.as_str().into()))].into();
        KnownRequest { principal, action, resource, context }
    }

    /// Narrows the question to the namespace that a permit's scope names.
    fn namespace_of(
        &self,
        permit: &ScopedPolicy<'_>,
        question: &AccessQuestion,
        known: &mut KnownRequest,
    ) -> Option<String> {
        let namespace = namespace(&permit.parsed.scope.resource)?;
        let of_type: &EntityType = NAMES.namespace.as_ref();
        if !question.namespace_is_open || !known.resource.open.contains(of_type) {
            return None;
        }
        join(&mut known.resource, &NAMES.namespace, &namespace);
        close(&mut known.resource, &NAMES.namespace);
        tell(&mut known.resource, "namespace", Some(&namespace));
        Some(namespace)
    }
}

/// Returns the namespace that a scope asks to be in.
pub(super) fn namespace(constraint: &ScopeConstraint) -> Option<String> {
    let uid = constraint.entity.as_ref().filter(|_| !constraint.exact)?;
    (uid.entity_type() == AsRef::<EntityType>::as_ref(&NAMES.namespace)).then(|| id(uid))
}

pub(super) fn id(uid: &EntityUID) -> String {
    AsRef::<str>::as_ref(uid.eid()).to_owned()
}

impl ScopedPolicy<'_> {
    /// Returns the names of the rules that guard the policy.
    pub(crate) fn guards(&self) -> Vec<String> {
        self.info.guards().map(|guard| guard.rule().to_owned()).collect()
    }
}

/// Returns whom a scope is about, and what is known of them.
fn subject_of(principal: &ScopeConstraint) -> (AccessSubject, KnownEntity) {
    let type_name = principal.is_type.clone();
    let every = type_name.as_ref().map(|name| AccessSubject::Every(name.to_string()));
    let mut known = KnownEntity { type_name, ..anything() };
    let Some(uid) = &principal.entity else {
        return (every.unwrap_or(AccessSubject::Everybody), known);
    };
    let is = |name| !principal.exact && uid.entity_type() == AsRef::<EntityType>::as_ref(name);
    let id = id(uid);
    if is(&NAMES.group) {
        join(&mut known, &NAMES.group, &id);
        return (AccessSubject::Group(id), known);
    }
    if is(&NAMES.user_name) {
        return (AccessSubject::User(id.clone()), of_user(&id));
    }
    if is(&NAMES.namespace) {
        known.type_name = Some(of_type(&NAMES.service_account));
        tell(&mut known, "namespace", Some(&id));
        join(&mut known, &NAMES.namespace, &id);
        close(&mut known, &NAMES.namespace);
        return (AccessSubject::ServiceAccountsOf(id), known);
    }
    known.type_name = Some(uid.entity_type().clone());
    known.id = Some(id.into());
    (AccessSubject::Principal(uid.to_string()), known)
}
