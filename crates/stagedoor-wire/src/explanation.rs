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
    /// Of a denial: the smallest changes that were found with which the request would be allowed,
    /// each tried by deciding it. Empty where none was found, which does not mean that there is none.
    pub counterfactuals: Vec<Counterfactual>,
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
    /// Of a policy whose clauses all hold: these, the scope's constraints left out. Left out where
    /// there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<Clause>,
    /// Of a policy that could not be evaluated: the reason. Of one that a guard holds back: which
    /// guard does, and what it says; `guards` of the answer have what all of them say.
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
    /// The clause in Cedar; one of `unless` stands as its negation.
    pub text: String,
    /// The policy's file.
    pub file: String,
    /// The line, from 1; none for policies that were read from JSON.
    pub line: Option<usize>,
    /// The column in characters, from 1.
    pub column: Option<usize>,
    /// Of a clause that holds: the alternatives of its outermost `||` that do. Left out where it
    /// has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<Alternative>,
    /// The values that it looks at, in the order in which it names them, the first eight; left out
    /// where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<MetValue>,
}

/// An alternative of a clause, which holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Alternative {
    /// The alternative in Cedar.
    pub text: String,
    /// The line, from 1; none for policies that were read from JSON.
    pub line: Option<usize>,
    /// The column in characters, from 1.
    pub column: Option<usize>,
    /// The values that it looks at; left out where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<MetValue>,
}

/// A value that a clause met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MetValue {
    /// Where it stands, in Cedar: `resource.owner`.
    pub expression: String,
    /// The value in Cedar, cut where it is longer than 1 KiB; none where there is nothing.
    pub value: Option<String>,
}

/// What would have to be different for a denied request to be allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Counterfactual {
    /// All of it together.
    pub changes: Vec<Change>,
    /// Ids of the policies that would permit the request then.
    pub permits: Vec<String>,
}

/// One thing that would have to be different.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Change {
    /// What would have to be different, in Cedar: `resource.tier`, `principal`.
    pub subject: String,
    /// What it is now, in Cedar; none where there is nothing.
    pub from: Option<String>,
    /// How it would have to stand to `to`.
    pub relation: Relation,
    /// What to, in Cedar; none for `absent`.
    pub to: Option<String>,
}

/// How something would have to stand to something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Relation {
    /// It would be equal.
    Equal,
    /// It would be something else.
    NotEqual,
    /// It would not be there.
    Absent,
    /// It would be a member, directly or not.
    In,
    /// It would be no member.
    NotIn,
}

impl From<&stagedoor_core::FailedClause> for Clause {
    fn from(clause: &stagedoor_core::FailedClause) -> Self {
        Self {
            text: clause.text().to_owned(),
            file: clause.file().to_owned(),
            line: clause.line(),
            column: clause.column(),
            alternatives: Vec::new(),
            values: met(clause.values()),
        }
    }
}

impl From<&stagedoor_core::HeldClause> for Clause {
    fn from(clause: &stagedoor_core::HeldClause) -> Self {
        Self {
            text: clause.text().to_owned(),
            file: clause.file().to_owned(),
            line: clause.line(),
            column: clause.column(),
            alternatives: clause.alternatives().iter().map(Alternative::from).collect(),
            values: met(clause.values()),
        }
    }
}

impl From<&stagedoor_core::HeldAlternative> for Alternative {
    fn from(alternative: &stagedoor_core::HeldAlternative) -> Self {
        let (text, values) = (alternative.text().to_owned(), met(alternative.values()));
        Self { text, line: alternative.line(), column: alternative.column(), values }
    }
}

fn met(values: &[stagedoor_core::MetValue]) -> Vec<MetValue> {
    let met = |value: &stagedoor_core::MetValue| MetValue {
        expression: value.expression().to_owned(),
        value: value.value().map(str::to_owned),
    };
    values.iter().map(met).collect()
}

impl From<&stagedoor_core::Counterfactual> for Counterfactual {
    fn from(counterfactual: &stagedoor_core::Counterfactual) -> Self {
        let changes = counterfactual.changes().iter().map(Change::from).collect();
        Self { changes, permits: counterfactual.permits().to_vec() }
    }
}

impl From<&stagedoor_core::Change> for Change {
    fn from(change: &stagedoor_core::Change) -> Self {
        use stagedoor_core::ChangedTo;

        let (relation, to) = match change.to() {
            ChangedTo::Value(value) => (Relation::Equal, Some(value)),
            ChangedTo::OtherThan(value) => (Relation::NotEqual, Some(value)),
            ChangedTo::MemberOf(group) => (Relation::In, Some(group)),
            ChangedTo::NotMemberOf(group) => (Relation::NotIn, Some(group)),
            ChangedTo::Absent => (Relation::Absent, None),
        };
        let (subject, from) = (change.subject().to_owned(), change.from().map(str::to_owned));
        Self { subject, from, relation, to: to.cloned() }
    }
}

impl Explanation {
    /// Returns the explanation of a decision of `engine`. Of a denial, that takes up to some dozens
    /// of decisions: see [`counterfactuals`](stagedoor_core::Explanation::counterfactuals).
    #[must_use]
    pub fn of(explanation: &stagedoor_core::Explanation, engine: &Engine) -> Self {
        let index = PolicyIndex::of(explanation, engine);
        let counterfactuals = explanation.counterfactuals();
        Self {
            decision: explanation.outcome().into(),
            policies: explanation.policies().iter().map(|policy| index.explained(policy)).collect(),
            nearest: explanation.nearest().iter().map(|near| index.near(near)).collect(),
            counterfactuals: counterfactuals.iter().map(Counterfactual::from).collect(),
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
            Status::HeldBack => (PolicyStatus::HeldBack, None, policy.refusal()),
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
            held: policy.held().iter().map(Clause::from).collect(),
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
