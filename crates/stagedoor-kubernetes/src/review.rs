//! SubjectAccessReview of `authorization.k8s.io/v1`, the question as it comes over the wire.
//!
//! See [the API](https://kubernetes.io/docs/reference/kubernetes-api/authorization-resources/subject-access-review-v1/).

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use crate::attributes::{Attributes, NonResourceAttributes, ResourceAttributes};
use crate::subject::Subject;
use crate::wire::{UniqueKeys, UniqueValue, null_is_default, object};

/// The API version of a review.
pub(crate) const API_VERSION: &str = "authorization.k8s.io/v1";
/// The kind of a review.
pub(crate) const KIND: &str = "SubjectAccessReview";

/// A question whether a subject may do something, and perhaps its answer.
///
/// # Examples
///
/// ```
/// use stagedoor_kubernetes::SubjectAccessReview;
///
/// let review = SubjectAccessReview::from_json(
///     r#"{"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
///         "spec": {"user": "alice", "groups": ["payments"],
///                  "resourceAttributes": {"verb": "list", "resource": "pods"}}}"#,
/// )?;
/// assert_eq!(review.spec.subject.user, "alice");
/// assert_eq!(review.spec.attributes.verb(), "list");
/// # Ok::<(), stagedoor_kubernetes::ReviewError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "ReviewWire", into = "ReviewWire")]
#[non_exhaustive]
pub struct SubjectAccessReview {
    /// The question.
    pub spec: SubjectAccessReviewSpec,
    /// The answer.
    pub status: Option<SubjectAccessReviewStatus>,
    /// The version that it came in, in which it is answered.
    pub version: ReviewVersion,
    /// Kept to write the review back as it came.
    metadata: Option<Value>,
}

impl SubjectAccessReview {
    /// Returns the question whether this subject may do this.
    #[must_use]
    pub fn new(subject: Subject, attributes: impl Into<Attributes>) -> Self {
        let spec = SubjectAccessReviewSpec {
            subject,
            attributes: attributes.into(),
            conditions: ConditionsMode::default(),
        };
        Self { spec, status: None, version: ReviewVersion::default(), metadata: None }
    }

    /// Returns the review with this answer.
    #[must_use]
    pub fn with_status(self, status: SubjectAccessReviewStatus) -> Self {
        Self { status: Some(status), ..self }
    }
}

/// The versions of `authorization.k8s.io` in which kube-apiserver sends reviews.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReviewVersion {
    /// `v1`.
    #[default]
    V1,
    /// `v1beta1`, the default of `--authorization-webhook-version`: the groups are called
    /// `spec.group`, and nothing is known of conditions.
    V1Beta1,
}

impl ReviewVersion {
    const ALL: [Self; 2] = [Self::V1, Self::V1Beta1];

    /// Returns the version with its group, as `apiVersion` has it.
    #[must_use]
    pub fn api_version(self) -> &'static str {
        match self {
            Self::V1 => API_VERSION,
            Self::V1Beta1 => "authorization.k8s.io/v1beta1",
        }
    }

    fn of(api_version: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.api_version() == api_version)
    }
}

/// Who asks for what.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "SpecWire", into = "SpecWire")]
#[non_exhaustive]
pub struct SubjectAccessReviewSpec {
    /// Who asks.
    pub subject: Subject,
    /// What they want to do.
    pub attributes: Attributes,
    /// Whether conditions are understood as an answer.
    pub conditions: ConditionsMode,
}

/// Whether who sends a review understands conditions instead of an answer, and in which form of
/// [KEP-5681](https://github.com/kubernetes/enhancements/issues/5681), which no release of
/// Kubernetes has yet. What is of no form that is known says no.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConditionsMode {
    /// Not understood: the answer must not be a condition.
    #[default]
    NotUnderstood,
    /// `conditionalAuthorization.mode: HumanReadable`: understood, and people will read them.
    HumanReadable,
    /// `conditionalAuthorization.mode: Optimized`: understood, and nobody will read them.
    Optimized,
    /// `conditionalAuthorization.enabled: true`.
    Enabled,
    /// `authorizationOptions.handledDecisionTypes` with `ConditionsMap` and `Union`.
    DecisionTypes,
}

/// The types of decisions that who understands conditions handles.
const DECISION_TYPES: [&str; 5] = ["Allow", "Deny", "NoOpinion", "ConditionsMap", "Union"];

impl ConditionsMode {
    /// Returns how long a condition may be, in bytes.
    pub(crate) fn condition_bytes(self) -> usize {
        match self {
            Self::NotUnderstood => 0,
            Self::HumanReadable | Self::Optimized => 1024,
            Self::Enabled | Self::DecisionTypes => 10_240,
        }
    }

    /// Whether somebody will read what conditions are about.
    pub(crate) fn is_for_people(self) -> bool {
        self != Self::Optimized
    }

    /// Reads both fields that opt in, however they look in a Kubernetes that is to come.
    fn of(authorization: &Value, options: &Value) -> Self {
        let types = options.get("handledDecisionTypes").and_then(Value::as_array);
        let handles = |wanted: &&str| {
            types.is_some_and(|types| types.iter().any(|given| given.as_str() == Some(*wanted)))
        };
        if DECISION_TYPES.iter().all(handles) {
            return Self::DecisionTypes;
        }
        if authorization.get("enabled") == Some(&Value::Bool(true)) {
            return Self::Enabled;
        }
        match authorization.get("mode").and_then(Value::as_str) {
            Some("HumanReadable") => Self::HumanReadable,
            Some("Optimized") => Self::Optimized,
            _ => Self::NotUnderstood,
        }
    }

    /// Returns both fields that opt in.
    fn fields(self) -> (Value, Value) {
        let none = || Value::Null;
        match self {
            Self::NotUnderstood => (none(), none()),
            Self::HumanReadable => (json!({ "mode": "HumanReadable" }), none()),
            Self::Optimized => (json!({ "mode": "Optimized" }), none()),
            Self::Enabled => (json!({ "enabled": true }), none()),
            Self::DecisionTypes => (none(), json!({ "handledDecisionTypes": DECISION_TYPES })),
        }
    }
}

/// Reads any value, in whose objects no key comes twice.
fn any_value<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    UniqueValue::deserialize(deserializer).map(|UniqueValue(value)| value)
}

/// The answer to a review.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SubjectAccessReviewStatus {
    /// Whether the request is allowed.
    #[serde(default, deserialize_with = "null_is_default")]
    pub allowed: bool,
    /// Whether the request is refused whatever other authorizers say. Neither this nor
    /// `allowed` means no opinion.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub denied: bool,
    /// Which policies decided.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub reason: String,
    /// What went wrong on the way.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub evaluation_error: String,
}

impl SubjectAccessReviewStatus {
    /// Returns the answer of an authorizer that is the last to be asked: what it has no opinion
    /// about, it denies.
    #[must_use]
    pub fn without_opinion_denied(self) -> Self {
        Self { denied: !self.allowed, ..self }
    }
}

fn is_false(b: &bool) -> bool {
    !b
}

/// The review with all that serde reads and writes.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReviewWire {
    #[serde(default, deserialize_with = "null_is_default")]
    api_version: String,
    #[serde(default, deserialize_with = "null_is_default")]
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metadata: Option<Value>,
    #[serde(default, deserialize_with = "object")]
    spec: Option<VersionedSpec>,
    #[serde(default, deserialize_with = "object", skip_serializing_if = "Option::is_none")]
    status: Option<SubjectAccessReviewStatus>,
}

/// A question, and in which version's words its groups are given, if there are any.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "SpecWire", into = "SpecWire")]
struct VersionedSpec {
    spec: SubjectAccessReviewSpec,
    groups_of: Option<ReviewVersion>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SpecWire {
    #[serde(default, deserialize_with = "object", skip_serializing_if = "Option::is_none")]
    resource_attributes: Option<ResourceAttributes>,
    #[serde(default, deserialize_with = "object", skip_serializing_if = "Option::is_none")]
    non_resource_attributes: Option<NonResourceAttributes>,
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    user: String,
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    groups: Vec<String>,
    /// The groups in v1beta1.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    group: Vec<String>,
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "UniqueKeys::is_empty"
    )]
    extra: UniqueKeys,
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    uid: String,
    #[serde(default, deserialize_with = "any_value", skip_serializing_if = "Value::is_null")]
    conditional_authorization: Value,
    #[serde(default, deserialize_with = "any_value", skip_serializing_if = "Value::is_null")]
    authorization_options: Value,
}

impl TryFrom<ReviewWire> for SubjectAccessReview {
    type Error = String;

    fn try_from(wire: ReviewWire) -> Result<Self, String> {
        let version = check_type(&wire.api_version, &wire.kind)?;
        let VersionedSpec { mut spec, groups_of } = wire.spec.ok_or("give `spec`")?;
        if groups_of.is_some_and(|of| of != version) {
            return Err(match version {
                ReviewVersion::V1 => "`spec.group` is of v1beta1; v1 says `spec.groups`",
                ReviewVersion::V1Beta1 => "`spec.groups` is of v1; v1beta1 says `spec.group`",
            }
            .to_owned());
        }
        if version == ReviewVersion::V1Beta1 {
            spec.conditions = ConditionsMode::NotUnderstood;
        }
        Ok(Self { spec, status: wire.status, version, metadata: wire.metadata })
    }
}

impl From<SubjectAccessReview> for ReviewWire {
    fn from(review: SubjectAccessReview) -> Self {
        Self {
            api_version: review.version.api_version().to_owned(),
            kind: KIND.to_owned(),
            metadata: review.metadata,
            spec: Some(VersionedSpec { spec: review.spec, groups_of: Some(review.version) }),
            status: review.status,
        }
    }
}

impl TryFrom<SpecWire> for SubjectAccessReviewSpec {
    type Error = &'static str;

    fn try_from(wire: SpecWire) -> Result<Self, Self::Error> {
        VersionedSpec::try_from(wire).map(|versioned| versioned.spec)
    }
}

impl From<VersionedSpec> for SpecWire {
    fn from(versioned: VersionedSpec) -> Self {
        let wire = Self::from(versioned.spec);
        match versioned.groups_of {
            Some(ReviewVersion::V1Beta1) => Self { group: wire.groups, groups: Vec::new(), ..wire },
            _ => wire,
        }
    }
}

impl TryFrom<SpecWire> for VersionedSpec {
    type Error = &'static str;

    fn try_from(wire: SpecWire) -> Result<Self, Self::Error> {
        let groups_of = match (wire.groups.is_empty(), wire.group.is_empty()) {
            (true, true) => None,
            (false, true) => Some(ReviewVersion::V1),
            (true, false) => Some(ReviewVersion::V1Beta1),
            (false, false) => return Err("give the groups once: v1 calls them `groups`"),
        };
        let attributes = match (wire.resource_attributes, wire.non_resource_attributes) {
            (Some(attributes), None) => checked(attributes)?.into(),
            (None, Some(attributes)) => attributes.into(),
            (Some(_), Some(_)) => {
                return Err(
                    "give either `resourceAttributes` or `nonResourceAttributes`, not both",
                );
            }
            (None, None) => return Err("give `resourceAttributes` or `nonResourceAttributes`"),
        };
        if wire.user.is_empty() && groups_of.is_none() {
            return Err("give `user` or `groups`: without either the question is about nobody");
        }
        let conditions =
            ConditionsMode::of(&wire.conditional_authorization, &wire.authorization_options);
        let SpecWire { user, mut groups, group, uid, extra: UniqueKeys(extra), .. } = wire;
        groups.extend(group);
        let subject = Subject { user, groups, uid, extra };
        Ok(Self { spec: SubjectAccessReviewSpec { subject, attributes, conditions }, groups_of })
    }
}

impl From<SubjectAccessReviewSpec> for SpecWire {
    fn from(spec: SubjectAccessReviewSpec) -> Self {
        let Subject { user, groups, uid, extra } = spec.subject;
        let extra = UniqueKeys(extra);
        let (resource_attributes, non_resource_attributes) = match spec.attributes {
            Attributes::Resource(attributes) => (Some(attributes), None),
            Attributes::NonResource(attributes) => (None, Some(attributes)),
        };
        let (conditional_authorization, authorization_options) = spec.conditions.fields();
        Self {
            resource_attributes,
            non_resource_attributes,
            user,
            groups,
            group: Vec::new(),
            extra,
            uid,
            conditional_authorization,
            authorization_options,
        }
    }
}

/// Says what is wrong with the type of a document, if anything.
pub(crate) fn check_type(api_version: &str, kind: &str) -> Result<ReviewVersion, String> {
    if kind != KIND {
        return Err(format!("`kind` is `{kind}`; only `{KIND}` is answered"));
    }
    ReviewVersion::of(api_version).ok_or_else(|| {
        format!(
            "`apiVersion` is `{api_version}`; only `{API_VERSION}` and its `v1beta1` are answered"
        )
    })
}

fn checked(attributes: ResourceAttributes) -> Result<ResourceAttributes, &'static str> {
    let label = attributes.label_selector.as_ref();
    let field = attributes.field_selector.as_ref();
    if label.is_some_and(|s| !s.raw_selector.is_empty() && !s.requirements.is_empty())
        || field.is_some_and(|s| !s.raw_selector.is_empty() && !s.requirements.is_empty())
    {
        return Err("give a selector as `rawSelector` or as `requirements`, not both");
    }
    Ok(attributes)
}
