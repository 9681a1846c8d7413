//! Reads schemas and takes them together.

use cedar_policy::{Schema, SchemaFragment};

use super::validate::{first_label, help};
use super::{Report, schema_size};
use crate::builder::Kind;
use crate::error::causes;
use crate::limits::Limits;
use crate::problem::Problem;
use crate::source::Source;
use crate::statement::too_deep;

/// Returns the schema that all fragments make together, if there is one.
pub(super) fn merge(
    sources: &[(Kind, Source)],
    limits: &Limits,
    report: &mut Report,
) -> Option<Schema> {
    let mut fragments = Vec::new();
    let mut first = None;
    let mut broken = false;
    for (kind, source) in sources {
        let fragment = match kind {
            Kind::Schema => read(source, limits),
            Kind::SchemaJson => SchemaFragment::from_json_str(&source.text).map_err(|e| {
                let problem = Problem::error("schema::json", causes(&e))
                    .with_help("see Cedar's JSON schema format");
                Box::new(problem.at(source, 0..0))
            }),
            Kind::Policies | Kind::PoliciesJson => continue,
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
    let written_out = schema_size::of(
        &fragments.iter().filter_map(|f| f.clone().to_json_value().ok()).collect::<Vec<_>>(),
    );
    if written_out > limits.schema_parts {
        report.error(|| {
            let limit = limits.schema_parts;
            let message = format!("the schema's types, written out, have more than {limit} parts");
            let help =
                "use fewer common types within common types, or raise `Limits::schema_parts`";
            let problem = Problem::error("limit::schema-parts", message).with_help(help);
            if count == 1 { problem.at(first, 0..0) } else { problem }
        });
        return None;
    }
    match Schema::from_schema_fragments(fragments) {
        Ok(schema) => Some(schema),
        Err(error) => {
            report.error(|| {
                let advice =
                    "declare every type that is used; several schema files are taken together";
                let problem = Problem::error("schema::invalid", causes(&error))
                    .with_help(help(&error, advice));
                // With several files, Cedar does not tell which one it means.
                if count == 1 {
                    problem.at(first, first_label(&error).unwrap_or(0..0))
                } else {
                    problem
                }
            });
            None
        }
    }
}

fn read(source: &Source, limits: &Limits) -> Result<SchemaFragment, Box<Problem>> {
    if let Some(offset) = too_deep(&source.text, limits) {
        let limit = limits.nesting;
        let message = format!("brackets nest deeper than the limit of {limit}");
        let problem = Problem::error("limit::nesting", message)
            .with_help("flatten the type, or raise `Limits::nesting`");
        return Err(Box::new(problem.at(source, offset..offset + 1)));
    }
    match SchemaFragment::from_cedarschema_str(&source.text) {
        Ok((fragment, _warnings)) => Ok(fragment),
        Err(error) => {
            let problem = Problem::error("schema::parse", causes(&error))
                .with_help(help(&error, "see Cedar's schema grammar"));
            Err(Box::new(problem.at(source, first_label(&error).unwrap_or(0..0))))
        }
    }
}
