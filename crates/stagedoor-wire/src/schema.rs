//! The form as a JSON Schema, and as types of TypeScript.

use std::fmt::Write as _;

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value as Json};

use crate::{
    BackstageAnswer, BackstageGroup, BackstageOwner, BackstagePermission, BackstageResidual,
    BackstageUser, Decision, EntityInput, Explanation, List, QueryAnswer, QueryInput, RequestInput,
    WireError,
};

/// Everything that is read and written.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "nothing is made of it but a schema")]
struct Form {
    decision: Decision,
    explanation: Explanation,
    error: WireError,
    request: RequestInput,
    entity: EntityInput,
    query: QueryInput,
    answer: QueryAnswer,
    list: List,
    permission: BackstagePermission,
    user: BackstageUser,
    group: BackstageGroup,
    owner: BackstageOwner,
    backstage: BackstageAnswer,
    residual: BackstageResidual,
}

/// Returns the JSON Schema (draft 2020-12): under `$defs` stands each type by its name.
#[must_use]
pub fn json_schema() -> Json {
    let schema = SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator()
        .into_root_schema_for::<Form>();
    let mut schema = schema.to_value();
    if let Some(object) = schema.as_object_mut() {
        // Nobody writes the whole form: what is of use are its parts.
        object.retain(|key, _| key == "$schema" || key == "$defs");
        object.insert("title".to_owned(), "Stagedoor's JSON".into());
    }
    schema
}

/// Returns the types in TypeScript.
#[must_use]
pub fn typescript() -> String {
    let schema = json_schema();
    let mut text = String::from(
        "// Generated from crates/stagedoor-wire: do not edit. Its tests write it with UPDATE_GENERATED=1.\n",
    );
    let types = schema.get("$defs").and_then(Json::as_object);
    for (name, schema) in types.into_iter().flatten() {
        let Some(schema) = schema.as_object() else { continue };
        text.push('\n');
        document(&mut text, schema, "");
        match schema.get("properties") {
            Some(_) if schema.get("type").and_then(Json::as_str) == Some("object") => {
                // Writing to a string does not fail.
                let _ = writeln!(text, "export interface {name} {}", fields(schema, ""));
            }
            _ => {
                let _ = writeln!(text, "export type {name} = {};", type_of(schema, ""));
            }
        }
    }
    text
}

/// Returns the fields of an object, each with what it means.
fn fields(schema: &Map<String, Json>, indent: &str) -> String {
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .filter_map(Json::as_str)
        .collect();
    let inner = format!("{indent}  ");
    let mut text = String::from("{\n");
    for (name, field) in schema.get("properties").and_then(Json::as_object).into_iter().flatten() {
        let Some(field) = field.as_object() else {
            // `true`: any value.
            let _ = writeln!(text, "{inner}{name}: unknown;");
            continue;
        };
        document(&mut text, field, &inner);
        // What may be missing when it is read, and `null` is no other way to say so.
        let optional = if required.contains(&name.as_str()) { "" } else { "?" };
        let type_ = type_of(field, &inner);
        let type_ = if optional.is_empty() { type_ } else { without_null(type_) };
        let _ = writeln!(text, "{inner}{name}{optional}: {type_};");
    }
    text.push_str(indent);
    text.push('}');
    text
}

fn without_null(type_: String) -> String {
    type_.strip_suffix(" | null").map(str::to_owned).unwrap_or(type_)
}

fn type_of(schema: &Map<String, Json>, indent: &str) -> String {
    if let Some(reference) = schema.get("$ref").and_then(Json::as_str) {
        return reference.rsplit('/').next().unwrap_or("unknown").to_owned();
    }
    if let Some(value) = schema.get("const") {
        return literal(value);
    }
    if let Some(values) = schema.get("enum").and_then(Json::as_array) {
        return union(values.iter().map(literal));
    }
    for key in ["oneOf", "anyOf"] {
        if let Some(parts) = schema.get(key).and_then(Json::as_array) {
            let parts = parts.iter().filter_map(Json::as_object);
            return union(parts.map(|part| type_of(part, indent)));
        }
    }
    match schema.get("type") {
        Some(Json::String(name)) => named(name, schema, indent),
        Some(Json::Array(names)) => {
            let names = names.iter().filter_map(Json::as_str);
            union(names.map(|name| named(name, schema, indent)))
        }
        _ => "unknown".to_owned(),
    }
}

fn named(name: &str, schema: &Map<String, Json>, indent: &str) -> String {
    match name {
        "integer" => "number".to_owned(),
        "array" => {
            let item = schema.get("items").and_then(Json::as_object);
            let item = item.map_or_else(|| "unknown".to_owned(), |item| type_of(item, indent));
            if item.contains(' ') { format!("({item})[]") } else { format!("{item}[]") }
        }
        "object" if schema.contains_key("properties") => fields(schema, indent),
        "object" => {
            let value = schema.get("additionalProperties").and_then(Json::as_object);
            let value = value.map_or_else(|| "unknown".to_owned(), |value| type_of(value, indent));
            format!("Record<string, {value}>")
        }
        other => other.to_owned(),
    }
}

fn union(parts: impl Iterator<Item = String>) -> String {
    let mut seen: Vec<String> = Vec::new();
    for part in parts {
        if !seen.contains(&part) {
            seen.push(part);
        }
    }
    seen.join(" | ")
}

fn literal(value: &Json) -> String {
    match value {
        Json::String(text) => format!("'{text}'"),
        other => other.to_string(),
    }
}

fn document(text: &mut String, schema: &Map<String, Json>, indent: &str) {
    let Some(description) = schema.get("description").and_then(Json::as_str) else { return };
    let lines: Vec<&str> = description.lines().collect();
    if let [line] = lines.as_slice() {
        let _ = writeln!(text, "{indent}/** {line} */");
        return;
    }
    let _ = writeln!(text, "{indent}/**");
    for line in lines {
        let _ = writeln!(text, "{}", format!("{indent} * {line}").trim_end());
    }
    let _ = writeln!(text, "{indent} */");
}
