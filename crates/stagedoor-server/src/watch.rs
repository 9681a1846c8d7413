//! When a server looks at what it decides by, and what is told of it.
//!
//! By polling: it sees ConfigMaps and Secrets that are mounted, where a link is swapped, as
//! well as files that an editor replaces, on every file system.

use std::any::Any;
use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use stagedoor_audit::{DecisionLog, DecisionRecord, Outcome, Platform, RequestError};
use stagedoor_core::Severity;
use stagedoor_source::Fingerprint;

use crate::metrics::Metrics;
use crate::reload::{LoadFailure, ReloadOutcome, Reloadable};

/// A source that is watched.
pub(crate) struct WatchedSource {
    pub(crate) source: Arc<dyn Reloadable>,
    name: Cow<'static, str>,
    /// Whether it decides beside what is enforced.
    is_shadow: bool,
    looks: Mutex<Looks>,
}

#[derive(Default)]
struct Looks {
    /// Whether it was loaded once, and told of.
    is_loaded: bool,
    /// What the files looked like at the last look.
    last: Option<Fingerprint>,
    replaced: Option<Box<dyn Any + Send>>,
}

impl WatchedSource {
    pub(crate) fn new(source: Arc<dyn Reloadable>) -> Self {
        Self { name: source.name().into(), source, is_shadow: false, looks: Mutex::default() }
    }

    /// Returns one from which nothing is enforced.
    pub(crate) fn of_shadow(source: Arc<dyn Reloadable>) -> Self {
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

    fn looks(&self) -> MutexGuard<'_, Looks> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
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
        if self.looks().is_loaded {
            return Ok(());
        }
        while matches!(self.source.reload()?, ReloadOutcome::Unsettled) {
            std::thread::sleep(Duration::from_millis(100));
        }
        self.looks().is_loaded = true;
        self.tell(metrics, log);
        Ok(())
    }

    /// Looks at the files, and reloads if they changed and two looks in a row saw the same; with
    /// `now` in any case.
    pub(crate) fn look(&self, metrics: &Metrics, log: Option<&DecisionLog>, now: bool) {
        let seen = self.source.fingerprint();
        let is_read = self.source.is_read(&seen);
        let due = {
            let mut looks = self.looks();
            looks.replaced = None;
            let rests = looks.last.as_ref() == Some(&seen);
            looks.last = Some(seen);
            now || (rests && !is_read)
        };
        if !due {
            return;
        }
        let name = self.name();
        let log = log.filter(|_| !self.is_shadow);
        match self.source.reload() {
            // Looked at again next time.
            Ok(ReloadOutcome::Unsettled) => {}
            Ok(ReloadOutcome::Same) => metrics.settled(name, true),
            Ok(ReloadOutcome::Replaced(before)) => {
                self.looks().replaced = before;
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

    fn tell(&self, metrics: &Metrics, log: Option<&DecisionLog>) {
        let Some(now) = self.source.status() else { return };
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
        let (request, revision, error) = what();
        let mut record = DecisionRecord::new(Platform::Stagedoor, "reload", outcome, request);
        record.revision = revision.unwrap_or_default().into();
        record.error = error;
        record
    });
    if let Err(error) = recorded {
        tracing::error!(%error, "a reload is not recorded");
    }
}
