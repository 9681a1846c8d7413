//! Answers in JSON: outcomes, explanations, problems.
//!
//! The form is the one that `stagedoor-wire` has types for; the tests hold both to each other.

use cedar_policy::{Decision, Effect};
use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::explain::{
    Change, ChangedTo, Counterfactual, Explanation, FailedClause, HeldAlternative, HeldClause,
    MetValue, NearPermit, PolicyExplanation, PolicyStatus,
};
use crate::guard::{GuardOutcome, GuardVerdict};
use crate::outcome::{Outcome, PolicyError, Ruling};
use crate::policy::PolicyInfo;
use crate::problem::{LoadError, Problem, Severity};

const fn decision(decision: Decision) -> &'static str {
    match decision {
        Decision::Allow => "allow",
        Decision::Deny => "deny",
    }
}

const fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::Permit => "permit",
        Effect::Forbid => "forbid",
    }
}

/// An iterator's items as a list.
struct CollectedSeq<F>(F);

impl<T: Serialize, I: Iterator<Item = T>, F: Fn() -> I> Serialize for CollectedSeq<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0())
    }
}

/// Writes `{"decision", "reasons", "errors", "guards", "revision"}`; `reasons` are ids of policies,
/// and `guards` is left out where there is none.
impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Outcome", 5)?;
        answer(self, &mut fields)?;
        fields.end()
    }
}

fn answer<S: SerializeStruct>(outcome: &Outcome, fields: &mut S) -> Result<(), S::Error> {
    fields.serialize_field("decision", decision(outcome.decision()))?;
    fields.serialize_field(
        "reasons",
        &CollectedSeq(|| outcome.reasons().map(|policy| policy.id())),
    )?;
    fields.serialize_field("errors", outcome.errors())?;
    if !outcome.guards().is_empty() {
        fields.serialize_field("guards", outcome.guards())?;
    }
    fields.serialize_field("revision", outcome.revision())
}

/// Writes `{"decision", "policy"}`.
impl Serialize for Ruling<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Ruling", 2)?;
        fields.serialize_field("decision", decision(self.decision()))?;
        fields.serialize_field("policy", &self.policy().map(|policy| policy.id()))?;
        fields.end()
    }
}

/// Writes `{"policy", "code", "message"}`; the code is left out where Cedar could not evaluate the
/// policy.
impl Serialize for PolicyError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("PolicyError", 3)?;
        fields.serialize_field("policy", self.policy())?;
        if self.code() != "policy::evaluation" {
            fields.serialize_field("code", self.code())?;
        }
        fields.serialize_field("message", self.message())?;
        fields.end()
    }
}

/// Writes `{"policy", "rule", "verdict", "reason"}`.
impl Serialize for GuardOutcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (verdict, reason) = match self.verdict() {
            GuardVerdict::Yes(reason) => ("yes", reason.as_deref()),
            GuardVerdict::No(reason) => ("no", reason.as_deref()),
            GuardVerdict::Failed(failure) => ("failed", Some(failure.message.as_str())),
            GuardVerdict::NotAsked => ("not-asked", None),
        };
        let mut fields = serializer.serialize_struct("GuardOutcome", 4)?;
        fields.serialize_field("policy", self.policy())?;
        fields.serialize_field("rule", self.rule())?;
        fields.serialize_field("verdict", verdict)?;
        fields.serialize_field("reason", &reason)?;
        fields.end()
    }
}

/// Writes the fields of the outcome, and `policies`, `nearest` and `counterfactuals` beside them.
/// Of a denial, that takes up to some dozens of decisions.
impl Serialize for Explanation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let outcome = self.outcome();
        let info = |id: &str| outcome.engine.policy(outcome.engine.policies.number(id)?);
        let policies = || {
            let policies = self.policies().iter();
            policies.map(|policy| PolicyEntry { info: info(policy.policy()), of: policy })
        };
        let nearest = || {
            let nearest = self.nearest().iter();
            nearest.map(|near| PolicyEntry { info: info(near.policy()), of: near })
        };
        let mut fields = serializer.serialize_struct("Explanation", 8)?;
        answer(outcome, &mut fields)?;
        fields.serialize_field("policies", &CollectedSeq(policies))?;
        fields.serialize_field("nearest", &CollectedSeq(nearest))?;
        fields.serialize_field("counterfactuals", &self.counterfactuals())?;
        fields.end()
    }
}

/// What is told of a policy, with where that stands.
struct PolicyEntry<'a, T> {
    info: Option<PolicyInfo<'a>>,
    of: &'a T,
}

impl<T> PolicyEntry<'_, T> {
    fn place<S: SerializeStruct>(&self, fields: &mut S) -> Result<(), S::Error> {
        fields.serialize_field("file", &self.info.map(|policy| policy.file()))?;
        fields.serialize_field("line", &self.info.and_then(|policy| policy.line()))?;
        fields.serialize_field("doc", &self.info.and_then(|policy| policy.annotation("doc")))
    }
}

impl Serialize for PolicyEntry<'_, PolicyExplanation> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let policy = self.of;
        let (status, failed, message) = match policy.status() {
            PolicyStatus::Satisfied => ("satisfied", None, None),
            PolicyStatus::HeldBack => ("held-back", None, policy.refusal()),
            PolicyStatus::NotSatisfied(clause) => ("not-satisfied", Some(clause), None),
            PolicyStatus::Errored(message) => ("errored", None, Some(message.clone())),
        };
        let mut fields = serializer.serialize_struct("PolicyExplanation", 10)?;
        fields.serialize_field("policy", policy.policy())?;
        self.place(&mut fields)?;
        fields.serialize_field("effect", effect(policy.effect()))?;
        fields.serialize_field("status", status)?;
        fields.serialize_field("failed", &failed)?;
        if !policy.held().is_empty() {
            fields.serialize_field("held", policy.held())?;
        }
        fields.serialize_field("message", &message)?;
        if !policy.is_compiled() {
            fields.serialize_field("interpreted", &true)?;
        }
        fields.end()
    }
}

impl Serialize for PolicyEntry<'_, NearPermit> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("NearPermit", 5)?;
        fields.serialize_field("policy", self.of.policy())?;
        self.place(&mut fields)?;
        fields.serialize_field("failed", self.of.failed())?;
        fields.end()
    }
}

/// Writes `{"text", "file", "line", "column", "values"}`; the values are left out where there is
/// none.
impl Serialize for FailedClause {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("FailedClause", 5)?;
        fields.serialize_field("text", self.text())?;
        fields.serialize_field("file", self.file())?;
        fields.serialize_field("line", &self.line())?;
        fields.serialize_field("column", &self.column())?;
        if !self.values().is_empty() {
            fields.serialize_field("values", self.values())?;
        }
        fields.end()
    }
}

/// As of a [`FailedClause`], with `alternatives` where it has any.
impl Serialize for HeldClause {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("HeldClause", 6)?;
        fields.serialize_field("text", self.text())?;
        fields.serialize_field("file", self.file())?;
        fields.serialize_field("line", &self.line())?;
        fields.serialize_field("column", &self.column())?;
        if !self.alternatives().is_empty() {
            fields.serialize_field("alternatives", self.alternatives())?;
        }
        if !self.values().is_empty() {
            fields.serialize_field("values", self.values())?;
        }
        fields.end()
    }
}

/// As of a [`FailedClause`], without the file.
impl Serialize for HeldAlternative {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("HeldAlternative", 4)?;
        fields.serialize_field("text", self.text())?;
        fields.serialize_field("line", &self.line())?;
        fields.serialize_field("column", &self.column())?;
        if !self.values().is_empty() {
            fields.serialize_field("values", self.values())?;
        }
        fields.end()
    }
}

/// Writes `{"expression", "value"}`.
impl Serialize for MetValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("MetValue", 2)?;
        fields.serialize_field("expression", self.expression())?;
        fields.serialize_field("value", &self.value())?;
        fields.end()
    }
}

/// Writes `{"changes", "permits"}`.
impl Serialize for Counterfactual {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Counterfactual", 2)?;
        fields.serialize_field("changes", self.changes())?;
        fields.serialize_field("permits", self.permits())?;
        fields.end()
    }
}

/// Writes `{"subject", "from", "relation", "to"}`.
impl Serialize for Change {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (relation, to) = match self.to() {
            ChangedTo::Value(value) => ("equal", Some(value)),
            ChangedTo::OtherThan(value) => ("not-equal", Some(value)),
            ChangedTo::MemberOf(group) => ("in", Some(group)),
            ChangedTo::NotMemberOf(group) => ("not-in", Some(group)),
            ChangedTo::Absent => ("absent", None),
        };
        let mut fields = serializer.serialize_struct("Change", 4)?;
        fields.serialize_field("subject", self.subject())?;
        fields.serialize_field("from", &self.from())?;
        fields.serialize_field("relation", relation)?;
        fields.serialize_field("to", &to)?;
        fields.end()
    }
}

/// Writes `"error"` or `"warning"`.
impl Serialize for Severity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// Writes `{"severity", "code", "message", "file", "line", "column", "help", "policy"}`.
impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Problem", 8)?;
        fields.serialize_field("severity", &self.severity())?;
        fields.serialize_field("code", self.code())?;
        fields.serialize_field("message", self.message())?;
        fields.serialize_field("file", &self.file())?;
        fields.serialize_field("line", &self.line())?;
        fields.serialize_field("column", &self.column())?;
        fields.serialize_field("help", &self.help())?;
        fields.serialize_field("policy", &self.policy())?;
        fields.end()
    }
}

/// Writes `{"problems", "unreported"}`.
impl Serialize for LoadError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("LoadError", 2)?;
        fields.serialize_field("problems", self.problems())?;
        fields.serialize_field("unreported", &self.unreported())?;
        fields.end()
    }
}
