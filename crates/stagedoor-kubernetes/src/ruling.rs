//! From what policies say to what is answered: which of them count, and in whose words.

use std::collections::HashSet;

use cedar_policy::Decision;
use stagedoor_core::{Effect, Engine, Explanation, Outcome, PolicyInfo, PolicyStatus};

use crate::mode::{Modes, PolicyMode};
use crate::review::SubjectAccessReviewStatus;
use crate::reviewer::{UndecidedError, in_own_words, list};

/// What is answered to a request, and what is told besides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ruling {
    /// Whether the request is allowed.
    pub allowed: bool,
    /// Whether a policy forbids it, or it could not be decided.
    pub denied: bool,
    /// Which policies decided, in their own words where they forbid.
    pub reason: String,
    /// What went wrong on the way.
    pub evaluation_error: String,
    /// What policies in mode `warn` would forbid, in their own words.
    pub warnings: Vec<String>,
    /// The ids of the policies that would forbid it, were they enforced.
    pub unenforced: Vec<String>,
}

impl Ruling {
    /// Returns what an outcome comes to; `explain` says it again, policy by policy.
    pub(crate) fn of(
        outcome: &Outcome,
        modes: &Modes,
        engine: &Engine,
        explain: impl FnOnce() -> Result<Explanation, UndecidedError>,
    ) -> Result<Self, UndecidedError> {
        let errors =
            outcome.errors().iter().map(|e| format!("policy `{}`: {}", e.policy(), e.message()));
        let mut ruling = Self { evaluation_error: list(errors, "; "), ..Self::default() };
        let allowed = outcome.decision() == Decision::Allow;
        let (enforced, aside): (Vec<PolicyInfo<'_>>, Vec<PolicyInfo<'_>>) =
            outcome.reasons().partition(|p| modes.of_policy(*p) == PolicyMode::Enforce);
        if !allowed {
            ruling.set_aside(&aside, modes);
        }
        if aside.is_empty() || !enforced.is_empty() {
            ruling.decide(allowed, &enforced);
            return Ok(ruling);
        }
        if allowed {
            // By policies that permit nothing yet.
            ruling.decide(false, &[]);
            return Ok(ruling);
        }
        // Forbidden by policies that do not count: what would be without them?
        let explanation = explain()?;
        let permits: HashSet<&str> = explanation
            .policies()
            .iter()
            .filter(|policy| {
                policy.effect() == Effect::Permit
                    && matches!(policy.status(), PolicyStatus::Satisfied)
                    && modes.of_id(policy.policy()) == PolicyMode::Enforce
            })
            .map(|policy| policy.policy())
            .collect();
        let permits: Vec<PolicyInfo<'_>> =
            engine.policies().filter(|policy| permits.contains(policy.id())).collect();
        ruling.decide(!permits.is_empty(), &permits);
        Ok(ruling)
    }

    fn decide(&mut self, allowed: bool, policies: &[PolicyInfo<'_>]) {
        self.allowed = allowed;
        self.denied = !allowed && !policies.is_empty();
        self.reason = match (allowed, self.denied) {
            (true, _) => {
                let ids = policies.iter().map(|policy| format!("`{}`", policy.id()));
                format!("allowed by {}", list(ids, ", "))
            }
            (false, true) => {
                let words = policies.iter().map(|policy| in_own_words(*policy));
                format!("forbidden by {}", list(words, "; "))
            }
            (false, false) => "no policy permits this".to_owned(),
        };
    }

    fn set_aside(&mut self, policies: &[PolicyInfo<'_>], modes: &Modes) {
        for policy in policies {
            self.unenforced.push(policy.id().to_owned());
            if modes.of_policy(*policy) == PolicyMode::Warn {
                self.warnings.push(in_own_words(*policy));
            }
        }
    }

    /// Returns the refusal of what is not decided.
    pub(crate) fn undecided(error: &UndecidedError) -> Self {
        let denied = Self { denied: true, ..Self::default() };
        match error {
            // Nothing went wrong: it is how the one who asks gets to know more.
            UndecidedError::EveryName => Self { reason: error.to_string(), ..denied },
            _ => Self {
                reason: "the request could not be decided".to_owned(),
                evaluation_error: error.to_string(),
                ..denied
            },
        }
    }
}

impl From<Ruling> for SubjectAccessReviewStatus {
    fn from(ruling: Ruling) -> Self {
        let Ruling { allowed, denied, mut reason, evaluation_error, unenforced, .. } = ruling;
        if !unenforced.is_empty() {
            let ids = unenforced.iter().map(|id| format!("`{id}`"));
            reason.push_str(&format!("; not enforced: {}", list(ids, ", ")));
        }
        Self { allowed, denied, reason, evaluation_error }
    }
}
