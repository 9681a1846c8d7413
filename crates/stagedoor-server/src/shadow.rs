//! Policies that are decided beside those in force, and from which nothing is enforced.
//!
//! Once a request is answered, the shadow policies are asked the same, one request at a time and
//! on a thread of their own. What they would decide otherwise is counted and logged. INVARIANT:
//! whoever is answered never waits for them, and what they cost has bounds of its own: requests
//! that they are too slow for are counted, and not compared.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::request::Parts;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::metrics::{ComparisonResult, Metrics};
use crate::protocol::{Answer, Endpoint, Outcome, Protocol, Question, Reason};
use crate::refusal::cut;
use crate::watch::WatchedSource;

/// Requests that wait to be compared.
const WAITING: usize = 1_024;
/// Bytes of the bodies of all requests that wait, in units of 1 KiB.
const WAITING_UNITS: usize = 16 << 10;
/// The unit of bodies, in bytes.
const UNIT: usize = 1 << 10;
/// Time for the parts of one answer.
const DECISION: Duration = Duration::from_secs(10);
/// So many differences are logged between the same two sets.
const LOGGED: usize = 1_000;

/// The shadow policies of a server.
pub(crate) struct Shadow {
    /// Answers by the shadow policies, and records nothing.
    pub(crate) protocol: Arc<dyn Protocol>,
    pub(crate) watched: Arc<[WatchedSource]>,
    /// Wakes up who watches the files.
    pub(crate) asked: Arc<Notify>,
    metrics: Arc<Metrics>,
    bytes: usize,
    room: Arc<Semaphore>,
    queue: Sender<Comparison>,
    waiting: Mutex<Option<Receiver<Comparison>>>,
    logged: Mutex<DifferenceLog>,
    totals: [AtomicU64; 4],
}

/// A request that was answered, and how.
struct Comparison {
    endpoint: Arc<Endpoint>,
    head: Parts,
    request_id: String,
    body: String,
    outcomes: Vec<Outcome>,
    reasons: Vec<Reason>,
    revision: Option<String>,
    _room: OwnedSemaphorePermit,
}

/// Which differences between two sets were logged.
#[derive(Default)]
struct DifferenceLog {
    revisions: (Option<String>, Option<String>),
    differences: HashSet<String>,
    is_full: bool,
}

impl Shadow {
    /// Returns the shadow of a protocol; deciding one request may cost `bytes` of memory.
    pub(crate) fn new(protocol: Arc<dyn Protocol>, metrics: Arc<Metrics>, bytes: usize) -> Self {
        let (queue, waiting) = channel(WAITING);
        Self {
            watched: protocol.sources().into_iter().map(WatchedSource::of_shadow).collect(),
            protocol,
            asked: Arc::new(Notify::new()),
            metrics,
            bytes,
            room: Arc::new(Semaphore::new(WAITING_UNITS)),
            queue,
            waiting: Mutex::new(Some(waiting)),
            logged: Mutex::default(),
            totals: Default::default(),
        }
    }

    /// Whether the answers of an endpoint are compared now.
    pub(crate) fn compares(&self, endpoint: &Endpoint) -> bool {
        endpoint.is_compared && self.watched.iter().all(|watched| watched.source.status().is_some())
    }

    /// Returns how many comparisons came to this.
    pub(crate) fn total(&self, result: ComparisonResult) -> u64 {
        self.totals.get(result as usize).map_or(0, |total| total.load(Ordering::Relaxed))
    }

    fn count(&self, endpoint: &Endpoint, result: ComparisonResult) {
        self.metrics.compared(endpoint.name, result);
        if let Some(total) = self.totals.get(result as usize) {
            total.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes a request that was answered, to be compared later. Never waits.
    pub(crate) fn take(
        &self,
        endpoint: &Arc<Endpoint>,
        (head, request_id, body): (Parts, String, String),
        answer: &mut Answer,
    ) {
        let cost = self.protocol.memory(endpoint).of(&body);
        let units = u32::try_from(body.len().div_ceil(UNIT)).unwrap_or(u32::MAX);
        let room = match cost <= self.bytes {
            true => Arc::clone(&self.room).try_acquire_many_owned(units).ok(),
            false => None,
        };
        let comparison = room.map(|room| Comparison {
            endpoint: Arc::clone(endpoint),
            head,
            request_id,
            body,
            outcomes: answer.outcomes.clone(),
            reasons: std::mem::take(&mut answer.reasons),
            revision: answer.revision.clone(),
            _room: room,
        });
        if comparison.is_none_or(|comparison| self.queue.try_send(comparison).is_err()) {
            self.count(endpoint, ComparisonResult::Skipped);
        }
    }

    /// Compares what was taken, for ever.
    pub(crate) async fn compare(self: Arc<Self>) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut waiting) = waiting else { return };
        while let Some(comparison) = waiting.recv().await {
            let (shadow, endpoint) = (Arc::clone(&self), Arc::clone(&comparison.endpoint));
            let compared = tokio::task::spawn_blocking(move || {
                let _span = tracing::debug_span!("shadow").entered();
                shadow.decide(&comparison);
            });
            if compared.await.is_err() {
                self.count(&endpoint, ComparisonResult::Failed);
                tracing::error!(
                    endpoint = endpoint.name,
                    "the shadow policies panicked, which is a bug: nothing else is affected"
                );
            }
        }
    }

    fn decide(&self, comparison: &Comparison) {
        let question = Question {
            endpoint: comparison.endpoint.name,
            head: &comparison.head,
            request_id: &comparison.request_id,
            body: &comparison.body,
            part_deadline: Instant::now() + DECISION,
            is_compared: true,
        };
        let answer = match self.protocol.answer(&question) {
            Ok(answer) => answer,
            Err(refusal) => {
                self.count(&comparison.endpoint, ComparisonResult::Failed);
                let reason = refusal.message();
                tracing::debug!(endpoint = question.endpoint, reason, "not compared");
                return;
            }
        };
        let nothing = Reason::default();
        // A batch may end early, at the first that differs then.
        for (index, (enforced, shadow)) in
            comparison.outcomes.iter().zip(&answer.outcomes).enumerate()
        {
            let reason = comparison.reasons.get(index).unwrap_or(&nothing);
            let other = answer.reasons.get(index).unwrap_or(&nothing);
            if enforced == shadow && reason.rest == other.rest {
                self.count(&comparison.endpoint, ComparisonResult::Same);
                continue;
            }
            self.count(&comparison.endpoint, ComparisonResult::Different);
            self.metrics.differs(question.endpoint, *enforced, *shadow);
            let revisions = (comparison.revision.clone(), answer.revision.clone());
            self.log(&question, index, revisions, (*enforced, reason), (*shadow, other));
        }
    }

    /// Logs a difference, unless the same was logged or there were too many.
    fn log(
        &self,
        question: &Question<'_>,
        index: usize,
        revisions: (Option<String>, Option<String>),
        enforced: (Outcome, &Reason),
        shadow: (Outcome, &Reason),
    ) {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.revisions != revisions {
            *logged = DifferenceLog { revisions, ..DifferenceLog::default() };
        }
        if logged.is_full {
            return;
        }
        let asked = cut(self.protocol.asked(question, index));
        let (is, would_be) = (enforced.0.as_str(), shadow.0.as_str());
        let key = format!("{} {is} {would_be} {asked}", question.endpoint);
        if !logged.differences.insert(key) {
            return;
        }
        logged.is_full = logged.differences.len() >= LOGGED;
        tracing::warn!(
            endpoint = question.endpoint,
            request_id = question.request_id,
            asked,
            enforced = is,
            reason = cut(enforced.1.text.clone()),
            shadow = would_be,
            shadow_reason = cut(shadow.1.text.clone()),
            "the shadow policies would decide otherwise"
        );
        if logged.is_full {
            tracing::warn!(
                logged = LOGGED,
                "further differences are counted, and not logged until one of both sets changes"
            );
        }
    }
}
