//! Reads schemas and takes them together.

use std::sync::Arc;

use cedar_policy::{Schema, SchemaFragment};
use miette::Diagnostic;
use serde_json::Value;

use super::{Report, schema_size};
use crate::error::error_chain;
use crate::limits::{Limits, raise};
use crate::problem::{Problem, Severity};
use crate::reason::plain_reason;
use crate::source::{Source, SourceKind};
use crate::statement::too_deep;
use crate::validation::{first_label, help};

/// Returns the schema that all fragments make together, if there is one.
pub(super) fn merge(
    sources: &[(SourceKind, Arc<Source>)],
    limits: &Limits,
    report: &mut Report,
) -> Option<Schema> {
    let mut fragments = Vec::new();
    let mut first = None;
    let mut broken = false;
    for (kind, source) in sources {
        let fragment = match kind {
            SourceKind::Schema => read(source, limits, report),
            SourceKind::SchemaJson => SchemaFragment::from_json_str(&source.text).map_err(|e| {
                let problem = Problem::error("schema::json", plain_reason(&error_chain(&e)))
                    .with_help("see Cedar's JSON schema format");
                Box::new(problem.at(source, 0..0))
            }),
            SourceKind::Policies | SourceKind::PoliciesJson => continue,
        };
        first.get_or_insert(source);
        match fragment {
            Ok(fragment) => fragments.push(fragment),
            Err(problem) => {
                broken = true;
                report.error(|| *problem);
            }
        }
    }
    let first = first?;
    if broken {
        return None;
    }
    let count = fragments.len();
    let json: Vec<Value> =
        fragments.iter().filter_map(|fragment| fragment.clone().to_json_value().ok()).collect();
    if schema_size::of(&json) > limits.schema_parts {
        report.error(|| {
            let limit = limits.schema_parts;
            let message = format!("the schema's types, written out, have more than {limit} parts");
            let help =
                format!("use fewer common types within common types, or {}", raise("schemaParts"));
            let problem = Problem::error("limit::schema-parts", message).with_help(help);
            if count == 1 { problem.at(first, 0..0) } else { problem }
        });
        return None;
    }
    match linked(fragments, &json) {
        Ok(schema) => Some(schema),
        Err(error) => {
            report.error(|| {
                let advice = "declare every type that is used once; several schema files are \
                              taken together";
                let problem = Problem::error("schema::invalid", error_chain(&*error))
                    .with_help(help(&*error, advice));
                // With several files, Cedar does not tell which one it means.
                if count == 1 {
                    problem.at(first, first_label(&*error).unwrap_or(0..0))
                } else {
                    problem
                }
            });
            None
        }
    }
}

/// Takes fragments together. Those with `external` declarations (RFC 116) stand by themselves,
/// and are linked with the definitions in the others.
fn linked(fragments: Vec<SchemaFragment>, json: &[Value]) -> Result<Schema, Box<dyn Diagnostic>> {
    if !json.iter().any(has_external) {
        return Schema::from_schema_fragments(fragments).map_err(|e| Box::new(e) as _);
    }
    let mut whole = Vec::new();
    let mut schemas = Vec::new();
    for (fragment, json) in fragments.into_iter().zip(json) {
        if has_external(json) {
            let schema = Schema::from_schema_fragments([fragment]);
            schemas.push(schema.map_err(|e| Box::new(e) as Box<dyn Diagnostic>)?);
        } else {
            whole.push(fragment);
        }
    }
    if !whole.is_empty() {
        let schema = Schema::from_schema_fragments(whole);
        schemas.push(schema.map_err(|e| Box::new(e) as Box<dyn Diagnostic>)?);
    }
    Schema::schema_link_complete(schemas).map_err(|e| Box::new(e) as _)
}

/// Whether a fragment declares something that another one is to define.
fn has_external(fragment: &Value) -> bool {
    let is_external = |declared: &Value| declared.get("external") == Some(&Value::Bool(true));
    fragment.as_object().into_iter().flat_map(|namespaces| namespaces.values()).any(|namespace| {
        ["entityTypes", "actions"].iter().any(|section| {
            let declared = namespace.get(section).and_then(Value::as_object);
            declared.is_some_and(|declared| declared.values().any(is_external))
        })
    })
}

fn read(
    source: &Source,
    limits: &Limits,
    report: &mut Report,
) -> Result<SchemaFragment, Box<Problem>> {
    if let Some(offset) = too_deep(&source.text, limits) {
        let limit = limits.nesting;
        let message = format!("brackets nest deeper than the limit of {limit}");
        let problem = Problem::error("limit::nesting", message)
            .with_help(format!("flatten the type, or {}", raise("nesting")));
        return Err(Box::new(problem.at(source, offset..offset + 1)));
    }
    match SchemaFragment::from_cedarschema_str(&source.text) {
        Ok((fragment, warnings)) => {
            for warning in warnings {
                report.add(Severity::Warning, || {
                    let place = first_label(&warning).unwrap_or(0..0);
                    Problem::warning("schema::warning", error_chain(&warning))
                        .with_help(help(&warning, "see Cedar's schema grammar"))
                        .at(source, place)
                });
            }
            Ok(fragment)
        }
        Err(error) => {
            let problem = Problem::error("schema::parse", error_chain(&error))
                .with_help(help(&error, "see Cedar's schema grammar"));
            Err(Box::new(problem.at(source, first_label(&error).unwrap_or(0..0))))
        }
    }
}
