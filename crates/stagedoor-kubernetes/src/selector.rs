//! Field and label selectors of requests that list, watch or delete collections.
//!
//! kube-apiserver sends requirements one by one; other clients may send the selector as
//! text. Operators are told to policies as Kubernetes' own selector library writes them
//! (`in`, `notin`, `exists`, `!`, `=`, `!=` …). A selector that is not valid narrows nothing:
//! the request is then decided as if it had none, which is the wider question.

mod text;

use serde::{Deserialize, Serialize};
use stagedoor_core::{Record, Value};

use crate::wire::{null_is_default, objects};
use text::{parse_field_selector, parse_label_selector};

/// `fieldSelector` of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct FieldSelectorAttributes {
    /// The selector as text, never beside `requirements`.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub raw_selector: String,
    /// The requirements, all of which hold.
    #[serde(default, deserialize_with = "objects", skip_serializing_if = "Vec::is_empty")]
    pub requirements: Vec<SelectorRequirement>,
}

/// `labelSelector` of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct LabelSelectorAttributes {
    /// The selector as text, never beside `requirements`.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub raw_selector: String,
    /// The requirements, all of which hold.
    #[serde(default, deserialize_with = "objects", skip_serializing_if = "Vec::is_empty")]
    pub requirements: Vec<SelectorRequirement>,
}

/// One requirement of a selector.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SelectorRequirement {
    /// The label key or field.
    #[serde(default, deserialize_with = "null_is_default")]
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub operator: String,
    /// The values.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

impl SelectorRequirement {
    /// Returns a requirement.
    #[must_use]
    pub fn new(
        key: impl Into<String>,
        operator: impl Into<String>,
        values: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            key: key.into(),
            operator: operator.into(),
            values: values.into_iter().map(Into::into).collect(),
        }
    }
}

/// One requirement of a field selector, as policies see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldRequirement {
    pub(crate) field: String,
    pub(crate) operator: &'static str,
    pub(crate) value: String,
}

/// One requirement of a label selector, as policies see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LabelRequirement {
    pub(crate) key: String,
    pub(crate) operator: &'static str,
    pub(crate) values: Vec<String>,
}

impl FieldSelectorAttributes {
    /// Returns the attribute `fieldSelector`, or nothing if the selector narrows nothing.
    pub(crate) fn to_value(&self) -> Option<Value> {
        let parsed = if self.requirements.is_empty() {
            parse_field_selector(&self.raw_selector)
        } else {
            self.requirements.iter().map(field_requirement).collect()
        };
        let records = parsed?.into_iter().map(|requirement| {
            Value::Record(Record::from([
                ("field".into(), requirement.field.into()),
                ("operator".into(), requirement.operator.into()),
                ("value".into(), requirement.value.into()),
            ]))
        });
        set(records)
    }
}

impl LabelSelectorAttributes {
    /// Returns the attribute `labelSelector`, or nothing if the selector narrows nothing.
    pub(crate) fn to_value(&self) -> Option<Value> {
        let parsed = if self.requirements.is_empty() {
            parse_label_selector(&self.raw_selector)
        } else {
            self.requirements.iter().map(label_requirement).collect()
        };
        let records = parsed?.into_iter().map(|requirement| {
            Value::Record(Record::from([
                ("key".into(), requirement.key.into()),
                ("operator".into(), requirement.operator.into()),
                ("values".into(), requirement.values.into_iter().collect()),
            ]))
        });
        set(records)
    }
}

fn set(records: impl Iterator<Item = Value>) -> Option<Value> {
    let records: Vec<Value> = records.collect();
    (!records.is_empty()).then_some(Value::Set(records))
}

/// Fields know only equality, so a requirement has exactly one value.
fn field_requirement(requirement: &SelectorRequirement) -> Option<FieldRequirement> {
    let operator = match requirement.operator.as_str() {
        "In" => "=",
        "NotIn" => "!=",
        _ => return None,
    };
    let [value] = requirement.values.as_slice() else { return None };
    Some(FieldRequirement { field: requirement.key.clone(), operator, value: value.clone() })
}

fn label_requirement(requirement: &SelectorRequirement) -> Option<LabelRequirement> {
    let (operator, wants_values) = match requirement.operator.as_str() {
        "In" => ("in", true),
        "NotIn" => ("notin", true),
        "Exists" => ("exists", false),
        "DoesNotExist" => ("!", false),
        _ => return None,
    };
    let valid = requirement.values.is_empty() != wants_values
        && is_label_key(&requirement.key)
        && requirement.values.iter().all(|value| is_label_value(value));
    valid.then(|| LabelRequirement {
        key: requirement.key.clone(),
        operator,
        values: requirement.values.clone(),
    })
}

/// Returns whether `key` is a label key: a name of 63 characters, after a DNS prefix perhaps.
pub(crate) fn is_label_key(key: &str) -> bool {
    let name = match key.split_once('/') {
        Some((prefix, _)) if prefix.is_empty() || prefix.len() > 253 => return false,
        Some((prefix, name)) => {
            let label = |part: &str| {
                let edge = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
                let (first, last) = (part.bytes().next(), part.bytes().last());
                first.is_some_and(edge)
                    && last.is_some_and(edge)
                    && part.bytes().all(|c| edge(c) || c == b'-')
            };
            if !prefix.split('.').all(label) {
                return false;
            }
            name
        }
        None => key,
    };
    !name.is_empty() && is_label_value(name)
}

/// Returns whether `value` is a label value: at most 63 characters, alphanumeric at both ends.
pub(crate) fn is_label_value(value: &str) -> bool {
    let edge = |c: Option<u8>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    value.len() <= 63
        && edge(value.bytes().next())
        && edge(value.bytes().last())
        && value.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'))
}
