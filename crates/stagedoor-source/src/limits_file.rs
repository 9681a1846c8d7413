//! Limits as settings have them.

use serde_json::Value;
use stagedoor_core::{Limits, without_byte_order_mark};

/// Reads limits: a JSON object with some of [`Limits::NAMES`], each a number.
///
/// # Errors
///
/// What is wrong, for people.
///
/// # Examples
///
/// ```
/// let limits = stagedoor_source::limits_from_json(r#"{"policyBytes": 131072}"#)?;
/// assert_eq!(limits.policy_bytes, 131_072);
/// assert!(stagedoor_source::limits_from_json(r#"{"bytes": 1}"#).is_err());
/// # Ok::<(), String>(())
/// ```
pub fn limits_from_json(json: &str) -> Result<Limits, String> {
    let value: Value =
        serde_json::from_str(without_byte_order_mark(json)).map_err(|e| e.to_string())?;
    let Value::Object(fields) = value else {
        return Err("limits are an object: `{\"policyBytes\": 131072}`".to_owned());
    };
    let mut limits = Limits::default();
    for (name, value) in fields {
        let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
        let number = number.ok_or_else(|| format!("`{name}` is not a whole number"))?;
        limits.set(&name, number).map_err(|e| e.to_string())?;
    }
    Ok(limits)
}
