//! Kubernetes' webhooks as a protocol: paths, words, and the policies in force.

use std::sync::Arc;

use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, Response, StatusCode};
use stagedoor_audit::DecisionLog;
use stagedoor_server::{Answer, Endpoint, Outcome, Protocol, Question, Source};

use crate::config::ServerConfig;
use crate::policies::{LoadedPolicies, Policies, PolicySource};
use crate::status::{self, Refusal};
use crate::{admission, authorize, conditional};

const AUTHORIZE: &str = "authorize";
const ADMIT: &str = "admit";
const CONDITIONS: &str = "conditions";

/// Bytes of memory that a byte of a review costs, where it is all keys of `extra`.
const REVIEW_MEMORY: usize = 350;
/// Bytes of memory that a byte of an object costs, where it is all short keys.
const OBJECT_MEMORY: usize = 48;

/// What requests are answered with.
pub(crate) struct App {
    pub(crate) policies: Arc<Policies>,
    pub(crate) no_opinion_denies: bool,
    pub(crate) log: Option<Arc<DecisionLog>>,
    conditional: bool,
    review_bytes: usize,
    admission_bytes: usize,
    shadow: Option<Arc<App>>,
}

/// What a webhook answers, and what that came to.
pub(crate) type AnswerResult = Result<Answer, Refusal>;

impl App {
    pub(crate) fn new(config: &ServerConfig) -> Self {
        let of = |policies: &PolicySource| Self {
            policies: Arc::new(Policies::new(policies.clone(), config.experimental_conditional)),
            no_opinion_denies: config.no_opinion_denies,
            log: None,
            conditional: config.experimental_conditional,
            review_bytes: config.review_bytes,
            admission_bytes: config.admission_bytes,
            shadow: None,
        };
        Self {
            log: config.log.clone(),
            shadow: config.shadow.as_ref().map(of).map(Arc::new),
            ..of(&config.policies)
        }
    }
}

impl Protocol for App {
    fn endpoints(&self) -> Vec<Endpoint> {
        let endpoint = |name, path: &str, body_bytes, memory_per_byte| Endpoint {
            name,
            path: path.to_owned(),
            body_bytes,
            memory_per_byte,
            is_heavy: false,
            // Conditions decide by themselves, whatever the policies are.
            is_compared: name != CONDITIONS,
        };
        let mut endpoints = vec![
            endpoint(AUTHORIZE, "/authorize", self.review_bytes, REVIEW_MEMORY),
            endpoint(ADMIT, "/admit", self.admission_bytes, OBJECT_MEMORY),
        ];
        if self.conditional {
            let bytes = self.admission_bytes;
            endpoints.push(endpoint(CONDITIONS, "/conditions", bytes, OBJECT_MEMORY));
        }
        endpoints
    }

    fn sources(&self) -> Vec<Arc<dyn Source>> {
        vec![Arc::clone(&self.policies) as Arc<dyn Source>]
    }

    fn admit(&self, _: &'static str, head: &mut Parts) -> Result<(), Refusal> {
        check_content_type(&head.headers)
    }

    fn answer(&self, question: &Question<'_>) -> AnswerResult {
        if question.endpoint == CONDITIONS {
            // From the conditions alone: the policies are not looked at.
            return conditional::answer(self, question.body);
        }
        let loaded = self.policies.current();
        let loaded: Arc<LoadedPolicies> =
            loaded.ok_or_else(|| Refusal::unavailable("the policies are not loaded yet"))?;
        let answered = match question.endpoint {
            ADMIT => admission::answer(self, &loaded, question),
            _ => authorize::answer(self, &loaded, question),
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

/// Returns an answer that is one decision.
pub(crate) fn answer(response: Response<Body>, outcome: Outcome, erred: bool) -> Answer {
    Answer {
        response,
        outcomes: vec![outcome],
        errors: u64::from(erred),
        revision: None,
        reasons: Vec::new(),
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
