//! From what policies say to what is answered: which of them count, and in whose words.

use std::collections::HashSet;

use cedar_policy::Decision;
use stagedoor_core::{
    Effect, Engine, Explanation, GuardOutcome, GuardVerdict, Outcome, PolicyInfo, PolicyStatus,
};

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
        //
        // INVARIANT: no guard passes for a yes because nobody asked it. Where a forbid denies
        // already, the engine asks the guards of no other policy, and the explanation tells such a
        // policy as satisfied. As for a guard that fails, a permit is off then and a forbid on.
        let explanation = explain()?;
        let enforced = explanation
            .policies()
            .iter()
            .filter(|p| modes.of_id(p.policy()) == PolicyMode::Enforce);
        let (mut permits, mut forbids) = (HashSet::new(), HashSet::new());
        for policy in enforced {
            let is_unasked = |guard: &GuardOutcome| *guard.verdict() == GuardVerdict::NotAsked;
            match (policy.effect(), policy.status()) {
                (Effect::Forbid, PolicyStatus::Satisfied | PolicyStatus::Errored(_)) => {
                    forbids.insert(policy.policy());
                }
                (Effect::Permit, PolicyStatus::Satisfied)
                    if !policy.guards().iter().any(is_unasked) =>
                {
                    permits.insert(policy.policy());
                }
                _ => {}
            }
        }
        if !forbids.is_empty() {
            let forbids: Vec<PolicyInfo<'_>> =
                engine.policies().filter(|policy| forbids.contains(policy.id())).collect();
            ruling.decide(false, &forbids);
            return Ok(ruling);
        }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use stagedoor_core::{
        Engine, Entities, Guard, GuardAnswer, GuardFailure, GuardInputs, GuardRefusal, Request,
        RuleEvaluator,
    };

    use crate::{ResourceAttributes, Reviewer, SCHEMA, Subject};

    /// Rules that answer as they are called.
    #[derive(Debug)]
    struct Rules;

    #[derive(Debug)]
    struct Says(bool);

    impl RuleEvaluator for Rules {
        fn guard(&self, rule: &str, _: &str) -> Result<Arc<dyn Guard>, GuardRefusal> {
            Ok(Arc::new(Says(rule == "yes")))
        }
    }

    impl Guard for Says {
        fn inputs(&self) -> GuardInputs {
            GuardInputs::default()
        }

        fn digest(&self) -> &str {
            if self.0 { "yes" } else { "no" }
        }

        fn evaluate(&self, _: &Request, _: &Entities) -> Result<GuardAnswer, GuardFailure> {
            Ok(GuardAnswer { holds: self.0, reason: None })
        }
    }

    /// A forbid that only warns does not keep another from being found by name.
    #[test]
    fn what_is_not_enforced_hides_no_forbid_by_name() -> Result<(), Box<dyn std::error::Error>> {
        let policies = "permit (principal, action, resource);
            @id(\"w\") @mode(\"warn\") forbid (principal, action, resource);
            @id(\"f\") forbid (principal == k8s::User::\"carol\", action, resource);";
        let engine = Engine::builder()
            .schema("kubernetes.cedarschema", SCHEMA)
            .policies("p.cedar", policies)
            .build()?;
        let reviewer = Reviewer::new(engine)?;
        for (user, uid, denied) in
            [("carol", "", true), ("carol", "u-1", true), ("dan", "u-2", false)]
        {
            let pods = ResourceAttributes::new("list", "", "pods");
            let subject = Subject::new(user).with_uid(uid);
            let ruling = reviewer.ruling(&subject, &pods.into());
            assert_eq!((ruling.denied, ruling.allowed), (denied, !denied), "{user}: {ruling:?}");
        }
        Ok(())
    }

    /// A forbid that only warns keeps the engine from asking the guards of all others: none of
    /// them passes for a yes.
    #[test]
    fn guards_that_nobody_asked_close() -> Result<(), Box<dyn std::error::Error>> {
        let warns = "@id(\"w\") @mode(\"warn\") forbid (principal, action, resource);";
        let permit = "permit (principal, action, resource);";
        let forbid = "forbid (principal, action, resource);";
        for (policies, allowed) in [
            (format!("@id(\"p\") {permit} {warns}"), true),
            (format!("@id(\"p\") {permit} {warns} @id(\"f\") @guard(\"yes\") {forbid}"), false),
            // Closed as well: it would have to be asked.
            (format!("@id(\"p\") {permit} {warns} @id(\"f\") @guard(\"no\") {forbid}"), false),
            (format!("@id(\"p\") @guard(\"no\") {permit} {warns}"), false),
            (format!("@id(\"p\") @guard(\"no\") {permit} @id(\"q\") {permit} {warns}"), true),
        ] {
            let engine = Engine::builder()
                .schema("kubernetes.cedarschema", SCHEMA)
                .policies("p.cedar", policies.as_str())
                .rules(Arc::new(Rules))
                .build()?;
            let reviewer = Reviewer::new(engine)?;
            let pods = ResourceAttributes::new("list", "", "pods");
            let ruling = reviewer.ruling(&Subject::new("ana"), &pods.into());
            assert_eq!(ruling.allowed, allowed, "{policies}: {ruling:?}");
            assert_eq!(ruling.unenforced, ["w"], "{policies}");
        }
        Ok(())
    }
}
