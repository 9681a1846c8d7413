//! Answers as the specification writes them. The order of members is the one that the runners of
//! the interoperability events compare by.

use serde::Serialize;
use stagedoor_core::Effect;

use crate::world::Verdict;

/// The answer to one evaluation.
#[derive(Debug, Serialize)]
pub(crate) struct Evaluation {
    pub(crate) decision: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) context: Option<ReasonContext>,
}

/// The answers to several evaluations.
#[derive(Debug, Serialize)]
pub(crate) struct Evaluations {
    pub(crate) evaluations: Vec<Evaluation>,
}

/// Why an answer is what it is, where that was asked for.
#[derive(Debug, Default, Serialize)]
pub(crate) struct ReasonContext {
    reasons: Vec<Reason>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<PolicyFailure>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    guards: Vec<GuardAnswer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure>,
}

/// A policy that determined the answer.
#[derive(Debug, Serialize)]
struct Reason {
    policy: String,
    effect: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    doc: Option<String>,
}

/// What a guard of a policy said.
#[derive(Debug, Serialize)]
struct GuardAnswer {
    policy: String,
    rule: String,
    verdict: String,
}

/// A policy that could not be evaluated.
#[derive(Debug, Serialize)]
struct PolicyFailure {
    policy: String,
    code: String,
    message: String,
}

/// Why the policies could not be asked.
#[derive(Debug, Serialize)]
struct Failure {
    code: &'static str,
    message: String,
}

impl ReasonContext {
    /// Returns why a question was answered as it was.
    pub(crate) fn of(verdict: &Verdict) -> Self {
        match &verdict.outcome {
            Ok(outcome) => Self {
                reasons: outcome
                    .reasons()
                    .map(|policy| Reason {
                        policy: policy.id().to_owned(),
                        effect: match policy.effect() {
                            Effect::Permit => "permit",
                            Effect::Forbid => "forbid",
                        },
                        doc: policy.annotation("doc").map(str::to_owned),
                    })
                    .collect(),
                errors: outcome
                    .errors()
                    .iter()
                    .map(|error| PolicyFailure {
                        policy: error.policy().to_owned(),
                        code: error.code().to_owned(),
                        message: error.message().to_owned(),
                    })
                    .collect(),
                guards: outcome
                    .guards()
                    .iter()
                    .map(|guard| GuardAnswer {
                        policy: guard.policy().to_owned(),
                        rule: guard.rule().to_owned(),
                        verdict: guard.verdict().to_string(),
                    })
                    .collect(),
                error: None,
            },
            Err(error) => Self::error(error.code(), error.to_string()),
        }
    }

    /// Returns why a question could not be asked.
    pub(crate) fn error(code: &'static str, message: String) -> Self {
        Self { error: Some(Failure { code, message }), ..Self::default() }
    }
}

/// One entity of a list.
#[derive(Debug, Serialize)]
pub(crate) struct EntityResult {
    #[serde(rename = "type")]
    pub(crate) type_: String,
    pub(crate) id: String,
}

/// One action of a list.
#[derive(Debug, Serialize)]
pub(crate) struct ActionResult {
    pub(crate) name: String,
}

/// A list, or a page of it.
#[derive(Debug, Serialize)]
pub(crate) struct Results<R> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) page: Option<PageInfo>,
    pub(crate) results: Vec<R>,
}

/// Where a page stands in its list.
#[derive(Debug, Serialize)]
pub(crate) struct PageInfo {
    /// What the next page is asked for by; empty at the end.
    pub(crate) next_token: String,
    /// How many results are in this page.
    pub(crate) count: usize,
}
