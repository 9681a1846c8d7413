//! Decisions of the webhooks as records: everything that was asked, in Kubernetes' words.

use std::time::Instant;

use serde_json::{Map, Value, json};
use stagedoor_audit::{DecisionRecord, Outcome, Platform, RequestError};
use stagedoor_core::Outcome as Decided;
use stagedoor_kubernetes::admission::AdmissionRequest;
use stagedoor_kubernetes::{Attributes, SubjectAccessReviewSpec, SubjectAccessReviewStatus};
use stagedoor_server::{Outcome as AnswerResult, Question};

use crate::app::App;
use crate::policies::LoadedPolicies;

/// The verbs that only read.
const READS: [&str; 3] = ["get", "list", "watch"];
/// The methods that only read.
const READ_METHODS: [&str; 2] = ["head", "options"];

/// A decision that is to be recorded and is not: nothing may be allowed by it.
pub(crate) struct NotRecorded;

/// What a decision came to.
pub(crate) struct Decision<'a> {
    pub(crate) outcome: AnswerResult,
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
    record(app, question, decision, !reads, || {
        let decided = loaded.reviewer.decide(&spec.subject, &spec.attributes).ok();
        (request_of_review(spec), decided, loaded)
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
    record(app, question, decision, true, || {
        let decided = loaded.reviewer.admit(request).ok();
        (request_of_admission(request), decided, loaded)
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

fn record<'l>(
    app: &App,
    question: &Question<'_>,
    decision: &Decision<'_>,
    is_change: bool,
    what: impl FnOnce() -> (Value, Option<Decided>, &'l LoadedPolicies),
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
        let (request, decided, loaded) = what();
        let mut record = DecisionRecord::new(Platform::Kubernetes, question.endpoint, outcome)
            .with_duration(duration);
        if let Some(decided) = &decided {
            record = record.with_outcome(decided);
        }
        loaded.reviewer.engine().revision().clone_into(&mut record.revision);
        question.request_id.clone_into(&mut record.request_id);
        record.audit_id = request.pointer("/uid").and_then(Value::as_str).and_then(|uid| {
            // Of an AdmissionReview; a SubjectAccessReview has none.
            (question.endpoint == "admit").then(|| uid.to_owned())
        });
        record.request = request;
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

/// Returns what was asked, without the objects: what is in them is nobody's business here.
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
        "namespace": request.namespace,
        "name": request.name,
        "dryRun": request.dry_run,
    })
}
