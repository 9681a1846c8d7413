//! Cedar's entity ids in JavaScript: `'Type::"id"'` or `{type, id}`.

use std::cell::RefCell;
use std::collections::HashMap;

use cedar_policy::EntityId;
use napi::ValueType;
use napi::bindgen_prelude::{FromNapiValue as _, JsObjectValue as _, Object, Unknown};
use stagedoor_core::{EntityTypeName, EntityUid, entity_uid};
use stagedoor_wire::{EntityUidInput, Uid};

use crate::failure::{Failure, Result};
use crate::keys;
use crate::text::{text, with_text};

/// The longest id that is read, in bytes; the engine's own limit is lower.
pub(crate) const ID_BYTES: usize = 1 << 18;

/// So many type names are remembered by each thread.
const REMEMBERED: usize = 1024;

thread_local! {
    /// Parsing a type's name takes Cedar longer than deciding.
    static TYPES: RefCell<HashMap<Box<str>, EntityTypeName>> = RefCell::default();
}

/// Reads an entity's id; `what` is what it is called.
pub(crate) fn uid(value: Unknown<'_>, what: &str) -> Result<EntityUid> {
    let within = |failure: Failure| failure.within(|| format!("`{what}`"));
    match value.get_type()? {
        ValueType::String => with_text(value, what, ID_BYTES, |text| parse(text, what)),
        ValueType::Object => {
            let object = Object::from_unknown(value)?;
            let part = |name: &str| -> Result<String> {
                let part: Unknown<'_> = object.get_named_property_unchecked(name)?;
                let called = format!("`{name}` of an entity id");
                match part.get_type()? {
                    ValueType::Undefined => {
                        Err(Failure::new("argument::type", format!("{called} is missing")))
                    }
                    _ => text(part, &called, ID_BYTES),
                }
            };
            keys::check(&object, &["type", "id"]).map_err(within)?;
            let (type_name, id) = (part("type").map_err(within)?, part("id").map_err(within)?);
            match named_type(&type_name) {
                Some(name) => Ok(EntityUid::from_type_name_and_id(name, EntityId::new(id))),
                None => {
                    let parts = EntityUidInput { r#type: type_name, id };
                    Ok(Uid::Parts(parts).read(what)?)
                }
            }
        }
        ValueType::Undefined => Err(Failure::new("argument::type", format!("`{what}` is missing"))),
        _ => {
            let expected = "`Type::\"id\"` or {type, id}";
            Err(within(Failure::mistyped("an entity id", expected)))
        }
    }
}

/// Returns the id that a text is without escapes and whatever else is unusual, which takes longer.
pub(crate) fn plain_uid(text: &str) -> Option<EntityUid> {
    let (type_name, id) = text.strip_suffix('"')?.split_once("::\"")?;
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    if !id.bytes().all(is_plain) {
        return None;
    }
    Some(EntityUid::from_type_name_and_id(named_type(type_name)?, EntityId::new(id)))
}

fn parse(text: &str, what: &str) -> Result<EntityUid> {
    if let Some(uid) = plain_uid(text) {
        return Ok(uid);
    }
    match entity_uid(text) {
        Some(uid) => Ok(uid),
        // Says what is wrong with it.
        None => Ok(Uid::Text(text.to_owned()).read(what)?),
    }
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
