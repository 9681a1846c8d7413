//! Decisions, as JavaScript gets them.

use napi_derive::napi;
use stagedoor_core::Outcome;

use crate::failure::Failure;

/// The answer to one request.
#[napi(object, object_from_js = false)]
#[derive(Debug)]
pub struct Decision {
    /// Denied unless a permit is satisfied and no forbid is.
    #[napi(ts_type = "'allow' | 'deny'")]
    pub decision: &'static str,
    /// Ids of the determining policies: the satisfied permits of an allow, the forbids of a
    /// deny. Empty if nothing permits the request.
    pub reasons: Vec<String>,
    /// Policies that could not be evaluated, if there are any.
    pub errors: Option<Vec<PolicyFailure>>,
    /// Of a batch: why this request could not be decided, and is denied.
    #[napi(ts_type = "{ code: string; message: string }")]
    pub failure: Option<BatchFailure>,
}

/// Why a request of a batch could not be decided.
#[napi(object, object_from_js = false)]
#[derive(Debug)]
pub struct BatchFailure {
    /// Stable code of this kind of error.
    pub code: String,
    /// What is wrong.
    pub message: String,
}

/// A policy that could not be evaluated. A forbid of that kind denies, a permit is left out.
#[napi(object, object_from_js = false)]
#[derive(Debug)]
pub struct PolicyFailure {
    /// Id of the policy.
    pub policy: String,
    /// Cedar's reason.
    pub message: String,
}

pub(crate) fn word(decision: stagedoor_core::Decision) -> &'static str {
    match decision {
        stagedoor_core::Decision::Allow => "allow",
        stagedoor_core::Decision::Deny => "deny",
    }
}

impl From<&Outcome> for Decision {
    fn from(outcome: &Outcome) -> Self {
        let errors: Vec<_> = outcome
            .errors()
            .iter()
            .map(|error| PolicyFailure {
                policy: error.policy().to_owned(),
                message: error.message().to_owned(),
            })
            .collect();
        Self {
            decision: word(outcome.decision()),
            reasons: outcome.reasons().map(|policy| policy.id().to_owned()).collect(),
            errors: Some(errors).filter(|errors| !errors.is_empty()),
            failure: None,
        }
    }
}

impl From<Failure> for Decision {
    /// A request that cannot be decided is denied.
    fn from(failure: Failure) -> Self {
        let (code, message) = failure.into_parts();
        let failure = Some(BatchFailure { code, message });
        Self { decision: "deny", reasons: Vec::new(), errors: None, failure }
    }
}
