//! Reads policies in Cedar's syntax: cut, parsed and validated in chunks.

use std::collections::HashMap;
use std::ops::Range;

use cedar_policy::Schema;
use cedar_policy_core::ast;
use cedar_policy_core::validator::Validator;

use super::compile::{Compiler, NotTaken, positional_id};
use super::validate::{self, first_label, help};
use super::{Report, stack};
use crate::error::causes;
use crate::limits::Limits;
use crate::parse;
use crate::problem::{Problem, Severity};
use crate::source::Source;
use crate::statement::{RefusalReason, Statement, statements};

/// Statements that one thread takes at a time.
const CHUNK: usize = 128;

struct Chunk<'a> {
    first_position: usize,
    statements: &'a [Statement],
}

struct Parsed {
    trees: Vec<(usize, Range<usize>, ast::Template)>,
    problems: Vec<(Severity, Problem)>,
}

/// Loads all policies of a text.
pub(super) fn load(
    number: u32,
    source: &Source,
    schema: Option<&Schema>,
    limits: &Limits,
    compiler: &mut Compiler,
    report: &mut Report,
) {
    let (found, refused) = statements(&source.text, limits);
    for refusal in refused {
        report.error(|| {
            refused_problem(&refusal.reason, limits).at(source, refusal.offset..refusal.offset + 1)
        });
    }
    if !fits(compiler, found.len(), limits, report) {
        return;
    }
    let first = compiler.positions(found.len());
    let chunks: Vec<Chunk<'_>> = found
        .chunks(CHUNK)
        .enumerate()
        .map(|(n, statements)| Chunk { first_position: first + n * CHUNK, statements })
        .collect();
    let validator = schema.map(|schema| Validator::new(schema.as_ref().clone()));
    let result = stack::in_order(
        &chunks,
        |chunk| parse_chunk(chunk, source, validator.as_ref()),
        |parsed| {
            for (severity, problem) in parsed.problems {
                report.add(severity, || problem);
            }
            for (position, span, tree) in parsed.trees {
                let place = span.clone();
                if let Err(NotTaken::Duplicate(id)) =
                    compiler.add_text(tree, position, number, &span)
                {
                    report.error(|| duplicate(&id).at(source, place));
                }
            }
        },
    );
    if let Err(reason) = result {
        report.error(|| Problem::error("policies::load", reason));
    }
}

/// Checks that `count` more policies are within the limit.
pub(super) fn fits(
    compiler: &Compiler,
    count: usize,
    limits: &Limits,
    report: &mut Report,
) -> bool {
    let total = compiler.len() + count;
    if total > limits.policies {
        report.error(|| {
            let limit = limits.policies;
            let message = format!("{total} policies are more than the limit of {limit}");
            Problem::error("limit::policies", message).with_help("raise `Limits::policies`")
        });
    }
    total <= limits.policies
}

pub(super) fn duplicate(id: &str) -> Problem {
    Problem::error("policy::duplicate-id", format!("there is another policy `{id}`"))
        .with_help("give each policy its own `@id`")
        .with_policy(id)
}

fn refused_problem(reason: &RefusalReason, limits: &Limits) -> Problem {
    match reason {
        RefusalReason::Length { given } => Problem::error(
            "limit::policy-bytes",
            format!("the policy of {given} bytes is longer than {} bytes", limits.policy_bytes),
        )
        .with_help("split the policy, or raise `Limits::policy_bytes`"),
        RefusalReason::Nesting => Problem::error(
            "limit::nesting",
            format!("brackets nest deeper than the limit of {}", limits.nesting),
        )
        .with_help("split the condition into several clauses, or raise `Limits::nesting`"),
        RefusalReason::Operators => Problem::error(
            "limit::operators",
            format!("the policy has more than {} operators", limits.operators),
        )
        .with_help("use `[…].contains(…)`, split the policy, or raise `Limits::operators`"),
    }
}

fn parse_chunk(chunk: &Chunk<'_>, source: &Source, validator: Option<&Validator>) -> Parsed {
    let mut parsed = Parsed { trees: Vec::new(), problems: Vec::new() };
    for (position, statement) in (chunk.first_position..).zip(chunk.statements) {
        let span = statement.span.clone();
        let text = source.text.get(span.clone()).unwrap_or_default();
        match parse::statement(text, &positional_id(position)) {
            Ok(tree) => parsed.trees.push((position, span, tree)),
            Err(errors) => {
                for error in errors.iter() {
                    let label = first_label(error).unwrap_or(0..text.len());
                    let place = span.start + label.start..span.start + label.end;
                    let problem = Problem::error("policy::parse", causes(error))
                        .with_help(help(error, "see Cedar's policy grammar"))
                        .at(source, place);
                    parsed.problems.push((Severity::Error, problem));
                }
            }
        }
    }
    if let Some(validator) = validator {
        validate(&mut parsed, source, validator);
    }
    parsed.problems.sort_by_key(|(_, problem)| (problem.line(), problem.column()));
    parsed
}

fn validate(parsed: &mut Parsed, source: &Source, validator: &Validator) {
    let findings = validate::trees(parsed.trees.iter().map(|(_, _, tree)| tree), validator);
    let spans: HashMap<String, &Range<usize>> =
        parsed.trees.iter().map(|(_, span, tree)| (tree.id().to_string(), span)).collect();
    for finding in findings {
        let span = spans.get(&finding.id).map_or(0..0, |span| (*span).clone());
        let label = finding.label.unwrap_or(0..span.len());
        let place = span.start + label.start..span.start + label.end;
        parsed.problems.push((finding.severity, finding.problem.at(source, place)));
    }
}
