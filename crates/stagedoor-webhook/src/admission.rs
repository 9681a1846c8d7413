//! `POST /admit`: AdmissionReviews of `admission.k8s.io/v1`.
//!
//! Policies decide about the action `create`, `update`, `delete` or `connect` of
//! `k8s::admission::Action` on a `k8s::admission::Resource`, which carries the object, the old
//! object and the options of the request. An object is admitted only if a policy permits it.

mod review;

use std::collections::BTreeMap;
use std::time::Instant;

use http::StatusCode;
use stagedoor_kubernetes::SubjectAccessReviewStatus;
use stagedoor_kubernetes::admission::AdmissionRequest;
use stagedoor_server::{Outcome, Question, cut};

use crate::app::{self, Answered, App};
use crate::policies::Loaded;
use crate::record::{self, Decision};
use crate::status::json;

use review::{Response, ReviewReply};

pub(crate) fn answer(app: &App, loaded: &Loaded, question: &Question<'_>) -> Answered {
    let begun = Instant::now();
    let review = review::read(question.body)?;
    let mut decided = decide(loaded, &review);
    decided.evaluation_error = cut(decided.evaluation_error);
    let mut outcome = if decided.allowed { Outcome::Allowed } else { Outcome::Denied };
    let decision = Decision { outcome, error: &decided.evaluation_error, begun };
    if record::admission(app, loaded, question, &review, &decision).is_err() && decided.allowed {
        decided = record::denied();
        outcome = Outcome::Denied;
    }
    tracing::debug!(
        user = review.user_info.username,
        operation = review.operation,
        outcome = outcome.as_str(),
        reason = decided.reason,
        error = decided.evaluation_error,
        "decided"
    );
    let revision = loaded.reviewer.engine().revision();
    let mut audit_annotations =
        BTreeMap::from([("decision", decided.reason.as_str()), ("policy-revision", revision)]);
    if !decided.evaluation_error.is_empty() {
        audit_annotations.insert("evaluation-error", &decided.evaluation_error);
    }
    let response = Response::new(&review.uid, decided.allowed, &decided.reason, audit_annotations);
    let erred = !decided.evaluation_error.is_empty();
    Ok(app::answer(json(StatusCode::OK, &ReviewReply::new(response)), outcome, erred))
}

/// Decides by the policies; what cannot be decided is refused.
fn decide(loaded: &Loaded, review: &AdmissionRequest<'_>) -> SubjectAccessReviewStatus {
    let decided = review.request(loaded.reviewer.vocabulary()).and_then(|(request, entities)| {
        let outcome = loaded.reviewer.engine().decide(&request, &entities);
        outcome.map_err(|e| e.to_string())
    });
    match decided {
        Ok(outcome) => (&outcome).into(),
        Err(error) => {
            let mut status = SubjectAccessReviewStatus::default();
            status.reason = "the request could not be decided".to_owned();
            status.evaluation_error = error;
            status
        }
    }
}
