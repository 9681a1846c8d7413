//! Decisions of the webhooks as records: everything that was asked, in Kubernetes' words.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

use serde::Serialize;
use serde_json::{Value, json};
use stagedoor_audit::{
    Caller, ConditionRecord, DecisionRecord, MASK, Outcome, Platform, RequestError,
};
use stagedoor_core::Outcome as Decided;
use stagedoor_kubernetes::admission::AdmissionRequest;
use stagedoor_kubernetes::conditional::{ConditionalDecision, ConditionsReview};
use stagedoor_kubernetes::{
    Attributes, FieldSelectorAttributes, LabelSelectorAttributes, SubjectAccessReviewSpec,
    SubjectAccessReviewStatus,
};
use stagedoor_server::{ClientCertificate, Outcome as AnswerResult, Question};

use crate::app::App;
use crate::policies::LoadedPolicies;

/// The verbs that only read.
const READS: [&str; 3] = ["get", "list", "watch"];
/// The methods that only read.
const READ_METHODS: [&str; 2] = ["head", "options"];

/// Where secrets hold what is secret: the annotation is what kubectl applied last.
const SECRET: [&str; 3] = [
    "/data",
    "/stringData",
    "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration",
];

/// A decision that is to be recorded and is not: nothing may be allowed by it.
pub(crate) struct NotRecorded;

/// A resource as people write it: `deployments.apps/scale web in payments`.
pub(crate) struct ResourceName<'a> {
    pub(crate) group: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) subresource: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
}

impl fmt::Display for ResourceName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |mark: &str, part: &str| match part.is_empty() {
            true => String::new(),
            false => format!("{mark}{part}"),
        };
        let (group, subresource) = (part(".", self.group), part("/", self.subresource));
        write!(f, "{}{group}{subresource}{}", self.resource, part(" ", self.name))?;
        f.write_str(&part(" in ", self.namespace))
    }
}

/// What a decision came to.
pub(crate) struct Decision<'a> {
    pub(crate) outcome: AnswerResult,
    /// What the policies said, if they were asked.
    pub(crate) decided: Option<&'a Decided>,
    /// The conditions that were given, or that were evaluated.
    pub(crate) conditions: Option<&'a ConditionalDecision>,
    /// What went wrong, if something did.
    pub(crate) error: &'a str,
    pub(crate) begun: Instant,
}

/// What of a record is not the same for all of them.
struct RecordParts<'a> {
    is_change: bool,
    /// The revision of the policies that were asked; nothing where none were.
    revision: &'a str,
    audit_id: Option<&'a str>,
}

/// Records the answer to a SubjectAccessReview.
pub(crate) fn review(
    app: &App,
    loaded: &LoadedPolicies,
    question: &Question<'_>,
    spec: &SubjectAccessReviewSpec,
    decision: &Decision<'_>,
) -> Result<(), NotRecorded> {
    let verb = spec.attributes.verb();
    let reads = match &spec.attributes {
        Attributes::Resource(_) => READS.contains(&verb),
        Attributes::NonResource(_) => READS.contains(&verb) || READ_METHODS.contains(&verb),
    };
    let revision = loaded.reviewer.engine().revision();
    let parts = RecordParts { is_change: !reads, revision, audit_id: None };
    record(app, question, decision, &parts, |_| ReviewFields::of(spec))
}

/// Records the answer to an AdmissionReview.
pub(crate) fn admission(
    app: &App,
    loaded: &LoadedPolicies,
    question: &Question<'_>,
    request: &AdmissionRequest<'_>,
    decision: &Decision<'_>,
) -> Result<(), NotRecorded> {
    let revision = loaded.reviewer.engine().revision();
    // Nothing is admitted that only reads.
    let parts = RecordParts { is_change: true, revision, audit_id: Some(&request.uid) };
    record(app, question, decision, &parts, |masked| {
        let mut recorded = AdmissionFields::of(request);
        if app.record_objects {
            recorded.add_objects(request, masked);
        }
        recorded
    })
}

/// Records what conditions came to.
pub(crate) fn conditions(
    app: &App,
    question: &Question<'_>,
    review: &ConditionsReview<'_>,
    decision: &Decision<'_>,
) -> Result<(), NotRecorded> {
    let audit_id = Some(review.uid()).filter(|uid| !uid.is_empty());
    let parts = RecordParts { is_change: true, revision: "", audit_id };
    record(app, question, decision, &parts, |_| json!({ "uid": review.uid() }))
}

/// Returns the answer where a decision is not recorded and must be: whatever else could allow
/// it, it is denied.
pub(crate) fn denied() -> SubjectAccessReviewStatus {
    let mut status = SubjectAccessReviewStatus::default();
    status.denied = true;
    status.reason = "the decision could not be recorded".to_owned();
    status.evaluation_error.clone_from(&status.reason);
    status
}

/// Records a decision; `request` says what was asked, and adds the pointers of what it masked.
fn record<R: Serialize>(
    app: &App,
    question: &Question<'_>,
    decision: &Decision<'_>,
    parts: &RecordParts<'_>,
    request: impl FnOnce(&mut Vec<String>) -> R,
) -> Result<(), NotRecorded> {
    let Some(log) = &app.log else { return Ok(()) };
    let duration = decision.begun.elapsed();
    let outcome = match decision.outcome {
        AnswerResult::Allowed => Outcome::Allowed,
        AnswerResult::NoOpinion => Outcome::NoOpinion,
        AnswerResult::Conditional => Outcome::Conditional,
        _ => Outcome::Denied,
    };
    let recorded = log.record(outcome, parts.is_change, || {
        let mut masked = Vec::new();
        let request = request(&mut masked);
        let mut record =
            DecisionRecord::new(Platform::Kubernetes, question.endpoint, outcome, request)
                .with_duration(duration);
        if let Some(decided) = decision.decided {
            record = record.with_outcome(decided);
        }
        if !parts.revision.is_empty() {
            record.revision = parts.revision.into();
        }
        record.masked = masked;
        record.audit_id = parts.audit_id.map(Cow::Borrowed);
        record.request_id = question.request_id.into();
        record.caller = question.head.extensions.get::<ClientCertificate>().map(|certificate| {
            let certificate = Some(certificate.fingerprint().to_owned());
            Cow::Owned(Caller { certificate, ..Caller::default() })
        });
        for (effect, condition) in decision.conditions.iter().flat_map(|c| c.conditions()) {
            record.conditions.push(ConditionRecord {
                id: condition.id.clone(),
                effect: effect.to_owned(),
                condition: condition.condition.clone(),
            });
        }
        if !decision.error.is_empty() && record.errors.is_empty() {
            let message = decision.error.to_owned();
            record.error = Some(RequestError { code: String::new(), message });
        }
        record
    });
    recorded.map_err(|error| {
        tracing::error!(%error, "nothing is allowed until decisions can be recorded");
        NotRecorded
    })
}

/// What is recorded of a SubjectAccessReview.
#[derive(Serialize)]
struct ReviewFields<'a> {
    user: &'a str,
    groups: &'a [String],
    uid: &'a str,
    extra: &'a BTreeMap<String, Vec<String>>,
    #[serde(flatten)]
    attributes: AttributeFields<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum AttributeFields<'a> {
    #[serde(rename_all = "camelCase")]
    Resource {
        verb: &'a str,
        api_group: &'a str,
        api_version: &'a str,
        resource: &'a str,
        subresource: &'a str,
        namespace: &'a str,
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        field_selector: Option<&'a FieldSelectorAttributes>,
        #[serde(skip_serializing_if = "Option::is_none")]
        label_selector: Option<&'a LabelSelectorAttributes>,
    },
    NonResource {
        verb: &'a str,
        path: &'a str,
    },
}

impl<'a> ReviewFields<'a> {
    fn of(spec: &'a SubjectAccessReviewSpec) -> Self {
        let subject = &spec.subject;
        let attributes = match &spec.attributes {
            Attributes::Resource(attributes) => AttributeFields::Resource {
                verb: &attributes.verb,
                api_group: &attributes.group,
                api_version: &attributes.version,
                resource: &attributes.resource,
                subresource: &attributes.subresource,
                namespace: &attributes.namespace,
                name: &attributes.name,
                field_selector: attributes.field_selector.as_ref(),
                label_selector: attributes.label_selector.as_ref(),
            },
            Attributes::NonResource(attributes) => {
                AttributeFields::NonResource { verb: &attributes.verb, path: &attributes.path }
            }
        };
        Self {
            user: &subject.user,
            groups: &subject.groups,
            uid: &subject.uid,
            extra: &subject.extra,
            attributes,
        }
    }
}

/// What is recorded of an AdmissionReview; of the objects only where that was asked for.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AdmissionFields<'a> {
    uid: &'a str,
    user: String,
    groups: Vec<String>,
    user_uid: String,
    extra: BTreeMap<String, Vec<String>>,
    operation: &'a str,
    api_group: &'a str,
    api_version: &'a str,
    resource: &'a str,
    subresource: &'a str,
    kind: &'a str,
    kind_group: &'a str,
    kind_version: &'a str,
    namespace: &'a str,
    name: &'a str,
    dry_run: bool,
    #[serde(flatten)]
    objects: BTreeMap<&'static str, Value>,
}

impl<'a> AdmissionFields<'a> {
    fn of(request: &'a AdmissionRequest<'_>) -> Self {
        let subject = request.user_info.subject();
        Self {
            uid: &request.uid,
            user: subject.user,
            groups: subject.groups,
            user_uid: subject.uid,
            extra: subject.extra,
            operation: &request.operation,
            api_group: &request.resource.group,
            api_version: &request.resource.version,
            resource: &request.resource.resource,
            subresource: &request.sub_resource,
            kind: &request.kind.kind,
            kind_group: &request.kind.group,
            kind_version: &request.kind.version,
            namespace: &request.namespace,
            name: &request.name,
            dry_run: request.dry_run,
            objects: BTreeMap::new(),
        }
    }

    /// Adds the objects, but of secrets what they hold.
    fn add_objects(&mut self, request: &AdmissionRequest<'_>, masked: &mut Vec<String>) {
        let is_secret = request.resource.group.is_empty() && request.resource.resource == "secrets";
        let objects = [
            ("object", request.object),
            ("oldObject", request.old_object),
            ("options", request.options),
        ];
        for (name, json) in objects {
            // What policies could not be asked about is no JSON object, or has a key twice.
            let object = json.and_then(|json| serde_json::from_str(json.get()).ok());
            let mut object: Value = object.unwrap_or_default();
            if is_secret && name != "options" {
                for pointer in SECRET {
                    if let Some(content) = object.pointer_mut(pointer) {
                        *content = Value::String(MASK.to_owned());
                        masked.push(format!("/request/{name}{pointer}"));
                    }
                }
            }
            self.objects.insert(name, object);
        }
    }
}
