//! One decision, as it is kept.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version of the own form. A field that is added does not change it; one that is gone or
/// means something else does.
pub const RECORD_VERSION: u32 = 1;

/// One decision: what was asked, the answer, and what it rests on.
///
/// It borrows what its maker has anyway, for the moment in which it is written: `request` is anything
/// that serializes as an object. What is read has a [`Value`] there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DecisionRecord<'a, R = Value> {
    /// [`RECORD_VERSION`].
    pub version: u32,
    /// An id of this record that no other of the same log has.
    #[serde(default)]
    pub id: String,
    /// When the decision was made, in RFC 3339.
    #[serde(default)]
    pub time: String,
    /// Whose words `request` is in.
    pub platform: Platform,
    /// What was asked: `authorize`, `admit`, `evaluation`, `search-subject`.
    pub endpoint: Cow<'a, str>,
    /// The id that ties the record to the request: `X-Request-ID`, or one made up.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub request_id: Cow<'a, str>,
    /// The id of kube-apiserver's audit event or of the admission request, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_id: Option<Cow<'a, str>>,
    /// Who asked for the decision, which is not who it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<Cow<'a, Caller>>,
    /// Everything that was asked, in the platform's words.
    pub request: R,
    /// The answer.
    pub outcome: Outcome,
    /// The policies that determined the answer.
    pub policies: Vec<PolicyRecord<'a>>,
    /// The policies that could not be evaluated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<PolicyErrorRecord>,
    /// What the guards of policies said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guards: Vec<GuardRecord>,
    /// The conditions that were given instead of an answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<ConditionRecord>,
    /// Why the policies could not be asked, if they could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<RequestError>,
    /// What was sent and the schema does not declare: it was not looked at.
    #[serde(default, skip_serializing_if = "<[String]>::is_empty")]
    pub pruned: Cow<'a, [String]>,
    /// How many results a list has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results: Option<u64>,
    /// The revision of the policies that decided.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub revision: Cow<'a, str>,
    /// How long the decision took, in microseconds.
    #[serde(default)]
    pub duration_micros: u64,
    /// The part of such decisions that are recorded, if not all are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<f64>,
    /// The JSON pointers of what was masked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub masked: Vec<String>,
}

/// A platform whose words a request is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Platform {
    /// Kubernetes: the fields of a SubjectAccessReview or an AdmissionReview.
    Kubernetes,
    /// Backstage: `user`, `permission`, `resource`.
    Backstage,
    /// AuthZEN: `subject`, `action`, `resource`, `context`.
    AuthZen,
    /// Cedar itself, asked by a program: `principal`, `action`, `resource`, `context`, `entities`.
    Cedar,
    /// What decisions are made by: policies that were loaded, or could not be.
    Stagedoor,
}

impl Platform {
    /// Returns the name in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kubernetes => "kubernetes",
            Self::Backstage => "backstage",
            Self::AuthZen => "authzen",
            Self::Cedar => "cedar",
            Self::Stagedoor => "stagedoor",
        }
    }
}

/// What a decision came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Allowed.
    Allowed,
    /// Denied.
    Denied,
    /// Neither: others may decide.
    NoOpinion,
    /// Conditions instead of an answer.
    Conditional,
    /// A list of what is allowed.
    Listed,
    /// What decisions are made by was replaced.
    Changed,
    /// What decisions are made by does not load; that before stays in force.
    Failed,
}

impl Outcome {
    const ALL: [Self; 7] = [
        Self::Allowed,
        Self::Denied,
        Self::NoOpinion,
        Self::Conditional,
        Self::Listed,
        Self::Changed,
        Self::Failed,
    ];

    /// Returns the outcome of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == name)
    }

    /// Returns the name in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::NoOpinion => "no-opinion",
            Self::Conditional => "conditional",
            Self::Listed => "listed",
            Self::Changed => "changed",
            Self::Failed => "failed",
        }
    }
}

/// Who asked for a decision.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Caller {
    /// The subject of its token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Who gave the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The client that the token was given to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The fingerprint of the client certificate: `sha256:…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
}

/// A policy that determined an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRecord<'a> {
    /// Its id.
    pub id: Cow<'a, str>,
    /// `permit` or `forbid`.
    pub effect: Cow<'a, str>,
}

/// A policy that could not be evaluated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyErrorRecord {
    /// Its id.
    pub policy: String,
    /// A stable code.
    pub code: String,
    /// Why.
    pub message: String,
}

/// What a guard of a policy said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardRecord {
    /// The policy's id.
    pub policy: String,
    /// The rule.
    pub rule: String,
    /// `yes`, `no`, `failed` or `not asked`, with the reason.
    pub verdict: String,
}

/// A condition that was given instead of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConditionRecord {
    /// Its id.
    pub id: String,
    /// Whether it allows or denies what it holds for.
    pub effect: String,
    /// The condition.
    pub condition: String,
}

/// Why policies could not be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestError {
    /// A stable code, if there is one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
    /// Why.
    pub message: String,
}

impl<'a, R> DecisionRecord<'a, R> {
    /// Returns a record of now that says nothing yet but what was asked, and what it came to.
    #[must_use]
    pub fn new(
        platform: Platform,
        endpoint: impl Into<Cow<'a, str>>,
        outcome: Outcome,
        request: R,
    ) -> Self {
        Self {
            version: RECORD_VERSION,
            id: String::new(),
            time: crate::clock::rfc3339(SystemTime::now()),
            platform,
            endpoint: endpoint.into(),
            request_id: Cow::Borrowed(""),
            audit_id: None,
            caller: None,
            request,
            outcome,
            policies: Vec::new(),
            errors: Vec::new(),
            guards: Vec::new(),
            conditions: Vec::new(),
            error: None,
            pruned: Cow::Borrowed(&[]),
            results: None,
            revision: Cow::Borrowed(""),
            duration_micros: 0,
            sample: None,
            masked: Vec::new(),
        }
    }

    /// Sets what an engine's answer rests on.
    #[must_use]
    pub fn with_outcome(mut self, outcome: &'a stagedoor_core::Outcome) -> Self {
        let policy = |policy: stagedoor_core::PolicyInfo<'a>| PolicyRecord {
            id: policy.id().into(),
            effect: match policy.effect() {
                stagedoor_core::Effect::Permit => "permit".into(),
                stagedoor_core::Effect::Forbid => "forbid".into(),
            },
        };
        self.policies = outcome.reasons().map(policy).collect();
        let error = |error: &stagedoor_core::PolicyError| PolicyErrorRecord {
            policy: error.policy().to_owned(),
            code: error.code().to_owned(),
            message: error.message().to_owned(),
        };
        self.errors = outcome.errors().iter().map(error).collect();
        let guard = |guard: &stagedoor_core::GuardOutcome| GuardRecord {
            policy: guard.policy().to_owned(),
            rule: guard.rule().to_owned(),
            verdict: guard.verdict().to_string(),
        };
        self.guards = outcome.guards().iter().map(guard).collect();
        self.revision = outcome.revision().into();
        self
    }

    /// Sets how long the decision took.
    #[must_use]
    pub fn with_duration(mut self, duration: Duration) -> Self {
        self.duration_micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self
    }
}
