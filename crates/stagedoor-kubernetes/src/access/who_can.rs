//! Who can do this?

use std::fmt;

use serde::Serialize;
use stagedoor_core::Effect;

use super::facts::{Facts, GROUP, NAMESPACE, Party, USER_NAME};
use super::policies::{AccessPolicies, Constraint, ScopedPolicy, joined};
use crate::attributes::{Attributes, NonResourceAttributes, ResourceAttributes};
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

    fn resource_party(&self, of_kind: ResourceKind) -> Party {
        let mut party = Party::default();
        party.closed.extend([GROUP, USER_NAME]);
        let attributes = match &self.attributes {
            Attributes::NonResource(attributes) => {
                party.type_name = Some("k8s::NonResourceURL".to_owned());
                party.id = Some(attributes.path.clone());
                party.attributes.insert("path", Some(attributes.path.clone()));
                party.closed.insert(NAMESPACE);
                return party;
            }
            Attributes::Resource(attributes) => attributes,
        };
        let ResourceAttributes { namespace, group, resource, subresource, name, .. } = attributes;
        let given = |text: &String| (!text.is_empty()).then(|| text.clone());
        if !self.namespace_is_open || of_kind as u8 & NAMESPACED == 0 {
            party.closed.insert(NAMESPACE);
            if !namespace.is_empty() {
                party.member_of(NAMESPACE, namespace);
            }
        }
        let type_name = match of_kind {
            ResourceKind::Resource | ResourceKind::NonResourceUrl => {
                party.attributes.insert("apiGroup", Some(group.clone()));
                party.attributes.insert("resource", Some(resource.clone()));
                party.attributes.insert("subresource", given(subresource));
                if !self.namespace_is_open {
                    party.attributes.insert("namespace", given(namespace));
                }
                if !self.name_is_open {
                    party.attributes.insert("name", given(name));
                }
                "k8s::Resource"
            }
            ResourceKind::User | ResourceKind::Node | ResourceKind::Group => {
                if !self.name_is_open {
                    let whole = match of_kind {
                        ResourceKind::Node => node_name(attributes),
                        _ => name.as_str().into(),
                    };
                    party.id = Some(whole.to_string());
                    let name = whole
                        .strip_prefix("system:node:")
                        .filter(|_| of_kind == ResourceKind::Node)
                        .unwrap_or(&whole);
                    party.attributes.insert("name", Some(name.to_owned()));
                }
                match of_kind {
                    ResourceKind::User => "k8s::User",
                    ResourceKind::Node => "k8s::Node",
                    _ => "k8s::Group",
                }
            }
            ResourceKind::ServiceAccount => {
                if !self.name_is_open {
                    party.attributes.insert("name", Some(name.clone()));
                }
                if !self.namespace_is_open {
                    party.attributes.insert("namespace", Some(namespace.clone()));
                }
                if !self.name_is_open && !self.namespace_is_open {
                    party.id = Some(format!("system:serviceaccount:{namespace}:{name}"));
                }
                "k8s::ServiceAccount"
            }
            ResourceKind::PrincipalUid => {
                party.id = (!self.name_is_open).then(|| name.clone());
                "k8s::PrincipalUID"
            }
            ResourceKind::Extra => {
                party.id = Some(subresource.clone());
                party.attributes.insert("key", Some(subresource.clone()));
                if !self.name_is_open {
                    party.attributes.insert("value", given(name));
                }
                "k8s::Extra"
            }
        };
        party.type_name = Some(type_name.to_owned());
        party
    }
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
    principal: Party,
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
                let (subject, principal) = subject_of(&permit.principal);
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
            let party = Party::of_subject(subject);
            for permit in self.of_effect(Effect::Permit) {
                let facts = Facts { principal: party.clone(), ..Facts::default() };
                if !permit.may_be_about(&facts) {
                    continue;
                }
                let subject = AccessSubject::User(subject.user.clone());
                let (via, _) = subject_of(&permit.principal);
                let via = (via != subject).then_some(via);
                let whom = PossibleSubject { subject, via, principal: party.clone() };
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
        let mut facts = self.facts(question, principal);
        if !permit.is_about(&facts) {
            return None;
        }
        let namespace = self.namespace_of(permit, question, &mut facts);
        let open = permit.open(&facts, with_scope)?;
        let mut except = Vec::new();
        for forbid in self.of_effect(Effect::Forbid) {
            if !forbid.is_about(&facts) {
                continue;
            }
            let Some(open) = forbid.open(&facts, true) else { continue };
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

    fn facts(&self, question: &AccessQuestion, principal: Party) -> Facts {
        let asked = kind(&question.attributes);
        let of_type = match principal.type_name.as_deref() {
            Some("k8s::ServiceAccount") => Some(PrincipalKind::ServiceAccount),
            Some("k8s::Node") => Some(PrincipalKind::Node),
            Some("k8s::User") => Some(PrincipalKind::User),
            _ => None,
        };
        let (action, verb) = self.verb(question.attributes.verb(), of_type, asked);
        let is_unlisted = action.id.as_deref() == Some(UNLISTED_VERB);
        let asked = match asked {
            ResourceKind::NonResourceUrl => asked,
            _ if is_unlisted => ResourceKind::Resource,
            _ => asked,
        };
        let resource = question.resource_party(asked);
        Facts { principal, action, resource, verb: Some(verb) }
    }

    /// Narrows the question to the namespace that a permit's scope names.
    fn namespace_of(
        &self,
        permit: &ScopedPolicy<'_>,
        question: &AccessQuestion,
        facts: &mut Facts,
    ) -> Option<String> {
        let uid = permit.resource.uid.as_ref()?;
        let is_open = question.namespace_is_open && !facts.resource.closed.contains(NAMESPACE);
        if !is_open || permit.resource.exact || uid.ty.to_string() != NAMESPACE {
            return None;
        }
        let namespace = uid.eid.to_string();
        facts.resource.member_of(NAMESPACE, &namespace);
        facts.resource.closed.insert(NAMESPACE);
        facts.resource.attributes.insert("namespace", Some(namespace.clone()));
        Some(namespace)
    }
}

impl ScopedPolicy<'_> {
    /// Returns the names of the rules that guard the policy.
    pub(crate) fn guards(&self) -> Vec<String> {
        self.info.guards().map(|guard| guard.rule().to_owned()).collect()
    }

    /// Whether the scope does not rule a principal out.
    pub(crate) fn may_be_about(&self, facts: &Facts) -> bool {
        let type_fits = self
            .principal
            .type_name
            .as_ref()
            .is_none_or(|name| facts.principal.is_a(&name.to_string()) != Some(false));
        type_fits
            && self.principal.uid.as_ref().is_none_or(|uid| {
                let held = if self.principal.exact {
                    facts.principal.is(uid)
                } else {
                    facts.principal.is_in(uid)
                };
                held != Some(false)
            })
    }
}

/// Returns whom a scope is about, and what is known of them.
fn subject_of(principal: &Constraint) -> (AccessSubject, Party) {
    let type_name = principal.type_name.as_ref().map(ToString::to_string);
    let mut party = Party { type_name: type_name.clone(), ..Party::default() };
    let Some(uid) = &principal.uid else {
        let subject = type_name.map_or(AccessSubject::Everybody, AccessSubject::Every);
        return (subject, party);
    };
    let (ty, id) = (uid.ty.to_string(), uid.eid.to_string());
    match ty.as_str() {
        GROUP if !principal.exact => {
            party.member_of(GROUP, &id);
            (AccessSubject::Group(id), party)
        }
        USER_NAME if !principal.exact => (AccessSubject::User(id.clone()), Party::of_user(&id)),
        NAMESPACE if !principal.exact => {
            party.type_name = Some("k8s::ServiceAccount".to_owned());
            party.attributes.insert("namespace", Some(id.clone()));
            party.member_of(NAMESPACE, &id);
            party.closed.insert(NAMESPACE);
            (AccessSubject::ServiceAccountsOf(id), party)
        }
        _ => {
            party.type_name = Some(ty);
            party.id = Some(id);
            (AccessSubject::Principal(uid.to_string()), party)
        }
    }
}
