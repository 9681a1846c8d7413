//! `POST /admit`: AdmissionReviews of `admission.k8s.io/v1`.
//!
//! Policies decide about the action `create`, `update`, `delete` or `connect` of
//! `k8s::admission::Action` on a `k8s::admission::Resource`, which carries the object, the old
//! object and the options of the request. An object is admitted only if a policy permits it.

use std::time::Instant;

use http::StatusCode;
use stagedoor_kubernetes::ReviewOutcome;
use stagedoor_kubernetes::admission::AdmissionRequest;
use stagedoor_server::{Outcome, Question, Reason, cut};

use crate::app::{self, AnswerResult, App};
use crate::policies::LoadedPolicies;
use crate::record::{self, Decision, ResourceName};
use crate::status::{Refusal, json};

pub(crate) fn answer(app: &App, loaded: &LoadedPolicies, question: &Question<'_>) -> AnswerResult {
    let begun = Instant::now();
    let request = AdmissionRequest::from_review(question.body)
        .map_err(|e| Refusal::bad_request(e.to_string()))?;
    let ReviewOutcome { mut ruling, outcome: decided, .. } =
        loaded.reviewer.admission_outcome(&request);
    ruling.evaluation_error = cut(ruling.evaluation_error);
    let mut outcome = if ruling.allowed { Outcome::Allowed } else { Outcome::Denied };
    let decision = Decision {
        outcome,
        decided: decided.as_ref(),
        conditions: None,
        error: &ruling.evaluation_error,
        begun,
    };
    if record::admission(app, loaded, question, &request, &decision).is_err() && ruling.allowed {
        let denied = record::denied();
        ruling.allowed = false;
        ruling.denied = true;
        ruling.reason = denied.reason;
        ruling.evaluation_error = denied.evaluation_error;
        outcome = Outcome::Denied;
    }
    tracing::debug!(
        user = request.user_info.username,
        operation = request.operation,
        outcome = outcome.as_str(),
        reason = ruling.reason,
        not_enforced = ruling.unenforced.join(", "),
        error = ruling.evaluation_error,
        "decided"
    );
    let erred = !ruling.evaluation_error.is_empty();
    let text = if question.is_compared { ruling.reason.clone() } else { String::new() };
    let reply = loaded.reviewer.admission_reply(&request, ruling);
    let mut answer = app::answer(json(StatusCode::OK, &reply), outcome, erred);
    if question.is_compared {
        answer.reasons.push(Reason { text, rest: String::new() });
    }
    Ok(answer)
}

/// Returns in few words what a review asks.
pub(crate) fn asked(body: &str) -> Option<String> {
    let request = AdmissionRequest::from_review(body).ok()?;
    let resource = &request.resource;
    let of = ResourceName {
        group: &resource.group,
        resource: &resource.resource,
        subresource: &request.sub_resource,
        namespace: &request.namespace,
        name: &request.name,
    };
    Some(format!("{} {} {of}", request.user_info.username, request.operation))
}
