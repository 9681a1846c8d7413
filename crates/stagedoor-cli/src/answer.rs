//! Answers as programs read them. The README of this crate describes the keys.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use stagedoor_core::{
    Decision, Effect, Engine, Explanation, FailedClause, GuardOutcome, GuardVerdict, NearPermit,
    Outcome, PolicyError, PolicyExplanation, PolicyInfo, PolicyStatus,
};

/// The answer to one request.
#[derive(Debug, Serialize)]
pub(crate) struct Answer<'a> {
    decision: &'static str,
    reasons: Vec<&'a str>,
    errors: Vec<AnswerError<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    guards: Vec<AnswerGuard<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'a str>,
    revision: &'a str,
}

/// A policy that could not be evaluated.
#[derive(Debug, Serialize)]
struct AnswerError<'a> {
    policy: &'a str,
    /// A guard's; Cedar's errors have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    message: &'a str,
}

impl<'a> AnswerError<'a> {
    fn of(error: &'a PolicyError) -> Self {
        let code = Some(error.code()).filter(|code| *code != "policy::evaluation");
        Self { policy: error.policy(), code, message: error.message() }
    }
}

/// What a custom rule said of a policy that it guards.
#[derive(Debug, Serialize)]
struct AnswerGuard<'a> {
    policy: &'a str,
    rule: &'a str,
    verdict: &'static str,
    reason: Option<&'a str>,
}

impl<'a> AnswerGuard<'a> {
    fn of(guard: &'a GuardOutcome) -> Self {
        let (verdict, reason) = match guard.verdict() {
            GuardVerdict::Yes(reason) => ("yes", reason.as_deref()),
            GuardVerdict::No(reason) => ("no", reason.as_deref()),
            GuardVerdict::Failed(failure) => ("failed", Some(failure.message.as_str())),
            GuardVerdict::NotAsked => ("not-asked", None),
            _ => ("unknown", None),
        };
        Self { policy: guard.policy(), rule: guard.rule(), verdict, reason }
    }
}

impl<'a> Answer<'a> {
    pub(crate) fn of(outcome: &'a Outcome) -> Self {
        let errors = outcome.errors().iter();
        Self {
            decision: word(outcome.decision()),
            reasons: outcome.reasons().map(|policy| policy.id()).collect(),
            errors: errors.map(AnswerError::of).collect(),
            guards: outcome.guards().iter().map(AnswerGuard::of).collect(),
            error: None,
            help: None,
            revision: outcome.revision(),
        }
    }

    /// Returns the denial of what could not be put to the policies, with the reason.
    pub(crate) fn refused(error: &'a str, engine: &'a Engine) -> Self {
        let (reasons, errors, guards) = (Vec::new(), Vec::new(), Vec::new());
        let (decision, revision) = (word(Decision::Deny), engine.revision());
        Self { decision, reasons, errors, guards, error: Some(error), help: None, revision }
    }

    /// Adds what to do about a refusal.
    pub(crate) fn with_help(self, help: Option<&'a str>) -> Self {
        Self { help, ..self }
    }
}

/// Returns the word for a decision.
pub(crate) fn word(decision: Decision) -> &'static str {
    match decision {
        Decision::Allow => "allow",
        Decision::Deny => "deny",
    }
}

/// Returns the word for an effect.
pub(crate) fn effect_word(effect: Effect) -> &'static str {
    match effect {
        Effect::Permit => "permit",
        Effect::Forbid => "forbid",
    }
}

/// The answer to one request with what the policies say to it.
#[derive(Debug, Serialize)]
pub(crate) struct ExplainedAnswer<'a> {
    #[serde(flatten)]
    answer: Answer<'a>,
    policies: Vec<ExplainedPolicy<'a>>,
    nearest: Vec<Near<'a>>,
}

#[derive(Debug, Serialize)]
struct ExplainedPolicy<'a> {
    #[serde(flatten)]
    policy: Named<'a>,
    effect: &'static str,
    status: &'static str,
    failed: Option<Clause<'a>>,
    message: Option<&'a str>,
    /// Cedar's evaluator decides it, which takes longer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    interpreted: bool,
}

#[derive(Debug, Serialize)]
struct Near<'a> {
    #[serde(flatten)]
    policy: Named<'a>,
    failed: Vec<Clause<'a>>,
}

/// A policy and where it stands.
#[derive(Debug, Serialize)]
struct Named<'a> {
    policy: &'a str,
    file: Option<&'a str>,
    line: Option<usize>,
    doc: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct Clause<'a> {
    text: &'a str,
    file: &'a str,
    line: Option<usize>,
    column: Option<usize>,
}

impl<'a> Clause<'a> {
    fn of(clause: &'a FailedClause) -> Self {
        let (text, file) = (clause.text(), clause.file());
        Self { text, file, line: clause.line(), column: clause.column() }
    }
}

impl<'a> ExplainedAnswer<'a> {
    pub(crate) fn of(explanation: &'a Explanation, engine: &'a Engine) -> Self {
        let known = KnownPolicies::of(explanation, engine);
        let policies = explanation.policies().iter().map(|policy| {
            let (status, failed, message) = match policy.status() {
                PolicyStatus::NotSatisfied(clause) => {
                    ("not-satisfied", Some(Clause::of(clause)), None)
                }
                PolicyStatus::Errored(message) => ("errored", None, Some(message.as_str())),
                PolicyStatus::Satisfied => ("satisfied", None, None),
                PolicyStatus::HeldBack => ("held-back", None, None),
                _ => ("unknown", None, None),
            };
            let (effect, interpreted) = (effect_word(policy.effect()), !policy.is_compiled());
            let policy = known.named(policy.policy());
            ExplainedPolicy { policy, effect, status, failed, message, interpreted }
        });
        let nearest = explanation.nearest().iter().map(|near| Near {
            policy: known.named(near.policy()),
            failed: near.failed().iter().map(Clause::of).collect(),
        });
        let (policies, nearest) = (policies.collect(), nearest.collect());
        Self { answer: Answer::of(explanation.outcome()), policies, nearest }
    }
}

/// The policies that an explanation speaks of, by id.
pub(crate) struct KnownPolicies<'a>(HashMap<&'a str, PolicyInfo<'a>>);

impl<'a> KnownPolicies<'a> {
    pub(crate) fn of(explanation: &Explanation, engine: &'a Engine) -> Self {
        let spoken_of = explanation.policies().iter().map(PolicyExplanation::policy);
        let near = explanation.nearest().iter().map(NearPermit::policy);
        let ids: HashSet<&str> = spoken_of.chain(near).collect();
        let named = engine.policies().filter(|policy| ids.contains(policy.id()));
        Self(named.map(|policy| (policy.id(), policy)).collect())
    }

    pub(crate) fn get(&self, id: &str) -> Option<PolicyInfo<'a>> {
        self.0.get(id).copied()
    }

    fn named<'b>(&self, id: &'b str) -> Named<'b>
    where
        'a: 'b,
    {
        let policy = self.get(id);
        Named {
            policy: id,
            file: policy.map(|p| p.file()),
            line: policy.and_then(|p| p.line()),
            doc: policy.and_then(|p| p.annotation("doc")),
        }
    }
}
