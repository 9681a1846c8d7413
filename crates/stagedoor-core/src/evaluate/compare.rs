//! Lets Cedar's evaluator decide beside the compiled conditions, and takes the stricter answer.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use cedar_policy::Effect;

use super::{DeterminingPolicies, Evaluation, Verdict};
use crate::error::DecideError;
use crate::number::PolicyNumber;
use crate::outcome::PolicyError;
use crate::shadow::Shadow;
use crate::snapshot::Snapshot;

/// What policies say: the number, and whether it is satisfied rather than in error.
type PolicyVerdicts = Vec<(PolicyNumber, bool)>;

impl Evaluation<'_, '_> {
    /// Lets Cedar evaluate every policy whose scope matches. Where it says something else, a
    /// permit counts if both satisfy it, a forbid if one does.
    pub(super) fn compare(
        &self,
        shadow: &Shadow,
        counts: &impl Fn(PolicyNumber) -> bool,
        tally: &mut DeterminingPolicies,
    ) -> Result<(), DecideError> {
        let engine = self.engine;
        shadow.compared.fetch_add(1, Ordering::Relaxed);
        // INVARIANT: whichever of the two is wrong, the answer is no wider than the narrower one.
        let own = said(tally, engine.exact);
        let mut cedar = DeterminingPolicies::default();
        for (number, policy) in engine.numbered_policies() {
            if !counts(number) || !self.scope(policy.policy) {
                continue;
            }
            match self.whole(policy)? {
                Verdict::NotSatisfied => {}
                Verdict::Satisfied => cedar.add(number, policy.policy),
                Verdict::Errored(fault) => {
                    cedar.errors.push((number, PolicyError::evaluation(policy, &fault)));
                    if policy.effect() == Effect::Forbid && !self.engine.exact {
                        cedar.forbids.push(number);
                    }
                }
            }
        }
        let others = said(&cedar, self.engine.exact);
        if own == others {
            return Ok(());
        }
        shadow.differences.fetch_add(1, Ordering::Relaxed);
        let differing = own.iter().filter(|said| !others.contains(said));
        let differing = differing.chain(others.iter().filter(|said| !own.contains(said)));
        // Once each, though both may say something.
        let differing: BTreeSet<PolicyNumber> = differing.map(|(number, _)| *number).collect();
        let policies = differing.into_iter().filter_map(|number| engine.policy(number));
        let ids: Vec<&str> = policies.map(|policy| policy.id()).collect();
        shadow.sink.differs(self.view.whole()?.0, &ids);
        stricter(tally, cedar, engine);
        Ok(())
    }
}

fn stricter(tally: &mut DeterminingPolicies, cedar: DeterminingPolicies, engine: &Snapshot) {
    let is_forbid =
        |number: PolicyNumber| engine.policy(number).is_some_and(|p| p.effect() == Effect::Forbid);
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
    let errs = |number: &PolicyNumber| tally.errors.iter().any(|(erring, _)| erring == number);
    let satisfied = tally.permits.iter().chain(&tally.forbids).chain(&tally.guarded);
    let satisfied = satisfied.filter(|number| exact || !errs(number));
    let errors = tally.errors.iter().map(|(number, _)| (*number, false));
    let mut said: PolicyVerdicts = satisfied.map(|number| (*number, true)).chain(errors).collect();
    said.sort_unstable();
    said
}
