//! Who asks: users with their ownership references, and services.

use std::collections::BTreeSet;

use cedar_policy::EntityUid;
use smol_str::SmolStr;
use stagedoor_core::{Entity, Value};

use crate::entity_ref::EntityRef;
use crate::groups::Groups;
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
    /// Groups that the user is in without owning what they own.
    memberships: BTreeSet<EntityRef>,
    /// What was given as a reference and is none, in lower case.
    unreadable: BTreeSet<SmolStr>,
}

impl User {
    /// Returns a user who owns what is owned by it alone.
    #[must_use]
    pub fn new(reference: EntityRef) -> Self {
        Self {
            ownership: BTreeSet::from([reference.clone()]),
            reference,
            memberships: BTreeSet::new(),
            unreadable: BTreeSet::new(),
        }
    }

    /// Adds references by which the user owns entities: the
    /// `ownershipEntityRefs` of Backstage's user info.
    #[must_use]
    pub fn with_ownership(mut self, references: impl IntoIterator<Item = EntityRef>) -> Self {
        self.ownership.extend(references);
        self
    }

    /// Adds references as Backstage gives them. What is no full reference is kept as it is
    /// written: it is a claim and a group, so that a policy which names it holds, and no entity
    /// of a catalog has it as an owner.
    #[must_use]
    pub fn with_ownership_refs<T: AsRef<str>>(
        mut self,
        references: impl IntoIterator<Item = T>,
    ) -> Self {
        for text in references {
            match text.as_ref().parse() {
                Ok(reference) => {
                    self.ownership.insert(reference);
                }
                Err(_) => {
                    self.unreadable.insert(text.as_ref().to_lowercase().into());
                }
            }
        }
        self
    }

    /// Adds groups that the user is in, beyond those by which it owns entities.
    #[must_use]
    pub fn with_memberships(mut self, groups: impl IntoIterator<Item = EntityRef>) -> Self {
        self.memberships.extend(groups);
        self
    }

    /// Returns what was given as a reference and is none, in lower case.
    pub fn unreadable_refs(&self) -> impl ExactSizeIterator<Item = &str> {
        self.unreadable.iter().map(SmolStr::as_str)
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
    /// users are its parents as well, and so are further memberships.
    #[must_use]
    pub fn to_entity(&self) -> Entity {
        let unreadable = self.unreadable.iter().map(ToString::to_string);
        let claims = self.ownership.iter().map(ToString::to_string).chain(unreadable);
        let mut entity = Entity::new(self.uid())
            .with_attribute("entityRef", self.reference.to_string())
            .with_attribute("claims", claims.collect::<Value>());
        let owning = self.ownership.iter().filter(|reference| reference.kind() != "user");
        let groups: BTreeSet<&EntityRef> = owning.chain(&self.memberships).collect();
        let groups = groups.into_iter().map(names::group);
        let unreadable = self.unreadable.iter().map(|text| names::unreadable_group(text));
        // All of them differ, and there may be thousands.
        entity.parents = groups.chain(unreadable).collect();
        entity
    }
}

/// Who asks for a permission.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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

impl Principal {
    /// Returns the principal as a Cedar entity, in all groups of a circle if it is in one.
    pub(crate) fn entity_within(&self, groups: &Groups) -> Entity {
        let entity = self.to_entity();
        let beside: Vec<EntityUid> = groups.beside(&entity.parents).cloned().collect();
        beside.into_iter().fold(entity, Entity::with_parent)
    }
}

impl From<User> for Principal {
    fn from(user: User) -> Self {
        Self::User(user)
    }
}
