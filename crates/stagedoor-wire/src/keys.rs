//! JSON objects whose keys are known.

use serde_json::{Map, Value as Json};
use stagedoor_core::{UniqueJson, plain_reason, unknown_key, without_byte_order_mark};

use crate::error::{Result, WireError};

/// Reads a text that must be a JSON object; a key that is given twice is an error.
pub(crate) fn object(text: &str, what: &str, code: &str) -> Result<Map<String, Json>> {
    let json: UniqueJson = serde_json::from_str(without_byte_order_mark(text))
        .map_err(|e| WireError::new(code, format!("{what}: {}", plain_reason(&e.to_string()))))?;
    fields(json.0, what)
}

/// Returns the fields of an object.
pub(crate) fn fields(json: Json, what: &str) -> Result<Map<String, Json>> {
    match json {
        Json::Object(fields) => Ok(fields),
        _ => Err(WireError::mistyped(what, "an object")),
    }
}

/// Checks that an object has no keys but these.
///
/// INVARIANT: whoever reads an object of a caller's calls this. A key that is passed over in
/// silence, `ctx` for `context`, loses whatever forbids by it.
pub(crate) fn check(fields: &Map<String, Json>, known: &[&str]) -> Result<()> {
    match fields.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(WireError::new("argument::type", unknown_key(key, known.iter().copied()))),
        None => Ok(()),
    }
}
