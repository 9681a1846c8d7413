//! Who asks: users with their ownership references, and services.

use std::collections::BTreeSet;

use cedar_policy::EntityUid;
use stagedoor_core::{Entity, Value};

use crate::entity_ref::EntityRef;
use crate::names;

/// A signed-in user.
///
/// # Examples
///
/// ```
/// use stagedoor_backstage::User;
///
/// let alice = User::new("user:default/alice".parse()?)
///     .with_ownership(["group:default/payments".parse()?]);
/// assert_eq!(alice.to_entity().parents.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct User {
    reference: EntityRef,
    ownership: BTreeSet<EntityRef>,
}

impl User {
    /// Returns a user who owns what is owned by it alone.
    #[must_use]
    pub fn new(reference: EntityRef) -> Self {
        Self { ownership: BTreeSet::from([reference.clone()]), reference }
    }

    /// Adds references by which the user owns entities: the
    /// `ownershipEntityRefs` of Backstage's user info.
    #[must_use]
    pub fn with_ownership(mut self, references: impl IntoIterator<Item = EntityRef>) -> Self {
        self.ownership.extend(references);
        self
    }

    /// Returns the user's own reference.
    #[must_use]
    pub fn reference(&self) -> &EntityRef {
        &self.reference
    }

    /// Returns the references by which the user owns entities, its own among them.
    #[must_use]
    pub fn ownership_entity_refs(&self) -> &BTreeSet<EntityRef> {
        &self.ownership
    }

    /// Returns the Cedar id.
    #[must_use]
    pub fn uid(&self) -> EntityUid {
        names::user(&self.reference)
    }

    /// Returns the user as a Cedar entity.
    ///
    /// Every ownership reference is one of its `claims`; those that are not
    /// users are its parents as well.
    #[must_use]
    pub fn to_entity(&self) -> Entity {
        let claims = self.ownership.iter().map(ToString::to_string);
        let entity = Entity::new(self.uid())
            .with_attribute("entityRef", self.reference.to_string())
            .with_attribute("claims", claims.collect::<Value>());
        let groups = self.ownership.iter().filter(|reference| reference.kind() != "user");
        groups.fold(entity, |entity, group| entity.with_parent(names::group(group)))
    }
}

/// Who asks for a permission.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Principal {
    /// A signed-in user.
    User(User),
    /// A plugin or an external service, by its subject: `plugin:catalog`.
    Service(String),
}

impl Principal {
    /// Returns the Cedar id.
    #[must_use]
    pub fn uid(&self) -> EntityUid {
        match self {
            Self::User(user) => user.uid(),
            Self::Service(subject) => names::service(subject),
        }
    }

    /// Returns the principal as a Cedar entity.
    #[must_use]
    pub fn to_entity(&self) -> Entity {
        match self {
            Self::User(user) => user.to_entity(),
            Self::Service(_) => Entity::new(self.uid()),
        }
    }
}

impl From<User> for Principal {
    fn from(user: User) -> Self {
        Self::User(user)
    }
}
