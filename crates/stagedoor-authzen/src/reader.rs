//! JSON values in the terms of a schema.
//!
//! What is not declared is pruned, at every depth, and told: policies that were validated cannot
//! read it, so that this changes no decision. What is declared and of another type is an error:
//! left out, it could widen an `unless`.

use stagedoor_core::{EntityTypeName, EntityUid, Record, Value};

use crate::conformance::{Constructor, Fields, Shape};
use crate::datetime;
use crate::json::{Json, Object, member};
use crate::names::Names;

/// How many of the pruned are named.
const PRUNED: usize = 32;

/// A value that the schema declares to be something else.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ValueError(String);

/// Turns JSON into values, and keeps what it pruned.
pub(crate) struct Reader<'w> {
    names: &'w Names,
    pruned: Vec<String>,
    unnamed: usize,
}

impl<'w> Reader<'w> {
    pub(crate) fn new(names: &'w Names) -> Self {
        Self { names, pruned: Vec::new(), unnamed: 0 }
    }

    /// Returns the paths of what was pruned, and how many more there are.
    pub(crate) fn into_pruned(self) -> (Vec<String>, usize) {
        (self.pruned, self.unnamed)
    }

    /// Says that something is not declared.
    pub(crate) fn prune(&mut self, path: impl FnOnce() -> String) {
        if self.pruned.len() < PRUNED { self.pruned.push(path()) } else { self.unnamed += 1 }
    }

    /// Returns the members of an object that the schema declares.
    pub(crate) fn record(
        &mut self,
        fields: &Fields,
        object: &Object,
        path: &str,
    ) -> Result<Record, ValueError> {
        for (name, value) in object {
            if *value != Json::Null && !fields.iter().any(|(field, _)| field == name) {
                self.prune(|| format!("{path}.{name}"));
            }
        }
        let mut record = Record::new();
        for (name, shape) in fields {
            if let Some(value) = member(object, name) {
                let value = self.value(shape, value, &format!("{path}.{name}"))?;
                record.insert(name.clone(), value);
            }
        }
        Ok(record)
    }

    fn value(&mut self, shape: &Shape, json: &Json, path: &str) -> Result<Value, ValueError> {
        let wrong = || {
            let (given, expected) = (json.kind(), shape.describe());
            ValueError(format!("`{path}` is {given}; the schema declares {expected}"))
        };
        Ok(match (shape, json) {
            (Shape::Bool, Json::Bool(value)) => Value::Bool(*value),
            (Shape::Long, Json::Integer(value)) => Value::Long(*value),
            (Shape::String, Json::String(text)) => Value::String(text.as_str().into()),
            (Shape::Set(element), Json::Array(items)) => {
                let mut values = Vec::with_capacity(items.len());
                for (n, item) in items.iter().enumerate() {
                    values.push(self.value(element, item, &format!("{path}[{n}]"))?);
                }
                Value::Set(values)
            }
            (Shape::Record(fields), Json::Object(object)) => {
                Value::Record(self.record(fields, object, path)?)
            }
            (Shape::Entity, Json::Object(object)) => {
                Value::Entity(self.entity(object).ok_or_else(wrong)?)
            }
            (Shape::Extension(constructor), json) => {
                let text = extension_text(*constructor, json).ok_or_else(wrong)?;
                let value = extension(*constructor, text);
                let value = value.filter(|value| value.to_cedar().is_ok_and(|e| is_valid(&e)));
                let expected = shape.describe();
                value.ok_or_else(|| {
                    ValueError(format!("`{path}` does not read as {expected}, as declared"))
                })?
            }
            _ => return Err(wrong()),
        })
    }

    /// Reads `{"type", "id"}`, in Cedar's `__entity` or without.
    fn entity(&self, object: &Object) -> Option<EntityUid> {
        let inner = match object.get("__entity") {
            Some(inner) if object.len() == 1 => inner.as_object()?,
            Some(_) => return None,
            None => object,
        };
        if inner.keys().any(|name| name != "type" && name != "id") {
            return None;
        }
        let type_: &EntityTypeName = self.names.entity_type(inner.get("type")?.as_str()?)?;
        Some(uid(type_, inner.get("id")?.as_str()?))
    }
}

/// Returns an entity's uid; every string is an id.
pub(crate) fn uid(type_: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(type_.clone(), cedar_policy_id(id))
}

fn cedar_policy_id(id: &str) -> cedar_policy::EntityId {
    cedar_policy::EntityId::new(id)
}

/// Returns the text of an extension value: a string, or Cedar's `__extn` of the same function.
fn extension_text(constructor: Constructor, json: &Json) -> Option<&str> {
    match json {
        Json::String(text) => Some(text),
        Json::Object(object) if object.len() == 1 => {
            let call = object.get("__extn")?.as_object()?;
            let is_plain = call.len() == 2 && call.get("fn")?.as_str()? == constructor.name();
            call.get("arg")?.as_str().filter(|_| is_plain)
        }
        _ => None,
    }
}

fn extension(constructor: Constructor, text: &str) -> Option<Value> {
    let normal;
    let text = if constructor == Constructor::Datetime {
        normal = datetime::normalize(text)?;
        &normal
    } else {
        text
    };
    stagedoor_core::Extension::new(constructor.name(), text).ok().map(Value::Extension)
}

/// Returns whether an expression makes a value: `ip("x")` makes none.
fn is_valid(expression: &cedar_policy::RestrictedExpression) -> bool {
    cedar_policy::Context::from_pairs([("value".to_owned(), expression.clone())])
        .is_ok_and(|context| context.get("value").is_some())
}
