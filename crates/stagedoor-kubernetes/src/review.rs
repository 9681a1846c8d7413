//! SubjectAccessReview of `authorization.k8s.io/v1`, the question as it comes over the wire.
//!
//! See [the API](https://kubernetes.io/docs/reference/kubernetes-api/authorization-resources/subject-access-review-v1/).

use serde::{Deserialize, Deserializer, Serialize};

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
    /// Kept to write the review back as it came.
    metadata: Option<serde_json::Value>,
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
        Self { spec, status: None, metadata: None }
    }

    /// Returns the review with this answer.
    #[must_use]
    pub fn with_status(self, status: SubjectAccessReviewStatus) -> Self {
        Self { status: Some(status), ..self }
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

/// Whether who sends a review understands conditions instead of an answer:
/// `spec.conditionalAuthorization.mode` of
/// [KEP-5681](https://github.com/kubernetes/enhancements/issues/5681), which no release of
/// Kubernetes has yet. What is not one of its modes says no.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(into = "ConditionsWire")]
#[non_exhaustive]
pub enum ConditionsMode {
    /// Not understood: the answer must not be a condition.
    #[default]
    NotUnderstood,
    /// Understood, and people will read them.
    HumanReadable,
    /// Understood, and nobody will read them.
    Optimized,
}

impl ConditionsMode {
    fn is_not_understood(&self) -> bool {
        *self == Self::NotUnderstood
    }
}

#[derive(Serialize)]
struct ConditionsWire {
    mode: &'static str,
}

impl From<ConditionsMode> for ConditionsWire {
    fn from(mode: ConditionsMode) -> Self {
        let mode = match mode {
            ConditionsMode::NotUnderstood => "",
            ConditionsMode::HumanReadable => "HumanReadable",
            ConditionsMode::Optimized => "Optimized",
        };
        Self { mode }
    }
}

/// Reads a mode, however the field looks in a Kubernetes that is to come.
fn conditions_mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ConditionsMode, D::Error> {
    let UniqueValue(field) = UniqueValue::deserialize(deserializer)?;
    Ok(match field.get("mode").and_then(serde_json::Value::as_str) {
        Some("HumanReadable") => ConditionsMode::HumanReadable,
        Some("Optimized") => ConditionsMode::Optimized,
        _ => ConditionsMode::NotUnderstood,
    })
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
    metadata: Option<serde_json::Value>,
    #[serde(default, deserialize_with = "object")]
    spec: Option<SubjectAccessReviewSpec>,
    #[serde(default, deserialize_with = "object", skip_serializing_if = "Option::is_none")]
    status: Option<SubjectAccessReviewStatus>,
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
    #[serde(
        default,
        deserialize_with = "conditions_mode",
        skip_serializing_if = "ConditionsMode::is_not_understood"
    )]
    conditional_authorization: ConditionsMode,
}

impl TryFrom<ReviewWire> for SubjectAccessReview {
    type Error = String;

    fn try_from(wire: ReviewWire) -> Result<Self, String> {
        check_type(&wire.api_version, &wire.kind)?;
        let spec = wire.spec.ok_or("give `spec`")?;
        Ok(Self { spec, status: wire.status, metadata: wire.metadata })
    }
}

impl From<SubjectAccessReview> for ReviewWire {
    fn from(review: SubjectAccessReview) -> Self {
        Self {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            metadata: review.metadata,
            spec: Some(review.spec),
            status: review.status,
        }
    }
}

impl TryFrom<SpecWire> for SubjectAccessReviewSpec {
    type Error = &'static str;

    fn try_from(wire: SpecWire) -> Result<Self, Self::Error> {
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
        if wire.user.is_empty() && wire.groups.is_empty() {
            return Err("give `user` or `groups`: without either the question is about nobody");
        }
        let conditions = wire.conditional_authorization;
        let SpecWire { user, groups, uid, extra: UniqueKeys(extra), .. } = wire;
        let subject = Subject { user, groups, uid, extra };
        Ok(Self { subject, attributes, conditions })
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
        let conditional_authorization = spec.conditions;
        Self {
            resource_attributes,
            non_resource_attributes,
            user,
            groups,
            extra,
            uid,
            conditional_authorization,
        }
    }
}

/// Says what is wrong with the type of a document, if anything.
pub(crate) fn check_type(api_version: &str, kind: &str) -> Result<(), String> {
    if kind != KIND {
        return Err(format!("`kind` is `{kind}`; only `{KIND}` is answered"));
    }
    if api_version != API_VERSION {
        return Err(format!("`apiVersion` is `{api_version}`; only `{API_VERSION}` is answered"));
    }
    Ok(())
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
