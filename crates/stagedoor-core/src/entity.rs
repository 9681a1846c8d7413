//! One entity as typed attributes.

use std::collections::{HashMap, HashSet};

use cedar_policy::EntityUid;
use cedar_policy_core::ast::{self, PartialValue};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use crate::error::{EntitiesError, cut};
use crate::limits::Limits;
use crate::value::{Record, RecordJson, UidJson, Value, extent, pairs};

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
            return Err(EntitiesError::StringTooLong { uid: cut(&self.uid), given, limit });
        }
        let given = attribute_depth.max(tag_depth);
        if given > limits.nesting {
            let limit = limits.nesting;
            return Err(EntitiesError::TooDeep { uid: cut(&self.uid), given, limit });
        }
        Ok(())
    }

    /// Returns the entity as Cedar's.
    pub(crate) fn to_cedar(&self) -> Result<cedar_policy::Entity, EntitiesError> {
        let attributes: HashMap<_, _> = pairs(&self.attributes)?.into_iter().collect();
        let parents: HashSet<_> = self.parents.iter().cloned().collect();
        let value_error = |e: &dyn std::fmt::Display| EntitiesError::Value(cut(&e));
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
        let mut own = Self::new(entity.uid());
        let cedar: &ast::Entity = entity.as_ref();
        for (name, value) in cedar.attrs() {
            own.attributes.insert(name.clone(), known(value)?);
        }
        for (name, value) in cedar.tags() {
            own.tags.insert(name.clone(), known(value)?);
        }
        own.parents = cedar.parents().map(|uid| uid.clone().into()).collect();
        own.parents.sort_unstable_by(|a, b| (a.type_name(), a.id()).cmp(&(b.type_name(), b.id())));
        Ok(own)
    }
}

/// As an entity of Cedar's with the same attributes, tags and direct parents.
impl TryFrom<&Entity> for cedar_policy::Entity {
    type Error = EntitiesError;

    fn try_from(entity: &Entity) -> Result<Self, EntitiesError> {
        entity.to_cedar()
    }
}

impl TryFrom<&cedar_policy::Entity> for Entity {
    type Error = EntitiesError;

    fn try_from(entity: &cedar_policy::Entity) -> Result<Self, EntitiesError> {
        Self::from_cedar(entity)
    }
}

/// Writes Cedar's JSON form: `{"uid", "attrs", "tags", "parents"}`; tags are left out where there is
/// none.
impl Serialize for Entity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("uid", &UidJson(&self.uid))?;
        map.serialize_entry("attrs", &RecordJson(&self.attributes))?;
        if !self.tags.is_empty() {
            map.serialize_entry("tags", &RecordJson(&self.tags))?;
        }
        let parents: Vec<_> = self.parents.iter().map(UidJson).collect();
        map.serialize_entry("parents", &parents)?;
        map.end()
    }
}

fn known(value: &PartialValue) -> Result<Value, EntitiesError> {
    match value {
        PartialValue::Value(value) => Ok(Value::from_cedar(value)?),
        PartialValue::Residual(rest) => {
            Err(EntitiesError::Value(format!("`{}` is not a value", cut(rest))))
        }
    }
}
