//! What the cases of tests reach of the policies.
//!
//! A clause is covered when cases have made it both true and false, each time so that it
//! mattered: had this clause alone come out otherwise, the decision would have been another
//! one, or the policy would have erred. (For each clause this is what avionics calls masking
//! MC/DC.) A clause that alone can never be false by the schema, such as `principal is User`
//! where only users ask, does not count.

mod html;
mod lcov;
mod measure;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde::Serialize;
pub(crate) use stagedoor_core::single_line as one_line;
use stagedoor_core::{DecideError, Engine, ScopeTable};

pub use html::html;
pub use lcov::lcov;
pub(crate) use text::place;
pub use text::text;

use crate::clause_tree::{ClauseKind, ClauseTree};
use crate::parallel;
use crate::request_types::RequestTypes;
use crate::resolve::Question;
use crate::suppression::{COVERAGE, Suppressions, UnusedSuppression};
use measure::{Counts, MeasuredPolicy};

/// What tests reach of policies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Coverage {
    /// The policies, in the order of the files and of their lines.
    pub policies: Vec<PolicyCoverage>,
    /// Every action with every type of principal that may ask for it.
    pub actions: Vec<ActionCoverage>,
    /// Comments that excuse nothing.
    pub unused_suppressions: Vec<UnusedSuppression>,
    /// The texts of the policies' files, by name.
    #[serde(skip)]
    pub(crate) texts: BTreeMap<String, String>,
}

/// What tests reach of one policy; links of a template count as the template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PolicyCoverage {
    /// Its id; of a template the first link's.
    pub policy: String,
    /// Its file.
    pub file: String,
    /// The line that it begins at, from 1.
    pub line: Option<usize>,
    /// How many requests it determined the decision of.
    pub determined: u64,
    /// Its clauses, in order.
    pub clauses: Vec<ClauseCoverage>,
}

/// What tests reach of one clause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ClauseCoverage {
    /// What it is a part of.
    pub kind: ClauseKind,
    /// Its text.
    pub text: String,
    /// The line that it begins at, from 1.
    pub line: Option<usize>,
    /// The column, from 1.
    pub column: Option<usize>,
    /// How many requests it was true for.
    pub was_true: u64,
    /// How many requests it was false for.
    pub was_false: u64,
    /// For how many of those it was true for that mattered.
    pub true_mattered: u64,
    /// For how many of those it was false for that mattered.
    pub false_mattered: u64,
    /// Whether that is enough.
    pub state: ClauseState,
    /// Its place in the file, in bytes.
    #[serde(skip)]
    pub(crate) span: Option<Range<usize>>,
}

/// Whether the tests cover a clause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum ClauseState {
    /// It was both true and false where it mattered.
    Covered,
    /// It was not.
    Missed,
    /// It cannot be false alone, by the schema.
    Fixed,
    /// A comment says why it is not covered.
    Excused(String),
}

/// How often an action was asked for by a type of principal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ActionCoverage {
    /// The action.
    pub action: String,
    /// The type of the principal.
    pub principal_type: String,
    /// How many requests were for it.
    pub requests: u64,
}

/// A part of a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Share {
    /// How many are reached.
    pub reached: usize,
    /// How many there are.
    pub all: usize,
}

impl Share {
    fn of<T>(items: impl Iterator<Item = T>, reached: impl Fn(&T) -> bool) -> Self {
        items.fold(Self { reached: 0, all: 0 }, |share, item| Self {
            reached: share.reached + usize::from(reached(&item)),
            all: share.all + 1,
        })
    }

    /// Returns the share in percent; of nothing, all is reached.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "there are not as many policies")]
    pub fn percent(self) -> f64 {
        if self.all == 0 { 100.0 } else { 100.0 * self.reached as f64 / self.all as f64 }
    }
}

impl Coverage {
    /// Returns how many policies determined a decision.
    #[must_use]
    pub fn of_policies(&self) -> Share {
        Share::of(self.policies.iter(), |policy| policy.determined > 0)
    }

    /// Returns how many clauses are covered, of those that count: what is excused or fixed
    /// does not.
    #[must_use]
    pub fn of_clauses(&self) -> Share {
        let counts = |clause: &&ClauseCoverage| {
            matches!(clause.state, ClauseState::Covered | ClauseState::Missed)
        };
        let clauses = self.policies.iter().flat_map(|policy| &policy.clauses).filter(counts);
        Share::of(clauses, |clause| clause.state == ClauseState::Covered)
    }

    /// Returns how many pairs of an action and a type of principal were asked for.
    #[must_use]
    pub fn of_actions(&self) -> Share {
        Share::of(self.actions.iter(), |action| action.requests > 0)
    }

    /// Returns the clauses that are not covered, with their policies.
    pub fn missed(&self) -> impl Iterator<Item = (&PolicyCoverage, &ClauseCoverage)> {
        let missed = |clause: &&ClauseCoverage| clause.state == ClauseState::Missed;
        self.policies.iter().flat_map(move |policy| {
            policy.clauses.iter().filter(missed).map(move |clause| (policy, clause))
        })
    }
}

impl ClauseCoverage {
    /// Returns what is missing, in words; nothing for what is covered.
    #[must_use]
    pub fn lack(&self) -> Option<&'static str> {
        if self.state != ClauseState::Missed {
            return None;
        }
        Some(match (self.was_true, self.was_false, self.true_mattered, self.false_mattered) {
            (0, 0, ..) => "was never reached",
            (_, 0, ..) => "was never false",
            (0, ..) => "was never true",
            (_, _, 0, 0) => "never mattered: something else decided each time",
            (_, _, 0, _) => "was never true where it mattered",
            _ => "was never false where it mattered",
        })
    }
}

/// Measures what requests reach of the policies that decide them.
pub(crate) fn measure<'q>(
    asked: impl Iterator<Item = (&'q Engine, &'q Question)>,
) -> Result<Coverage, DecideError> {
    let mut engines: BTreeMap<&str, (&Engine, Vec<&Question>)> = BTreeMap::new();
    for (engine, question) in asked {
        engines.entry(engine.revision()).or_insert((engine, Vec::new())).1.push(question);
    }
    let mut merged = MergedCoverage::default();
    for (engine, questions) in engines.values() {
        merged.add_engine(engine, questions)?;
    }
    Ok(merged.coverage())
}

/// What is found about one engine on one thread.
struct ClauseCounts {
    /// For each policy, for each clause.
    clauses: Vec<Vec<Counts>>,
    determined: Vec<u64>,
    actions: BTreeMap<(String, String), u64>,
    error: Option<DecideError>,
}

/// Coverage by the places of policies, which several engines may share.
#[derive(Default)]
struct MergedCoverage {
    policies: BTreeMap<(String, usize), PolicyCoverage>,
    actions: BTreeMap<(String, String), u64>,
    texts: BTreeMap<String, String>,
}

impl MergedCoverage {
    fn add_engine(&mut self, engine: &Engine, questions: &[&Question]) -> Result<(), DecideError> {
        let types = RequestTypes::of(engine.schema());
        let measured: Vec<MeasuredPolicy<'_>> = engine
            .policies()
            .enumerate()
            .filter_map(|(number, policy)| {
                // What was loaded parses.
                let tree = policy.tree().ok()?;
                let clauses = ClauseTree::of(policy, &tree, &types);
                Some(MeasuredPolicy { policy, number, clauses })
            })
            .collect();
        let scopes = ScopeTable::of(engine);
        let empty = || ClauseCounts {
            clauses: measured
                .iter()
                .map(|policy| vec![Counts::default(); policy.clauses.clauses.len()])
                .collect(),
            determined: vec![0; engine.policies().len()],
            actions: BTreeMap::new(),
            error: None,
        };
        let found = parallel::fold(questions.len(), empty, |found, number| {
            if let Some(question) = questions.get(number) {
                found.add(engine, question, (&measured, &scopes));
            }
        });
        for (action, principal) in types.actions_and_principals() {
            self.actions.entry((action.to_string(), principal.to_owned())).or_default();
        }
        self.add_policies(engine, &measured);
        for found in found {
            if let Some(error) = found.error {
                return Err(error);
            }
            self.add_found(engine, &measured, &found);
        }
        Ok(())
    }

    fn add_policies(&mut self, engine: &Engine, measured: &[MeasuredPolicy<'_>]) {
        for (policy, measured) in engine.policies().zip(measured) {
            let text = self.texts.entry(policy.file().to_owned());
            text.or_insert_with(|| policy.file_text().to_owned());
            let key = key(policy, measured.number);
            self.policies.entry(key).or_insert_with(|| blank(policy, measured));
        }
    }

    fn add_found(
        &mut self,
        engine: &Engine,
        measured: &[MeasuredPolicy<'_>],
        found: &ClauseCounts,
    ) {
        for (of, requests) in &found.actions {
            *self.actions.entry(of.clone()).or_default() += requests;
        }
        for ((policy, measured), counts) in engine.policies().zip(measured).zip(&found.clauses) {
            let Some(coverage) = self.policies.get_mut(&key(policy, measured.number)) else {
                continue;
            };
            coverage.determined += found.determined.get(measured.number).copied().unwrap_or(0);
            for (clause, counts) in coverage.clauses.iter_mut().zip(counts) {
                clause.was_true += counts.was_true;
                clause.was_false += counts.was_false;
                clause.true_mattered += counts.true_mattered;
                clause.false_mattered += counts.false_mattered;
            }
        }
    }

    fn coverage(self) -> Coverage {
        let mut suppressions = BTreeMap::new();
        for (file, text) in &self.texts {
            suppressions.insert(file.clone(), Suppressions::of(text));
        }
        let mut policies: Vec<PolicyCoverage> = self.policies.into_values().collect();
        for policy in &mut policies {
            let own = suppressions.get(&policy.file);
            for clause in &mut policy.clauses {
                if clause.state == ClauseState::Fixed {
                    continue;
                }
                let reason = own.and_then(|own| own.reason(clause.line, &[COVERAGE]));
                clause.state = match reason {
                    _ if clause.true_mattered > 0 && clause.false_mattered > 0 => {
                        ClauseState::Covered
                    }
                    Some(reason) => ClauseState::Excused(reason.to_owned()),
                    None => ClauseState::Missed,
                };
            }
        }
        let actions = self.actions.into_iter().map(|((action, principal_type), requests)| {
            ActionCoverage { action, principal_type, requests }
        });
        Coverage {
            actions: actions.collect(),
            unused_suppressions: unused(&suppressions, &policies),
            policies,
            texts: self.texts,
        }
    }
}

/// Returns the suppressions of clauses that excuse none.
fn unused(
    suppressions: &BTreeMap<String, Suppressions>,
    policies: &[PolicyCoverage],
) -> Vec<UnusedSuppression> {
    let excused = |policy: &PolicyCoverage| {
        let is_excused = |clause: &&ClauseCoverage| matches!(clause.state, ClauseState::Excused(_));
        let lines = policy.clauses.iter().filter(is_excused).filter_map(|clause| clause.line);
        lines.map(|line| (policy.file.clone(), line)).collect::<Vec<_>>()
    };
    let excused: BTreeSet<(String, usize)> = policies.iter().flat_map(excused).collect();
    let of_file = |(file, own): (&String, &Suppressions)| {
        own.unused(file, |code| code == COVERAGE, |line, _| excused.contains(&(file.clone(), line)))
    };
    suppressions.iter().flat_map(of_file).collect()
}

/// The same for all links of a template.
fn key(policy: stagedoor_core::PolicyInfo<'_>, number: usize) -> (String, usize) {
    (policy.file().to_owned(), policy.span().map_or(number, |span| span.start))
}

fn blank(policy: stagedoor_core::PolicyInfo<'_>, measured: &MeasuredPolicy<'_>) -> PolicyCoverage {
    let clauses = measured.clauses.clauses.iter().map(|clause| {
        let place = clause.span.as_ref().and_then(|span| policy.position(span.start));
        let text = clause.span.clone().and_then(|span| policy.text().get(span));
        let offset = policy.span().map(|span| span.start);
        ClauseCoverage {
            kind: clause.kind,
            text: text.map_or_else(|| clause.expr.to_string(), one_line),
            line: place.map(|(line, _)| line),
            column: place.map(|(_, column)| column),
            was_true: 0,
            was_false: 0,
            true_mattered: 0,
            false_mattered: 0,
            state: if clause.fixed { ClauseState::Fixed } else { ClauseState::Missed },
            span: clause.span.clone().zip(offset).map(|(s, at)| s.start + at..s.end + at),
        }
    });
    PolicyCoverage {
        policy: policy.id().to_owned(),
        file: policy.file().to_owned(),
        line: policy.line(),
        determined: 0,
        clauses: clauses.collect(),
    }
}

impl ClauseCounts {
    fn add(
        &mut self,
        engine: &Engine,
        question: &Question,
        (measured, scopes): (&[MeasuredPolicy<'_>], &ScopeTable),
    ) {
        let Question { request, entities, .. } = question;
        let of = (request.action.to_string(), request.principal.type_name().to_string());
        *self.actions.entry(of).or_default() += 1;
        let done = engine.trial(request, entities, |trial| {
            let truths = trial.scopes(scopes);
            for (policy, counts) in measured.iter().zip(&mut self.clauses) {
                policy.measure(trial, scopes.scope(&truths, policy.number), counts);
            }
            for number in trial.verdicts().reasons() {
                if let Some(determined) = self.determined.get_mut(number) {
                    *determined += 1;
                }
            }
        });
        if let Err(error) = done {
            self.error = Some(error);
        }
    }
}

/// Returns the files of a coverage with their policies, by name.
fn by_file(coverage: &Coverage) -> BTreeMap<&str, Vec<&PolicyCoverage>> {
    let mut files: BTreeMap<&str, Vec<&PolicyCoverage>> = BTreeMap::new();
    for policy in &coverage.policies {
        files.entry(&policy.file).or_default().push(policy);
    }
    files
}

/// Returns the lines that clauses of a file begin at.
fn lines<'a>(policies: &[&'a PolicyCoverage]) -> BTreeMap<usize, Vec<&'a ClauseCoverage>> {
    let mut lines: BTreeMap<usize, Vec<&ClauseCoverage>> = BTreeMap::new();
    for clause in policies.iter().flat_map(|policy| &policy.clauses) {
        if let Some(line) = clause.line.filter(|_| clause.state != ClauseState::Fixed) {
            lines.entry(line).or_default().push(clause);
        }
    }
    lines
}

/// Returns the lines that policies begin at and no clause does.
fn first_lines<'a>(
    policies: &[&'a PolicyCoverage],
    clauses: &BTreeMap<usize, Vec<&ClauseCoverage>>,
) -> BTreeSet<(usize, u64, &'a str)> {
    let first = policies.iter().filter_map(|p| Some((p.line?, p.determined, p.policy.as_str())));
    first.filter(|(line, ..)| !clauses.contains_key(line)).collect()
}
