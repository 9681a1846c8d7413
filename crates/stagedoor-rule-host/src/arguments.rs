//! JSON schemas of arguments: the keywords that rules may use, and no others.
//!
//! A keyword that is not known here refuses the rule, rather than leave what it says unchecked.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Number, Value};

/// The largest schema, in bytes.
const SCHEMA_BYTES: usize = 32 << 10;

/// A schema, and the text that it was read from.
#[derive(Debug)]
pub(crate) struct Schema {
    text: String,
    root: Node,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Node {
    #[serde(rename = "type")]
    kind: Option<Kind>,
    #[serde(default)]
    properties: BTreeMap<String, Self>,
    #[serde(default)]
    required: Vec<String>,
    additional_properties: Option<AdditionalProperties>,
    items: Option<Box<Self>>,
    #[serde(rename = "enum")]
    one_of: Option<Vec<Value>>,
    minimum: Option<Number>,
    maximum: Option<Number>,
    min_length: Option<usize>,
    max_length: Option<usize>,
    min_items: Option<usize>,
    max_items: Option<usize>,
    #[serde(default)]
    unique_items: bool,
    #[serde(rename = "$schema")]
    _schema: Option<String>,
    #[serde(rename = "title")]
    _title: Option<String>,
    #[serde(rename = "description")]
    _description: Option<String>,
    default: Option<Value>,
    examples: Option<Vec<Value>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
}

/// What an object may hold beside its properties.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum AdditionalProperties {
    Allowed(bool),
    Each(Box<Node>),
}

impl Schema {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > SCHEMA_BYTES {
            return Err(format!("is longer than {SCHEMA_BYTES} bytes"));
        }
        let root: Node = serde_json::from_str(text).map_err(|e| format!("cannot be read: {e}"))?;
        root.consistent()?;
        if !root.kind.is_none_or(|kind| kind == Kind::Object) {
            return Err("is not about an object".to_owned());
        }
        Ok(Self { text: text.to_owned(), root })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Returns arguments that fit, as plain as they can be.
    pub(crate) fn sample(&self) -> Value {
        let sample = self.root.sample();
        if sample.is_null() { Value::Object(serde_json::Map::new()) } else { sample }
    }

    pub(crate) fn check(&self, arguments: &Value) -> Result<(), String> {
        self.root.check("", arguments)
    }
}

impl Node {
    /// Checks that each keyword goes with the type, since it would say nothing otherwise.
    fn consistent(&self) -> Result<(), String> {
        let asks_object = !self.properties.is_empty()
            || !self.required.is_empty()
            || self.additional_properties.is_some();
        let asks_array = self.items.is_some()
            || self.min_items.is_some()
            || self.max_items.is_some()
            || self.unique_items;
        let asks_number = self.minimum.is_some() || self.maximum.is_some();
        let asks_string = self.min_length.is_some() || self.max_length.is_some();
        for (asks, kinds, what) in [
            (asks_object, &[Kind::Object][..], "object"),
            (asks_array, &[Kind::Array], "array"),
            (asks_number, &[Kind::Integer, Kind::Number], "number"),
            (asks_string, &[Kind::String], "string"),
        ] {
            if asks && !self.kind.is_some_and(|kind| kinds.contains(&kind)) {
                return Err(format!("has a keyword of type `{what}` without that `type`"));
            }
        }
        if let Some(name) = self.required.iter().find(|name| !self.properties.contains_key(*name)) {
            return Err(format!("requires `{}`, which it does not know", name.escape_debug()));
        }
        self.properties.values().try_for_each(Self::consistent)?;
        self.items.iter().try_for_each(|items| items.consistent())?;
        match &self.additional_properties {
            Some(AdditionalProperties::Each(each)) => each.consistent(),
            Some(AdditionalProperties::Allowed(_)) | None => Ok(()),
        }
    }

    /// Returns a value that fits: an example of the rule's own, if there is one that does.
    fn sample(&self) -> Value {
        let given = self.examples.iter().flatten().chain(&self.default);
        let given = given.chain(self.one_of.iter().flatten());
        if let Some(given) = given.into_iter().find(|value| self.check("", value).is_ok()) {
            return given.clone();
        }
        match self.kind {
            Some(Kind::Object) => {
                let of = |name: &String| Some((name.clone(), self.properties.get(name)?.sample()));
                Value::Object(self.required.iter().filter_map(of).collect())
            }
            Some(Kind::Array) => {
                let item = self.items.as_ref().map_or(Value::Null, |items| items.sample());
                // No schema asks for so many that this is a burden; if it does, it does not fit.
                Value::Array(vec![item; self.min_items.unwrap_or_default().min(64)])
            }
            Some(Kind::String) => {
                Value::String("x".repeat(self.min_length.unwrap_or(1).clamp(1, 1024)))
            }
            Some(Kind::Integer | Kind::Number) => {
                let bound = self.minimum.clone().or_else(|| self.maximum.clone());
                Value::Number(bound.unwrap_or_else(|| Number::from(0)))
            }
            Some(Kind::Boolean) => Value::Bool(true),
            None => Value::Null,
        }
    }

    fn check(&self, path: &str, value: &Value) -> Result<(), String> {
        let wrong = |what: String| Err(format!("`{}` {what}", place(path)));
        if let Some(kind) = self.kind.filter(|kind| !kind.is(value)) {
            return wrong(format!("is not of type `{}`", kind.word()));
        }
        if self.one_of.as_ref().is_some_and(|allowed| !allowed.contains(value)) {
            let allowed = self.one_of.iter().flatten().map(ToString::to_string);
            return wrong(format!("is none of {}", allowed.collect::<Vec<_>>().join(", ")));
        }
        match value {
            Value::Object(fields) => self.check_object(path, fields),
            Value::Array(items) => self.check_array(path, items),
            Value::String(text) => {
                match outside(text.chars().count(), self.min_length, self.max_length) {
                    Some(bound) => wrong(format!("must have {bound} characters")),
                    None => Ok(()),
                }
            }
            Value::Number(number) => {
                let Some(number) = number.as_f64() else {
                    return wrong("is too large a number".to_owned());
                };
                let least = self.minimum.as_ref().and_then(Number::as_f64);
                let most = self.maximum.as_ref().and_then(Number::as_f64);
                match (least, most) {
                    (Some(least), _) if number < least => wrong(format!("is less than {least}")),
                    (_, Some(most)) if number > most => wrong(format!("is more than {most}")),
                    _ => Ok(()),
                }
            }
            Value::Null | Value::Bool(_) => Ok(()),
        }
    }

    fn check_object(
        &self,
        path: &str,
        fields: &serde_json::Map<String, Value>,
    ) -> Result<(), String> {
        if let Some(name) = self.required.iter().find(|name| !fields.contains_key(*name)) {
            return Err(format!("`{}` lacks `{name}`", place(path)));
        }
        for (name, value) in fields {
            let path = format!("{path}/{}", name.escape_debug());
            match (self.properties.get(name), &self.additional_properties) {
                (Some(node), _) => node.check(&path, value)?,
                (None, Some(AdditionalProperties::Each(node))) => node.check(&path, value)?,
                (None, Some(AdditionalProperties::Allowed(true))) => {}
                // A misspelt argument is an error unless the rule asks for any.
                (None, Some(AdditionalProperties::Allowed(false)) | None) => {
                    return Err(format!("`{path}` is not known"));
                }
            }
        }
        Ok(())
    }

    fn check_array(&self, path: &str, items: &[Value]) -> Result<(), String> {
        if let Some(bound) = outside(items.len(), self.min_items, self.max_items) {
            return Err(format!("`{}` must have {bound} items", place(path)));
        }
        for (number, item) in items.iter().enumerate() {
            if self.unique_items && items.iter().take(number).any(|other| other == item) {
                return Err(format!("`{path}/{number}` is there twice"));
            }
            if let Some(node) = &self.items {
                node.check(&format!("{path}/{number}"), item)?;
            }
        }
        Ok(())
    }
}

impl Kind {
    fn is(self, value: &Value) -> bool {
        match self {
            Self::Object => value.is_object(),
            Self::Array => value.is_array(),
            Self::String => value.is_string(),
            Self::Integer => value.is_i64() || value.is_u64(),
            Self::Number => value.is_number(),
            Self::Boolean => value.is_boolean(),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }
}

fn place(path: &str) -> &str {
    if path.is_empty() { "/" } else { path }
}

/// Returns the bound that a length does not keep.
fn outside(length: usize, least: Option<usize>, most: Option<usize>) -> Option<String> {
    match (least, most) {
        (Some(least), _) if length < least => Some(format!("at least {least}")),
        (_, Some(most)) if length > most => Some(format!("at most {most}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = r#"{
        "type": "object",
        "required": ["days"],
        "properties": {
            "days": {"type": "array", "minItems": 1, "uniqueItems": true,
                     "items": {"type": "string", "enum": ["mon", "tue"]}},
            "hours": {"type": "integer", "minimum": 1, "maximum": 24},
            "note": {"type": "string", "maxLength": 3},
            "labels": {"type": "object", "additionalProperties": {"type": "boolean"}}
        }
    }"#;

    #[test]
    fn arguments_are_held_to_the_schema() -> Result<(), Box<dyn std::error::Error>> {
        let schema = Schema::parse(SCHEMA)?;
        for (arguments, says) in [
            (r#"{"days": ["mon"]}"#, None),
            (
                r#"{"days": ["mon", "tue"], "hours": 24, "note": "äöü", "labels": {"a": true}}"#,
                None,
            ),
            (r#"{}"#, Some("`/` lacks `days`")),
            (r#"[]"#, Some("`/` is not of type `object`")),
            (r#"{"days": []}"#, Some("`/days` must have at least 1 items")),
            (r#"{"days": ["mon", "mon"]}"#, Some("`/days/1` is there twice")),
            (r#"{"days": ["sun"]}"#, Some(r#"`/days/0` is none of "mon", "tue""#)),
            (r#"{"days": ["mon"], "hours": 0}"#, Some("`/hours` is less than 1")),
            (r#"{"days": ["mon"], "hours": 25}"#, Some("`/hours` is more than 24")),
            (r#"{"days": ["mon"], "hours": 1.5}"#, Some("`/hours` is not of type `integer`")),
            (
                r#"{"days": ["mon"], "note": "long"}"#,
                Some("`/note` must have at most 3 characters"),
            ),
            (
                r#"{"days": ["mon"], "labels": {"a": 1}}"#,
                Some("`/labels/a` is not of type `boolean`"),
            ),
            (r#"{"days": ["mon"], "dayz": 1}"#, Some("`/dayz` is not known")),
        ] {
            let checked = schema.check(&serde_json::from_str(arguments)?);
            assert_eq!(checked.err().as_deref(), says, "{arguments}");
        }
        Ok(())
    }

    #[test]
    fn what_is_not_checked_is_refused() {
        for schema in [
            r#"{"type": "object", "properties": {"a": {"type": "string", "pattern": "x"}}}"#,
            r#"{"$ref": "x"}"#,
            r#"{"type": "array"}"#,
            r#"{"type": ["object", "null"]}"#,
            r#"{"properties": {"a": {"type": "string"}}}"#,
            r#"{"type": "object", "required": ["a"]}"#,
            r#"{"type": "object", "properties": {"a": {"minimum": 1}}}"#,
            "true",
            "",
        ] {
            assert!(Schema::parse(schema).is_err(), "{schema}");
        }
    }
}
