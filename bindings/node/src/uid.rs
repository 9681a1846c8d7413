//! Cedar's entity ids in JavaScript: `'Type::"id"'` or `{type, id}`.

use std::cell::RefCell;
use std::collections::HashMap;

use cedar_policy::EntityId;
use napi::ValueType;
use napi::bindgen_prelude::{FromNapiValue as _, JsObjectValue as _, Object, Unknown};
use napi_derive::napi;
use stagedoor_core::{EntityTypeName, EntityUid, entity_uid};

use crate::failure::{Failure, Result};
use crate::text::{text, with_text};

/// The longest id that is read, in bytes; the engine's own limit is lower.
pub(crate) const ID_BYTES: usize = 1 << 18;

/// So many type names are remembered by each thread.
const REMEMBERED: usize = 1024;

/// An entity's id in two parts. `'Type::"id"'` means the same.
#[napi(object, object_to_js = false)]
#[derive(Debug)]
pub struct EntityUidInput {
    /// The type, such as `Backstage::User`.
    pub r#type: String,
    /// The id, as it is: nothing is escaped.
    pub id: String,
}

thread_local! {
    /// Parsing a type's name takes Cedar longer than deciding.
    static TYPES: RefCell<HashMap<Box<str>, EntityTypeName>> = RefCell::default();
}

/// Reads an entity's id.
pub(crate) fn uid(value: Unknown<'_>, what: &str) -> Result<EntityUid> {
    match value.get_type()? {
        ValueType::String => with_text(value, what, ID_BYTES, |text| parse(text, what)),
        ValueType::Object => {
            let object = Object::from_unknown(value)?;
            let part = |name: &str| -> Result<String> {
                let part: Unknown<'_> = object.get_named_property_unchecked(name)?;
                text(part, &format!("`{name}` of {what}"), ID_BYTES)
            };
            let (type_name, id) = (part("type")?, part("id")?);
            let type_name = named_type(&type_name).ok_or_else(|| invalid(what, &type_name))?;
            Ok(EntityUid::from_type_name_and_id(type_name, EntityId::new(id)))
        }
        _ => Err(Failure::mistyped(what, "an entity id: `Type::\"id\"` or {type, id}")),
    }
}

fn parse(text: &str, what: &str) -> Result<EntityUid> {
    // Escapes, and whatever else is unusual, take longer.
    let parts = text.strip_suffix('"').and_then(|text| text.split_once("::\""));
    if let Some((type_name, id)) = parts
        && !id.contains(['\\', '"', '\r'])
        && let Some(type_name) = named_type(type_name)
    {
        return Ok(EntityUid::from_type_name_and_id(type_name, EntityId::new(id)));
    }
    entity_uid(text).ok_or_else(|| invalid(what, text))
}

fn invalid(what: &str, text: &str) -> Failure {
    let start: String = text.chars().take(80).collect();
    Failure::new("request::uid", format!("{what} is not an entity id: `{start}`"))
        .with_help("write `Type::\"id\"`, such as `User::\"alice\"`, or {type, id}")
}

/// Returns the type of this name, if it is one.
pub(crate) fn named_type(name: &str) -> Option<EntityTypeName> {
    let known = TYPES.with_borrow(|types| types.get(name).cloned());
    if known.is_some() {
        return known;
    }
    let parsed: EntityTypeName = name.parse().ok()?;
    TYPES.with_borrow_mut(|types| {
        if types.len() < REMEMBERED {
            types.insert(name.into(), parsed.clone());
        }
    });
    Some(parsed)
}
