//! One entity as typed attributes.

use std::collections::{HashMap, HashSet};

use cedar_policy::EntityUid;

use crate::error::EntitiesError;
use crate::limits::Limits;
use crate::value::{Record, Value, extent, pairs};

/// A Cedar entity: an id, attributes, tags and the entities it is a member of.
///
/// # Examples
///
/// ```
/// use stagedoor_core::Entity;
///
/// let alice = Entity::new(r#"User::"alice""#.parse()?)
///     .with_attribute("department", "payments")
///     .with_parent(r#"Group::"payments""#.parse()?);
/// assert_eq!(alice.parents.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entity {
    /// The entity's id.
    pub uid: EntityUid,
    /// Its attributes.
    pub attributes: Record,
    /// Its tags.
    pub tags: Record,
    /// The entities it is directly a member of.
    pub parents: Vec<EntityUid>,
}

impl Entity {
    /// Returns an entity without attributes, tags or parents.
    #[must_use]
    pub fn new(uid: EntityUid) -> Self {
        Self { uid, attributes: Record::new(), tags: Record::new(), parents: Vec::new() }
    }

    /// Sets an attribute.
    #[must_use]
    pub fn with_attribute(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.attributes.insert(name.into(), value.into());
        self
    }

    /// Sets a tag.
    #[must_use]
    pub fn with_tag(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.tags.insert(name.into(), value.into());
        self
    }

    /// Adds a parent.
    #[must_use]
    pub fn with_parent(mut self, parent: EntityUid) -> Self {
        if !self.parents.contains(&parent) {
            self.parents.push(parent);
        }
        self
    }

    /// Checks the entity against `limits`.
    pub(crate) fn check(&self, limits: &Limits) -> Result<(), EntitiesError> {
        let (in_attributes, attribute_depth) = extent(&self.attributes);
        let (in_tags, tag_depth) = extent(&self.tags);
        let ids = std::iter::once(&self.uid).chain(&self.parents);
        let in_ids = ids.map(|uid| uid.id().unescaped().len()).max().unwrap_or_default();
        let given = in_attributes.max(in_tags).max(in_ids);
        if given > limits.string_bytes {
            let limit = limits.string_bytes;
            return Err(EntitiesError::StringTooLong { uid: self.uid.to_string(), given, limit });
        }
        let given = attribute_depth.max(tag_depth);
        if given > limits.nesting {
            let limit = limits.nesting;
            return Err(EntitiesError::TooDeep { uid: self.uid.to_string(), given, limit });
        }
        Ok(())
    }

    /// Returns the entity as Cedar's.
    pub(crate) fn to_cedar(&self) -> Result<cedar_policy::Entity, EntitiesError> {
        let attributes: HashMap<_, _> = pairs(&self.attributes)?.into_iter().collect();
        let parents: HashSet<_> = self.parents.iter().cloned().collect();
        let value_error = |e: &dyn std::fmt::Display| EntitiesError::Value(e.to_string());
        if self.tags.is_empty() {
            cedar_policy::Entity::new(self.uid.clone(), attributes, parents)
                .map_err(|e| value_error(&e))
        } else {
            let tags = pairs(&self.tags)?;
            cedar_policy::Entity::new_with_tags(self.uid.clone(), attributes, parents, tags)
                .map_err(|e| value_error(&e))
        }
    }

    /// Returns Cedar's entity as typed attributes.
    pub(crate) fn from_cedar(entity: &cedar_policy::Entity) -> Result<Self, EntitiesError> {
        let value_error = |e: &dyn std::fmt::Display| EntitiesError::Value(e.to_string());
        let mut own = Self::new(entity.uid());
        for (name, value) in entity.attrs() {
            own.attributes.insert(name.into(), value.map_err(|e| value_error(&e))?.into());
        }
        for (name, value) in entity.tags() {
            own.tags.insert(name.into(), value.map_err(|e| value_error(&e))?.into());
        }
        own.parents = entity.as_ref().parents().map(|uid| uid.clone().into()).collect();
        own.parents.sort_unstable_by(|a, b| (a.type_name(), a.id()).cmp(&(b.type_name(), b.id())));
        Ok(own)
    }
}
