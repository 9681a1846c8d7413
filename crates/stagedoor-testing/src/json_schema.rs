//! The JSON Schema of test files: what the types say, and what else the runner asks of a file, so that
//! an editor accepts what the runner accepts.

use serde_json::{Map, Value, json};

use crate::file::{KEYS, TestFile};
use crate::resolve::{CASE_KINDS, CaseKind};

/// Returns the JSON Schema of test files.
#[must_use]
pub fn file_schema() -> Value {
    let mut schema = schemars::schema_for!(TestFile).to_value();
    if let Some(object) = schema.as_object_mut() {
        object.insert("title".to_owned(), "Stagedoor policy tests".into());
    }
    restrict(&mut schema, "Case", case());
    restrict(&mut schema, "BoundFixture", bound());
    let keys = json!({ "enum": KEYS });
    for (of, property) in [("Table", "with"), ("Invariant", "over")] {
        set(&mut schema, &format!("/$defs/{of}/properties/{property}"), "propertyNames", &keys);
    }
    set(&mut schema, "/$defs/Table/properties/columns", "enum", &json!(KEYS));
    set(&mut schema, "/$defs/Invariant/properties/over", "minProperties", &json!(1));
    let except = "/$defs/Invariant/properties/except/items";
    set(&mut schema, except, "propertyNames", &keys);
    set(&mut schema, except, "minProperties", &json!(1));
    schema
}

fn set(schema: &mut Value, place: &str, key: &str, value: &Value) {
    if let Some(object) = schema.pointer_mut(place).and_then(Value::as_object_mut) {
        object.insert(key.to_owned(), value.clone());
    }
}

/// Adds keywords to a definition.
fn restrict(schema: &mut Value, definition: &str, more: Map<String, Value>) {
    let place = format!("/$defs/{definition}");
    if let Some(object) = schema.pointer_mut(&place).and_then(Value::as_object_mut) {
        object.extend(more);
    }
}

fn keywords(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(keywords) => keywords,
        _ => Map::new(),
    }
}

/// A key that says something: one without a value says nothing.
fn present(key: &str) -> Value {
    json!({ "required": [key], "properties": { key: { "not": { "type": "null" } } } })
}

/// A key that says nothing.
fn absent(key: &str) -> Value {
    let nothing = match key {
        "extra" | "context" => json!({ "maxProperties": 0 }),
        "entities" => json!({ "maxItems": 0 }),
        _ => json!({ "type": "null" }),
    };
    json!({ "properties": { key: nothing } })
}

fn one_of(keys: &[&str]) -> Value {
    let only = |one: &&str| {
        let others = keys.iter().filter(|key| *key != one).map(|key| absent(key));
        let all: Vec<Value> = std::iter::once(present(one)).chain(others).collect();
        json!({ "allOf": all })
    };
    json!({ "oneOf": keys.iter().map(only).collect::<Vec<_>>() })
}

/// A case is of one platform, and has its keys alone.
fn case() -> Map<String, Value> {
    let of_kind = |kind: &CaseKind| {
        let all = CASE_KINDS.iter().flat_map(|kind| kind.keys.iter().copied());
        let foreign: std::collections::BTreeSet<&str> =
            all.filter(|key| !kind.keys.contains(key)).collect();
        let resources = ["entity", "template", "task", "action"];
        let mut parts: Vec<Value> = kind.required.iter().map(|key| present(key)).collect();
        parts.extend(foreign.into_iter().map(absent));
        parts.extend(match kind.key {
            "permission" => vec![
                // A service stands instead of a user.
                json!({ "oneOf": [
                    { "allOf": [present("service"), absent("user"), absent("groups")] },
                    { "allOf": [present("user"), absent("service")] },
                ] }),
                // A case is about one resource at most.
                json!({ "anyOf": [
                    { "allOf": (resources.map(absent)) },
                    one_of(&resources),
                ] }),
                json!({ "properties": { "action": { "type": ["object", "null"] } } }),
            ],
            "verb" => vec![one_of(&["resource", "path"])],
            "principal" => vec![json!({ "properties": { "action": { "type": "string" } } })],
            _ => Vec::new(),
        });
        json!({ "allOf": parts })
    };
    keywords(json!({ "oneOf": CASE_KINDS.iter().map(of_kind).collect::<Vec<_>>() }))
}

/// A bound says what never or what always is.
fn bound() -> Map<String, Value> {
    keywords(one_of(&["never", "always"]))
}
