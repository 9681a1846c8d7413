//! `POST /policysets`: AdmissionReviews about policy sets that are published as objects.
//!
//! No policy is asked: whoever serves says what has to hold of a set before it is written.

use http::StatusCode;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use stagedoor_kubernetes::admission::AdmissionRequest;
use stagedoor_server::{Outcome, Question, cut};

use crate::app::{self, AnswerResult, App};
use crate::status::{Refusal, json as json_response};

pub(crate) fn answer(app: &App, question: &Question<'_>) -> AnswerResult {
    let bad = |reason: String| Refusal::bad_request(reason);
    let head = AdmissionRequest::from_review(question.body).map_err(|e| bad(e.to_string()))?;
    let read = |object: Option<&RawValue>| -> Result<Option<Value>, Refusal> {
        let value = object.map(|object| serde_json::from_str(object.get())).transpose();
        value.map_err(|e| bad(stagedoor_core::plain_reason(&e.to_string())))
    };
    let (object, old) = (read(head.object)?, read(head.old_object)?);
    let reviewed = match (head.operation.as_str(), object, &app.policy_sets) {
        ("CREATE" | "UPDATE", Some(object), Some(reviewer)) => {
            reviewer.review(&object, old.as_ref().filter(|old| !old.is_null()))
        }
        // INVARIANT: what was not reviewed is not admitted.
        (operation, ..) => Err(format!(
            "`{operation}` without an object is not reviewed: configure CREATE and UPDATE"
        )),
    };
    let (outcome, response) = match reviewed {
        Ok(()) => (Outcome::Allowed, json!({ "uid": head.uid, "allowed": true })),
        Err(reason) => {
            tracing::warn!(
                user = head.user_info.username,
                name = head.name,
                reason,
                "a policy set is not admitted"
            );
            let status = json!({ "code": 403, "reason": "Forbidden", "message": cut(reason) });
            (Outcome::Denied, json!({ "uid": head.uid, "allowed": false, "status": status }))
        }
    };
    let reply = json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response });
    Ok(app::answer(json_response(StatusCode::OK, &reply), outcome, false))
}
