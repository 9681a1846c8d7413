//! Reads policies in Cedar's syntax: cut, parsed and validated in chunks.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cedar_policy_core::ast;

use super::Report;
use super::compile::{Compiler, id_annotation, positional_id};
use super::reuse::{Known, KnownPolicies};
use crate::error::error_chain;
use crate::limits::{Limits, raise};
use crate::parse;
use crate::problem::{Problem, Severity};
use crate::source::Source;
use crate::stack::in_order;
use crate::statement::{RefusalReason, Statement, statements};
use crate::validation::{Validation, first_label, help};

/// Statements that one thread takes at a time.
const CHUNK: usize = 128;

struct Chunk<'a> {
    first_position: usize,
    statements: &'a [Statement],
}

#[derive(Default)]
struct ParsedChunk<'k> {
    trees: Vec<Tree>,
    /// Those that need no parsing.
    known: Vec<Known<'k>>,
    /// Problems and their places in the source; a place costs time to tell as a line, so
    /// that is left for those that are reported.
    problems: Vec<(Severity, Problem, Range<usize>)>,
}

struct Tree {
    position: usize,
    span: Range<usize>,
    /// Where the parsed text starts, which places within the tree count from.
    base: usize,
    tree: ast::Template,
}

/// Loads all policies of a text, those that are known without reading them.
pub(super) fn load(
    source: &Arc<Source>,
    known: Option<&KnownPolicies<'_>>,
    validation: Option<&Validation>,
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
    if !check_policy_limit(compiler, found.len(), limits, report) {
        return;
    }
    let first = compiler.positions(found.len());
    let chunks: Vec<Chunk<'_>> = found
        .chunks(CHUNK)
        .enumerate()
        .map(|(n, statements)| Chunk { first_position: first + n * CHUNK, statements })
        .collect();
    // Once no more problems are reported, nothing is gained by looking further.
    let enough = AtomicBool::new(report.is_full());
    let result = in_order(
        &chunks,
        |chunk| {
            if enough.load(Ordering::Relaxed) {
                return ParsedChunk::default();
            }
            parse_chunk(chunk, source, known, validation)
        },
        |parsed| {
            for (severity, problem, place) in parsed.problems {
                report.add(severity, || problem.at(source, place));
            }
            enough.store(report.is_full(), Ordering::Relaxed);
            let mut known = parsed.known.into_iter().peekable();
            for Tree { position, span, base, tree } in parsed.trees {
                while let Some(known) = known.next_if(|known| known.position < position) {
                    add_known(known, source, compiler, report);
                }
                if let Err(error) = compiler.add_text(tree, position, source, &span) {
                    let label = error.label();
                    let place = label.map_or(span, |label| base + label.start..base + label.end);
                    report.error(|| compiler.problem(error).at(source, place));
                }
            }
            known.for_each(|known| add_known(known, source, compiler, report));
        },
    );
    if let Err(reason) = result {
        report.error(|| Problem::error("policies::load", reason));
    }
}

fn add_known(known: Known<'_>, source: &Arc<Source>, compiler: &mut Compiler, report: &mut Report) {
    let span = known.span.clone();
    if let Err(error) = compiler.add_known(known, source) {
        report.error(|| compiler.problem(error).at(source, span));
    }
}

/// Reports if `count` more policies are beyond the limit; returns whether they are within it.
pub(super) fn check_policy_limit(
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
            Problem::error("limit::policies", message).with_help(raise("policies"))
        });
    }
    total <= limits.policies
}

fn refused_problem(reason: &RefusalReason, limits: &Limits) -> Problem {
    match reason {
        RefusalReason::Length { given } => Problem::error(
            "limit::policy-bytes",
            format!("the policy of {given} bytes is longer than {} bytes", limits.policy_bytes),
        )
        .with_help(format!("split the policy, or {}", raise("policyBytes"))),
        RefusalReason::Nesting => Problem::error(
            "limit::nesting",
            format!("brackets nest deeper than the limit of {}", limits.nesting),
        )
        .with_help(format!("split the condition into several clauses, or {}", raise("nesting"))),
        RefusalReason::Operators => Problem::error(
            "limit::operators",
            format!("the policy has more than {} operators", limits.operators),
        )
        .with_help(format!("use `[…].contains(…)`, split the policy, or {}", raise("operators"))),
    }
}

fn parse_chunk<'k>(
    chunk: &Chunk<'_>,
    source: &Source,
    known: Option<&KnownPolicies<'k>>,
    validation: Option<&Validation>,
) -> ParsedChunk<'k> {
    let mut parsed = ParsedChunk::default();
    let known = |statement: &Statement| known?.get(source.text.get(statement.span.clone())?);
    let mut position = chunk.first_position;
    for run in chunk.statements.chunk_by(|a, b| known(a).is_some() == known(b).is_some()) {
        if run.first().is_some_and(|statement| known(statement).is_some()) {
            let named = (position..).zip(run);
            parsed.known.extend(named.filter_map(|(position, statement)| {
                let (span, policy) = (statement.span.clone(), known(statement)?);
                Some(Known { position, span, policy })
            }));
        } else {
            let run = Chunk { first_position: position, statements: run };
            if parse_together(&run, source, &mut parsed).is_none() {
                parse_each(&run, source, &mut parsed);
            }
        }
        position += run.len();
    }
    if let Some(validation) = validation {
        validate(&mut parsed, validation);
    }
    parsed.problems.sort_by_key(|(_, _, place)| place.start);
    parsed
}

/// Parses a chunk that has no mistake in its syntax; `None` otherwise.
fn parse_together(chunk: &Chunk<'_>, source: &Source, parsed: &mut ParsedChunk<'_>) -> Option<()> {
    let base = chunk.statements.first()?.span.start;
    let text = source.text.get(base..chunk.statements.last()?.span.end)?;
    let spans = chunk.statements.iter().map(|s| s.span.start - base..s.span.end - base);
    let nodes = parse::statements(text, spans)?;
    let named = (chunk.first_position..).zip(chunk.statements).zip(nodes);
    let trees = named.map(|((position, statement), node)| {
        let id = ast::PolicyID::from_string(positional_id(position));
        let tree = node.to_template(id).ok()?;
        Some(Tree { position, span: statement.span.clone(), base, tree })
    });
    parsed.trees.extend(trees.collect::<Option<Vec<_>>>()?);
    Some(())
}

/// Parses a chunk statement by statement, so that each tells its own mistakes.
fn parse_each(chunk: &Chunk<'_>, source: &Source, parsed: &mut ParsedChunk<'_>) {
    for (position, statement) in (chunk.first_position..).zip(chunk.statements) {
        let span = statement.span.clone();
        let base = span.start;
        let text = source.text.get(span.clone()).unwrap_or_default();
        match parse::statement(text, &positional_id(position)) {
            Ok(tree) => parsed.trees.push(Tree { position, span, base, tree }),
            Err(errors) => {
                for error in errors.iter() {
                    let label = first_label(error).unwrap_or(0..text.len());
                    let problem = Problem::error("policy::parse", error_chain(error))
                        .with_help(help(error, "see Cedar's policy grammar"));
                    let place = base + label.start..base + label.end;
                    parsed.problems.push((Severity::Error, problem, place));
                }
            }
        }
    }
}

fn validate(parsed: &mut ParsedChunk<'_>, validation: &Validation) {
    let findings = validation.trees(parsed.trees.iter().map(|tree| &tree.tree));
    if findings.is_empty() {
        return;
    }
    let trees: HashMap<String, &Tree> =
        parsed.trees.iter().map(|tree| (tree.tree.id().to_string(), tree)).collect();
    for finding in findings {
        let Some(tree) = trees.get(&finding.id) else { continue };
        let place = match finding.label {
            Some(label) => tree.base + label.start..tree.base + label.end,
            None => tree.span.clone(),
        };
        let id = id_annotation(&tree.tree).unwrap_or_else(|| positional_id(tree.position));
        parsed.problems.push((finding.severity, finding.problem.with_policy(id), place));
    }
}
