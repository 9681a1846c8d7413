//! What a server decides by: read from files, and read again when they change.
//!
//! By polling: it sees ConfigMaps and Secrets that are mounted, where a link is swapped, as
//! well as files that an editor replaces, on every file system. What does not load changes
//! nothing; the failure is kept to be shown.

use std::any::Any;
use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use serde_json::{Value, json};
use stagedoor_audit::{DecisionLog, DecisionRecord, Outcome, Platform, RequestError};
use stagedoor_core::{LoadError, Severity};
use tokio::sync::Notify;

use crate::house::House;
use crate::metrics::Metrics;
use stagedoor_source::{Fingerprint, NothingToLoad, OriginHealth};

/// Something that is read from files: policies, entities, keys or certificates.
pub trait Source: Send + Sync + 'static {
    /// Returns the name in metrics and logs: `policies`.
    fn name(&self) -> &'static str;

    /// Returns what the files look like now.
    fn fingerprint(&self) -> Fingerprint;

    /// Reads the files, and returns what puts that in force. Blocks.
    ///
    /// # Errors
    ///
    /// Why they do not load. What was in force stays.
    fn load(&self) -> Result<Commit, LoadFailure>;

    /// Returns what is in force, if anything was loaded.
    fn in_force(&self) -> Option<InForce>;

    /// Returns how the place is that it comes from, if there is something to say of it.
    fn health(&self) -> Option<OriginHealth> {
        None
    }
}

/// Puts in force what was loaded, or says why it cannot be.
pub type Commit = Box<dyn FnOnce() -> Result<Replaced, LoadFailure> + Send>;

/// What putting something in force came to.
pub enum Replaced {
    /// The files say what is in force already.
    Same,
    /// Something else is in force, in place of this. It is dropped later, when requests have let
    /// go of it: freeing a large policy set would hold up the request that was its last user.
    With(Box<dyn Any + Send>),
}

/// What is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    /// How much there is, in words: `12 policies`.
    pub summary: String,
    /// The revision, if it has one.
    pub revision: Option<String>,
    /// Policies, if it has any.
    pub policies: Option<usize>,
    /// How many forbids reloads have lost, until they are back or a manifest pins the set.
    pub lost_forbids: usize,
    /// Since when.
    pub since: SystemTime,
}

/// Why the files as they are now are not in force.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct LoadFailure {
    /// The reason. It may quote what is in the files.
    pub message: String,
    /// The reason for those who may not read the files.
    pub public: String,
    /// The problems of policies and schemas, if they are the reason.
    pub problems: Option<LoadError>,
    /// Whether there is nothing to load yet, so that a server that begins waits for it.
    pub is_pending: bool,
}

impl LoadFailure {
    /// Returns a failure of which everybody may know `public`.
    #[must_use]
    pub fn new(message: impl Into<String>, public: impl Into<String>) -> Self {
        let (message, public) = (message.into(), public.into());
        Self { message, public, problems: None, is_pending: false }
    }

    /// Says that a server that begins waits until it loads, instead of ending.
    #[must_use]
    pub fn pending(self) -> Self {
        Self { is_pending: true, ..self }
    }
}

impl From<LoadError> for LoadFailure {
    fn from(error: LoadError) -> Self {
        let message = error.to_string();
        Self {
            message,
            public: "policies or schemas have problems".to_owned(),
            problems: Some(error),
            is_pending: false,
        }
    }
}

impl From<NothingToLoad> for LoadFailure {
    fn from(nothing: NothingToLoad) -> Self {
        Self::new(nothing.to_string(), "there is nothing to load yet").pending()
    }
}

/// The last failure of a source.
#[derive(Debug)]
pub(crate) struct FailedReload {
    pub(crate) failure: LoadFailure,
    pub(crate) at: SystemTime,
}

/// A source that is watched.
pub(crate) struct WatchedSource {
    pub(crate) source: Arc<dyn Source>,
    name: Cow<'static, str>,
    /// Whether it decides beside what is enforced.
    is_shadow: bool,
    failure: ArcSwapOption<FailedReload>,
    looks: Mutex<Looks>,
}

#[derive(Default)]
struct Looks {
    /// What the files looked like when they were last read, and at the last look.
    read: Option<Fingerprint>,
    last: Option<Fingerprint>,
    replaced: Option<Box<dyn Any + Send>>,
}

/// What a reload came to.
#[derive(Debug)]
enum ReloadOutcome {
    Replaced,
    Same,
    /// The files changed while they were read: nothing was done.
    Unsettled,
}

impl WatchedSource {
    pub(crate) fn new(source: Arc<dyn Source>) -> Self {
        Self {
            name: source.name().into(),
            source,
            is_shadow: false,
            failure: ArcSwapOption::empty(),
            looks: Mutex::default(),
        }
    }

    /// Returns one from which nothing is enforced.
    pub(crate) fn of_shadow(source: Arc<dyn Source>) -> Self {
        let name = format!("shadow-{}", source.name()).into();
        Self { name, is_shadow: true, ..Self::new(source) }
    }

    /// Returns the name in metrics and logs.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the sign of what is bad about it: nothing about shadows keeps a server from being
    /// ready.
    pub(crate) fn sign(&self) -> char {
        if self.is_shadow { '!' } else { '-' }
    }

    /// Returns in words what it is for while it is loaded.
    pub(crate) fn state(&self) -> &'static str {
        if self.is_shadow { "compared" } else { "in force" }
    }

    /// Returns why the last reload failed, if it did.
    pub(crate) fn failure(&self) -> Option<Arc<FailedReload>> {
        self.failure.load_full()
    }

    /// Loads for the first time, unless that was done. Blocks until the files rest.
    ///
    /// # Errors
    ///
    /// [`LoadFailure`], which may be that there is nothing to load yet.
    pub(crate) fn first(
        &self,
        metrics: &Metrics,
        log: Option<&DecisionLog>,
    ) -> Result<(), LoadFailure> {
        let is_read = self.looks.lock().unwrap_or_else(PoisonError::into_inner).read.is_some();
        if is_read && self.failure().is_none() {
            return Ok(());
        }
        while matches!(self.reload()?, ReloadOutcome::Unsettled) {
            std::thread::sleep(Duration::from_millis(100));
        }
        self.tell(metrics, log);
        Ok(())
    }

    /// Looks at the files, and reloads if they changed and two looks in a row saw the same; with
    /// `now` in any case.
    pub(crate) fn look(&self, metrics: &Metrics, log: Option<&DecisionLog>, now: bool) {
        let seen = self.source.fingerprint();
        let due = {
            let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
            looks.replaced = None;
            let rests = looks.last.as_ref() == Some(&seen);
            let changed = looks.read.as_ref() != Some(&seen);
            looks.last = Some(seen);
            now || (rests && changed)
        };
        if !due {
            return;
        }
        let name = self.name();
        let log = log.filter(|_| !self.is_shadow);
        match self.reload() {
            // Looked at again next time.
            Ok(ReloadOutcome::Unsettled) => {}
            Ok(ReloadOutcome::Same) => metrics.settled(name, true),
            Ok(ReloadOutcome::Replaced) => {
                metrics.reloaded(name, true);
                self.tell(metrics, log);
            }
            Err(failure) => {
                metrics.reloaded(name, false);
                self.report(&failure);
                record(log, Outcome::Failed, || {
                    let message = failure.public.clone();
                    let error = RequestError { code: "reload::failed".to_owned(), message };
                    (json!({"source": name}), None, Some(error))
                });
            }
        }
    }

    fn reload(&self) -> Result<ReloadOutcome, LoadFailure> {
        let before = self.source.fingerprint();
        let loaded = self.source.load();
        if self.source.fingerprint() != before {
            return Ok(ReloadOutcome::Unsettled);
        }
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        looks.read = Some(before);
        match loaded.and_then(|commit| commit()) {
            Ok(replaced) => {
                self.failure.store(None);
                match replaced {
                    Replaced::Same => Ok(ReloadOutcome::Same),
                    Replaced::With(old) => {
                        looks.replaced = Some(old);
                        Ok(ReloadOutcome::Replaced)
                    }
                }
            }
            Err(failure) => {
                let failed = FailedReload { failure: failure.clone(), at: SystemTime::now() };
                self.failure.store(Some(Arc::new(failed)));
                Err(failure)
            }
        }
    }

    fn tell(&self, metrics: &Metrics, log: Option<&DecisionLog>) {
        let Some(now) = self.source.in_force() else { return };
        if let (Some(revision), Some(policies)) = (&now.revision, now.policies) {
            if self.is_shadow {
                metrics.shadow(revision, policies);
            } else {
                metrics.in_force(revision, policies);
                metrics.lost_forbids(now.lost_forbids);
            }
        }
        let shadow = if self.is_shadow { "shadow: " } else { "" };
        tracing::info!(revision = now.revision, "{shadow}{} {}", now.summary, self.state());
        record(log, Outcome::Changed, || {
            let request = json!({"source": self.name(), "inForce": now.summary});
            (request, now.revision.clone(), None)
        });
    }

    fn report(&self, failure: &LoadFailure) {
        let name = self.name();
        let kept = if self.is_shadow { "are compared on" } else { "stay in force" };
        let Some(error) = &failure.problems else {
            tracing::error!("{failure}; the {name} before {kept}");
            return;
        };
        let problems = error.problems();
        for problem in problems.iter().filter(|p| p.severity() == Severity::Error) {
            tracing::error!(
                code = problem.code(),
                file = problem.file(),
                line = problem.line(),
                column = problem.column(),
                help = problem.help(),
                "{}",
                problem.message()
            );
        }
        tracing::error!(
            problems = problems.len() + error.unreported(),
            "the {name} as they are now do not load; those before {kept}"
        );
    }
}

/// Records that what decisions are made by has changed, or could not be.
fn record(
    log: Option<&DecisionLog>,
    outcome: Outcome,
    what: impl FnOnce() -> (Value, Option<String>, Option<RequestError>),
) {
    let Some(log) = log else { return };
    let recorded = log.record(outcome, true, || {
        let mut record = DecisionRecord::new(Platform::Stagedoor, "reload", outcome);
        let revision;
        (record.request, revision, record.error) = what();
        record.revision = revision.unwrap_or_default();
        record
    });
    if let Err(error) = recorded {
        tracing::error!(%error, "a reload is not recorded");
    }
}

/// Reloads what changes of some sources, for ever: every `interval`, and at once when `asked`.
pub(crate) async fn watch(
    house: Arc<House>,
    watched: Arc<[WatchedSource]>,
    interval: Duration,
    asked: Arc<Notify>,
) {
    loop {
        let now = tokio::select! {
            () = tokio::time::sleep(interval) => false,
            () = asked.notified() => true,
        };
        let (looking, watched) = (Arc::clone(&house), Arc::clone(&watched));
        let looked = tokio::task::spawn_blocking(move || {
            let log = looking.log.as_deref();
            watched.iter().for_each(|source| source.look(&looking.metrics, log, now));
        });
        if let Err(error) = looked.await {
            tracing::error!(%error, "looking at files for changes was broken off");
        }
    }
}
