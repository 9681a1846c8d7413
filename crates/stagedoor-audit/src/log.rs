//! The log: records from many threads, written by one.
//!
//! Who decides writes its record as text, into room that its thread has anyway, and adds the text to
//! what waits: nothing is allocated by one thread to be freed by another, and what is held under the
//! lock is a copy of some hundred bytes.

use std::cell::RefCell;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Serialize;

use crate::form::Form;
use crate::queue::{Batch, LARGE, Queue};
use crate::record::{DecisionRecord, Outcome};
use crate::recorder::Recorder;
use crate::rules::Rules;
use crate::sink::DecisionSink;

/// For how long the writer lets records gather. To wake it for each would cost whoever decides more
/// than the record does.
const GATHER: Duration = Duration::from_millis(5);
/// How often it looks for itself before it has to be woken.
const LOOKS: usize = 40;

thread_local! {
    /// Where a thread writes its records.
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// How records are taken.
#[derive(Debug)]
#[non_exhaustive]
pub struct LogOptions {
    /// Which are kept, and what of them is masked.
    pub rules: Rules,
    /// How many may wait to be written (10,000). One more is dropped, and counted.
    pub buffer: usize,
    /// The bytes of those that wait (64 MiB). One beyond that is dropped, and counted: who may ask
    /// about an object of megabytes must not fill the memory by asking.
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
    /// The writer is told by it that there is something to do.
    changed: Condvar,
    /// Others are told by it that nothing is left to do.
    done: Condvar,
    sink: Mutex<Box<dyn DecisionSink>>,
    written: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
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
            done: Condvar::new(),
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
    pub fn record<'r, R: Serialize>(
        &self,
        outcome: Outcome,
        is_change: bool,
        record: impl FnOnce() -> DecisionRecord<'r, R>,
    ) -> Result<(), NotRecorded> {
        let shared = &self.shared;
        let Some(sample) = shared.recorder.wants(outcome, is_change) else { return Ok(()) };
        let record = record();
        LINE.with_borrow_mut(|line| {
            line.clear();
            let written = shared.recorder.write(record, sample, line);
            line.push(b'\n');
            let taken = match written {
                Ok(()) if shared.required => shared.write_now(line),
                Ok(()) => {
                    shared.push(line);
                    Ok(())
                }
                Err(error) => shared.cannot_be_made(error),
            };
            line.clear();
            line.shrink_to(LARGE);
            taken.map_err(NotRecorded)
        })
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
        while writes && !queue.abandoned && (queue.busy || queue.records > 0) {
            if !std::mem::replace(&mut queue.awaited, true) {
                self.shared.changed.notify_all();
            }
            queue = self.shared.done.wait(queue).unwrap_or_else(PoisonError::into_inner);
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
        let lost = queue.give_up() as u64;
        drop(queue);
        self.shared.dropped.fetch_add(lost, Ordering::Relaxed);
        self.shared.changed.notify_all();
        self.shared.done.notify_all();
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

    /// Adds a line to what waits, or drops and counts it.
    fn push(&self, line: &mut Vec<u8>) {
        let mut queue = self.queue();
        let is_full = queue.records >= self.buffer
            || (queue.bytes > 0 && queue.bytes.saturating_add(line.len()) > self.buffer_bytes);
        if queue.closed || is_full {
            drop(queue);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let was_pressing = self.is_pressing(&queue);
        queue.push(line);
        let is_due = !was_pressing && self.is_pressing(&queue);
        let wakes = std::mem::take(&mut queue.asleep) || is_due;
        drop(queue);
        if wakes {
            self.changed.notify_all();
        }
    }

    /// Returns whether so much waits that the writer should not let more gather.
    fn is_pressing(&self, queue: &Queue) -> bool {
        queue.records * 2 >= self.buffer || queue.bytes >= self.buffer_bytes / 2
    }

    fn is_urgent(&self, queue: &Queue) -> bool {
        queue.awaited || queue.reopen || queue.closed || self.is_pressing(queue)
    }

    fn write_for_ever(&self) {
        let mut batch = Batch::default();
        loop {
            let mut queue = self.queue();
            queue.written(std::mem::take(&mut batch));
            if queue.records == 0 && std::mem::take(&mut queue.awaited) {
                self.done.notify_all();
            }
            queue = self.gather(queue);
            let reopen = std::mem::take(&mut queue.reopen);
            let end = queue.closed && queue.records == 0;
            batch = queue.take();
            drop(queue);
            let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
            if reopen && let Err(error) = sink.reopen() {
                tracing::error!(%error, "the decision log cannot be reopened; it goes on as before");
            }
            if end {
                self.done.notify_all();
                return;
            }
            if batch.records > 0 {
                let result = self.put(sink.as_mut(), &batch.lines, batch.records);
                drop(sink);
                self.tell(result);
            }
        }
    }

    /// Waits until there is something to do, for long enough that records gather.
    fn gather<'q>(&self, mut queue: MutexGuard<'q, Queue>) -> MutexGuard<'q, Queue> {
        let calm = |queue: &mut Queue| !self.is_urgent(queue);
        // As long as there is something now and then, nobody has to wake it.
        for _ in 0..LOOKS {
            if self.is_urgent(&queue) || queue.has_full() {
                return queue;
            }
            let waited = self.changed.wait_timeout_while(queue, GATHER, calm);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
            if queue.records > 0 {
                return queue;
            }
        }
        while queue.records == 0 && !self.is_urgent(&queue) {
            queue.asleep = true;
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.asleep = false;
        let waited = self.changed.wait_timeout_while(queue, GATHER, calm);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn write_now(&self, line: &[u8]) -> io::Result<()> {
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        self.put(sink.as_mut(), line, 1)
    }

    fn put(&self, sink: &mut dyn DecisionSink, lines: &[u8], count: usize) -> io::Result<()> {
        // JSON is written as UTF-8.
        let lines = std::str::from_utf8(lines).map_err(io::Error::other);
        let (result, count) = match lines.map(|lines| self.recorder.lines(lines, count)) {
            Ok((_, 0)) => return Ok(()),
            Ok((lines, kept)) => (sink.write(&lines).and_then(|()| sink.flush()), kept),
            Err(error) => (Err(error), count),
        };
        let counter = if result.is_ok() { &self.written } else { &self.failed };
        counter.fetch_add(count as u64, Ordering::Relaxed);
        result
    }

    /// Counts a record whose request has no form in JSON; where records are required, its decision
    /// must not allow anything.
    fn cannot_be_made(&self, error: io::Error) -> io::Result<()> {
        self.failed.fetch_add(1, Ordering::Relaxed);
        tracing::error!(%error, "a decision record cannot be made");
        if self.required { Err(error) } else { Ok(()) }
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
