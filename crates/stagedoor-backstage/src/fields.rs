//! The fields of what is read from YAML.

use crate::file_error::Report;
use crate::yaml::{Content, Node};

/// Tells of fields that are not `known`; returns whether there are none.
pub(crate) fn only_fields(node: &Node, known: &[&str], report: &mut Report<'_>) -> bool {
    let Content::Map(fields) = &node.content else {
        let message = format!("a mapping is expected here, not {}", node.noun());
        report.problem(node.place, message, &format!("its fields are {}", known.join(", ")));
        return false;
    };
    let unknown: Vec<_> =
        fields.iter().filter(|(key, _)| !known.contains(&key.text.as_str())).collect();
    for (key, _) in &unknown {
        let message = format!("unknown field `{}`", key.text);
        report.problem(key.place, message, &format!("the fields are {}", known.join(", ")));
    }
    unknown.is_empty()
}

/// Returns a field that must be a name, such as `catalog.entity.read`.
pub(crate) fn word<'a>(node: &'a Node, field: &str, report: &mut Report<'_>) -> Option<&'a str> {
    let Some(value) = node.get(field) else {
        report.problem(node.place, format!("`{field}` is missing"), "");
        return None;
    };
    let valid = value.as_str().filter(|text| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._:/-".contains(&b);
        !text.is_empty() && text.len() <= 200 && text.bytes().all(allowed)
    });
    if valid.is_none() {
        let help = "use at most 200 letters, digits and `.`, `-`, `_`, `:`, `/`";
        report.problem(value.place, format!("`{field}` is not a name"), help);
    }
    valid
}
