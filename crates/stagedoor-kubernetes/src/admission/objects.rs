//! Objects as entities.

use std::str::FromStr as _;
use std::sync::LazyLock;

use cedar_policy::{EntityId, EntityTypeName, EntityUid};
use serde_json::value::RawValue;
use stagedoor_core::{Entity, Value};

use super::fields::Fields;
use crate::mentions::FieldMentions;

static OBJECT: LazyLock<EntityTypeName> = LazyLock::new(|| name("k8s::admission::AdmittedObject"));
static RESOURCE: LazyLock<EntityTypeName> = LazyLock::new(|| name("k8s::Resource"));
static NUMBERS: LazyLock<EntityTypeName> = LazyLock::new(|| name("k8s::admission::Numbers"));

/// Adds the entities of an object, and returns the first one's id.
///
/// # Errors
///
/// What is wrong with it, or too much.
pub fn object(id: &str, json: &RawValue, entities: &mut Vec<Entity>) -> Result<EntityUid, String> {
    mentioned(id, json, &FieldMentions::Every, entities)
}

/// Adds the entities of an object with the fields that are mentioned.
pub(super) fn mentioned(
    id: &str,
    json: &RawValue,
    mentions: &FieldMentions,
    entities: &mut Vec<Entity>,
) -> Result<EntityUid, String> {
    if !json.get().starts_with('{') {
        return Err("not an object".to_owned());
    }
    let tags = Fields::read(json.get(), mentions)?.tags()?;
    let numbers_uid = uid(&NUMBERS, id);
    let mut numbers = Entity::new(numbers_uid.clone());
    numbers.tags = tags.numbers;
    let object_uid = uid(&OBJECT, id);
    let mut object = Entity::new(object_uid.clone())
        .with_attribute("numbers", numbers_uid)
        .with_attribute("partial", Value::Set(tags.partial));
    object.tags = tags.values;
    entities.extend([numbers, object]);
    Ok(object_uid)
}

/// Returns the id of a resource of authorization.
#[must_use]
pub fn resource_uid(id: &str) -> EntityUid {
    uid(&RESOURCE, id)
}

pub(super) fn uid(entity_type: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(entity_type.clone(), EntityId::new(id))
}

#[expect(clippy::expect_used, reason = "the arguments are the constants above")]
pub(super) fn name(text: &str) -> EntityTypeName {
    EntityTypeName::from_str(text).expect("an entity type name")
}
