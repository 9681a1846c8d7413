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
    let mut numbers = Vec::with_capacity(fields.len());
    for (name, value) in &fields {
        let number = value.as_f64().ok_or_else(|| not_whole(name))?;
        numbers.push((name.as_str(), number));
    }
    limits_from_numbers(numbers)
}

/// Returns the default limits but for those that are given by their names, as programs in
/// JavaScript have them.
///
/// # Errors
///
/// What is wrong, for people.
///
/// # Examples
///
/// ```
/// let limits = stagedoor_source::limits_from_numbers([("policies", 10.0)])?;
/// assert_eq!(limits.policies, 10);
/// assert!(stagedoor_source::limits_from_numbers([("policies", 0.5)]).is_err());
/// # Ok::<(), String>(())
/// ```
pub fn limits_from_numbers<'n>(
    numbers: impl IntoIterator<Item = (&'n str, f64)>,
) -> Result<Limits, String> {
    /// Up to here each whole number is a number of its own in JavaScript.
    const EXACT: f64 = 9_007_199_254_740_991.0;
    let mut limits = Limits::default();
    for (name, number) in numbers {
        if number.fract() != 0.0 || !(0.0..=EXACT).contains(&number) {
            return Err(not_whole(name));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole and within the range of both, so that nothing is lost"
        )]
        let whole = number as u64;
        let whole = usize::try_from(whole).unwrap_or(usize::MAX);
        limits.set(name, whole).map_err(|e| e.to_string())?;
    }
    Ok(limits)
}

fn not_whole(name: &str) -> String {
    format!("`{name}` is not a whole number")
}
