//! Kubernetes' webhooks as a protocol: paths and words.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, Response, StatusCode};
use stagedoor_server::{Answer, Endpoint, MemoryCost, Protocol, Question, Reloadable};

use crate::app::{AnswerResult, App};
use crate::policies::Policies;
use crate::status::{self, Refusal};
use crate::{admission, authorize, conditions, policy_sets};

const AUTHORIZE: &str = "authorize";
const ADMIT: &str = "admit";
const CONDITIONS: &str = "conditions";
const POLICY_SETS: &str = "policysets";

/// What the parts of a review cost: groups and `extra` are kept, and recorded.
const REVIEW_MEMORY: MemoryCost = MemoryCost {
    byte: 8,
    member: 500,
    scalar: 250,
    object: 700,
    list: 200,
    // Whatever is not given has a value all the same.
    empty: 600,
    path: 0,
};
/// What the parts of an object cost that is kept whole: each member has a path and a set of values.
const OBJECT_MEMORY: MemoryCost =
    MemoryCost { byte: 4, member: 450, scalar: 250, object: 300, list: 200, empty: 0, path: 2 };
/// The same for an object of which only some fields are kept; keys are told apart all the same.
const FIELD_MEMORY: MemoryCost =
    MemoryCost { byte: 4, member: 40, scalar: 100, object: 0, list: 0, empty: 0, path: 0 };
/// What the parts of an object cost beyond that, where it is recorded.
const RECORD_MEMORY: MemoryCost =
    MemoryCost { byte: 8, member: 150, scalar: 80, object: 700, list: 150, empty: 80, path: 0 };

impl Protocol for App {
    fn endpoints(&self) -> Vec<Endpoint> {
        let endpoint = |name, path: &str, body_bytes, memory| Endpoint {
            name,
            path: path.to_owned(),
            body_bytes,
            memory,
            // A set is loaded before it is admitted.
            is_heavy: name == POLICY_SETS,
            // These are answered whatever the policies are.
            is_compared: !matches!(name, CONDITIONS | POLICY_SETS),
        };
        let mut endpoints = vec![
            endpoint(AUTHORIZE, "/authorize", self.review_bytes, REVIEW_MEMORY),
            endpoint(ADMIT, "/admit", self.admission_bytes, OBJECT_MEMORY),
        ];
        if self.conditional {
            let bytes = self.admission_bytes;
            endpoints.push(endpoint(CONDITIONS, "/conditions", bytes, OBJECT_MEMORY));
        }
        if self.policy_sets.is_some() {
            let bytes = self.admission_bytes;
            endpoints.push(endpoint(POLICY_SETS, "/policysets", bytes, OBJECT_MEMORY));
        }
        endpoints
    }

    fn sources(&self) -> Vec<Arc<dyn Reloadable>> {
        vec![Arc::<Policies>::clone(&self.policies)]
    }

    fn memory(&self, endpoint: &Endpoint) -> MemoryCost {
        if endpoint.name != ADMIT {
            return endpoint.memory;
        }
        let loaded = self.policies.current();
        let keeps = loaded.is_none_or(|loaded| loaded.value.reviewer.keeps_objects());
        let decided = if keeps { endpoint.memory } else { FIELD_MEMORY };
        if self.record_objects { decided.and(RECORD_MEMORY) } else { decided }
    }

    fn admit(&self, _: &'static str, head: &mut Parts) -> Result<(), Refusal> {
        check_content_type(&head.headers)
    }

    fn answer(&self, question: &Question<'_>) -> AnswerResult {
        if question.endpoint == CONDITIONS {
            // From the conditions alone: the policies are not looked at.
            return conditions::answer(self, question);
        }
        if question.endpoint == POLICY_SETS {
            return policy_sets::answer(self, question);
        }
        let loaded = self.policies.current();
        let loaded =
            loaded.ok_or_else(|| Refusal::unavailable("the policies are not loaded yet"))?;
        let loaded = &loaded.value;
        let answered = match question.endpoint {
            ADMIT => admission::answer(self, loaded, question),
            _ => authorize::answer(self, loaded, question),
        };
        // INVARIANT: the revision is that of the set that has decided, whatever is in force by now.
        let revision = Some(loaded.reviewer.engine().revision().to_owned());
        answered.map(|answer| Answer { revision, ..answer })
    }

    fn refuse(&self, refusal: &Refusal) -> Response<Body> {
        status::response(refusal)
    }

    fn shadow(&self) -> Option<Arc<dyn Protocol>> {
        self.shadow.clone().map(|shadow| shadow as Arc<dyn Protocol>)
    }

    fn asked(&self, question: &Question<'_>, _: usize) -> String {
        let asked = match question.endpoint {
            ADMIT => admission::asked(question.body),
            _ => authorize::asked(question.body),
        };
        asked.unwrap_or_default()
    }
}

fn check_content_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(given) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let essence = given.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    if essence.trim().eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "only `application/json` is read"))
}
