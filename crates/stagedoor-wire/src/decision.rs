//! Decisions.

use serde::{Deserialize, Serialize};
use stagedoor_core::Outcome;

use crate::error::WireError;

/// Whether a request is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It is.
    Allow,
    /// It is not.
    Deny,
}

impl Verdict {
    /// Returns the word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

impl From<stagedoor_core::Decision> for Verdict {
    fn from(decision: stagedoor_core::Decision) -> Self {
        match decision {
            stagedoor_core::Decision::Allow => Self::Allow,
            stagedoor_core::Decision::Deny => Self::Deny,
        }
    }
}

/// Whether a policy permits or forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// It permits.
    Permit,
    /// It forbids.
    Forbid,
}

impl Effect {
    /// Returns the word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Permit => "permit",
            Self::Forbid => "forbid",
        }
    }
}

impl From<stagedoor_core::Effect> for Effect {
    fn from(effect: stagedoor_core::Effect) -> Self {
        match effect {
            stagedoor_core::Effect::Permit => Self::Permit,
            stagedoor_core::Effect::Forbid => Self::Forbid,
        }
    }
}

/// The answer to one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Decision {
    /// Denied unless a permit is satisfied and no forbid is.
    pub decision: Verdict,
    /// Ids of the determining policies: the satisfied permits of an allow, the forbids of a
    /// deny. Empty if nothing permits the request.
    pub reasons: Vec<String>,
    /// Policies that could not be evaluated.
    pub errors: Vec<PolicyFailure>,
    /// What custom rules said of policies that they guard; left out where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guards: Vec<GuardOutcome>,
    /// Why the policies were not asked: the stable code. The decision is then a denial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why the policies were not asked, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What to do about `error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Hash of the policies that decided, in hexadecimal: equal for equal policies.
    pub revision: String,
}

impl Decision {
    /// Returns the denial of what could not be put to the policies of this revision.
    #[must_use]
    pub fn refused(error: WireError, revision: &str) -> Self {
        let WireError { code, error, help, .. } = error;
        Self {
            decision: Verdict::Deny,
            reasons: Vec::new(),
            errors: Vec::new(),
            guards: Vec::new(),
            code: Some(code),
            error: Some(error),
            help,
            revision: revision.to_owned(),
        }
    }
}

impl From<&Outcome> for Decision {
    fn from(outcome: &Outcome) -> Self {
        Self {
            decision: outcome.decision().into(),
            reasons: outcome.reasons().map(|policy| policy.id().to_owned()).collect(),
            errors: outcome.errors().iter().map(PolicyFailure::from).collect(),
            guards: outcome.guards().iter().map(GuardOutcome::from).collect(),
            code: None,
            error: None,
            help: None,
            revision: outcome.revision().to_owned(),
        }
    }
}

/// A policy that could not be evaluated. A forbid of that kind denies, a permit is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PolicyFailure {
    /// Id of the policy.
    pub policy: String,
    /// The stable code, if a guard gave no answer: `wasm_rule::deadline`, say. Cedar's errors
    /// have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The reason: Cedar's, or the guard's.
    pub message: String,
}

impl From<&stagedoor_core::PolicyError> for PolicyFailure {
    fn from(error: &stagedoor_core::PolicyError) -> Self {
        let code = Some(error.code()).filter(|code| *code != "policy::evaluation");
        Self {
            policy: error.policy().to_owned(),
            code: code.map(str::to_owned),
            message: error.message().to_owned(),
        }
    }
}

/// What a custom rule said of a policy that it guards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GuardOutcome {
    /// Id of the policy.
    pub policy: String,
    /// The rule's name.
    pub rule: String,
    /// What it said.
    pub verdict: GuardVerdict,
    /// Why: in the rule's own words, or what went wrong.
    pub reason: Option<String>,
}

/// What a guard said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum GuardVerdict {
    /// The policy counts.
    Yes,
    /// The policy does not count.
    No,
    /// Nothing: a permit is off then, a forbid on.
    Failed,
    /// Nothing: the answer could not change any more.
    NotAsked,
}

impl From<&stagedoor_core::GuardOutcome> for GuardOutcome {
    fn from(guard: &stagedoor_core::GuardOutcome) -> Self {
        use stagedoor_core::GuardVerdict as Said;

        let (verdict, reason) = match guard.verdict() {
            Said::Yes(reason) => (GuardVerdict::Yes, reason.clone()),
            Said::No(reason) => (GuardVerdict::No, reason.clone()),
            Said::Failed(failure) => (GuardVerdict::Failed, Some(failure.message.clone())),
            Said::NotAsked => (GuardVerdict::NotAsked, None),
        };
        let (policy, rule) = (guard.policy().to_owned(), guard.rule().to_owned());
        Self { policy, rule, verdict, reason }
    }
}
