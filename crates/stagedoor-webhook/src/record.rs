//! Decisions of the webhooks as records: everything that was asked, in Kubernetes' words.

use std::fmt;
use std::time::Instant;

use serde_json::{Map, Value, json};
use stagedoor_audit::{
    Caller, ConditionRecord, DecisionRecord, MASK, Outcome, Platform, RequestError,
};
use stagedoor_core::Outcome as Decided;
use stagedoor_kubernetes::admission::AdmissionRequest;
use stagedoor_kubernetes::conditional::{ConditionalDecision, ConditionsReview};
use stagedoor_kubernetes::{Attributes, SubjectAccessReviewSpec, SubjectAccessReviewStatus};
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
    record(app, question, decision, !reads, |record| {
        loaded.reviewer.engine().revision().clone_into(&mut record.revision);
        record.request = request_of_review(spec);
    })
}

/// Records the answer to an AdmissionReview.
pub(crate) fn admission(
    app: &App,
    loaded: &LoadedPolicies,
    question: &Question<'_>,
    request: &AdmissionRequest<'_>,
    decision: &Decision<'_>,
) -> Result<(), NotRecorded> {
    // Nothing is admitted that only reads.
    record(app, question, decision, true, |record| {
        loaded.reviewer.engine().revision().clone_into(&mut record.revision);
        record.audit_id = Some(request.uid.clone());
        record.request = request_of_admission(request);
        if app.record_objects {
            add_objects(record, request);
        }
    })
}

/// Records what conditions came to.
pub(crate) fn conditions(
    app: &App,
    question: &Question<'_>,
    review: &ConditionsReview<'_>,
    decision: &Decision<'_>,
) -> Result<(), NotRecorded> {
    record(app, question, decision, true, |record| {
        record.request = json!({ "uid": review.uid() });
        record.audit_id = (!review.uid().is_empty()).then(|| review.uid().to_owned());
    })
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

fn record(
    app: &App,
    question: &Question<'_>,
    decision: &Decision<'_>,
    is_change: bool,
    fill: impl FnOnce(&mut DecisionRecord),
) -> Result<(), NotRecorded> {
    let Some(log) = &app.log else { return Ok(()) };
    let duration = decision.begun.elapsed();
    let outcome = match decision.outcome {
        AnswerResult::Allowed => Outcome::Allowed,
        AnswerResult::NoOpinion => Outcome::NoOpinion,
        AnswerResult::Conditional => Outcome::Conditional,
        _ => Outcome::Denied,
    };
    let recorded = log.record(outcome, is_change, || {
        let mut record = DecisionRecord::new(Platform::Kubernetes, question.endpoint, outcome)
            .with_duration(duration);
        if let Some(decided) = decision.decided {
            record = record.with_outcome(decided);
        }
        question.request_id.clone_into(&mut record.request_id);
        record.caller = question.head.extensions.get::<ClientCertificate>().map(|certificate| {
            Caller { certificate: Some(certificate.fingerprint().to_owned()), ..Caller::default() }
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
        fill(&mut record);
        record
    });
    recorded.map_err(|error| {
        tracing::error!(%error, "nothing is allowed until decisions can be recorded");
        NotRecorded
    })
}

fn request_of_review(spec: &SubjectAccessReviewSpec) -> Value {
    let subject = &spec.subject;
    let mut request = Map::new();
    request.insert("user".to_owned(), json!(subject.user));
    request.insert("groups".to_owned(), json!(subject.groups));
    request.insert("uid".to_owned(), json!(subject.uid));
    request.insert("extra".to_owned(), json!(subject.extra));
    let attributes = match &spec.attributes {
        Attributes::Resource(attributes) => json!({
            "verb": attributes.verb,
            "apiGroup": attributes.group,
            "apiVersion": attributes.version,
            "resource": attributes.resource,
            "subresource": attributes.subresource,
            "namespace": attributes.namespace,
            "name": attributes.name,
            "fieldSelector": attributes.field_selector,
            "labelSelector": attributes.label_selector,
        }),
        Attributes::NonResource(attributes) => {
            json!({"verb": attributes.verb, "path": attributes.path})
        }
    };
    if let Value::Object(attributes) = attributes {
        request.extend(attributes.into_iter().filter(|(_, value)| !value.is_null()));
    }
    Value::Object(request)
}

/// Returns what was asked, without the objects.
fn request_of_admission(request: &AdmissionRequest<'_>) -> Value {
    let subject = request.user_info.subject();
    json!({
        "uid": request.uid,
        "user": subject.user,
        "groups": subject.groups,
        "userUid": subject.uid,
        "extra": subject.extra,
        "operation": request.operation,
        "apiGroup": request.resource.group,
        "apiVersion": request.resource.version,
        "resource": request.resource.resource,
        "subresource": request.sub_resource,
        "kind": request.kind.kind,
        "kindGroup": request.kind.group,
        "kindVersion": request.kind.version,
        "namespace": request.namespace,
        "name": request.name,
        "dryRun": request.dry_run,
    })
}

/// Adds the objects, but of secrets what they hold.
fn add_objects(record: &mut DecisionRecord, request: &AdmissionRequest<'_>) {
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
                    record.masked.push(format!("/request/{name}{pointer}"));
                }
            }
        }
        if let Some(members) = record.request.as_object_mut() {
            members.insert(name.to_owned(), object);
        }
    }
}
