//! Explanations, as JavaScript gets them.

use napi_derive::napi;
use stagedoor_core::{Effect, FailedClause, PolicyStatus};

use crate::decision::Decision;
use crate::failure::number;

/// What every policy in question says to a request.
#[napi(object, object_from_js = false)]
#[derive(Debug)]
pub struct Explanation {
    /// The decision that is explained.
    pub decision: Decision,
    /// Every policy whose scope matches the request, in the order of the policy set.
    pub policies: Vec<PolicyExplanation>,
    /// For a denial because nothing permits: the permits that came nearest.
    pub nearest: Vec<NearPermit>,
    /// The revision of the policy set that decided.
    pub revision: String,
}

/// What one policy says to a request.
#[napi(object, object_from_js = false)]
#[derive(Debug)]
pub struct PolicyExplanation {
    /// Id of the policy.
    pub policy: String,
    /// Whether it permits or forbids.
    #[napi(ts_type = "'permit' | 'forbid'")]
    pub effect: &'static str,
    /// Whether it applies.
    #[napi(ts_type = "'satisfied' | 'notSatisfied' | 'errored'")]
    pub status: &'static str,
    /// The first clause that does not hold, of a policy that is not satisfied.
    pub clause: Option<Clause>,
    /// Cedar's reason, of a policy that could not be evaluated.
    pub message: Option<String>,
}

/// A permit that was not satisfied.
#[napi(object, object_from_js = false)]
#[derive(Debug)]
pub struct NearPermit {
    /// Id of the policy.
    pub policy: String,
    /// The clauses that do not hold.
    pub failed: Vec<Clause>,
}

/// A scope constraint, or a conjunct of a condition.
#[napi(object, object_from_js = false)]
#[derive(Debug)]
pub struct Clause {
    /// The clause in Cedar.
    pub text: String,
    /// The policy's file.
    pub file: String,
    /// The line, from 1.
    pub line: Option<u32>,
    /// The column in characters, from 1.
    pub column: Option<u32>,
}

impl From<&FailedClause> for Clause {
    fn from(clause: &FailedClause) -> Self {
        Self {
            text: clause.text().to_owned(),
            file: clause.file().to_owned(),
            line: clause.line().and_then(number),
            column: clause.column().and_then(number),
        }
    }
}

impl From<&stagedoor_core::PolicyExplanation> for PolicyExplanation {
    fn from(policy: &stagedoor_core::PolicyExplanation) -> Self {
        let (status, clause, message) = match policy.status() {
            PolicyStatus::Satisfied => ("satisfied", None, None),
            PolicyStatus::NotSatisfied(clause) => ("notSatisfied", Some(clause.into()), None),
            PolicyStatus::Errored(message) => ("errored", None, Some(message.clone())),
            _ => ("errored", None, None),
        };
        let effect = match policy.effect() {
            Effect::Permit => "permit",
            Effect::Forbid => "forbid",
        };
        Self { policy: policy.policy().to_owned(), effect, status, clause, message }
    }
}

impl From<&stagedoor_core::NearPermit> for NearPermit {
    fn from(near: &stagedoor_core::NearPermit) -> Self {
        let failed = near.failed().iter().map(Clause::from).collect();
        Self { policy: near.policy().to_owned(), failed }
    }
}

impl From<&stagedoor_core::Explanation> for Explanation {
    fn from(explanation: &stagedoor_core::Explanation) -> Self {
        let outcome = explanation.outcome();
        Self {
            decision: outcome.into(),
            policies: explanation.policies().iter().map(PolicyExplanation::from).collect(),
            nearest: explanation.nearest().iter().map(NearPermit::from).collect(),
            revision: outcome.revision().to_owned(),
        }
    }
}
