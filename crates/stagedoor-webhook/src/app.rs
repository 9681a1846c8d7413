//! What a webhook answers by.

use std::sync::Arc;

use axum::body::Body;
use http::Response;
use stagedoor_audit::DecisionLog;
use stagedoor_server::{Answer, Outcome, Refusal};

use crate::config::ServerConfig;
use crate::policies::{Policies, PolicySource, ServedPolicies};
use crate::policy_set_reviewer::PolicySetReviewer;

/// What requests are answered with.
pub(crate) struct App {
    pub(crate) policies: Arc<Policies>,
    pub(crate) no_opinion_denies: bool,
    pub(crate) log: Option<Arc<DecisionLog>>,
    pub(crate) record_objects: bool,
    pub(crate) conditional: bool,
    pub(crate) policy_sets: Option<Arc<dyn PolicySetReviewer>>,
    pub(crate) review_bytes: usize,
    pub(crate) admission_bytes: usize,
    /// The same by policies from which nothing is enforced.
    pub(crate) shadow: Option<Arc<App>>,
}

/// What a webhook answers, and what that came to.
pub(crate) type AnswerResult = Result<Answer, Refusal>;

impl App {
    pub(crate) fn new(config: &ServerConfig) -> Self {
        let of = |policies: &PolicySource| {
            let policies = ServedPolicies::new(policies.clone(), config.experimental_conditional);
            Self {
                policies: Arc::new(Policies::new(policies)),
                no_opinion_denies: config.no_opinion_denies,
                log: None,
                record_objects: false,
                conditional: config.experimental_conditional,
                policy_sets: None,
                review_bytes: config.review_bytes,
                admission_bytes: config.admission_bytes,
                shadow: None,
            }
        };
        Self {
            log: config.log.clone(),
            record_objects: config.record_objects,
            policy_sets: config.policy_sets.clone(),
            shadow: config.shadow.as_ref().map(of).map(Arc::new),
            ..of(&config.policies)
        }
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
