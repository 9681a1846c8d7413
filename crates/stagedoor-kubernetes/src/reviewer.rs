//! Answering reviews with an engine.

use cedar_policy::Decision;
use stagedoor_core::{Engine, Outcome};

use crate::attributes::Attributes;
use crate::review::{SubjectAccessReview, SubjectAccessReviewStatus};
use crate::subject::Principal;
use crate::vocabulary::{Vocabulary, VocabularyError};

/// How many policies or errors an answer names before it only counts them.
const NAMED: usize = 8;

/// Answers SubjectAccessReviews by the policies of one engine.
///
/// # Examples
///
/// ```
/// use stagedoor_core::Engine;
/// use stagedoor_kubernetes::{ResourceAttributes, Reviewer, SCHEMA, Subject, SubjectAccessReview};
///
/// let engine = Engine::builder()
///     .schema("kubernetes.cedarschema", SCHEMA)
///     .policies("team.cedar", r#"
///         @id("payments-reads-pods")
///         permit(principal in k8s::Group::"payments", action in k8s::Action::"readOnly",
///                resource is k8s::Resource)
///         when { resource.resource == "pods" && resource.apiGroup == "" };"#)
///     .build()?;
/// let reviewer = Reviewer::new(engine)?;
///
/// let alice = Subject::new("alice").with_group("payments");
/// let pods = ResourceAttributes::new("list", "", "pods");
/// let review = reviewer.answer(SubjectAccessReview::new(alice, pods));
/// let status = review.status.unwrap_or_default();
/// assert!(status.allowed);
/// assert_eq!(status.reason, "allowed by `payments-reads-pods`");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Reviewer {
    engine: Engine,
    vocabulary: Vocabulary,
}

impl Reviewer {
    /// Returns what answers reviews by this engine's policies, with the verbs of its schema.
    ///
    /// # Errors
    ///
    /// [`VocabularyError`] if the engine has a schema that is not Kubernetes'.
    pub fn new(engine: Engine) -> Result<Self, VocabularyError> {
        let vocabulary = match engine.schema() {
            Some(schema) => Vocabulary::of(schema)?,
            None => Vocabulary::without_schema(),
        };
        Ok(Self { engine, vocabulary })
    }

    /// Sets another vocabulary than the one of the engine's schema.
    #[must_use]
    pub fn with_vocabulary(mut self, vocabulary: Vocabulary) -> Self {
        self.vocabulary = vocabulary;
        self
    }

    /// Returns the engine.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Returns the vocabulary, to prepare principals with.
    #[must_use]
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// Returns the review with its status.
    #[must_use]
    pub fn answer(&self, review: SubjectAccessReview) -> SubjectAccessReview {
        let status = match self.vocabulary.principal(&review.spec.subject) {
            Ok(principal) => self.status(&principal, &review.spec.attributes),
            Err(error) => failed(&error),
        };
        review.with_status(status)
    }

    /// Returns the answer whether a prepared principal may do something.
    ///
    /// `denied` is set when a policy forbids the request, or when the decision failed:
    /// another authorizer could otherwise allow what a policy here forbids. If merely no
    /// policy permits it, neither `allowed` nor `denied` is set.
    #[must_use]
    pub fn status(
        &self,
        principal: &Principal,
        attributes: &Attributes,
    ) -> SubjectAccessReviewStatus {
        match self.vocabulary.request(principal, attributes) {
            Ok((request, entities)) => match self.engine.decide(&request, &entities) {
                Ok(outcome) => (&outcome).into(),
                Err(error) => failed(&error),
            },
            Err(error) => failed(&error),
        }
    }
}

impl From<&Outcome> for SubjectAccessReviewStatus {
    fn from(outcome: &Outcome) -> Self {
        let policies = list(outcome.reasons().map(|policy| format!("`{}`", policy.id())), ", ");
        let allowed = outcome.decision() == Decision::Allow;
        let denied = !allowed && !policies.is_empty();
        let reason = match (allowed, denied) {
            (true, _) => format!("allowed by {policies}"),
            (false, true) => format!("forbidden by {policies}"),
            (false, false) => "no policy permits this".to_owned(),
        };
        let errors =
            outcome.errors().iter().map(|e| format!("policy `{}`: {}", e.policy(), e.message()));
        Self { allowed, denied, reason, evaluation_error: list(errors, "; ") }
    }
}

fn failed(error: &dyn std::error::Error) -> SubjectAccessReviewStatus {
    SubjectAccessReviewStatus {
        allowed: false,
        denied: true,
        reason: "the request could not be decided".to_owned(),
        evaluation_error: error.to_string(),
    }
}

fn list(items: impl Iterator<Item = String>, separator: &str) -> String {
    let items: Vec<String> = items.collect();
    let named = items.get(..NAMED).unwrap_or(&items).join(separator);
    match items.len().checked_sub(NAMED) {
        Some(more @ 1..) => format!("{named} and {more} more"),
        _ => named,
    }
}
