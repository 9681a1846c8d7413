//! Cedar's evaluator in the shadow of the compiled conditions: both decide, and are compared.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use cedar_policy::Effect;

use super::{DeterminingPolicies, Evaluation, Verdict};
use crate::engine::Engine;
use crate::error::DecideError;
use crate::outcome::PolicyError;
use crate::request::Request;

/// Is told where Cedar's evaluator differs. It should never be called: report it if it is.
pub trait DifferenceSink: fmt::Debug + Send + Sync {
    /// Takes the ids of policies of which Cedar says something else about a request.
    fn differs(&self, request: &Request, policies: &[&str]);
}

/// How often Cedar's evaluator decides as well, and what came of that.
#[derive(Debug)]
pub(crate) struct Shadow {
    one_in: NonZeroU32,
    sink: Arc<dyn DifferenceSink>,
    decisions: AtomicU32,
    pub(crate) compared: AtomicU64,
    pub(crate) differences: AtomicU64,
}

/// In debug builds Cedar decides one in so many requests as well.
const ONE_IN_DEBUG: NonZeroU32 = NonZeroU32::MIN.saturating_add(63);
/// Up to so many policies: Cedar reads all of them again for each comparison.
const FEW_POLICIES: usize = 100;

/// Tells of differences on standard error.
#[derive(Debug)]
struct StandardError;

impl DifferenceSink for StandardError {
    fn differs(&self, request: &Request, policies: &[&str]) {
        eprintln!(
            "stagedoor: Cedar's evaluator says something else of {policies:?} about {request:?}; \
             the stricter answer is given. Please report this"
        );
    }
}

/// What policies say: the number, and whether it is satisfied rather than in error.
type PolicyVerdicts = Vec<(u32, bool)>;

impl Shadow {
    pub(crate) fn new(one_in: NonZeroU32, sink: Arc<dyn DifferenceSink>) -> Self {
        let (decisions, compared) = (AtomicU32::new(0), AtomicU64::new(0));
        Self { one_in, sink, decisions, compared, differences: AtomicU64::new(0) }
    }

    /// Returns the shadow that engines have in debug builds without being asked for one.
    pub(crate) fn of_debug_build(policies: usize) -> Option<Self> {
        let is_wanted = cfg!(debug_assertions) && policies <= FEW_POLICIES;
        is_wanted.then(|| Self::new(ONE_IN_DEBUG, Arc::new(StandardError)))
    }

    /// Returns whether this decision is one that Cedar makes as well.
    pub(crate) fn is_due(&self) -> bool {
        self.decisions.fetch_add(1, Ordering::Relaxed).is_multiple_of(self.one_in.get())
    }

    /// Lets Cedar evaluate every policy whose scope matches. Where it says something else, a
    /// permit counts if both satisfy it, a forbid if one does.
    pub(crate) fn compare(
        &self,
        evaluation: &Evaluation<'_, '_>,
        engine: &Engine,
        counts: &impl Fn(u32) -> bool,
        tally: &mut DeterminingPolicies,
    ) -> Result<(), DecideError> {
        self.compared.fetch_add(1, Ordering::Relaxed);
        let own = said(tally, evaluation.engine.exact);
        let mut cedar = DeterminingPolicies::default();
        for (number, policy) in engine.numbered_policies() {
            if !counts(number) || !evaluation.scope(policy.policy) {
                continue;
            }
            match evaluation.whole(policy)? {
                Verdict::NotSatisfied => {}
                Verdict::Satisfied => cedar.add(number, policy.policy),
                Verdict::Errored(fault) => {
                    cedar.errors.push((number, PolicyError::evaluation(policy, &fault)));
                    if policy.effect() == Effect::Forbid && !evaluation.engine.exact {
                        cedar.forbids.push(number);
                    }
                }
            }
        }
        let others = said(&cedar, evaluation.engine.exact);
        if own == others {
            return Ok(());
        }
        self.differences.fetch_add(1, Ordering::Relaxed);
        let differing = own.iter().filter(|said| !others.contains(said));
        let differing = differing.chain(others.iter().filter(|said| !own.contains(said)));
        let policies = differing.filter_map(|(number, _)| engine.policy(*number));
        let ids: Vec<&str> = policies.map(|policy| policy.id()).collect();
        self.sink.differs(evaluation.view.whole()?.0, &ids);
        stricter(tally, cedar, engine);
        Ok(())
    }
}

fn stricter(tally: &mut DeterminingPolicies, cedar: DeterminingPolicies, engine: &Engine) {
    let is_forbid =
        |number: u32| engine.policy(number).is_some_and(|p| p.effect() == Effect::Forbid);
    tally.permits.retain(|number| cedar.permits.contains(number));
    tally.forbids.extend(cedar.forbids);
    tally.guarded.retain(|number| is_forbid(*number) || cedar.guarded.contains(number));
    tally.guarded.extend(cedar.guarded.into_iter().filter(|number| is_forbid(*number)));
    tally.errors.extend(cedar.errors);
    for numbers in [&mut tally.forbids[..], &mut tally.permits[..]] {
        numbers.sort_unstable();
    }
    tally.guarded.sort_unstable();
    tally.forbids.dedup();
    tally.guarded.dedup();
    tally.errors.sort_by_key(|(number, _)| *number);
    tally.errors.dedup_by_key(|(number, _)| *number);
}

/// Returns what policies say, by number; forbids that count because they err are errors.
fn said(tally: &DeterminingPolicies, exact: bool) -> PolicyVerdicts {
    let errs = |number: &u32| tally.errors.iter().any(|(erring, _)| erring == number);
    let satisfied = tally.permits.iter().chain(&tally.forbids).chain(&tally.guarded);
    let satisfied = satisfied.filter(|number| exact || !errs(number));
    let errors = tally.errors.iter().map(|(number, _)| (*number, false));
    let mut said: PolicyVerdicts = satisfied.map(|number| (*number, true)).chain(errors).collect();
    said.sort_unstable();
    said
}
