//! Which guards are asked, and what follows from their answers.
//!
//! Forbids win, so theirs are asked first, unless an unguarded forbid denies already. The
//! permits' are asked if no forbid holds, and no permit without a guard allows already. All of
//! one effect are asked or none is, so that the determining policies do not depend on the order
//! of the policy set. A denied request with no satisfied permit asks its forbids too: to a
//! caller who asks others as well, "a policy forbids it" is another answer than "none permits it".

use std::sync::Arc;

use cedar_policy::Effect;
use smallvec::SmallVec;

use crate::context::RequestRef;
use crate::error::error_chain;
use crate::guard::{BoundGuard, GuardAnswer, GuardFailure, GuardOutcome, GuardVerdict};
use crate::number::{GuardNumber, PolicyNumber};
use crate::outcome::{Outcome, PolicyError};
use crate::policy::PolicyInfo;
use crate::snapshot::Snapshot;
use crate::text::single_line;

use super::{DeterminingPolicies, Evaluation};

/// What is known of the resource while guards are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResourceKnown {
    Yes,
    /// A guard that looks at the resource is not asked, and fails closed.
    NotYet,
}

/// Whether a policy counts that Cedar satisfied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GuardedEffect {
    /// Its guards say yes.
    Holds,
    /// A guard says no.
    Refused,
    /// None says no, and one gave no answer: a permit is off, a forbid on.
    Failed,
}

impl GuardedEffect {
    /// Returns whether a policy of this effect counts.
    pub(crate) fn counts(self, effect: Effect) -> bool {
        match self {
            Self::Holds => true,
            Self::Refused => false,
            Self::Failed => effect == Effect::Forbid,
        }
    }
}

/// The guards of one request, each asked at most once.
pub(crate) struct GuardSession<'a> {
    asked: RequestRef<'a>,
    resource: ResourceKnown,
    answers: SmallVec<[(GuardNumber, GuardVerdict); 4]>,
}

impl<'a> GuardSession<'a> {
    pub(crate) fn new(asked: RequestRef<'a>, resource: ResourceKnown) -> Self {
        Self { asked, resource, answers: SmallVec::new() }
    }

    /// Asks a policy's guards in their order until one says no, and adds what came of them.
    pub(crate) fn ask(
        &mut self,
        policy: PolicyInfo<'_>,
        outcomes: &mut Vec<GuardOutcome>,
    ) -> GuardedEffect {
        let mut standing = GuardedEffect::Holds;
        for guard in &policy.policy.body.guards {
            let verdict = match standing {
                GuardedEffect::Refused => GuardVerdict::NotAsked,
                GuardedEffect::Holds | GuardedEffect::Failed => self.verdict(guard),
            };
            match &verdict {
                GuardVerdict::No(_) => standing = GuardedEffect::Refused,
                GuardVerdict::Failed(_) => standing = GuardedEffect::Failed,
                GuardVerdict::Yes(_) | GuardVerdict::NotAsked => {}
            }
            outcomes.push(outcome(policy, guard, verdict));
        }
        standing
    }

    fn verdict(&mut self, guard: &BoundGuard) -> GuardVerdict {
        if let Some((_, known)) = self.answers.iter().find(|(number, _)| *number == guard.number) {
            return known.clone();
        }
        let unknown = self.resource == ResourceKnown::NotYet && guard.guard.inputs().resource;
        let verdict = if unknown {
            GuardVerdict::Failed(GuardFailure {
                code: "guard::resource-unknown",
                message: "it looks at the resource, which is not known yet".to_owned(),
            })
        } else {
            let evaluated = match self.asked.whole() {
                Ok((request, entities)) => guard.guard.evaluate(request, entities),
                Err(error) => {
                    Err(GuardFailure { code: "guard::request", message: error_chain(&error) })
                }
            };
            // A rule's words reach terminals, logs of CI servers and answers by HTTP.
            let cleaned = |text: String| single_line(&text);
            match evaluated {
                Ok(GuardAnswer { holds: true, reason }) => GuardVerdict::Yes(reason.map(cleaned)),
                Ok(GuardAnswer { holds: false, reason }) => GuardVerdict::No(reason.map(cleaned)),
                Err(GuardFailure { code, message }) => {
                    GuardVerdict::Failed(GuardFailure { code, message: cleaned(message) })
                }
            }
        };
        self.answers.push((guard.number, verdict.clone()));
        verdict
    }
}

/// Adds a policy's guards as not asked.
fn pass_over(policy: PolicyInfo<'_>, outcomes: &mut Vec<GuardOutcome>) {
    let guards = policy.policy.body.guards.iter();
    outcomes.extend(guards.map(|guard| outcome(policy, guard, GuardVerdict::NotAsked)));
}

fn outcome(policy: PolicyInfo<'_>, guard: &BoundGuard, verdict: GuardVerdict) -> GuardOutcome {
    GuardOutcome { policy: policy.id().to_owned(), rule: guard.rule.to_string(), verdict }
}

/// Returns the errors of guards that failed.
pub(crate) fn errors(outcomes: &[GuardOutcome]) -> impl Iterator<Item = PolicyError> {
    outcomes.iter().filter_map(|outcome| match &outcome.verdict {
        GuardVerdict::Failed(failure) => Some(PolicyError {
            policy: outcome.policy.clone(),
            code: failure.code,
            message: format!("guard `{}`: {}", outcome.rule, failure.message),
        }),
        _ => None,
    })
}

impl Evaluation<'_, '_> {
    /// Asks the guards that can change the answer, and returns the answer.
    pub(crate) fn outcome(&self, tally: DeterminingPolicies, guards: GuardSession<'_>) -> Outcome {
        if tally.guarded.is_empty() {
            return tally.settled(self.engine, Vec::new());
        }
        guarded_outcome(self.engine, tally, guards)
    }

    /// Returns the request's guards, none asked yet.
    pub(crate) fn guards(&self, resource: ResourceKnown) -> GuardSession<'_> {
        GuardSession::new(self.view.asked, resource)
    }
}

fn guarded_outcome(
    engine: &Arc<Snapshot>,
    mut tally: DeterminingPolicies,
    mut guards: GuardSession<'_>,
) -> Outcome {
    let guarded = std::mem::take(&mut tally.guarded);
    let mut asked: Vec<(PolicyNumber, Vec<GuardOutcome>)> = Vec::new();
    for effect in [Effect::Forbid, Effect::Permit] {
        let is_open = match effect {
            Effect::Forbid => tally.forbids.is_empty(),
            Effect::Permit => tally.forbids.is_empty() && tally.permits.is_empty(),
        };
        for number in guarded.iter().copied() {
            let Some(policy) = engine.policy(number).filter(|p| p.effect() == effect) else {
                continue;
            };
            let mut outcomes = Vec::new();
            if !is_open {
                pass_over(policy, &mut outcomes);
            } else if guards.ask(policy, &mut outcomes).counts(effect) {
                tally.satisfied(number, effect);
            }
            tally.errors.extend(errors(&outcomes).map(|error| (number, error)));
            asked.push((number, outcomes));
        }
    }
    asked.sort_by_key(|(number, _)| *number);
    tally.errors.sort_by_key(|(number, _)| *number);
    tally.permits.sort_unstable();
    tally.forbids.sort_unstable();
    tally.settled(engine, asked.into_iter().flat_map(|(_, outcomes)| outcomes).collect())
}
