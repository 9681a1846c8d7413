//! One look at the store: what is there, and whether it is to be loaded.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Candidate, PollError, RefusedRelease, Replica, State};
use crate::digest::Digest;
use crate::kept::Floor;
use crate::signed_set::SignedSet;
use crate::store::{Head, StoreError, Version};
use crate::time::Timestamp;
use crate::trust::{Purpose, VerifiedRelease};

/// What a look at the store came to.
#[derive(Debug, Clone)]
pub enum PollOutcome {
    /// What is in force is what the store offers, or what is pinned.
    Confirmed,
    /// There is a set to be loaded.
    Candidate(Arc<SignedSet>),
}

impl Replica {
    /// Looks at the store once, and offers what is new there as the candidate.
    ///
    /// # Errors
    ///
    /// [`PollError`], which is kept for [`status`](Self::status). What is in force stays.
    pub fn poll(&self) -> Result<PollOutcome, PollError> {
        let polled = self.look();
        let mut state = self.state();
        match &polled {
            Ok(PollOutcome::Confirmed) => {
                state.confirmed = Some(self.clock.now());
                state.problem = None;
            }
            Ok(PollOutcome::Candidate(_)) => state.problem = None,
            Err(error) => state.problem = Some((error.to_string(), self.clock.now())),
        }
        polled
    }

    /// Returns the bundle that is to be fetched before a release can be taken up: none if it is here, or
    /// nobody trusted has signed the release.
    #[must_use]
    pub fn lacks(&self, envelope: &[u8]) -> Option<Digest> {
        let trust = Arc::clone(&self.state().trust);
        let verified = trust.verify(envelope, &self.options.channel, Purpose::Keep).ok()?;
        let digest = verified.release.digest;
        (!self.knows(&verified) && self.kept().bundle(digest).is_none()).then_some(digest)
    }

    /// Returns whether a statement is the one that is in force, offered or refused.
    fn knows(&self, verified: &VerifiedRelease) -> bool {
        let state = self.state();
        let is_it = |set: &SignedSet| set.statement() == verified.statement;
        state.is_in_force(verified)
            || state.candidate.as_ref().is_some_and(|one| is_it(&one.set))
            || state.refused.as_ref().is_some_and(|one| is_it(&one.set))
    }

    fn look(&self) -> Result<PollOutcome, PollError> {
        let (trust, known) = {
            let mut state = self.state();
            // What was in force before the restart needs no store to be tried again.
            let is_waiting = state.in_force.is_none() && state.candidate.is_none();
            let is_due = state.refused.as_ref().is_some_and(|one| one.is_kept && self.is_due(one));
            if is_waiting && is_due {
                self.try_again(&mut state);
            }
            // INVARIANT: the condition is the version that is in force, never one that was only
            // seen: what failed to load once is offered again.
            let known = state.in_force.as_ref().and_then(|now| now.version.clone());
            (Arc::clone(&state.trust), known)
        };
        let channel = &self.options.channel;
        let (version, envelope) = match self.store.head(channel, known.as_ref())? {
            Head::Unchanged => return Ok(self.confirm(None)),
            Head::Found { version, envelope } => (version, envelope),
        };
        let verified = trust.verify(&envelope, channel, Purpose::Keep)?;
        if self.state().is_in_force(&verified) {
            return Ok(self.confirm(version));
        }
        if let Some(pinned) = self.check_pin(&verified)? {
            return Ok(pinned);
        }
        let now = Timestamp::of(self.clock.now());
        let verified = trust.verify(&envelope, channel, Purpose::TakeUp(now))?;
        let floor = self.kept().floor();
        if self.options.pin.is_none() {
            check_floor(floor, &verified)?;
        }
        if let Some(set) = self.known_candidate(&verified)? {
            return Ok(PollOutcome::Candidate(set));
        }
        let bundle = self.bundle(&verified)?;
        let set = Arc::new(SignedSet::of(verified, envelope, bundle)?);
        let candidate = Candidate { set: Arc::clone(&set), version, is_kept: false };
        self.state().candidate = Some(candidate);
        self.version.fetch_add(1, Ordering::AcqRel);
        Ok(PollOutcome::Candidate(set))
    }

    /// What is in force is what is offered: there is nothing to load.
    fn confirm(&self, version: Option<Version>) -> PollOutcome {
        let mut state = self.state();
        if let (Some(now), Some(version)) = (&mut state.in_force, version) {
            now.version = Some(version);
        }
        // What was offered or refused, and is offered no more. Whoever loads looks again, and has
        // nothing to complain of then.
        let was_refused = state.refused.take().is_some();
        let is_withdrawn = state.in_force.is_some() && state.candidate.take().is_some();
        if was_refused || is_withdrawn {
            self.version.fetch_add(1, Ordering::AcqRel);
        }
        PollOutcome::Confirmed
    }

    /// Returns what there is to do where what is pinned is there already, whatever is offered.
    fn check_pin(&self, offered: &VerifiedRelease) -> Result<Option<PollOutcome>, PollError> {
        let Some(pin) = self.options.pin else { return Ok(None) };
        let offered = offered.release.digest;
        let state = self.state();
        let is_pinned = |set: &SignedSet| set.release().digest == pin;
        if state.in_force.as_ref().is_some_and(|now| is_pinned(&now.set)) {
            drop(state);
            return Ok(Some(self.confirm(None)));
        }
        if let Some(candidate) = state.candidate.as_ref().filter(|one| is_pinned(&one.set)) {
            return Ok(Some(PollOutcome::Candidate(Arc::clone(&candidate.set))));
        }
        if offered == pin { Ok(None) } else { Err(PollError::Pinned { offered, pin }) }
    }

    /// Returns the candidate, if it is that release. One that was refused becomes it again when
    /// it is time.
    fn known_candidate(
        &self,
        verified: &VerifiedRelease,
    ) -> Result<Option<Arc<SignedSet>>, PollError> {
        let mut state = self.state();
        let is_it = |set: &SignedSet| set.statement() == verified.statement;
        if let Some(candidate) = state.candidate.as_ref().filter(|one| is_it(&one.set)) {
            return Ok(Some(Arc::clone(&candidate.set)));
        }
        match state.refused.as_ref().filter(|one| is_it(&one.set)) {
            Some(refused) if !self.is_due(refused) => {
                let (counter, reason) = (verified.release.counter, refused.reason.clone());
                Err(PollError::Refused { counter, reason })
            }
            Some(_) => Ok(self.try_again(&mut state)),
            None => Ok(None),
        }
    }

    /// Returns whether it is time to try a set again that was refused: what kept it out may be
    /// another one by now, such as a disk that was full, or a rule that was not compiled.
    fn is_due(&self, refused: &RefusedRelease) -> bool {
        let age = self.clock.now().duration_since(refused.at).unwrap_or_default();
        age >= self.options.retry
    }

    fn try_again(&self, state: &mut State) -> Option<Arc<SignedSet>> {
        let RefusedRelease { set, is_kept, .. } = state.refused.take()?;
        state.candidate = Some(Candidate { set: Arc::clone(&set), version: None, is_kept });
        self.version.fetch_add(1, Ordering::AcqRel);
        Some(set)
    }

    fn bundle(&self, verified: &VerifiedRelease) -> Result<Vec<u8>, PollError> {
        let (digest, bytes) = (verified.release.digest, verified.release.bytes);
        let limit = self.options.bundle_bytes;
        if bytes > limit {
            let (what, store) = (format!("the bundle {digest}"), self.store.name());
            return Err(StoreError::TooLarge { what, store, limit }.into());
        }
        if let Some(bundle) = self.kept().bundle(digest) {
            return Ok(bundle);
        }
        Ok(self.store.bundle(&self.options.channel, digest, bytes)?)
    }
}

/// Refuses what is older than, or contradicts, what was in force.
fn check_floor(floor: Option<Floor>, verified: &VerifiedRelease) -> Result<(), PollError> {
    let Some(floor) = floor else { return Ok(()) };
    let counter = verified.release.counter;
    if counter < floor.counter {
        return Err(PollError::Older { offered: counter, highest: floor.counter });
    }
    let contradicts = floor.statement.is_some_and(|statement| statement != verified.statement);
    if counter == floor.counter && contradicts {
        return Err(PollError::Contradiction { counter, offered: verified.statement });
    }
    Ok(())
}
