//! A replica that looks at its store by itself, as the origin of a server's policies.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ring::rand::{SecureRandom as _, SystemRandom};
use stagedoor_core::{Engine, Limits};
use stagedoor_source::{
    Admission, Fingerprint, NothingToLoad, OriginHealth, OriginSet, PolicyOrigin, SetRefusal,
};

use crate::replica::{PollOutcome, Replica};
use crate::signed_set::SignedSet;
use crate::store::{Hint, StoreError};
use crate::trust::Trust;

/// The longest time for which a hint is waited for: how soon a follower ends.
const PATIENCE: Duration = Duration::from_secs(1);
/// The largest file of keys, in bytes.
const TRUST_BYTES: u64 = 1 << 20;

/// A replica that is kept up to date by a thread of its own, until it is dropped.
#[derive(Debug)]
pub struct Follower {
    replica: Arc<Replica>,
    stopping: Arc<Stopping>,
}

#[derive(Debug, Default)]
struct Stopping {
    is_asked: AtomicBool,
    waiting: Mutex<()>,
    asked: Condvar,
}

/// Reads a file that says whom to trust.
///
/// # Errors
///
/// Why it cannot be used, with its name.
pub fn read_trust(path: &Path) -> Result<Trust, String> {
    use stagedoor_source::{FileSystem as _, RealFileSystem};

    let failed = |reason: String| format!("`{}`: {reason}", path.display());
    let bytes = RealFileSystem.read(path, TRUST_BYTES).map_err(|e| failed(e.to_string()))?;
    if bytes.len() as u64 > TRUST_BYTES {
        return Err(failed(format!("it is larger than {TRUST_BYTES} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|_| failed("it is not UTF-8".to_owned()))?;
    Trust::from_text(&text).map_err(|error| failed(error.to_string()))
}

impl Follower {
    /// Begins to look at the store: at once, and then every `interval`, a fifth more or less. Whom
    /// to trust is read again from its file each time.
    ///
    /// # Errors
    ///
    /// As of the system, if it has no thread left.
    pub fn start(replica: Replica, trust: Option<PathBuf>, interval: Duration) -> io::Result<Self> {
        let replica = Arc::new(replica);
        let stopping = Arc::new(Stopping::default());
        let (following, stop) = (Arc::clone(&replica), Arc::clone(&stopping));
        std::thread::Builder::new()
            .name("replica".to_owned())
            .spawn(move || follow(&following, trust.as_deref(), interval, &stop))?;
        Ok(Self { replica, stopping })
    }

    /// Returns the replica.
    #[must_use]
    pub fn replica(&self) -> &Arc<Replica> {
        &self.replica
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stopping.is_asked.store(true, Ordering::Release);
        let _waiting = self.stopping.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        self.stopping.asked.notify_all();
    }
}

fn follow(replica: &Replica, trust: Option<&Path>, interval: Duration, stopping: &Stopping) {
    let (mut told, mut untold) = (None, None);
    while !stopping.is_asked.load(Ordering::Acquire) {
        let begun = Instant::now();
        // What cannot be read leaves whom was trusted before.
        let trusted = trust.map(read_trust).transpose();
        let problem = match trusted {
            Ok(trusted) => {
                trusted.into_iter().for_each(|trust| replica.trust(trust));
                replica
                    .poll()
                    .map(|polled| offer(replica, polled))
                    .err()
                    .map(|error| error.to_string())
            }
            Err(problem) => {
                replica.report(problem.clone());
                Some(problem)
            }
        };
        if problem != told {
            match &problem {
                Some(problem) => {
                    tracing::error!("{}: {problem}; what is in force stays", replica.channel())
                }
                None => tracing::info!("{}: the source is as it should be", replica.channel()),
            }
            told = problem;
        }
        stopping.wait(replica, begun + jittered(interval), &mut untold);
    }
}

/// Tells of a candidate, and has its rules stand where they are loaded from.
fn offer(replica: &Replica, polled: PollOutcome) {
    if let PollOutcome::Candidate(set) = polled {
        if let Err(error) = replica.place_rules(&set) {
            // Told once more by whoever loads it.
            tracing::warn!(%error, "the rules of a set cannot be written");
        }
        let release = set.release();
        let (counter, digest, key) = (release.counter, release.digest, set.key());
        tracing::info!(counter, %digest, key, "release {counter} of {}", release.channel);
    }
}

/// Has the store tell how the replica is. That it cannot is said once, and changes nothing.
fn tell(replica: &Replica, untold: &mut Option<StoreError>) {
    let failed = replica.tell_store().err();
    if is_notable(failed.as_ref()) && failed != *untold {
        let error = failed.as_ref().map(ToString::to_string).unwrap_or_default();
        tracing::warn!("{}: its status cannot be written: {error}", replica.channel());
    }
    *untold = failed;
}

/// Returns whether it was more than that another replica wrote at the same time.
fn is_notable(failed: Option<&StoreError>) -> bool {
    !matches!(failed, None | Some(StoreError::Changed(_)))
}

impl Stopping {
    /// Waits until a time, or a hint, or the end.
    fn wait(&self, replica: &Replica, until: Instant, untold: &mut Option<StoreError>) {
        tell(replica, untold);
        loop {
            // What was offered comes in force, or is refused, some time after it was found. A store
            // that does not answer is left alone until it is looked at again.
            if !is_notable(untold.as_ref()) {
                tell(replica, untold);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.is_asked.load(Ordering::Acquire) {
                return;
            }
            match replica.store().wait(replica.channel(), left.min(PATIENCE)) {
                Hint::Given => return,
                Hint::TimedOut => {}
                Hint::NotGiven => {
                    let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                    let is_going_on = |_: &mut ()| !self.is_asked.load(Ordering::Acquire);
                    // Whoever has panicked meanwhile held nothing that is read here.
                    drop(self.asked.wait_timeout_while(waiting, left, is_going_on));
                }
            }
        }
    }
}

/// Returns a duration, a fifth more or less: many replicas shall not ask at one time.
fn jittered(interval: Duration) -> Duration {
    let mut byte = [0; 1];
    // Without random bytes all replicas ask at one time, which is no worse than that.
    let _ = SystemRandom::new().fill(&mut byte);
    let [byte] = byte;
    interval.mul_f64(0.8 + 0.4 * f64::from(byte) / 255.0)
}

/// One set on its way to be in force.
#[derive(Debug)]
struct Taking {
    replica: Arc<Replica>,
    set: Arc<SignedSet>,
}

impl Admission for Taking {
    fn check(&self, loaded: &Engine, in_force: Option<&Engine>) -> Result<(), String> {
        self.replica.check(&self.set, loaded, in_force)
    }

    fn admit(&self) -> Result<(), String> {
        self.replica.admit(&self.set)
    }

    fn refuse(&self, refusal: &SetRefusal<'_>) {
        self.replica.refuse_with(&self.set, refusal);
    }
}

impl PolicyOrigin for Follower {
    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::default().with_version(self.replica.version())
    }

    fn read(&self, _: &Limits) -> Result<OriginSet, NothingToLoad> {
        let status = || self.replica.status().problem;
        let set = self.replica.to_load().ok_or_else(|| {
            let reason = status().unwrap_or_else(|| "the source was not asked yet".to_owned());
            NothingToLoad(format!("no set of {} is there yet: {reason}", self.replica.channel()))
        })?;
        self.replica.place_rules(&set).map_err(|error| {
            NothingToLoad(format!("the rules of the set cannot be written: {error}"))
        })?;
        let sources = set.sources();
        let admission: Arc<dyn Admission> =
            Arc::new(Taking { replica: Arc::clone(&self.replica), set });
        Ok(OriginSet { sources, admission: Some(admission) })
    }

    fn health(&self) -> Option<OriginHealth> {
        Some(self.replica.status().health())
    }
}
