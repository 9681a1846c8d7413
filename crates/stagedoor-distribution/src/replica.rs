//! One replica of a channel: what it has in force, and what it takes up.
//!
//! A replica looks at its store ([`poll`](Replica::poll)), verifies what is there, and offers it
//! as a candidate. Whoever decides by it loads the candidate, and admits it: then it is on disk,
//! and in force. What it promises:
//!
//! - nothing is offered that nobody trusted has signed for this channel, and nothing but whole sets;
//! - the highest number is kept: a lower one is not offered again, unless a pin names its digest;
//! - two statements of one number contradict each other, and the second is refused;
//! - what was admitted serves after a restart without the store, and is verified anew.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::channel::Channel;
use crate::clock::{Clock, SystemClock};
use crate::digest::Digest;
use crate::disk::{Disk, RealDisk};
use crate::gate::Gate;
use crate::kept::{Floor, Kept};
use crate::signed_set::SignedSet;
use crate::status::{ReleaseStatus, ReplicaStatus};
use crate::store::{Head, PolicyStore, StoreError, Version};
use crate::time::Timestamp;
use crate::trust::{Purpose, Trust, VerifiedRelease, VerifyError};

/// The largest bundle, in bytes: what one file of policies may have.
const BUNDLE_BYTES: u64 = 64 << 20;

/// What a replica follows, and how.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReplicaOptions {
    /// The set and the channel.
    pub channel: Channel,
    /// Where the last good sets are kept. A directory of this replica's own.
    pub state: PathBuf,
    /// The one bundle that may be in force, whatever its number is.
    pub pin: Option<Digest>,
    /// For how long the store may be out of reach, or offer nothing that can be taken, until the
    /// replica is not ready any more. Without it, that is told, and nothing else.
    pub max_staleness: Option<Duration>,
    /// When a set that was refused is tried again (60 s).
    pub retry: Duration,
    /// The largest bundle, in bytes (64 MiB).
    pub bundle_bytes: u64,
}

impl ReplicaOptions {
    /// Returns options with the defaults.
    #[must_use]
    pub fn new(channel: Channel, state: impl Into<PathBuf>) -> Self {
        Self {
            channel,
            state: state.into(),
            pin: None,
            max_staleness: None,
            retry: Duration::from_secs(60),
            bundle_bytes: BUNDLE_BYTES,
        }
    }
}

/// Why a replica cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Its directory cannot be used.
    #[error("the state in `{path}` cannot be used: {source}")]
    State {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process has it.
    #[error("another process keeps its state in `{0}`: give each replica a directory of its own")]
    InUse(PathBuf),
}

/// Why a look at the store came to nothing new.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PollError {
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What it offers is not taken.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// It offers a release that is older than the newest one that was in force.
    #[error(
        "release {offered} is offered, and release {highest} was in force already: to go back, publish the older set again by `stagedoor promote --pin`, or pin it here by `--pin`"
    )]
    Older {
        /// The number that is offered.
        offered: u64,
        /// The highest one that was taken up.
        highest: u64,
    },
    /// It offers another release of a number that was taken up.
    #[error(
        "release {counter} was signed twice, with different content: find out who has signed {offered}"
    )]
    Contradiction {
        /// The number.
        counter: u64,
        /// The digest of the statement that is offered.
        offered: Digest,
    },
    /// It offers another bundle than the pinned one.
    #[error("{offered} is offered, and {pin} is pinned")]
    Pinned {
        /// The digest that is offered.
        offered: Digest,
        /// The digest that is pinned.
        pin: Digest,
    },
    /// It was refused a while ago, and is tried again later.
    #[error("release {counter} was refused: {reason}")]
    Refused {
        /// The number.
        counter: u64,
        /// Why.
        reason: String,
    },
}

/// What a look at the store came to.
#[derive(Debug, Clone)]
pub enum Polled {
    /// What is in force is what the store offers, or what is pinned.
    Confirmed,
    /// There is a set to be loaded.
    Candidate(Arc<SignedSet>),
}

/// A replica of one channel of one policy set.
#[derive(Debug)]
pub struct Replica {
    options: ReplicaOptions,
    store: Box<dyn PolicyStore>,
    gates: Vec<Arc<dyn Gate>>,
    clock: Arc<dyn Clock>,
    kept: Mutex<Kept>,
    state: Mutex<State>,
    /// Another number when there is another candidate.
    version: AtomicU64,
    /// Held as long as the replica lives.
    _lock: Option<File>,
}

#[derive(Debug)]
struct State {
    trust: Arc<Trust>,
    in_force: Option<InForce>,
    candidate: Option<Candidate>,
    refused: Option<Refused>,
    problem: Option<(String, SystemTime)>,
    /// When the store last offered what is in force.
    confirmed: Option<SystemTime>,
    /// Since when there is this replica.
    begun: SystemTime,
}

#[derive(Debug, Clone)]
struct InForce {
    set: Arc<SignedSet>,
    version: Option<Version>,
    since: SystemTime,
}

#[derive(Debug, Clone)]
struct Candidate {
    set: Arc<SignedSet>,
    version: Option<Version>,
    /// Whether it is on disk already.
    is_kept: bool,
}

#[derive(Debug)]
struct Refused {
    set: Arc<SignedSet>,
    is_kept: bool,
    reason: String,
    at: SystemTime,
}

impl Replica {
    /// Opens a replica: what it had in force before is its first candidate.
    ///
    /// # Errors
    ///
    /// [`OpenError`]. A set on disk that does not serve is no error: it is told, and the replica
    /// waits for the store.
    pub fn open(
        options: ReplicaOptions,
        store: Box<dyn PolicyStore>,
        trust: Trust,
    ) -> Result<Self, OpenError> {
        let failed = |source| OpenError::State { path: options.state.clone(), source };
        RealDisk.create_directory(&options.state).map_err(failed)?;
        let lock = lock(&options.state)?;
        let mut replica =
            Self::open_on(options, store, trust, Arc::new(RealDisk), Arc::new(SystemClock))?;
        replica._lock = Some(lock);
        Ok(replica)
    }

    /// As [`open`](Self::open), on another disk and by another clock, and without keeping others
    /// from the directory: for tests and simulations.
    ///
    /// # Errors
    ///
    /// [`OpenError::State`].
    pub fn open_on(
        options: ReplicaOptions,
        store: Box<dyn PolicyStore>,
        trust: Trust,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let failed = |source| OpenError::State { path: options.state.clone(), source };
        let kept = Kept::open(disk, &options.state, options.bundle_bytes).map_err(failed)?;
        let sets = kept.sets(&trust, &options.channel).map_err(failed)?;
        let highest = sets.first().map(|(counter, _)| *counter);
        let mut state = State {
            trust: Arc::new(trust),
            in_force: None,
            candidate: None,
            refused: None,
            problem: None,
            confirmed: None,
            begun: clock.now(),
        };
        for (counter, set) in sets {
            match set {
                // INVARIANT: the newest one serves, or none. An older one that is on disk would be
                // a step back; it serves where it is pinned.
                Ok(set) if state.candidate.is_none() && options.may_serve(&set, highest) => {
                    let set = Arc::new(set);
                    state.candidate = Some(Candidate { set, version: None, is_kept: true });
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(release = counter, "a set on disk does not serve: {error}");
                    let problem = format!("release {counter} on disk does not serve: {error}");
                    state.problem.get_or_insert((problem, clock.now()));
                }
            }
        }
        Ok(Self {
            options,
            store,
            gates: Vec::new(),
            clock,
            kept: Mutex::new(kept),
            state: Mutex::new(state),
            version: AtomicU64::new(0),
            _lock: None,
        })
    }

    /// Adds what a set must pass before it is taken up.
    #[must_use]
    pub fn with_gate(mut self, gate: Arc<dyn Gate>) -> Self {
        self.gates.push(gate);
        self
    }

    /// Returns the set and the channel that it follows.
    #[must_use]
    pub fn channel(&self) -> &Channel {
        &self.options.channel
    }

    /// Returns where it looks.
    #[must_use]
    pub fn store(&self) -> &dyn PolicyStore {
        &*self.store
    }

    /// Sets whom to trust from now on.
    pub fn trust(&self, trust: Trust) {
        self.state().trust = Arc::new(trust);
    }

    /// Says that something keeps the replica from looking at the store as it should.
    pub fn report(&self, problem: impl Into<String>) {
        self.state().problem = Some((problem.into(), self.clock.now()));
    }

    /// Returns the set that is to be loaded: the candidate, or else what is in force.
    #[must_use]
    pub fn to_load(&self) -> Option<Arc<SignedSet>> {
        let state = self.state();
        let candidate = state.candidate.as_ref().map(|candidate| &candidate.set);
        candidate.or(state.in_force.as_ref().map(|now| &now.set)).cloned()
    }

    /// Returns what is in force.
    #[must_use]
    pub fn in_force(&self) -> Option<Arc<SignedSet>> {
        self.state().in_force.as_ref().map(|now| Arc::clone(&now.set))
    }

    /// Returns a number that is another one when there is another candidate.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Looks at the store once, and offers what is new there as the candidate.
    ///
    /// # Errors
    ///
    /// [`PollError`], which is kept for [`status`](Self::status). What is in force stays.
    pub fn poll(&self) -> Result<Polled, PollError> {
        let polled = self.look();
        let mut state = self.state();
        match &polled {
            Ok(Polled::Confirmed) => {
                state.confirmed = Some(self.clock.now());
                state.problem = None;
            }
            Ok(Polled::Candidate(_)) => state.problem = None,
            Err(error) => state.problem = Some((error.to_string(), self.clock.now())),
        }
        polled
    }

    fn look(&self) -> Result<Polled, PollError> {
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
            return Ok(Polled::Candidate(set));
        }
        let bundle = self.bundle(&verified)?;
        let set = Arc::new(SignedSet::of(verified, envelope, bundle)?);
        let candidate = Candidate { set: Arc::clone(&set), version, is_kept: false };
        self.state().candidate = Some(candidate);
        self.version.fetch_add(1, Ordering::AcqRel);
        Ok(Polled::Candidate(set))
    }

    /// What is in force is what is offered: there is nothing to load.
    fn confirm(&self, version: Option<Version>) -> Polled {
        let mut state = self.state();
        state.refused = None;
        if let (Some(now), Some(version)) = (&mut state.in_force, version) {
            now.version = Some(version);
        }
        // One that was offered, and is offered no more.
        if state.in_force.is_some() && state.candidate.take().is_some() {
            self.version.fetch_add(1, Ordering::AcqRel);
        }
        Polled::Confirmed
    }

    /// Returns what there is to do where what is pinned is there already, whatever is offered.
    fn check_pin(&self, offered: &VerifiedRelease) -> Result<Option<Polled>, PollError> {
        let Some(pin) = self.options.pin else { return Ok(None) };
        let offered = offered.release.digest;
        let state = self.state();
        let is_pinned = |set: &SignedSet| set.release().digest == pin;
        if state.in_force.as_ref().is_some_and(|now| is_pinned(&now.set)) {
            drop(state);
            return Ok(Some(self.confirm(None)));
        }
        if let Some(candidate) = state.candidate.as_ref().filter(|one| is_pinned(&one.set)) {
            return Ok(Some(Polled::Candidate(Arc::clone(&candidate.set))));
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
    fn is_due(&self, refused: &Refused) -> bool {
        let age = self.clock.now().duration_since(refused.at).unwrap_or_default();
        age >= self.options.retry
    }

    fn try_again(&self, state: &mut State) -> Option<Arc<SignedSet>> {
        let Refused { set, is_kept, .. } = state.refused.take()?;
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

    /// Runs the gates on a set that was loaded.
    ///
    /// # Errors
    ///
    /// What the first gate that refuses it says.
    pub fn check(
        &self,
        set: &SignedSet,
        loaded: &stagedoor_core::Engine,
        in_force: Option<&stagedoor_core::Engine>,
    ) -> Result<(), String> {
        // What was in force before has passed them.
        if self.state().candidate.as_ref().is_none_or(|candidate| candidate.is_kept) {
            return Ok(());
        }
        self.gates.iter().try_for_each(|gate| gate.check(set, loaded, in_force))
    }

    /// Puts a set in force that was loaded. It is on disk when this returns.
    ///
    /// # Errors
    ///
    /// Why it is not in force: it cannot be kept, or another one is the candidate by now.
    pub fn admit(&self, set: &Arc<SignedSet>) -> Result<(), String> {
        let mut kept = self.kept();
        let mut state = self.state();
        if state.in_force.as_ref().is_some_and(|now| Arc::ptr_eq(&now.set, set)) {
            return Ok(());
        }
        let candidate = state.candidate.as_ref().filter(|one| Arc::ptr_eq(&one.set, set)).cloned();
        let Some(Candidate { set, version, is_kept }) = candidate else {
            return Err("another set has been published meanwhile, which is loaded next".to_owned());
        };
        if !is_kept {
            kept.keep(&set).map_err(|error| {
                format!("it cannot be kept in `{}`: {error}", self.options.state.display())
            })?;
            state.confirmed = Some(self.clock.now());
        }
        state.candidate = None;
        state.refused = None;
        state.in_force = Some(InForce { set, version, since: self.clock.now() });
        Ok(())
    }

    /// Says that a set does not load, or was refused. What is in force stays, and the set is tried
    /// again later.
    pub fn refuse(&self, set: &Arc<SignedSet>, reason: &str) {
        let mut state = self.state();
        let candidate = state.candidate.take_if(|candidate| Arc::ptr_eq(&candidate.set, set));
        let Some(Candidate { is_kept, .. }) = candidate else { return };
        let (set, reason, at) = (Arc::clone(set), reason.to_owned(), self.clock.now());
        state.problem =
            Some((format!("release {} is refused: {reason}", set.release().counter), at));
        state.refused = Some(Refused { set, is_kept, reason, at });
    }

    /// Returns how the replica is.
    #[must_use]
    pub fn status(&self) -> ReplicaStatus {
        let highest = self.kept().floor().map(|floor| floor.counter);
        let state = self.state();
        let time = self.clock.now();
        let now = Timestamp::of(time);
        let since = |then: SystemTime| time.duration_since(then).unwrap_or_default();
        let in_force = state.in_force.as_ref().map(|in_force| {
            let release = in_force.set.release();
            let envelope = in_force.set.envelope();
            let verified = state.trust.verify(envelope, &self.options.channel, Purpose::Keep);
            ReleaseStatus {
                counter: release.counter,
                digest: release.digest,
                statement: in_force.set.statement(),
                key: in_force.set.key().to_owned(),
                issued: release.issued,
                expires: release.expires,
                rollback: release.rollback.clone(),
                commit: release.provenance.commit.clone(),
                since: Timestamp::of(in_force.since),
                is_expired: release.is_expired(now),
                distrusted: verified.err().map(|error| error.to_string()),
            }
        });
        let staleness = since(state.confirmed.unwrap_or(state.begun));
        ReplicaStatus {
            set: self.options.channel.set.clone(),
            channel: self.options.channel.channel.clone(),
            source: self.store.name(),
            in_force,
            highest,
            pin: self.options.pin,
            confirmed: state.confirmed.map(Timestamp::of),
            stale_seconds: staleness.as_secs(),
            max_stale_seconds: self.options.max_staleness.map(|bound| bound.as_secs()),
            problem: state.problem.as_ref().map(|(problem, _)| problem.clone()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReplicaOptions {
    /// Returns whether a set on disk may serve, of which the newest has this number.
    fn may_serve(&self, set: &SignedSet, highest: Option<u64>) -> bool {
        match self.pin {
            Some(pin) => set.release().digest == pin,
            None => Some(set.release().counter) == highest,
        }
    }
}

impl State {
    fn is_in_force(&self, verified: &VerifiedRelease) -> bool {
        self.in_force.as_ref().is_some_and(|now| now.set.statement() == verified.statement)
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

/// Keeps other processes from a directory.
fn lock(directory: &Path) -> Result<File, OpenError> {
    let failed = |source| OpenError::State { path: directory.to_owned(), source };
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).open(directory.join("lock"));
    let file = file.map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(directory.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}
