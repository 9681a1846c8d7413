//! `POST /conditions`, and policies of authorization that depend on the object.

use http::StatusCode;
use stagedoor_kubernetes::Reviewer;
use stagedoor_kubernetes::conditional::{ConditionalReviewer, ConditionsReview};
use stagedoor_server::Outcome;

use crate::app::{self, AnswerResult, App};
use crate::error::PoliciesError;
use crate::status::{Refusal, json};

pub(crate) use stagedoor_kubernetes::conditional::schema;

/// Returns the policies apart that depend on the object, if conditions are asked for.
///
/// # Errors
///
/// [`PoliciesError::Conditional`] if they are not, for policies of authorization that would
/// never meet an object: a forbid must not be in the set and never hold.
pub(crate) fn open(
    reviewer: &Reviewer,
    is_on: bool,
) -> Result<Option<ConditionalReviewer>, PoliciesError> {
    let conditional = ConditionalReviewer::new(reviewer)?;
    if is_on {
        return Ok(conditional.is_needed().then_some(conditional));
    }
    match conditional.unheard() {
        Some(policy) => Err(PoliciesError::Conditional(policy.to_owned())),
        None => Ok(None),
    }
}

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
