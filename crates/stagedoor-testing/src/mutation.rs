//! Mutants: policies with one mistake each, which the cases ought to notice.
//!
//! A mutant that no case notices survives. For it, a request is searched among those that the
//! fixtures make possible, on which it decides otherwise than the policies do: the case that is
//! missing. If there is none, the mutant is equivalent as far as the fixtures can tell.

mod edit;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cedar_policy_core::ast::Policy;
use serde::Serialize;
use stagedoor_core::{
    DecideError, Decision, Effect, Engine, PolicyInfo, PolicyVerdict, Trial, Variants, Verdicts,
};

pub use crate::operator::Operator;
pub use text::text;

use crate::combinations::Combinations;
use crate::coverage::one_line;
use crate::environment::TestEnvironment;
use crate::expectation::Actual;
use crate::file::Case;
use crate::parallel;
use crate::request_types::RequestTypes;
use crate::resolve::question;
use crate::resolved_case::ResolvedCase;
use crate::suppression::{COVERAGE, MUTANT, Suppressions, UnusedSuppression};
use edit::{Edit, edits};

/// More requests than this are looked at in even steps only.
const REQUESTS: usize = 300_000;

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
    /// No case failed, and none that the fixtures make possible would.
    Equivalent,
    /// No case failed; a comment says why that is all right.
    Ignored(String),
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
                MutantStatus::Timeout => counts.timeout += 1,
            }
        }
        counts
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
    for files in engines.values() {
        let Some(engine) = files.first().map(|file| &file.world.engine) else { continue };
        let (mutated, unviable) = LoadedMutant::all(engine);
        all.unviable += unviable;
        let run = MutationRun { engine, files, mutated: &mutated, until };
        all.mutants.extend(run.mutants()?);
    }
    let texts = files.iter().flat_map(|file| file.world.engine.policies());
    let texts: BTreeMap<&str, &str> = texts.map(|p| (p.file(), p.file_text())).collect();
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
                match Self::read(&variants, policy, links, edit) {
                    Some(mutated) => all.push(mutated),
                    None => unviable += 1,
                }
            }
        }
        (all, unviable)
    }

    fn read(
        variants: &Variants,
        policy: PolicyInfo<'e>,
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
        Some(Self { policy, edit, variants })
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
            Some(reason) if matches!(status, MutantStatus::Survived(_)) => {
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
    files: &'r [&'r MutationTarget<'s>],
    mutated: &'r [LoadedMutant<'r>],
    until: Instant,
}

impl MutationRun<'_, '_> {
    fn mutants(&self) -> Result<Vec<Mutant>, DecideError> {
        let killed = self.kill()?;
        let suggested = self.search(&killed);
        let mut suppressions = BTreeMap::new();
        let ends = killed.into_iter().zip(suggested);
        let mutants = self.mutated.iter().zip(ends).map(|(mutated, (killed, suggested))| {
            let status = match (killed, suggested) {
                (Some(by), _) => MutantStatus::Killed(by),
                (None, Search::Found(case)) => MutantStatus::Survived(case),
                (None, Search::Nothing) => MutantStatus::Equivalent,
                (None, Search::TimeOver) => MutantStatus::Timeout,
            };
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
                    for (mutated, killer) in self.mutated.iter().zip(&killers) {
                        if killer.load(Ordering::Relaxed) > number
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
            let policy = |number| self.engine.policies().nth(number);
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

    /// Looks for requests that tell the mutants that are left from the policies.
    fn search(&self, killed: &[Option<String>]) -> Vec<Search> {
        let left: Vec<(usize, &LoadedMutant<'_>)> = self
            .mutated
            .iter()
            .enumerate()
            .filter(|(number, _)| killed.get(*number).is_some_and(Option::is_none))
            .collect();
        let mut found: Vec<Search> = self.mutated.iter().map(|_| Search::Nothing).collect();
        for file in self.files {
            let space = Combinations::of(&file.cases, file.world, REQUESTS);
            let numbers = none_found(left.len());
            let all_looked_at = AtomicBool::new(true);
            parallel::fold(
                space.len(),
                || (),
                |(), number| {
                    if self.is_over() {
                        all_looked_at.store(false, Ordering::Relaxed);
                        return;
                    }
                    if numbers.iter().any(|best| best.load(Ordering::Relaxed) > number) {
                        self.try_request(file, &space, number, &left, &numbers);
                    }
                },
            );
            for ((number, _), best) in left.iter().zip(numbers) {
                let Some(found) = found.get_mut(*number) else { continue };
                let best = best.into_inner();
                if matches!(found, Search::Found(_)) {
                    continue;
                }
                if let Some(case) = self.suggestion(file, &space, best) {
                    *found = Search::Found(case);
                } else if !all_looked_at.load(Ordering::Relaxed) {
                    *found = Search::TimeOver;
                }
            }
        }
        found
    }

    /// Looks at one request of the space.
    fn try_request(
        &self,
        file: &MutationTarget<'_>,
        space: &Combinations,
        number: usize,
        left: &[(usize, &LoadedMutant<'_>)],
        numbers: &[AtomicUsize],
    ) {
        let asked = space.case(number).and_then(|case| question(&case, file.world).ok());
        let Some(asked) = asked.filter(|asked| asked.refused.is_none()) else { return };
        // Nor does every one conform.
        let _ = self.engine.trial(&asked.request, &asked.entities, |trial| {
            let base = trial.verdicts();
            for ((_, mutated), best) in left.iter().zip(numbers) {
                if best.load(Ordering::Relaxed) <= number {
                    continue;
                }
                let differs = mutated.verdicts(trial).is_some_and(|verdicts| {
                    verdicts.decision() != base.decision() || !verdicts.errors().eq(base.errors())
                });
                if differs {
                    best.fetch_min(number, Ordering::Relaxed);
                }
            }
        });
    }

    fn suggestion(
        &self,
        file: &MutationTarget<'_>,
        space: &Combinations,
        number: usize,
    ) -> Option<SuggestedCase> {
        let case = space.case(number)?;
        let asked = question(&case, file.world).ok()?;
        let outcome = self.engine.decide(&asked.request, &asked.entities).ok()?;
        let allowed = outcome.decision() == Decision::Allow;
        let reasons: Vec<&str> = outcome.reasons().map(|policy| policy.id()).collect();
        Some(SuggestedCase { yaml: text::yaml(&case, allowed, &reasons), explain: asked.explain })
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }
}

/// What a search came to.
enum Search {
    Found(SuggestedCase),
    Nothing,
    TimeOver,
}

fn none_found(count: usize) -> Vec<AtomicUsize> {
    std::iter::repeat_with(|| AtomicUsize::new(NONE)).take(count).collect()
}
