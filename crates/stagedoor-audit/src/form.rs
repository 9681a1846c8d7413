//! The forms that records are written in.

mod ecs;
mod ocsf;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::rules::{MASK, Rules};

/// How a record is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Form {
    /// One JSON object a line, as [`DecisionRecord`](crate::DecisionRecord) has it.
    #[default]
    Own,
    /// OCSF 1.8.0, class API Activity (6003) with the profile `security_control`.
    Ocsf,
    /// The Elastic Common Schema, category `api`.
    Ecs,
}

impl Form {
    /// Returns whether records are written as they are made.
    pub(crate) fn is_plain(self, rules: &Rules) -> bool {
        self == Self::Own && !rules.look_into()
    }

    /// Returns a record of the own form as it is written; `None` if the rules leave it out.
    ///
    /// INVARIANT: of what rules mask nothing is in any form, since each is made of what is left.
    pub(crate) fn line<'l>(self, own: &'l str, rules: &Rules) -> Option<Cow<'l, str>> {
        if self.is_plain(rules) {
            return Some(Cow::Borrowed(own));
        }
        let own = rules.apply(read(own))?;
        let written = match self {
            Self::Own => own,
            Self::Ocsf => ocsf::event(&own),
            Self::Ecs => ecs::event(&own),
        };
        Some(Cow::Owned(written.to_string()))
    }
}

/// Reads a record that was written here.
fn read(own: &str) -> Value {
    let parts: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(own).unwrap_or_default();
    let mut record = Map::new();
    let mut unread = Vec::new();
    for (name, part) in parts {
        // INVARIANT: what is nested too deeply to be looked into is masked as a whole. Left out, it
        // would be a way to ask without a record.
        let value = serde_json::from_str(part.get()).unwrap_or_else(|_| {
            unread.push(Value::String(format!("/{name}")));
            Value::String(MASK.to_owned())
        });
        record.insert(name.into_owned(), value);
    }
    if !unread.is_empty() {
        let masked = record.entry("masked").or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(masked) = masked {
            masked.append(&mut unread);
        }
    }
    Value::Object(record)
}

/// Returns the text at a pointer into a record; nothing where there is none.
fn text<'r>(record: &'r Value, pointer: &str) -> &'r str {
    record.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Returns the number at a pointer into a record.
fn number(record: &Value, pointer: &str) -> u64 {
    record.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
}

/// Returns the policies that determined an answer.
fn policies(record: &Value) -> impl Iterator<Item = &Value> {
    record.pointer("/policies").and_then(Value::as_array).into_iter().flatten()
}

/// Who and what a record is about, after masking, in words that all platforms have.
struct Subject {
    user: String,
    groups: Vec<String>,
    action: String,
    resource_type: String,
    resource_name: String,
    namespace: Option<String>,
}

impl Subject {
    fn of(record: &Value) -> Self {
        let first = |pointers: &[&str]| {
            let mut texts = pointers.iter().map(|pointer| text(record, pointer));
            texts.find(|text| !text.is_empty()).unwrap_or_default().to_owned()
        };
        let groups = record.pointer("/request/groups").and_then(Value::as_array);
        let namespace = text(record, "/request/namespace");
        Self {
            user: first(&["/request/user", "/request/subject/id"]),
            groups: groups
                .into_iter()
                .flatten()
                .filter_map(|group| group.as_str().map(str::to_owned))
                .collect(),
            action: first(&[
                "/request/verb",
                "/request/operation",
                "/request/action/name",
                "/request/permission",
                "/endpoint",
            ]),
            resource_type: first(&[
                "/request/resource/type",
                "/request/resource",
                "/request/resourceType",
            ]),
            resource_name: first(&[
                "/request/resource/id",
                "/request/name",
                "/request/path",
                "/request/resourceRef",
            ]),
            namespace: (!namespace.is_empty()).then(|| namespace.to_owned()),
        }
    }
}
