//! `POST /conditions`: decides by conditions alone.

use std::time::Instant;

use http::StatusCode;
use stagedoor_kubernetes::conditional::ConditionsReview;
use stagedoor_server::{Outcome, Question, cut};

use crate::app::{self, AnswerResult, App};
use crate::record::{self, Decision};
use crate::status::{Refusal, json};

pub(crate) fn answer(app: &App, question: &Question<'_>) -> AnswerResult {
    let begun = Instant::now();
    let review = ConditionsReview::from_json(question.body)
        .map_err(|e| Refusal::bad_request(e.to_string()))?;
    let mut evaluated = review.evaluate();
    if app.no_opinion_denies && !evaluated.allowed {
        evaluated.denied = true;
    }
    evaluated.evaluation_error = cut(evaluated.evaluation_error);
    let mut outcome = match (evaluated.allowed, evaluated.denied) {
        (true, _) => Outcome::Allowed,
        (false, true) => Outcome::Denied,
        (false, false) => Outcome::NoOpinion,
    };
    let decision = Decision {
        outcome,
        decided: None,
        conditions: Some(review.decision()),
        error: &evaluated.evaluation_error,
        begun,
    };
    if record::conditions(app, question, &review, &decision).is_err() && !evaluated.denied {
        let denied = record::denied();
        (evaluated.allowed, evaluated.denied) = (false, true);
        (evaluated.reason, evaluated.evaluation_error) = (denied.reason, denied.evaluation_error);
        outcome = Outcome::Denied;
    }
    tracing::debug!(
        outcome = outcome.as_str(),
        reason = evaluated.reason,
        error = evaluated.evaluation_error,
        "evaluated"
    );
    let erred = !evaluated.evaluation_error.is_empty();
    Ok(app::answer(json(StatusCode::OK, &review.reply(&evaluated)), outcome, erred))
}
