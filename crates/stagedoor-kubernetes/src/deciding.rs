//! The request that a question comes to, for those who ask an engine themselves.

use stagedoor_core::{DecideError, Entities, Outcome, Request};

use crate::admission::AdmissionRequest;
use crate::attributes::Attributes;
use crate::reviewer::{Reviewer, is_forbidden};
use crate::subject::Subject;
use crate::undecided::UndecidedError;
use crate::vocabulary::Vocabulary;

/// A request with its entities, whose decision by [`Reviewer::enforced`] is the answer.
pub type DecidingRequest = (Request, Entities);

impl Reviewer {
    /// Returns the request whose decision by [`enforced`](Self::enforced) policies is the answer:
    /// by UID, or by name where that is what policies forbid.
    ///
    /// # Errors
    ///
    /// [`UndecidedError`], which must count as a refusal; also [`UndecidedError::EveryName`],
    /// where the engine would allow.
    pub fn deciding_request(
        &self,
        subject: &Subject,
        attributes: &Attributes,
    ) -> Result<DecidingRequest, UndecidedError> {
        let made = |vocabulary: &Vocabulary| -> Result<_, UndecidedError> {
            Ok(vocabulary.request(&vocabulary.principal(subject)?, attributes)?)
        };
        if !self.looks_twice(subject) && !self.asks_name(attributes) {
            return made(self.vocabulary());
        }
        self.deciding(subject, |vocabulary| {
            let (request, entities) = made(vocabulary)?;
            let outcome = self.decided(&request, &entities)?;
            self.check_name(attributes, is_forbidden(&outcome))?;
            Ok((outcome, (request, entities)))
        })
    }

    /// Returns the same for an object that is to be written.
    ///
    /// # Errors
    ///
    /// [`UndecidedError`], which must count as a refusal.
    pub fn deciding_admission(
        &self,
        review: &AdmissionRequest<'_>,
    ) -> Result<DecidingRequest, UndecidedError> {
        let subject = review.user_info.subject();
        let made =
            |vocabulary: &Vocabulary| review.request(vocabulary).map_err(UndecidedError::Admission);
        if !self.looks_twice(&subject) {
            return made(self.vocabulary());
        }
        self.deciding(&subject, |vocabulary| {
            let (request, entities) = made(vocabulary)?;
            Ok((self.decided(&request, &entities)?, (request, entities)))
        })
    }

    fn decided(&self, request: &Request, entities: &Entities) -> Result<Outcome, DecideError> {
        self.enforced().decide(request, entities)
    }

    fn deciding(
        &self,
        subject: &Subject,
        decide: impl Fn(&Vocabulary) -> Result<(Outcome, DecidingRequest), UndecidedError>,
    ) -> Result<DecidingRequest, UndecidedError> {
        let forbidden = |decided: &(Outcome, DecidingRequest)| is_forbidden(&decided.0);
        Ok(self.twice(subject, forbidden, decide)?.1)
    }
}
