//! Answering reviews with an engine.

use std::sync::Arc;

use cedar_policy::Decision;
use stagedoor_core::{Engine, Entities, Explanation, Outcome, Request};

use crate::admission::AdmissionRequest;
use crate::attributes::Attributes;
use crate::forbids::Forbids;
use crate::mentions::Mentions;
use crate::mode::{ModeCeiling, Modes};
use crate::prepared::PreparedReviews;
use crate::resource::stands_for_every_name;
use crate::review::{SubjectAccessReview, SubjectAccessReviewStatus};
use crate::ruling::{ReviewOutcome, Ruling, in_own_words, list};
use crate::subject::{Principal, PrincipalIds, Subject};
use crate::undecided::UndecidedError;
use crate::vocabulary::{Vocabulary, VocabularyError};

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
    /// Those of the engine's policies that decide.
    enforced: Engine,
    /// The others.
    watched: Option<Engine>,
    vocabulary: Vocabulary,
    forbids: Forbids,
    modes: Modes,
    /// What of requests is kept for the policies.
    pub(crate) mentions: Arc<Mentions>,
    /// None where reviews are to be decided as whole requests.
    pub(crate) prepared: Option<Arc<PreparedReviews>>,
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
        let (enforced, forbids, modes) = (engine.clone(), Forbids::default(), Modes::default());
        let mentions = Arc::new(Mentions::of(&engine));
        let (watched, prepared) = (None, None);
        Self { engine, enforced, watched, vocabulary, forbids, modes, mentions, prepared }
            .with_ceilings(&[])
    }

    /// Sets how much the policies of some directories count at most.
    ///
    /// # Errors
    ///
    /// [`VocabularyError::UnknownMode`] never for a reviewer that is there.
    pub fn with_ceilings(mut self, ceilings: &[ModeCeiling]) -> Result<Self, VocabularyError> {
        self.modes = Modes::of(&self.engine, ceilings)?;
        self.enforced = self.modes.enforced(&self.engine);
        self.watched = self.modes.watched(&self.engine);
        self.forbids = Forbids::of(&self.engine, &self.enforced);
        // Those that are only watched decide about whole requests.
        self.prepared = match &self.watched {
            None => PreparedReviews::of(&self.enforced).map(Arc::new),
            Some(_) => None,
        };
        Ok(self)
    }

    /// Sets another vocabulary than the one of the engine's schema.
    #[must_use]
    pub fn with_vocabulary(mut self, vocabulary: Vocabulary) -> Self {
        self.vocabulary = vocabulary;
        self
    }

    /// Returns the engine, with the policies that are not enforced too.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Returns the engine of the policies that decide: without those whose mode is less.
    #[must_use]
    pub fn enforced(&self) -> &Engine {
        &self.enforced
    }

    /// Returns the vocabulary, to prepare principals with.
    #[must_use]
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// Returns the review with its status.
    #[must_use]
    pub fn answer(&self, review: SubjectAccessReview) -> SubjectAccessReview {
        let ruling = self.ruling(&review.spec.subject, &review.spec.attributes);
        review.with_status(ruling.into())
    }

    /// Returns whether objects that are written are kept whole while they are decided: a policy
    /// makes up the path of a field, or hands the object to a rule. Otherwise only the fields are
    /// that policies mention.
    #[must_use]
    pub fn keeps_objects(&self) -> bool {
        self.mentions.keeps_objects()
    }

    /// Returns what is answered, and what policies that are not enforced say besides.
    #[must_use]
    pub fn ruling(&self, subject: &Subject, attributes: &Attributes) -> Ruling {
        self.review_outcome(subject, attributes).ruling
    }

    /// Returns the same for an object that is to be written.
    #[must_use]
    pub fn admission_ruling(&self, review: &AdmissionRequest<'_>) -> Ruling {
        self.admission_outcome(review).ruling
    }

    /// Returns what is answered, with the outcome that it rests on: decided once.
    #[must_use]
    pub fn review_outcome(&self, subject: &Subject, attributes: &Attributes) -> ReviewOutcome {
        self.outcome_by_both(subject, |vocabulary| match &self.prepared {
            Some(prepared) => self.prepared_outcome(prepared, subject, vocabulary, attributes),
            None => {
                let principal = vocabulary.mentioned_principal(subject, &self.mentions)?;
                self.outcome_as(&principal, vocabulary, attributes)
            }
        })
    }

    /// Returns the same for an object that is to be written.
    #[must_use]
    pub fn admission_outcome(&self, review: &AdmissionRequest<'_>) -> ReviewOutcome {
        self.outcome_by_both(&review.user_info.subject(), |vocabulary| {
            let made = review.mentioned_request(vocabulary, &self.mentions);
            let (request, entities) = made.map_err(UndecidedError::Admission)?;
            self.rule(&request, &entities)
        })
    }

    /// Returns what the policies say that are not enforced, of a request that others decide.
    pub(crate) fn watched_ruling(&self, subject: &Subject, attributes: &Attributes) -> Ruling {
        let Some(watched) = &self.watched else { return Ruling::default() };
        let decided = self.outcome_by_both(subject, |vocabulary| {
            let principal = vocabulary.mentioned_principal(subject, &self.mentions)?;
            let (request, entities) = vocabulary.request(&principal, attributes)?;
            let watched = watched.decide(&request, &entities)?;
            let ruling = Ruling::default().with_watched(&watched, &self.modes);
            Ok(ReviewOutcome { ruling, outcome: None })
        });
        decided.ruling
    }

    /// Decides whether somebody may do something.
    ///
    /// A policy that forbids something to `k8s::User::"carol"` compares that with the UID,
    /// where the request has one ([`PrincipalIds`]); whoever wrote it meant the name. So where
    /// policies forbid something to principals by their ids, the request is decided by UID and
    /// by name, and what is forbidden either way is forbidden.
    ///
    /// # Errors
    ///
    /// [`UndecidedError`], which must count as a refusal.
    pub fn decide(
        &self,
        subject: &Subject,
        attributes: &Attributes,
    ) -> Result<Outcome, UndecidedError> {
        self.twice(subject, is_forbidden, |vocabulary| {
            let principal = vocabulary.mentioned_principal(subject, &self.mentions)?;
            self.decide_as(&principal, vocabulary, attributes)
        })
    }

    /// Decides like [`decide`](Self::decide), and says what each policy has to do with it that
    /// is enforced.
    ///
    /// # Errors
    ///
    /// [`UndecidedError`], which must count as a refusal.
    pub fn explain(
        &self,
        subject: &Subject,
        attributes: &Attributes,
    ) -> Result<Explanation, UndecidedError> {
        let forbidden = |explanation: &Explanation| is_forbidden(explanation.outcome());
        self.twice(subject, forbidden, |vocabulary| {
            let principal = vocabulary.mentioned_principal(subject, &self.mentions)?;
            let (request, entities) = vocabulary.request(&principal, attributes)?;
            let explanation = self.enforced.explain(&request, &entities)?;
            self.check_name(attributes, is_forbidden(explanation.outcome()))?;
            Ok(explanation)
        })
    }

    /// Decides whether an object may be written, as [`decide`](Self::decide) does.
    ///
    /// # Errors
    ///
    /// [`UndecidedError`], which must count as a refusal.
    pub fn admit(&self, review: &AdmissionRequest<'_>) -> Result<Outcome, UndecidedError> {
        self.twice(&review.user_info.subject(), is_forbidden, |vocabulary| {
            let made = review.mentioned_request(vocabulary, &self.mentions);
            let (request, entities) = made.map_err(UndecidedError::Admission)?;
            Ok(self.enforced.decide(&request, &entities)?)
        })
    }

    /// Decides like [`admit`](Self::admit), and says what each policy has to do with it.
    ///
    /// # Errors
    ///
    /// [`UndecidedError`], which must count as a refusal.
    pub fn explain_admission(
        &self,
        review: &AdmissionRequest<'_>,
    ) -> Result<Explanation, UndecidedError> {
        let forbidden = |explanation: &Explanation| is_forbidden(explanation.outcome());
        self.twice(&review.user_info.subject(), forbidden, |vocabulary| {
            let made = review.mentioned_request(vocabulary, &self.mentions);
            let (request, entities) = made.map_err(UndecidedError::Admission)?;
            Ok(self.enforced.explain(&request, &entities)?)
        })
    }

    /// Returns the answer whether a prepared principal may do something.
    ///
    /// `denied` is set when a policy forbids the request, or when the decision failed:
    /// another authorizer could otherwise allow what a policy here forbids. If merely no
    /// policy permits it, neither `allowed` nor `denied` is set. The principal is taken as it
    /// is prepared: by UID or by name, not by both as [`decide`](Self::decide) does.
    #[must_use]
    pub fn status(
        &self,
        principal: &Principal,
        attributes: &Attributes,
    ) -> SubjectAccessReviewStatus {
        let decided = self.outcome_as(principal, &self.vocabulary, attributes);
        decided.unwrap_or_else(|error| ReviewOutcome::undecided(&error)).ruling.into()
    }

    /// As [`outcome_as`](Self::outcome_as), by what is known of whoever asked lately.
    fn prepared_outcome(
        &self,
        prepared: &PreparedReviews,
        subject: &Subject,
        vocabulary: &Vocabulary,
        attributes: &Attributes,
    ) -> Result<ReviewOutcome, UndecidedError> {
        let known = prepared.subject(subject, vocabulary, &self.mentions, &self.enforced)?;
        match prepared.decide(&known, vocabulary, attributes, &self.enforced)? {
            Some(outcome) => {
                let ruling = Ruling::of(&outcome);
                self.check_name(attributes, ruling.denied)?;
                Ok(ReviewOutcome { ruling, outcome: Some(outcome) })
            }
            None => self.outcome_as(&known.principal, vocabulary, attributes),
        }
    }

    fn outcome_as(
        &self,
        principal: &Principal,
        vocabulary: &Vocabulary,
        attributes: &Attributes,
    ) -> Result<ReviewOutcome, UndecidedError> {
        let (request, entities) = vocabulary.request(principal, attributes)?;
        let decided = self.rule(&request, &entities)?;
        self.check_name(attributes, decided.ruling.denied)?;
        Ok(decided)
    }

    fn rule(
        &self,
        request: &Request,
        entities: &Entities,
    ) -> Result<ReviewOutcome, UndecidedError> {
        let outcome = self.enforced.decide(request, entities)?;
        let ruling = Ruling::of(&outcome);
        let ruling = match &self.watched {
            Some(watched) => ruling.with_watched(&watched.decide(request, entities)?, &self.modes),
            None => ruling,
        };
        Ok(ReviewOutcome { ruling, outcome: Some(outcome) })
    }

    fn decide_as(
        &self,
        principal: &Principal,
        vocabulary: &Vocabulary,
        attributes: &Attributes,
    ) -> Result<Outcome, UndecidedError> {
        let (request, entities) = vocabulary.request(principal, attributes)?;
        let outcome = self.enforced.decide(&request, &entities)?;
        self.check_name(attributes, is_forbidden(&outcome))?;
        Ok(outcome)
    }

    /// Fails where a yes would be one to names that a policy forbids, unless it is forbidden
    /// anyway.
    ///
    /// INVARIANT: it is no answer either that no policy permits it. The next authorizer would be
    /// asked then, whose yes to `*` kube-apiserver takes for one to every name.
    pub(crate) fn check_name(
        &self,
        attributes: &Attributes,
        is_forbidden: bool,
    ) -> Result<(), UndecidedError> {
        let is_open = !is_forbidden && self.asks_name(attributes);
        if is_open { Err(UndecidedError::EveryName) } else { Ok(()) }
    }

    /// Whether a request stands for names of which policies may forbid some.
    pub(crate) fn asks_name(&self, attributes: &Attributes) -> bool {
        stands_for_every_name(attributes) && self.forbids.impersonation
    }

    /// Whether a request is decided by UID and by name.
    pub(crate) fn looks_twice(&self, subject: &Subject) -> bool {
        self.forbids.principals_by_id && !subject.uid.is_empty() && subject.uid != subject.user
    }

    /// Decides by UID and by name: a forbid that is not enforced is told by either.
    fn outcome_by_both(
        &self,
        subject: &Subject,
        decide: impl Fn(&Vocabulary) -> Result<ReviewOutcome, UndecidedError>,
    ) -> ReviewOutcome {
        let decided =
            self.by_both(subject, |decided: &ReviewOutcome| decided.ruling.denied, decide);
        decided.map_or_else(
            |error| ReviewOutcome::undecided(&error),
            |(decided, other)| match other {
                Some(other) => decided.with_said_besides(other),
                None => decided,
            },
        )
    }

    /// Decides by UID, and where that may matter by name too; what is forbidden counts.
    pub(crate) fn twice<T>(
        &self,
        subject: &Subject,
        is_forbidden: impl Fn(&T) -> bool,
        decide: impl Fn(&Vocabulary) -> Result<T, UndecidedError>,
    ) -> Result<T, UndecidedError> {
        Ok(self.by_both(subject, is_forbidden, decide)?.0)
    }

    /// Returns what counts, and what was decided by the other of both ids.
    fn by_both<T>(
        &self,
        subject: &Subject,
        is_forbidden: impl Fn(&T) -> bool,
        decide: impl Fn(&Vocabulary) -> Result<T, UndecidedError>,
    ) -> Result<(T, Option<T>), UndecidedError> {
        let by_id = decide(&self.vocabulary)?;
        if !self.looks_twice(subject) || is_forbidden(&by_id) {
            return Ok((by_id, None));
        }
        let other = match self.vocabulary.principal_ids() {
            PrincipalIds::UidOrUserName => PrincipalIds::UserName,
            // The names are what policies are written for.
            PrincipalIds::UserName => return Ok((by_id, None)),
        };
        let by_name = decide(&self.vocabulary.clone().with_principal_ids(other))?;
        let pair = if is_forbidden(&by_name) { (by_name, by_id) } else { (by_id, by_name) };
        Ok((pair.0, Some(pair.1)))
    }
}

/// Whether a policy forbids it, rather than none permitting it.
pub(crate) fn is_forbidden(outcome: &Outcome) -> bool {
    outcome.decision() == Decision::Deny && outcome.reasons().next().is_some()
}

impl From<&Outcome> for SubjectAccessReviewStatus {
    fn from(outcome: &Outcome) -> Self {
        let allowed = outcome.decision() == Decision::Allow;
        let denied = !allowed && is_forbidden(outcome);
        let reason = match (allowed, denied) {
            (true, _) => {
                let ids = outcome.reasons().map(|policy| format!("`{}`", policy.id()));
                format!("allowed by {}", list(ids, ", "))
            }
            (false, true) => {
                format!("forbidden by {}", list(outcome.reasons().map(in_own_words), "; "))
            }
            (false, false) => "no policy permits this".to_owned(),
        };
        let errors =
            outcome.errors().iter().map(|e| format!("policy `{}`: {}", e.policy(), e.message()));
        Self { allowed, denied, reason, evaluation_error: list(errors, "; ") }
    }
}
