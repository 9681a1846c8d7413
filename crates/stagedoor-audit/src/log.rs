//! The log: records from many threads, written by one.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::form::Form;
use crate::record::{DecisionRecord, Outcome};
use crate::recorder::Recorder;
use crate::rules::Rules;
use crate::sink::DecisionSink;

/// How many records are written at a time, and about how much memory they take: collectors refuse
/// what is too large as a whole.
const BATCH: usize = 256;
const BATCH_BYTES: usize = 1 << 20;

/// For how long the writer lets records gather. To wake it for each would cost whoever decides more
/// than the record does.
const GATHER: Duration = Duration::from_millis(5);

/// How records are taken.
#[derive(Debug)]
#[non_exhaustive]
pub struct LogOptions {
    /// Which are kept, and what of them is masked.
    pub rules: Rules,
    /// How many may wait to be written (10,000). One more is dropped, and counted.
    pub buffer: usize,
    /// The bytes of memory of those that wait, about (64 MiB). One beyond that is dropped, and
    /// counted: who may ask about an object of megabytes must not fill the memory by asking.
    pub buffer_bytes: usize,
    /// Whether each record is written before its decision is told.
    pub required: bool,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { rules: Rules::default(), buffer: 10_000, buffer_bytes: 64 << 20, required: false }
    }
}

/// A record that is required and could not be written: the decision must not allow anything.
#[derive(Debug, thiserror::Error)]
#[error("the decision cannot be recorded")]
pub struct NotRecorded(#[source] io::Error);

/// How many records there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Written.
    pub written: u64,
    /// Dropped, since too many were waiting.
    pub dropped: u64,
    /// Lost, since they could not be written.
    pub failed: u64,
    /// Left out by rules.
    pub excluded: u64,
}

/// Takes records of decisions.
///
/// Dropping it writes what waits.
pub struct DecisionLog {
    shared: Arc<LogState>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

struct LogState {
    recorder: Recorder,
    required: bool,
    buffer: usize,
    buffer_bytes: usize,
    queue: Mutex<Queue>,
    /// Told when there is something to do, or when nothing is left to do.
    changed: Condvar,
    sink: Mutex<Box<dyn DecisionSink>>,
    written: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<(DecisionRecord, usize)>,
    /// The bytes of all that wait, and of what the writer has in its hands.
    bytes: usize,
    reopen: bool,
    closed: bool,
    /// Whether somebody waits until all is written.
    awaited: bool,
    /// Whether nobody waits for what is not written yet.
    abandoned: bool,
    /// Whether the writer has records in its hands.
    busy: bool,
    /// Whether the last write failed: told once, until one succeeds.
    failing: bool,
}

impl DecisionLog {
    /// Returns a log that writes here, on a thread of its own.
    #[must_use]
    pub fn new(options: LogOptions, form: Form, sink: Box<dyn DecisionSink>) -> Self {
        let shared = Arc::new(LogState {
            recorder: Recorder::new(options.rules, form),
            required: options.required,
            buffer: options.buffer.max(1),
            buffer_bytes: options.buffer_bytes,
            queue: Mutex::default(),
            changed: Condvar::new(),
            sink: Mutex::new(sink),
            written: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        });
        let writing = Arc::clone(&shared);
        let writer = std::thread::Builder::new()
            .name("decision-log".to_owned())
            .spawn(move || writing.write_for_ever());
        let writer = writer.inspect_err(|error| {
            tracing::error!(%error, "decisions are not recorded: no thread to write them");
        });
        Self { shared, writer: Mutex::new(writer.ok()) }
    }

    /// Records a decision, if the rules want it: only then `record` is called.
    ///
    /// `is_change` says whether it allows a change of something, as far as that is known.
    ///
    /// # Errors
    ///
    /// [`NotRecorded`] if records are required and this one could not be written.
    pub fn record(
        &self,
        outcome: Outcome,
        is_change: bool,
        record: impl FnOnce() -> DecisionRecord,
    ) -> Result<(), NotRecorded> {
        let shared = &self.shared;
        let Some(sample) = shared.recorder.wants(outcome, is_change) else { return Ok(()) };
        let mut record = record();
        shared.recorder.name(&mut record, sample);
        if shared.required {
            return shared.write_now(&record).map_err(NotRecorded);
        }
        let bytes = record.bytes();
        let mut queue = shared.queue();
        let is_full = queue.waiting.len() >= shared.buffer
            || (queue.bytes > 0 && queue.bytes.saturating_add(bytes) > shared.buffer_bytes);
        if queue.closed || is_full {
            drop(queue);
            shared.dropped.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        queue.bytes = queue.bytes.saturating_add(bytes);
        queue.waiting.push_back((record, bytes));
        let waiting = queue.waiting.len();
        drop(queue);
        if waiting == 1 || waiting == BATCH {
            shared.changed.notify_all();
        }
        Ok(())
    }

    /// Returns whether records are required.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.shared.required
    }

    /// Returns how many records there were so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let shared = &self.shared;
        Counts {
            written: read(&shared.written),
            dropped: read(&shared.dropped),
            failed: read(&shared.failed),
            excluded: shared.recorder.excluded(),
        }
    }

    /// Returns the counts in Prometheus' text format.
    #[must_use]
    pub fn metrics(&self) -> String {
        let Counts { written, dropped, failed, excluded } = self.counts();
        format!(
            "# HELP stagedoor_decision_records_total Records of decisions, by what became of \
             them.\n# TYPE stagedoor_decision_records_total counter\n\
             stagedoor_decision_records_total{{result=\"written\"}} {written}\n\
             stagedoor_decision_records_total{{result=\"dropped\"}} {dropped}\n\
             stagedoor_decision_records_total{{result=\"failed\"}} {failed}\n\
             stagedoor_decision_records_total{{result=\"excluded\"}} {excluded}\n"
        )
    }

    /// Has the sink let go of its file and take it up again by name.
    pub fn reopen(&self) {
        self.shared.queue().reopen = true;
        self.shared.changed.notify_all();
    }

    /// Waits until everything that waits is written, or the log is [abandoned](Self::abandon).
    pub fn flush(&self) {
        let mut queue = self.shared.queue();
        // Without a writer nothing would ever be.
        let writes = self.writer.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        while writes && !queue.abandoned && (queue.busy || !queue.waiting.is_empty()) {
            if !std::mem::replace(&mut queue.awaited, true) {
                self.shared.changed.notify_all();
            }
            queue = self.shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Writes what waits and takes no more: what comes later is dropped and counted.
    pub fn close(&self) {
        self.shared.queue().closed = true;
        self.shared.changed.notify_all();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the writer of decision records ended early");
        }
    }
}

impl DecisionLog {
    /// Takes no more and gives up what waits, which counts as dropped; returns how much that is. What
    /// the sink has in its hands is not waited for either: where it hangs, the end of a program does
    /// not.
    pub fn abandon(&self) -> u64 {
        let mut queue = self.shared.queue();
        (queue.closed, queue.abandoned) = (true, true);
        let lost = queue.waiting.len() as u64;
        queue.waiting.clear();
        drop(queue);
        self.shared.dropped.fetch_add(lost, Ordering::Relaxed);
        self.shared.changed.notify_all();
        // INVARIANT: without a handle nobody joins the thread.
        drop(self.writer.lock().unwrap_or_else(PoisonError::into_inner).take());
        lost
    }
}

impl Drop for DecisionLog {
    fn drop(&mut self) {
        self.close();
    }
}

impl LogState {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // The queue is consistent whenever the lock is free, even after a panic elsewhere.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_for_ever(&self) {
        let mut batch: Vec<DecisionRecord> = Vec::new();
        let mut held = 0;
        loop {
            let mut queue = self.queue();
            queue.busy = false;
            queue.bytes = queue.bytes.saturating_sub(std::mem::take(&mut held));
            while queue.waiting.is_empty() && !queue.reopen && !queue.closed {
                queue.awaited = false;
                self.changed.notify_all();
                queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            let gather = |queue: &mut Queue| {
                let is_urgent = queue.awaited || queue.reopen || queue.closed;
                !is_urgent && queue.waiting.len() < BATCH && queue.bytes < BATCH_BYTES
            };
            queue = self
                .changed
                .wait_timeout_while(queue, GATHER, gather)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            let reopen = std::mem::take(&mut queue.reopen);
            let end = queue.closed && queue.waiting.is_empty();
            while batch.len() < BATCH
                && held < BATCH_BYTES
                && let Some((record, bytes)) = queue.waiting.pop_front()
            {
                batch.push(record);
                held += bytes;
            }
            queue.busy = !batch.is_empty();
            drop(queue);
            let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
            if reopen && let Err(error) = sink.reopen() {
                tracing::error!(%error, "the decision log cannot be reopened; it goes on as before");
            }
            if end {
                self.changed.notify_all();
                return;
            }
            let lines: Vec<String> =
                batch.drain(..).filter_map(|r| self.recorder.write(&r)).collect();
            let result = self.put(sink.as_mut(), &lines);
            drop(sink);
            self.tell(result);
        }
    }

    fn write_now(&self, record: &DecisionRecord) -> io::Result<()> {
        let Some(line) = self.recorder.write(record) else { return Ok(()) };
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        self.put(sink.as_mut(), &[line])
    }

    fn put(&self, sink: &mut dyn DecisionSink, lines: &[String]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let result = sink.write(lines).and_then(|()| sink.flush());
        let counter = if result.is_ok() { &self.written } else { &self.failed };
        counter.fetch_add(lines.len() as u64, Ordering::Relaxed);
        result
    }

    /// Says once that records are lost, and once that they are not any more.
    fn tell(&self, result: io::Result<()>) {
        let mut queue = self.queue();
        let was_failing = std::mem::replace(&mut queue.failing, result.is_err());
        drop(queue);
        match result {
            Err(error) if !was_failing => {
                tracing::error!(%error, "decision records cannot be written and are lost");
            }
            Ok(()) if was_failing => tracing::info!("decision records are written again"),
            _ => {}
        }
    }
}
