//! Mutants that no case notices, held against what the fixtures make possible.

use std::sync::atomic::{AtomicUsize, Ordering};

use stagedoor_core::Decision;

use super::{
    LoadedMutant, MutantStatus, MutationRun, MutationTarget, SuggestedCase, none_found, text,
};
use crate::combinations::Combinations;
use crate::parallel;
use crate::resolve::question;

/// So many requests are looked at where all are reasoned about afterwards: enough to find names that
/// people know for most cases that are missing.
const REQUESTS: usize = 4_000;

/// So many where nothing can be reasoned about.
const ALL_REQUESTS: usize = 300_000;

impl MutationRun<'_, '_> {
    /// Looks for requests of the fixtures that tell the mutants that are left from the policies.
    pub(super) fn search(&self, statuses: &mut [Option<MutantStatus>]) {
        let limit = if self.can_be_proved() { REQUESTS } else { ALL_REQUESTS };
        for file in self.files {
            let left = self.left(statuses);
            let space = Combinations::of(&file.cases, file.world, limit);
            let numbers = none_found(left.len());
            parallel::fold(
                space.len(),
                || (),
                |(), number| {
                    if !self.is_over()
                        && numbers.iter().any(|best| best.load(Ordering::Relaxed) > number)
                    {
                        self.try_request(file, &space, number, &left, &numbers);
                    }
                },
            );
            for ((number, _), best) in left.iter().zip(numbers) {
                let Some(status) = statuses.get_mut(*number) else { continue };
                let found = self.of_fixtures(file, &space, best.into_inner());
                *status = found.map(MutantStatus::Survived);
            }
        }
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
            let truths = trial.scopes(&self.scopes);
            for ((_, mutated), best) in left.iter().zip(numbers) {
                if best.load(Ordering::Relaxed) <= number
                    || !mutated.may_matter(&self.scopes, &truths)
                {
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

    fn of_fixtures(
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

    /// Returns the mutants of which nothing is known yet, with their numbers.
    pub(super) fn left(
        &self,
        statuses: &[Option<MutantStatus>],
    ) -> Vec<(usize, &LoadedMutant<'_>)> {
        let mutated = self.mutated.iter().enumerate();
        let all = mutated.zip(statuses).filter(|(_, status)| status.is_none());
        all.map(|(mutant, _)| mutant).collect()
    }
}
