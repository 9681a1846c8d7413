//! `POST /authorize`: SubjectAccessReviews as kube-apiserver sends them.

use std::time::Instant;

use http::StatusCode;
use serde::Serialize;
use stagedoor_kubernetes::conditional::{ConditionalAnswer, StatusFields, status_fields};
use stagedoor_kubernetes::{
    Attributes, ReviewOutcome, SubjectAccessReview, SubjectAccessReviewStatus,
};
use stagedoor_server::{Outcome, Question, Reason, cut};

use crate::app::{self, AnswerResult, App};
use crate::policies::LoadedPolicies;
use crate::record::{self, Decision, ResourceName};
use crate::status::{Refusal, json};

/// A review with its answer alone: kube-apiserver reads nothing else.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reply<'a> {
    api_version: &'static str,
    kind: &'static str,
    status: Status<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    #[serde(flatten)]
    status: &'a SubjectAccessReviewStatus,
    #[serde(flatten)]
    conditions: StatusFields,
}

pub(crate) fn answer(app: &App, loaded: &LoadedPolicies, question: &Question<'_>) -> AnswerResult {
    let begun = Instant::now();
    let review = SubjectAccessReview::from_json(question.body);
    let review = review.map_err(|e| Refusal::bad_request(e.to_string()))?;
    let SubjectAccessReview { spec, version, .. } = review;
    let (mut status, mut conditions, decided) = match &loaded.open {
        Some(open) => {
            let ConditionalAnswer { status, conditions, outcome, .. } =
                open.decide(&loaded.reviewer, &spec);
            (status, conditions, outcome)
        }
        None => {
            let ReviewOutcome { ruling, outcome, .. } =
                loaded.reviewer.review_outcome(&spec.subject, &spec.attributes);
            (ruling.into(), None, outcome)
        }
    };
    if app.no_opinion_denies && conditions.is_none() {
        status = status.without_opinion_denied();
    }
    status.evaluation_error = cut(status.evaluation_error);
    let mut outcome = match (status.allowed, status.denied) {
        (true, _) => Outcome::Allowed,
        (false, true) => Outcome::Denied,
        (false, false) if conditions.is_some() => Outcome::Conditional,
        (false, false) => Outcome::NoOpinion,
    };
    let decision = Decision {
        outcome,
        decided: decided.as_ref(),
        conditions: conditions.as_ref(),
        error: &status.evaluation_error,
        begun,
    };
    if record::review(app, loaded, question, &spec, &decision).is_err() && !status.denied {
        status = record::denied();
        conditions = None;
        outcome = Outcome::Denied;
    }
    tracing::debug!(
        user = cut(spec.subject.user),
        verb = spec.attributes.verb(),
        outcome = outcome.as_str(),
        reason = status.reason,
        error = status.evaluation_error,
        "decided"
    );
    let reply = Reply {
        api_version: version.api_version(),
        kind: "SubjectAccessReview",
        status: Status {
            status: &status,
            conditions: status_fields(spec.conditions, conditions.as_ref()),
        },
    };
    let erred = !status.evaluation_error.is_empty();
    let mut answer = app::answer(json(StatusCode::OK, &reply), outcome, erred);
    if question.is_compared {
        // Fields of strings and lists, which JSON has.
        let rest = conditions.as_ref().map(|_| serde_json::to_string(&reply.status.conditions));
        let rest = rest.transpose().unwrap_or_default().unwrap_or_default();
        answer.reasons.push(Reason { text: status.reason.clone(), rest });
    }
    Ok(answer)
}

/// Returns in few words what a review asks.
pub(crate) fn asked(body: &str) -> Option<String> {
    let spec = SubjectAccessReview::from_json(body).ok()?.spec;
    let (user, verb) = (&spec.subject.user, spec.attributes.verb());
    Some(match &spec.attributes {
        Attributes::Resource(of) => {
            let of = ResourceName {
                group: &of.group,
                resource: &of.resource,
                subresource: &of.subresource,
                namespace: &of.namespace,
                name: &of.name,
            };
            format!("{user} {verb} {of}")
        }
        Attributes::NonResource(of) => format!("{user} {verb} {}", of.path),
    })
}
