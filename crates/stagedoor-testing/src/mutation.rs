//! Mutants: policies with one mistake each, which the cases ought to notice.
//!
//! A mutant that no case notices survives, if there is a request on which it decides otherwise than
//! the policies do: the case that is missing. It is looked for among some that the fixtures make
//! possible, whose names people know, and then among all requests, by what the policies mean
//! (`stagedoor-analysis`). If there is none, the mutant is equivalent.

mod edit;
mod proof;
mod search;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cedar_policy_core::ast::Policy;
use serde::Serialize;
use stagedoor_core::{
    DecideError, Effect, Engine, PolicyInfo, PolicyVerdict, ScopeTable, ScopeTruths, Trial,
    Variants, Verdicts,
};

pub use crate::operator::Operator;
pub use text::text;

use crate::coverage::one_line;
use crate::environment::TestEnvironment;
use crate::expectation::Actual;
use crate::file::Case;
use crate::parallel;
use crate::request_types::RequestTypes;
use crate::resolved_case::ResolvedCase;
use crate::suppression::{COVERAGE, MUTANT, Suppressions, UnusedSuppression};
use edit::{Edit, edits};

/// No request.
const NONE: usize = usize::MAX;

/// What became of the mutants.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Mutation {
    /// The mutants that load, by their places.
    pub mutants: Vec<Mutant>,
    /// How many changes made policies that do not load, so that no test is needed.
    pub unviable: usize,
    /// Comments that excuse no mutant.
    pub unused_suppressions: Vec<UnusedSuppression>,
}

/// A policy with one mistake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Mutant {
    /// What it changes.
    pub operator: Operator,
    /// The policy's id; of a template the first link's.
    pub policy: String,
    /// Its file.
    pub file: String,
    /// The line of the change, from 1.
    pub line: Option<usize>,
    /// The column, from 1.
    pub column: Option<usize>,
    /// What stood there.
    pub original: String,
    /// What stands there now.
    pub replacement: String,
    /// What became of it.
    pub status: MutantStatus,
}

/// What became of a mutant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum MutantStatus {
    /// This case failed.
    Killed(String),
    /// No case failed; this one would.
    Survived(SuggestedCase),
    /// No case failed, and none would: it decides every request as the policies do.
    Equivalent,
    /// No case failed; a comment says why that is all right.
    Ignored(String),
    /// No case failed; whether one would was not found out, for these reasons.
    Undecided(Vec<String>),
    /// The time was over before it was known.
    Timeout,
}

/// A case that tells a mutant from the policies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SuggestedCase {
    /// The case as a test file has it.
    pub yaml: String,
    /// A command that explains the decision.
    pub explain: Option<String>,
}

/// How many mutants ended which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MutantCounts {
    /// Noticed by a case.
    pub killed: usize,
    /// Noticed by none.
    pub survived: usize,
    /// Not to be noticed.
    pub equivalent: usize,
    /// Excused by a comment.
    pub ignored: usize,
    /// Not found out.
    pub undecided: usize,
    /// Not known in time.
    pub timeout: usize,
}

impl Mutation {
    /// Returns how many mutants ended which way.
    #[must_use]
    pub fn counts(&self) -> MutantCounts {
        let mut counts = MutantCounts::default();
        for mutant in &self.mutants {
            match mutant.status {
                MutantStatus::Killed(_) => counts.killed += 1,
                MutantStatus::Survived(_) => counts.survived += 1,
                MutantStatus::Equivalent => counts.equivalent += 1,
                MutantStatus::Ignored(_) => counts.ignored += 1,
                MutantStatus::Undecided(_) => counts.undecided += 1,
                MutantStatus::Timeout => counts.timeout += 1,
            }
        }
        counts
    }

    /// Returns the mutants of which nothing was found out, with the reasons.
    pub fn undecided(&self) -> impl Iterator<Item = (&Mutant, &[String])> {
        self.mutants.iter().filter_map(|mutant| match &mutant.status {
            MutantStatus::Undecided(reasons) => Some((mutant, reasons.as_slice())),
            _ => None,
        })
    }

    /// Returns the mutants that no case noticed, with the cases that would.
    pub fn survivors(&self) -> impl Iterator<Item = (&Mutant, &SuggestedCase)> {
        self.mutants.iter().filter_map(|mutant| match &mutant.status {
            MutantStatus::Survived(case) => Some((mutant, case)),
            _ => None,
        })
    }
}

/// The tests of one file, as mutants are held against them.
pub(crate) struct MutationTarget<'s> {
    pub(crate) world: &'s TestEnvironment,
    /// The cases of the file, tables and invariants in single ones.
    pub(crate) cases: Vec<Case>,
    /// The requests, with the names of their tests.
    pub(crate) asked: Vec<(&'s str, &'s ResolvedCase)>,
}

/// Makes mutants of all policies and holds them against the tests, until the budget is used up.
pub(crate) fn mutate(
    files: &[MutationTarget<'_>],
    budget: Duration,
) -> Result<Mutation, DecideError> {
    let until = Instant::now() + budget;
    // Engines of some of the policies that were loaded have the revision of all.
    let mut engines: BTreeMap<(&str, usize), Vec<&MutationTarget<'_>>> = BTreeMap::new();
    for file in files {
        let engine = &file.world.engine;
        engines.entry((engine.revision(), engine.policies().len())).or_default().push(file);
    }
    let mut all = Mutation::default();
    let mut texts: BTreeMap<&str, &str> = BTreeMap::new();
    for files in engines.values() {
        let Some(engine) = files.first().map(|file| &file.world.engine) else { continue };
        // The same files may have other names elsewhere; mutants have these.
        texts.extend(engine.policies().map(|policy| (policy.file(), policy.file_text())));
        let (mutated, unviable) = LoadedMutant::all(engine);
        all.unviable += unviable;
        let infos = engine.policies().collect();
        let scopes = ScopeTable::of(engine);
        let run = MutationRun { engine, infos, scopes, files, mutated: &mutated, until };
        all.mutants.extend(run.mutants()?);
    }
    all.unused_suppressions =
        texts.into_iter().flat_map(|(file, text)| unused(file, text, &all.mutants)).collect();
    all.mutants.sort_by(|a, b| {
        (&a.file, a.line, a.column, a.operator).cmp(&(&b.file, b.line, b.column, b.operator))
    });
    Ok(all)
}

/// Returns the suppressions of a file that excuse none of the mutants.
fn unused(file: &str, text: &str, mutants: &[Mutant]) -> Vec<UnusedSuppression> {
    let suppressions = Suppressions::of(text);
    let is_excused = |mutant: &&Mutant| {
        mutant.file == file
            && matches!(mutant.status, MutantStatus::Ignored(_) | MutantStatus::Timeout)
    };
    let excused: Vec<&Mutant> = mutants.iter().filter(is_excused).collect();
    suppressions.unused(
        file,
        |code| code != COVERAGE,
        |line, code| {
            let is_meant = |mutant: &&Mutant| code == MUTANT || code == mutant.operator.as_str();
            excused.iter().filter(|mutant| is_meant(mutant)).any(|m| m.line == Some(line))
        },
    )
}

/// A mutant, ready to be asked.
struct LoadedMutant<'e> {
    policy: PolicyInfo<'e>,
    edit: Edit,
    /// The policies that come of the changed text, by number: one, or all links of a template.
    /// None for those that are gone.
    variants: Vec<(usize, Option<Policy>)>,
    /// Whether it is about the same principals, actions and resources as the policy: where its scope
    /// does not match, nothing changes.
    has_same_scope: bool,
}

impl<'e> LoadedMutant<'e> {
    /// Returns the mutants of all policies, and how many do not load.
    fn all(engine: &'e Engine) -> (Vec<Self>, usize) {
        let types = RequestTypes::of(engine.schema());
        let variants = Variants::new(engine);
        let mut statements: BTreeMap<(&str, usize), Vec<(usize, PolicyInfo<'e>)>> = BTreeMap::new();
        for (number, policy) in engine.policies().enumerate() {
            let key = (policy.file(), policy.span().map_or(number, |span| span.start));
            statements.entry(key).or_default().push((number, policy));
        }
        let (mut all, mut unviable) = (Vec::new(), 0);
        for links in statements.values() {
            let Some((_, policy)) = links.first().copied() else { continue };
            // What was loaded parses.
            let Ok(tree) = policy.tree() else { continue };
            for edit in edits(policy, &tree, &types) {
                match Self::read(&variants, (policy, &tree), links, edit) {
                    Some(mutated) => all.push(mutated),
                    None => unviable += 1,
                }
            }
        }
        (all, unviable)
    }

    fn read(
        variants: &Variants,
        (policy, tree): (PolicyInfo<'e>, &Policy),
        links: &[(usize, PolicyInfo<'e>)],
        edit: Edit,
    ) -> Option<Self> {
        let text = edit.apply(policy.text())?;
        let read = |(number, link): &(usize, PolicyInfo<'e>)| {
            if text.is_empty() {
                return Some((*number, None));
            }
            Some((*number, Some(variants.read(*link, &text).ok()?)))
        };
        let variants = links.iter().map(read).collect::<Option<Vec<_>>>()?;
        let has_same_scope = variants.iter().all(|(_, variant)| match variant {
            None => true,
            Some(variant) => {
                let (own, other) = (tree.template(), variant.template());
                own.principal_constraint() == other.principal_constraint()
                    && own.action_constraint() == other.action_constraint()
                    && own.resource_constraint() == other.resource_constraint()
            }
        });
        Some(Self { policy, edit, variants, has_same_scope })
    }

    /// Returns whether the mutant may say something else of a request than the policy does.
    fn may_matter(&self, scopes: &ScopeTable, truths: &ScopeTruths) -> bool {
        let is_within = |number: usize| scopes.scope(truths, number) == [true; 3];
        !self.has_same_scope || self.variants.iter().any(|(number, _)| is_within(*number))
    }

    /// Returns the verdicts with this mutant's; nothing if they are the same.
    fn verdicts(&self, trial: &Trial<'_>) -> Option<Verdicts> {
        let base = trial.verdicts();
        let mut changed = None;
        for (number, variant) in &self.variants {
            let (effect, verdict) = match variant {
                Some(policy) => (effect(policy), trial.verdict(self.policy, policy)),
                None => (self.policy.effect(), PolicyVerdict::NotSatisfied),
            };
            let same = verdict == base.of(*number)
                && (effect == self.policy.effect() || verdict == PolicyVerdict::NotSatisfied);
            if !same {
                let verdicts = changed.as_ref().unwrap_or(base);
                changed = Some(verdicts.with(*number, effect, verdict));
            }
        }
        changed
    }

    fn mutant(&self, suppressions: &Suppressions, status: MutantStatus) -> Mutant {
        let Edit { operator, span, replacement } = &self.edit;
        let place = self.policy.position(span.start);
        let line = place.map(|(line, _)| line);
        let status = match suppressions.reason(line, &[MUTANT, operator.as_str()]) {
            Some(reason)
                if matches!(status, MutantStatus::Survived(_) | MutantStatus::Undecided(_)) =>
            {
                MutantStatus::Ignored(reason.to_owned())
            }
            _ => status,
        };
        Mutant {
            operator: *operator,
            policy: self.policy.id().to_owned(),
            file: self.policy.file().to_owned(),
            line,
            column: place.map(|(_, column)| column),
            original: one_line(self.policy.text().get(span.clone()).unwrap_or_default()),
            replacement: one_line(replacement),
            status,
        }
    }
}

fn effect(policy: &Policy) -> Effect {
    match policy.effect() {
        cedar_policy_core::ast::Effect::Permit => Effect::Permit,
        cedar_policy_core::ast::Effect::Forbid => Effect::Forbid,
    }
}

/// The mutants of one engine, held against the tests about it.
struct MutationRun<'r, 's> {
    engine: &'r Engine,
    infos: Vec<PolicyInfo<'r>>,
    scopes: ScopeTable,
    files: &'r [&'r MutationTarget<'s>],
    mutated: &'r [LoadedMutant<'r>],
    until: Instant,
}

impl MutationRun<'_, '_> {
    fn mutants(&self) -> Result<Vec<Mutant>, DecideError> {
        let mut statuses: Vec<Option<MutantStatus>> =
            self.kill()?.into_iter().map(|by| by.map(MutantStatus::Killed)).collect();
        self.search(&mut statuses);
        self.prove(&mut statuses);
        let mut suppressions = BTreeMap::new();
        let mutants = self.mutated.iter().zip(statuses).map(|(mutated, status)| {
            let status = status.unwrap_or(MutantStatus::Timeout);
            let own = suppressions.entry(mutated.policy.file());
            let own = own.or_insert_with(|| Suppressions::of(mutated.policy.file_text()));
            mutated.mutant(own, status)
        });
        Ok(mutants.collect())
    }

    /// Returns for each mutant the first case that it fails.
    fn kill(&self) -> Result<Vec<Option<String>>, DecideError> {
        let asked: Vec<(&str, &ResolvedCase)> =
            self.files.iter().flat_map(|file| file.asked.iter().copied()).collect();
        let killers = none_found(self.mutated.len());
        let errors = parallel::fold(
            asked.len(),
            || None,
            |error, number| {
                let Some((_, asked)) = asked.get(number) else { return };
                let (request, entities) = (&asked.question.request, &asked.question.entities);
                let done = self.engine.trial(request, entities, |trial| {
                    let truths = trial.scopes(&self.scopes);
                    for (mutated, killer) in self.mutated.iter().zip(&killers) {
                        if killer.load(Ordering::Relaxed) > number
                            && mutated.may_matter(&self.scopes, &truths)
                            && !self.is_over()
                            && mutated.verdicts(trial).is_some_and(|v| self.fails(asked, &v))
                        {
                            killer.fetch_min(number, Ordering::Relaxed);
                        }
                    }
                });
                if let Err(failure) = done {
                    *error = Some(failure);
                }
            },
        );
        if let Some(error) = errors.into_iter().flatten().next() {
            return Err(error);
        }
        let name = |killer: &AtomicUsize| {
            asked.get(killer.load(Ordering::Relaxed)).map(|(name, _)| (*name).to_owned())
        };
        Ok(killers.iter().map(name).collect())
    }

    /// Whether a case does not pass with these verdicts. Clauses that it expects to fail are
    /// left out: mutants are told by what is decided.
    fn fails(&self, asked: &ResolvedCase, verdicts: &Verdicts) -> bool {
        let names = |numbers: &mut dyn Iterator<Item = usize>| -> BTreeSet<String> {
            let policy = |number| self.infos.get(number);
            numbers.filter_map(policy).map(|policy| policy.id().to_owned()).collect()
        };
        let found = Actual {
            decision: verdicts.decision(),
            reasons: names(&mut verdicts.reasons().into_iter()),
            errors: names(&mut verdicts.errors()),
            clauses: Vec::new(),
        };
        let names = self.files.first().map(|file| &file.world.names);
        let found = match names {
            Some(names) => found.renamed(names),
            None => found,
        };
        !asked.expect.without_clause().differences(&found).is_empty()
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }
}

fn none_found(count: usize) -> Vec<AtomicUsize> {
    std::iter::repeat_with(|| AtomicUsize::new(NONE)).take(count).collect()
}
