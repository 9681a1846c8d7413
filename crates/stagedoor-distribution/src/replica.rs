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

mod error;
mod options;
mod poll;

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use stagedoor_source::SetRefusal;

pub use error::{ConditionalError, PollError};
pub use options::ReplicaOptions;
pub use poll::PollOutcome;

use crate::channel::Channel;
use crate::clock::{Clock, SystemClock};
use crate::components::Components;
use crate::digest::Digest;
use crate::disk::{Disk, RealDisk};
use crate::gate::Gate;
use crate::kept::KeptReleases;
use crate::signed_set::SignedSet;
use crate::status::{RefusalProblem, RefusalStatus, ReleaseStatus, ReplicaStatus};
use crate::store::{PolicyStore, StoreError, Version};
use crate::time::Timestamp;
use crate::trust::{Purpose, Trust, VerifiedRelease};

/// A replica of one channel of one policy set.
#[derive(Debug)]
pub struct Replica {
    options: ReplicaOptions,
    store: Box<dyn PolicyStore>,
    gates: Vec<Arc<dyn Gate>>,
    components: Components,
    clock: Arc<dyn Clock>,
    kept: Mutex<KeptReleases>,
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
    refused: Option<RefusedRelease>,
    /// The revision of the set that was loaded last, and which set that is.
    loaded: Option<(Digest, String)>,
    problem: Option<(String, SystemTime)>,
    /// When the store last offered what is in force.
    confirmed: Option<SystemTime>,
    /// The highest number that was ever in force.
    highest: Option<u64>,
    /// Since when there is this replica.
    begun: SystemTime,
}

#[derive(Debug, Clone)]
struct InForce {
    set: Arc<SignedSet>,
    version: Option<Version>,
    since: SystemTime,
    revision: Option<String>,
}

#[derive(Debug, Clone)]
struct Candidate {
    set: Arc<SignedSet>,
    version: Option<Version>,
    /// Whether it is on disk already.
    is_kept: bool,
}

#[derive(Debug)]
struct RefusedRelease {
    set: Arc<SignedSet>,
    is_kept: bool,
    reason: String,
    details: String,
    problems: Vec<RefusalProblem>,
    at: SystemTime,
}

impl Replica {
    /// Opens a replica: what it had in force before is its first candidate.
    ///
    /// # Errors
    ///
    /// [`ConditionalError`]. A set on disk that does not serve is no error: it is told, and the replica
    /// waits for the store.
    pub fn open(
        options: ReplicaOptions,
        store: Box<dyn PolicyStore>,
        trust: Trust,
    ) -> Result<Self, ConditionalError> {
        let failed = |source| ConditionalError::State { path: options.state.clone(), source };
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
    /// [`ConditionalError::State`].
    pub fn open_on(
        options: ReplicaOptions,
        store: Box<dyn PolicyStore>,
        trust: Trust,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConditionalError> {
        let failed = |source| ConditionalError::State { path: options.state.clone(), source };
        let kept =
            KeptReleases::open(disk, &options.state, options.bundle_bytes).map_err(failed)?;
        let sets = kept.sets(&trust, &options.channel).map_err(failed)?;
        let highest = sets.first().map(|(counter, _)| *counter);
        let mut state = State {
            trust: Arc::new(trust),
            in_force: None,
            candidate: None,
            refused: None,
            loaded: None,
            problem: None,
            confirmed: None,
            highest: kept.floor().map(|floor| floor.counter),
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
            components: Components::of(&options.state),
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

    /// Returns where the last good sets are kept.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.options.state
    }

    /// Lets the custom rules that a set brings stand in [`rules`](Self::rules), and nothing else.
    ///
    /// # Errors
    ///
    /// As of the disk.
    pub fn place_rules(&self, set: &SignedSet) -> io::Result<()> {
        self.components.place(set.bundle())
    }

    /// Returns the directory of the rules that the set brings.
    #[must_use]
    pub fn rules(&self) -> &Path {
        self.components.directory()
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

    /// Tells the store how the replica is, where it has a place for it.
    ///
    /// # Errors
    ///
    /// [`StoreError`], which changes nothing here.
    pub fn tell_store(&self) -> Result<(), StoreError> {
        self.store.report(&self.options.channel, &self.status())
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
        self.state().loaded = Some((set.statement(), loaded.revision().to_owned()));
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
        let (version, is_kept) = {
            let state = self.state();
            if state.in_force.as_ref().is_some_and(|now| Arc::ptr_eq(&now.set, set)) {
                return Ok(());
            }
            let candidate = state.candidate.as_ref().filter(|one| Arc::ptr_eq(&one.set, set));
            let candidate = candidate.ok_or("another set has been published meanwhile")?;
            (candidate.version.clone(), candidate.is_kept)
        };
        if !is_kept {
            // INVARIANT: whoever asks for the health waits for no disk: the state is not locked.
            kept.keep(set).map_err(|error| {
                format!("it cannot be kept in `{}`: {error}", self.options.state.display())
            })?;
        }
        let mut state = self.state();
        if !is_kept {
            state.confirmed = Some(self.clock.now());
        }
        // A newer one may have come while this one was written: it stays the candidate.
        state.candidate.take_if(|candidate| Arc::ptr_eq(&candidate.set, set));
        state.refused = None;
        state.highest = kept.floor().map(|floor| floor.counter);
        let (set, since) = (Arc::clone(set), self.clock.now());
        let loaded = state.loaded.take().filter(|(loaded, _)| *loaded == set.statement());
        let revision = loaded.map(|(_, revision)| revision);
        state.in_force = Some(InForce { set, version, since, revision });
        Ok(())
    }

    /// Says that a set does not load, or was refused. What is in force stays, and the set is tried
    /// again later.
    pub fn refuse(&self, set: &Arc<SignedSet>, reason: &str) {
        self.refuse_with(set, &SetRefusal::public(reason));
    }

    /// As [`refuse`](Self::refuse): the reason is told to everybody, details and problems to those who
    /// may read the policies.
    pub fn refuse_with(&self, set: &Arc<SignedSet>, refusal: &SetRefusal<'_>) {
        let mut state = self.state();
        let candidate = state.candidate.take_if(|candidate| Arc::ptr_eq(&candidate.set, set));
        let Some(Candidate { is_kept, .. }) = candidate else { return };
        let (set, reason, at) = (Arc::clone(set), refusal.reason.to_owned(), self.clock.now());
        let details = refusal.details.to_owned();
        let problems = RefusalProblem::all(refusal.problems);
        state.problem =
            Some((format!("release {} is refused: {reason}", set.release().counter), at));
        state.refused = Some(RefusedRelease { set, is_kept, reason, details, problems, at });
    }

    /// Returns how the replica is.
    #[must_use]
    pub fn status(&self) -> ReplicaStatus {
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
                revision: in_force.revision.clone(),
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
            highest: state.highest,
            pin: self.options.pin,
            confirmed: state.confirmed.map(Timestamp::of),
            stale_seconds: staleness.as_secs(),
            max_stale_seconds: self.options.max_staleness.map(|bound| bound.as_secs()),
            refused: state.refused.as_ref().map(|refused| RefusalStatus {
                counter: refused.set.release().counter,
                details: refused.details.clone(),
                problems: refused.problems.clone(),
            }),
            problem: state.problem.as_ref().map(|(problem, _)| problem.clone()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> MutexGuard<'_, KeptReleases> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_in_force(&self, verified: &VerifiedRelease) -> bool {
        self.in_force.as_ref().is_some_and(|now| now.set.statement() == verified.statement)
    }
}

/// Keeps other processes from a directory.
fn lock(directory: &Path) -> Result<File, ConditionalError> {
    let failed = |source| ConditionalError::State { path: directory.to_owned(), source };
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).open(directory.join("lock"));
    let file = file.map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ConditionalError::InUse(directory.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}
