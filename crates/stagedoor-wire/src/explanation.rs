//! Explanations.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use stagedoor_core::{Engine, PolicyInfo};

use crate::decision::{Decision, Effect};

/// An answer with what every policy in question says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Explanation {
    /// The decision that is explained.
    #[serde(flatten)]
    pub decision: Decision,
    /// Every policy whose scope matches the request, in the order of the policy set.
    pub policies: Vec<PolicyExplanation>,
    /// Where nothing permits the request and no policy forbids it: the permits that came nearest.
    pub nearest: Vec<NearPermit>,
}

/// What one policy says to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PolicyExplanation {
    /// Id of the policy.
    pub policy: String,
    /// Its file, or the name that was given for the text.
    pub file: Option<String>,
    /// The line at which it begins, from 1; none for policies that were read from JSON.
    pub line: Option<usize>,
    /// Its annotation `@doc`.
    pub doc: Option<String>,
    /// Whether it permits or forbids.
    pub effect: Effect,
    /// Whether it applies.
    pub status: PolicyStatus,
    /// Of a policy that is not satisfied: the first clause that does not hold.
    pub failed: Option<Clause>,
    /// Of a policy that could not be evaluated: the reason.
    pub message: Option<String>,
    /// Cedar's evaluator decides it, which takes longer; left out where it is not so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interpreted: bool,
}

/// Whether a policy applies to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum PolicyStatus {
    /// Every clause holds, and no guard says no.
    Satisfied,
    /// Every clause holds, and a guard says no.
    HeldBack,
    /// A clause does not hold.
    NotSatisfied,
    /// It could not be evaluated, or a guard gave no answer.
    Errored,
}

/// A permit that was not satisfied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NearPermit {
    /// Id of the policy.
    pub policy: String,
    /// Its file, or the name that was given for the text.
    pub file: Option<String>,
    /// The line at which it begins, from 1.
    pub line: Option<usize>,
    /// Its annotation `@doc`.
    pub doc: Option<String>,
    /// The clauses that do not hold.
    pub failed: Vec<Clause>,
}

/// A scope constraint, or a conjunct of a condition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Clause {
    /// The clause in Cedar.
    pub text: String,
    /// The policy's file.
    pub file: String,
    /// The line, from 1; none for policies that were read from JSON.
    pub line: Option<usize>,
    /// The column in characters, from 1.
    pub column: Option<usize>,
}

impl From<&stagedoor_core::FailedClause> for Clause {
    fn from(clause: &stagedoor_core::FailedClause) -> Self {
        let (text, file) = (clause.text().to_owned(), clause.file().to_owned());
        Self { text, file, line: clause.line(), column: clause.column() }
    }
}

impl Explanation {
    /// Returns the explanation of a decision of `engine`.
    #[must_use]
    pub fn of(explanation: &stagedoor_core::Explanation, engine: &Engine) -> Self {
        let index = PolicyIndex::of(explanation, engine);
        Self {
            decision: explanation.outcome().into(),
            policies: explanation.policies().iter().map(|policy| index.explained(policy)).collect(),
            nearest: explanation.nearest().iter().map(|near| index.near(near)).collect(),
        }
    }
}

/// The policies that an explanation speaks of, by id.
#[derive(Debug)]
pub struct PolicyIndex<'e>(HashMap<&'e str, PolicyInfo<'e>>);

impl<'e> PolicyIndex<'e> {
    /// Finds the policies that an explanation speaks of.
    #[must_use]
    pub fn of(explanation: &stagedoor_core::Explanation, engine: &'e Engine) -> Self {
        let in_question = explanation.policies().iter().map(|policy| policy.policy());
        let near = explanation.nearest().iter().map(|near| near.policy());
        let ids: HashSet<&str> = in_question.chain(near).collect();
        let named = engine.policies().filter(|policy| ids.contains(policy.id()));
        Self(named.map(|policy| (policy.id(), policy)).collect())
    }

    /// Returns the policy with this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<PolicyInfo<'e>> {
        self.0.get(id).copied()
    }

    fn place(&self, id: &str) -> (Option<String>, Option<usize>, Option<String>) {
        let policy = self.get(id);
        let file = policy.map(|policy| policy.file().to_owned());
        let doc = policy.and_then(|policy| policy.annotation("doc")).map(str::to_owned);
        (file, policy.and_then(|policy| policy.line()), doc)
    }

    fn explained(&self, policy: &stagedoor_core::PolicyExplanation) -> PolicyExplanation {
        use stagedoor_core::PolicyStatus as Status;

        let (status, failed, message) = match policy.status() {
            Status::Satisfied => (PolicyStatus::Satisfied, None, None),
            Status::HeldBack => (PolicyStatus::HeldBack, None, None),
            Status::NotSatisfied(clause) => (PolicyStatus::NotSatisfied, Some(clause.into()), None),
            Status::Errored(message) => (PolicyStatus::Errored, None, Some(message.clone())),
        };
        let (file, line, doc) = self.place(policy.policy());
        PolicyExplanation {
            policy: policy.policy().to_owned(),
            file,
            line,
            doc,
            effect: policy.effect().into(),
            status,
            failed,
            message,
            interpreted: !policy.is_compiled(),
        }
    }

    fn near(&self, near: &stagedoor_core::NearPermit) -> NearPermit {
        let (file, line, doc) = self.place(near.policy());
        let failed = near.failed().iter().map(Clause::from).collect();
        NearPermit { policy: near.policy().to_owned(), file, line, doc, failed }
    }
}
