//! The forms that records are written in.

mod ecs;
mod ocsf;

use serde_json::Value;

use crate::record::DecisionRecord;
use crate::rules::Rules;

/// How a record is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Form {
    /// One JSON object a line, as [`DecisionRecord`] has it.
    #[default]
    Own,
    /// OCSF 1.8.0, class API Activity (6003) with the profile `security_control`.
    Ocsf,
    /// The Elastic Common Schema, category `api`.
    Ecs,
}

impl Form {
    /// Returns a record on one line; `None` if the rules leave it out.
    pub(crate) fn line(self, record: &DecisionRecord, rules: &Rules) -> Option<String> {
        if self == Self::Own && !rules.look_into() {
            return serde_json::to_string(record).ok();
        }
        let own = rules.apply(serde_json::to_value(record).ok()?)?;
        let written = match self {
            Self::Own => own,
            Self::Ocsf => ocsf::event(record, &own),
            Self::Ecs => ecs::event(record, &own),
        };
        serde_json::to_string(&written).ok()
    }
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
        let text = |pointer: &str| {
            record.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let first = |pointers: &[&str]| {
            pointers.iter().map(|p| text(p)).find(|text| !text.is_empty()).unwrap_or_default()
        };
        let groups = record.pointer("/request/groups").and_then(Value::as_array);
        let namespace = text("/request/namespace");
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
            namespace: (!namespace.is_empty()).then_some(namespace),
        }
    }
}
