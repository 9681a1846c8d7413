//! `POST /conditions`: decides by conditions alone.

use http::StatusCode;
use stagedoor_kubernetes::conditional::ConditionsReview;
use stagedoor_server::Outcome;

use crate::app::{self, AnswerResult, App};
use crate::status::{Refusal, json};

pub(crate) fn answer(app: &App, body: &str) -> AnswerResult {
    let review =
        ConditionsReview::from_json(body).map_err(|e| Refusal::bad_request(e.to_string()))?;
    let mut evaluated = review.evaluate();
    if app.no_opinion_denies && !evaluated.allowed {
        evaluated.denied = true;
    }
    let outcome = match (evaluated.allowed, evaluated.denied) {
        (true, _) => Outcome::Allowed,
        (false, true) => Outcome::Denied,
        (false, false) => Outcome::NoOpinion,
    };
    tracing::debug!(
        outcome = outcome.as_str(),
        reason = evaluated.reason,
        error = evaluated.evaluation_error,
        "evaluated"
    );
    let erred = !evaluated.evaluation_error.is_empty();
    Ok(app::answer(json(StatusCode::OK, &review.reply(&evaluated)), outcome, erred))
}
