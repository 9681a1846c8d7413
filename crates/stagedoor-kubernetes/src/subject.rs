//! Who asks: what an authenticator knows about them, and the Cedar principal that it makes.
//!
//! The user name tells the type of principal, as `cedar-access-control-for-k8s` has it:
//! `system:serviceaccount:NAMESPACE:NAME` is a `k8s::ServiceAccount`, `system:node:NAME` a
//! `k8s::Node`, every other name a `k8s::User`. Groups become parents, and so do the user name
//! and a service account's namespace.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::EntityUid;
use serde::{Deserialize, Serialize};
use stagedoor_core::{Entities, EntitiesError, Entity, Limits, Record, Value};

use crate::mentions::ExtraMentions;
use crate::names::{NAMES, uid};
use crate::wire::null_is_default;

/// The most keys of `extra` that policies see: authenticators give a few.
const EXTRA_KEYS: usize = 4096;

/// What an authenticator says about somebody: the subject of a review.
///
/// # Examples
///
/// ```
/// use stagedoor_kubernetes::Subject;
///
/// let alice = Subject::new("alice").with_group("system:authenticated").with_group("payments");
/// assert_eq!(alice.groups.len(), 2);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Subject {
    /// The user name.
    #[serde(default, deserialize_with = "null_is_default")]
    pub user: String,
    /// The groups, with Kubernetes' own: `system:authenticated`, `system:serviceaccounts`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub groups: Vec<String>,
    /// The UID, or nothing where the authenticator knows none.
    #[serde(default, deserialize_with = "null_is_default")]
    pub uid: String,
    /// What else the authenticator knows.
    #[serde(default, deserialize_with = "null_is_default")]
    pub extra: BTreeMap<String, Vec<String>>,
}

impl Subject {
    /// Returns the subject of this name, in no group.
    #[must_use]
    pub fn new(user: impl Into<String>) -> Self {
        Self { user: user.into(), ..Self::default() }
    }

    /// Adds a group.
    #[must_use]
    pub fn with_group(mut self, group: impl Into<String>) -> Self {
        self.groups.push(group.into());
        self
    }

    /// Sets the UID.
    #[must_use]
    pub fn with_uid(mut self, uid: impl Into<String>) -> Self {
        self.uid = uid.into();
        self
    }

    /// Sets the values of one key of `extra`.
    #[must_use]
    pub fn with_extra(
        mut self,
        key: impl Into<String>,
        values: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        self.extra.insert(key.into(), values.into_iter().map(Into::into).collect());
        self
    }
}

/// What stands as the entity id of a principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PrincipalIds {
    /// The UID, or the user name where there is none: the rule of
    /// `cedar-access-control-for-k8s`, for whose policies it is the default.
    ///
    /// Policies should then name a principal by its attribute `name`, not by its id: whether
    /// an authenticator gives UIDs is nothing that a policy shows.
    #[default]
    UidOrUserName,
    /// The user name, always: `principal == k8s::User::"alice"` is then about alice.
    UserName,
}

/// The kind of somebody that a user name stands for, with the name taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Identity<'a> {
    User,
    ServiceAccount { namespace: &'a str, name: &'a str },
    Node { name: &'a str },
}

impl<'a> Identity<'a> {
    pub(crate) fn of(user: &'a str) -> Self {
        if let Some(rest) = user.strip_prefix("system:serviceaccount:")
            && let Some((namespace, name)) = rest.split_once(':')
            && !namespace.is_empty()
            && !name.is_empty()
            && !name.contains(':')
        {
            return Self::ServiceAccount { namespace, name };
        }
        if let Some(name) = user.strip_prefix("system:node:")
            && !name.is_empty()
            && !name.contains(':')
        {
            return Self::Node { name };
        }
        Self::User
    }
}

/// A subject as Cedar's principal with its groups, prepared once for many requests.
///
/// Cloning is cheap. Made by [`Vocabulary::principal`](crate::Vocabulary::principal).
#[derive(Debug, Clone)]
pub struct Principal {
    uid: EntityUid,
    kind: PrincipalKind,
    entities: Entities,
}

/// The entity types of principals, as bits of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum PrincipalKind {
    User = 1,
    ServiceAccount = 1 << 1,
    Node = 1 << 2,
}

impl Principal {
    /// Returns the principal that a subject is, with what is mentioned of `extra`.
    pub(crate) fn new(
        subject: &Subject,
        ids: PrincipalIds,
        mentions: &ExtraMentions,
    ) -> Result<Self, EntitiesError> {
        let names = &*NAMES;
        let (kind, entity_type) = match Identity::of(&subject.user) {
            Identity::User => (PrincipalKind::User, &names.user),
            Identity::ServiceAccount { .. } => {
                (PrincipalKind::ServiceAccount, &names.service_account)
            }
            Identity::Node { .. } => (PrincipalKind::Node, &names.node),
        };
        let id = match ids {
            PrincipalIds::UidOrUserName if !subject.uid.is_empty() => &subject.uid,
            PrincipalIds::UidOrUserName | PrincipalIds::UserName => &subject.user,
        };
        let uid = uid(entity_type, id);
        let mut entity = Entity::new(uid.clone());
        entity.attributes = identity_attributes(&subject.user);
        if !subject.extra.is_empty() {
            let extra = extra(subject, mentions).ok_or_else(|| EntitiesError::TooManyValues {
                uid: uid.to_string(),
                given: subject.extra.len(),
                limit: EXTRA_KEYS,
            })?;
            entity.attributes.insert("extra".into(), extra);
        }
        // Each would be an entity before they are counted.
        let limit = Limits::default().ancestors;
        if subject.groups.len() > limit {
            let uid = uid.to_string();
            return Err(EntitiesError::TooManyAncestors { uid, limit });
        }
        let groups: BTreeSet<&str> = subject.groups.iter().map(String::as_str).collect();
        let groups: Vec<Entity> = groups.into_iter().map(group).collect();
        entity.parents = groups.iter().map(|group| group.uid.clone()).collect();
        entity.parents.push(user_name(&subject.user));
        if let Identity::ServiceAccount { namespace, .. } = Identity::of(&subject.user) {
            entity.parents.push(self::uid(&names.namespace, namespace));
        }
        let entities = Entities::from_entities(std::iter::once(entity).chain(groups))?;
        Ok(Self { uid, kind, entities })
    }

    /// Returns the principal's entity id.
    #[must_use]
    pub fn uid(&self) -> &EntityUid {
        &self.uid
    }

    /// Returns the principal and its groups.
    #[must_use]
    pub fn entities(&self) -> &Entities {
        &self.entities
    }

    pub(crate) fn kind(&self) -> PrincipalKind {
        self.kind
    }
}

/// Returns the attributes that a user name gives: `name`, and a service account's `namespace`.
pub(crate) fn identity_attributes(user: &str) -> Record {
    let mut attributes = Record::new();
    let name = match Identity::of(user) {
        Identity::User => user,
        Identity::Node { name } => name,
        Identity::ServiceAccount { namespace, name } => {
            attributes.insert("namespace".into(), namespace.into());
            name
        }
    };
    attributes.insert("name".into(), name.into());
    attributes
}

/// Returns the id that the bearer of a user name is a member of.
pub(crate) fn user_name(user: &str) -> EntityUid {
    uid(&NAMES.user_name, user)
}

/// Returns the entity of the group of this name.
pub(crate) fn group(name: &str) -> Entity {
    Entity::new(uid(&NAMES.group, name)).with_attribute("name", name)
}

/// Returns what is mentioned of `extra`; `None` if that is more than anybody has.
fn extra(subject: &Subject, mentions: &ExtraMentions) -> Option<Value> {
    let mentioned = subject.extra.iter().filter(|(key, _)| mentions.contains(key));
    let keys: Vec<Value> = mentioned
        .take(EXTRA_KEYS + 1)
        .map(|(key, values)| {
            Value::Record(Record::from([
                ("key".into(), key.as_str().into()),
                ("values".into(), values.iter().map(String::as_str).collect()),
            ]))
        })
        .collect();
    (keys.len() <= EXTRA_KEYS).then_some(Value::Set(keys))
}

#[cfg(test)]
mod tests {
    use super::Identity;

    #[test]
    fn user_names_tell_the_kind_of_principal() {
        let cases = [
            ("alice", Identity::User),
            ("", Identity::User),
            ("system:admin", Identity::User),
            (
                "system:serviceaccount:ci:deployer",
                Identity::ServiceAccount { namespace: "ci", name: "deployer" },
            ),
            ("system:serviceaccount:ci", Identity::User),
            ("system:serviceaccount:ci:", Identity::User),
            ("system:serviceaccount::deployer", Identity::User),
            ("system:serviceaccount:ci:deployer:x", Identity::User),
            ("System:serviceaccount:ci:deployer", Identity::User),
            ("system:node:worker-1", Identity::Node { name: "worker-1" }),
            ("system:node:", Identity::User),
            ("system:node:a:b", Identity::User),
            ("system:nodes", Identity::User),
        ];
        for (user, identity) in cases {
            assert_eq!(Identity::of(user), identity, "`{user}`");
        }
    }
}
