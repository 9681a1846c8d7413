//! From what policies say to what is answered: which of them count, and in whose words.

use cedar_policy::Decision;
use stagedoor_core::{Outcome, PolicyInfo};

use crate::mode::Modes;
use crate::policy_mode::PolicyMode;
use crate::review::SubjectAccessReviewStatus;
use crate::undecided::UndecidedError;

/// How many policies or errors an answer names before it only counts them.
const NAMED: usize = 8;
/// How much of a policy's own words an answer has, in characters.
const WORDS: usize = 512;

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

/// What is answered to a request, and the outcome of the policies that it rests on.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReviewOutcome {
    /// What is answered.
    pub ruling: Ruling,
    /// What the policies said that decide; none where the request could not be decided.
    pub outcome: Option<Outcome>,
}

impl ReviewOutcome {
    /// Returns the refusal of what is not decided.
    pub(crate) fn undecided(error: &UndecidedError) -> Self {
        Self { ruling: Ruling::undecided(error), outcome: None }
    }

    /// Adds what the same policies say to the one who asks by another id.
    pub(crate) fn with_said_besides(self, other: Self) -> Self {
        Self { ruling: self.ruling.with_said_besides(other.ruling), outcome: self.outcome }
    }
}

impl Ruling {
    /// Returns what the outcome of the policies that decide comes to.
    pub(crate) fn of(outcome: &Outcome) -> Self {
        let policies: Vec<PolicyInfo<'_>> = outcome.reasons().collect();
        let mut ruling = Self { evaluation_error: errors(outcome), ..Self::default() };
        ruling.decide(outcome.decision() == Decision::Allow, &policies);
        ruling
    }

    /// Adds what policies say that do not decide.
    pub(crate) fn with_watched(mut self, watched: &Outcome, modes: &Modes) -> Self {
        if watched.decision() == Decision::Deny {
            for policy in watched.reasons() {
                self.unenforced.push(policy.id().to_owned());
                if modes.of_id(policy.id()) == PolicyMode::Warn {
                    self.warnings.push(in_own_words(policy));
                }
            }
        }
        let errors = [std::mem::take(&mut self.evaluation_error), errors(watched)];
        self.evaluation_error = list(errors.into_iter().filter(|e| !e.is_empty()), "; ");
        self
    }

    /// Adds what the same policies say to the one who asks by another id.
    pub(crate) fn with_said_besides(mut self, other: Self) -> Self {
        let new = |known: &[String], said: String| (!known.contains(&said)).then_some(said);
        for said in other.unenforced {
            self.unenforced.extend(new(&self.unenforced, said));
        }
        for said in other.warnings {
            self.warnings.extend(new(&self.warnings, said));
        }
        self
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

    /// Adds to an answer what policies would forbid that are not enforced.
    pub(crate) fn tell_unenforced(&self, status: &mut SubjectAccessReviewStatus) {
        if !self.unenforced.is_empty() {
            let ids = self.unenforced.iter().map(|id| format!("`{id}`"));
            status.reason.push_str(&format!("; not enforced: {}", list(ids, ", ")));
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

fn errors(outcome: &Outcome) -> String {
    let errors = outcome.errors().iter();
    list(errors.map(|e| format!("policy `{}`: {}", e.policy(), e.message())), "; ")
}

impl From<Ruling> for SubjectAccessReviewStatus {
    fn from(mut ruling: Ruling) -> Self {
        let mut status = Self {
            allowed: ruling.allowed,
            denied: ruling.denied,
            reason: std::mem::take(&mut ruling.reason),
            evaluation_error: std::mem::take(&mut ruling.evaluation_error),
        };
        ruling.tell_unenforced(&mut status);
        status
    }
}

/// Returns a policy's id with what it tells those whom it stops: `@message`, or else `@doc`.
pub(crate) fn in_own_words(policy: PolicyInfo<'_>) -> String {
    let words = policy.annotation("message").or_else(|| policy.annotation("doc"));
    let words = words.map(|words| words.split_whitespace().collect::<Vec<_>>().join(" "));
    match words.filter(|words| !words.is_empty()) {
        None => format!("`{}`", policy.id()),
        Some(words) if words.chars().count() <= WORDS => format!("`{}`: {words}", policy.id()),
        Some(words) => {
            let words: String = words.chars().take(WORDS - 1).collect();
            format!("`{}`: {words}…", policy.id())
        }
    }
}

pub(crate) fn list(items: impl Iterator<Item = String>, separator: &str) -> String {
    let items: Vec<String> = items.collect();
    let named = items.get(..NAMED).unwrap_or(&items).join(separator);
    match items.len().checked_sub(NAMED) {
        Some(more @ 1..) => format!("{named} and {more} more"),
        _ => named,
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

    /// A forbid that only warns keeps no guard of the others from being asked.
    #[test]
    fn guards_are_asked_beside_what_only_warns() -> Result<(), Box<dyn std::error::Error>> {
        let warns = "@id(\"w\") @mode(\"warn\") forbid (principal, action, resource);";
        let permit = "permit (principal, action, resource);";
        let forbid = "forbid (principal, action, resource);";
        for (policies, allowed) in [
            (format!("@id(\"p\") {permit} {warns}"), true),
            (format!("@id(\"p\") {permit} {warns} @id(\"f\") @guard(\"yes\") {forbid}"), false),
            (format!("@id(\"p\") {permit} {warns} @id(\"f\") @guard(\"no\") {forbid}"), true),
            (format!("@id(\"p\") @guard(\"no\") {permit} {warns}"), false),
            (format!("@id(\"p\") @guard(\"yes\") {permit} {warns}"), true),
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
