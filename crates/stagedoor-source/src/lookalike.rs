//! What lies among policies and is not read.

use serde_json::Value;
use stagedoor_core::{Problem, without_byte_order_mark};

/// Says that a file may be meant as policies, and is none by its name.
pub(crate) fn lookalike(place: &str) -> Problem {
    Problem::error("file::unread", "the file may be meant as policies, and its name says otherwise")
        .with_help(
            "policies stand in `.cedar` or `.cedar.json` files, schemas in `.cedarschema` or \
             `.cedarschema.json` files, in lower case: rename it, or take it out of the directory",
        )
        .in_file(place)
}

/// Says that a file was put aside.
pub(crate) fn aside(place: &str) -> Problem {
    Problem::warning("file::unread", "the file was put aside, and is not read")
        .with_help("take it out of the directory, or give it its name back")
        .in_file(place)
}

/// Says that JSON holds policies under a name that says otherwise.
pub(crate) fn policies_by_content(place: &str) -> Problem {
    Problem::error("file::unread", "the file holds policies, and its name says otherwise")
        .with_help("name it `*.cedar.json`, or take it out of the directory")
        .in_file(place)
}

/// Says that a bundle lies among policies.
pub(crate) fn bundle(place: &str) -> Problem {
    Problem::warning("file::unread", "a bundle among policies is not read")
        .with_help("name the bundle itself to load it, or take it out of the directory")
        .in_file(place)
}

/// Says that a JSON file is too large to be looked into.
pub(crate) fn not_looked_into(place: &str) -> Problem {
    Problem::warning("file::unread", "the file is too large to see whether it holds policies")
        .with_help("take it out of the directory of policies")
        .in_file(place)
}

/// Returns whether JSON is policies in Cedar's form.
pub(crate) fn holds_policies(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let words = ["\"staticPolicies\"", "\"templates\"", "\"templateLinks\"", "\"effect\""];
    if !words.iter().any(|word| text.contains(word)) {
        return false;
    }
    let Ok(Value::Object(json)) = serde_json::from_str(without_byte_order_mark(text)) else {
        return false;
    };
    let is_object = |key: &str| json.get(key).is_some_and(Value::is_object);
    let has = |key: &str| json.contains_key(key);
    let effect = json.get("effect").and_then(Value::as_str);
    is_object("staticPolicies")
        || is_object("templates") && has("templateLinks")
        || matches!(effect, Some("permit" | "forbid")) && has("principal") && has("resource")
}

#[cfg(test)]
mod tests {
    use super::holds_policies;

    #[test]
    fn policies_are_known_by_their_form() {
        for text in [
            r#"{"staticPolicies": {}}"#,
            "\u{feff}{\"templates\": {}, \"templateLinks\": []}",
            r#"{"effect": "forbid", "principal": {}, "action": {}, "resource": {}}"#,
        ] {
            assert!(holds_policies(text.as_bytes()), "{text}");
        }
        for text in [
            r#"{"templates": {}}"#,
            r#"{"effect": "blink"}"#,
            r#"[{"staticPolicies": {}}]"#,
            r#"{"a": {"staticPolicies": {}}}"#,
            r#"{"staticPolicies": "#,
            "",
        ] {
            assert!(!holds_policies(text.as_bytes()), "{text}");
        }
        assert!(!holds_policies(b"\"staticPolicies\"\xff"));
    }
}
