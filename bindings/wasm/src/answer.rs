//! Answers, as JavaScript gets them.

use serde::Serialize;
use stagedoor_backstage::Finding;
use stagedoor_core::{
    Decision, Effect, Explanation, FailedClause, Outcome, PolicyStatus, Severity,
};

use crate::failure::{Failure, Told};

/// The answer to one request.
#[derive(Debug, Serialize)]
pub(crate) struct Decided {
    decision: &'static str,
    reasons: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<PolicyFailure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<BatchFailure>,
}

#[derive(Debug, Serialize)]
struct PolicyFailure {
    policy: String,
    message: String,
}

#[derive(Debug, Serialize)]
struct BatchFailure {
    code: String,
    message: String,
}

impl Decided {
    /// A request of a batch that cannot be decided is denied.
    pub(crate) fn failed(failure: Failure) -> Self {
        let Told { code, message, .. } = failure.told();
        let failure = Some(BatchFailure { code, message });
        Self { decision: "deny", reasons: Vec::new(), errors: Vec::new(), failure }
    }
}

impl From<&Outcome> for Decided {
    fn from(outcome: &Outcome) -> Self {
        let failure = |error: &stagedoor_core::PolicyError| PolicyFailure {
            policy: error.policy().to_owned(),
            message: error.message().to_owned(),
        };
        Self {
            decision: match outcome.decision() {
                Decision::Allow => "allow",
                Decision::Deny => "deny",
            },
            reasons: outcome.reasons().map(|policy| policy.id().to_owned()).collect(),
            errors: outcome.errors().iter().map(failure).collect(),
            failure: None,
        }
    }
}

/// What every policy in question says.
#[derive(Debug, Serialize)]
pub(crate) struct Explained {
    decision: Decided,
    policies: Vec<PolicyExplained>,
    nearest: Vec<Near>,
    revision: String,
}

#[derive(Debug, Serialize)]
struct PolicyExplained {
    policy: String,
    effect: &'static str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    clause: Option<Clause>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

#[derive(Debug, Serialize)]
struct Near {
    policy: String,
    failed: Vec<Clause>,
}

#[derive(Debug, Serialize)]
struct Clause {
    text: String,
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
}

impl From<&FailedClause> for Clause {
    fn from(clause: &FailedClause) -> Self {
        Self {
            text: clause.text().to_owned(),
            file: clause.file().to_owned(),
            line: clause.line(),
            column: clause.column(),
        }
    }
}

impl From<&stagedoor_core::PolicyExplanation> for PolicyExplained {
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

impl From<&Explanation> for Explained {
    fn from(explanation: &Explanation) -> Self {
        let near = |near: &stagedoor_core::NearPermit| Near {
            policy: near.policy().to_owned(),
            failed: near.failed().iter().map(Clause::from).collect(),
        };
        Self {
            decision: explanation.outcome().into(),
            policies: explanation.policies().iter().map(PolicyExplained::from).collect(),
            nearest: explanation.nearest().iter().map(near).collect(),
            revision: explanation.outcome().revision().to_owned(),
        }
    }
}

/// One thing that is wrong with policies, schemas or files.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Problem {
    pub(crate) severity: &'static str,
    pub(crate) code: String,
    pub(crate) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) help: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) policy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) column: Option<usize>,
}

impl From<&stagedoor_core::Problem> for Problem {
    fn from(problem: &stagedoor_core::Problem) -> Self {
        Self {
            severity: match problem.severity() {
                Severity::Warning => "warning",
                Severity::Error => "error",
            },
            code: problem.code().to_owned(),
            message: problem.message().to_owned(),
            help: problem.help().map(str::to_owned),
            policy: problem.policy().map(str::to_owned),
            file: problem.file().map(str::to_owned),
            line: problem.line(),
            column: problem.column(),
        }
    }
}

impl From<&Finding> for Problem {
    fn from(finding: &Finding) -> Self {
        let message = match &finding.clause {
            Some(clause) => format!("{}: `{clause}`", finding.message),
            None => finding.message.clone(),
        };
        Self {
            severity: "warning",
            code: finding.code.as_str().to_owned(),
            message,
            help: Some(finding.help.clone()),
            policy: finding.policy.as_ref().map(ToString::to_string),
            file: finding.file.clone(),
            line: finding.line,
            column: None,
        }
    }
}
