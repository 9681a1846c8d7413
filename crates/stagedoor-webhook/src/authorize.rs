//! `POST /authorize`: SubjectAccessReviews as kube-apiserver sends them.

use http::StatusCode;
use serde::Serialize;
use stagedoor_kubernetes::{SubjectAccessReview, SubjectAccessReviewStatus};

use crate::app::{Answered, App};
use crate::metrics::Answer;
use crate::policies::Loaded;
use crate::status::{Refusal, json};

/// A review with its answer alone: kube-apiserver reads nothing else.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reply<'a> {
    api_version: &'static str,
    kind: &'static str,
    status: &'a SubjectAccessReviewStatus,
}

pub(crate) fn answer(app: &App, loaded: &Loaded, body: &str) -> Answered {
    let review =
        SubjectAccessReview::from_json(body).map_err(|e| Refusal::bad_request(e.to_string()))?;
    let review = loaded.reviewer.answer(review);
    let mut status = review.status.unwrap_or_default();
    if app.no_opinion_denies && !status.allowed {
        status.denied = true;
    }
    if !status.evaluation_error.is_empty() {
        app.metrics.evaluation_error();
    }
    let answer = match (status.allowed, status.denied) {
        (true, _) => Answer::Allowed,
        (false, true) => Answer::Denied,
        (false, false) => Answer::NoOpinion,
    };
    tracing::debug!(
        user = review.spec.subject.user,
        verb = review.spec.attributes.verb(),
        outcome = answer.as_str(),
        reason = status.reason,
        error = status.evaluation_error,
        "decided"
    );
    let reply = Reply {
        api_version: "authorization.k8s.io/v1",
        kind: "SubjectAccessReview",
        status: &status,
    };
    Ok((json(StatusCode::OK, &reply), answer))
}
