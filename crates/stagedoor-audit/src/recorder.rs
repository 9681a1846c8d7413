//! What makes lines of records: which are kept, what is masked, and in which form.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::form::Form;
use crate::record::{DecisionRecord, Outcome};
use crate::rules::Rules;

/// Makes lines of records. A [`DecisionLog`](crate::DecisionLog) has one; programs that have a queue
/// of their own use it alone.
///
/// # Examples
///
/// ```
/// use stagedoor_audit::{DecisionRecord, Form, Outcome, Platform, Recorder, Rules};
///
/// let recorder = Recorder::new(Rules::default(), Form::Own);
/// let denied = DecisionRecord::new(Platform::AuthZen, "evaluation", Outcome::Denied);
/// assert!(recorder.line(denied, false).is_some_and(|line| line.contains("\"denied\"")));
/// // By default, what is allowed is recorded where it changes something.
/// let allowed = DecisionRecord::new(Platform::AuthZen, "evaluation", Outcome::Allowed);
/// assert!(recorder.line(allowed, false).is_none());
/// ```
#[derive(Debug)]
pub struct Recorder {
    form: Form,
    rules: Rules,
    /// Distinguishes the ids of this process from those of others.
    instance: String,
    next: AtomicU64,
    excluded: AtomicU64,
}

/// How many of those decisions are recorded of which one is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample(f64);

impl Recorder {
    /// Returns what keeps records by these rules and writes them in this form.
    #[must_use]
    pub fn new(rules: Rules, form: Form) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            form,
            rules,
            instance: format!("{:x}-{:x}", since.as_micros(), std::process::id()),
            next: AtomicU64::new(0),
            excluded: AtomicU64::new(0),
        }
    }

    /// Returns a record as it is written, without a line break; `None` if the rules do not want it.
    ///
    /// `is_change` says whether it allows a change of something, as far as that is known.
    #[must_use]
    pub fn line(&self, mut record: DecisionRecord, is_change: bool) -> Option<String> {
        let sample = self.wants(record.outcome, is_change)?;
        self.name(&mut record, sample);
        self.write(&record)
    }

    /// Returns how many records were left out for what is in them.
    #[must_use]
    pub fn excluded(&self) -> u64 {
        self.excluded.load(Ordering::Relaxed)
    }

    /// Says whether a decision is recorded, before there is a record of it.
    pub(crate) fn wants(&self, outcome: Outcome, is_change: bool) -> Option<Sample> {
        self.rules.wants(outcome, is_change).map(Sample)
    }

    /// Gives a record its id.
    pub(crate) fn name(&self, record: &mut DecisionRecord, Sample(sample): Sample) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        record.id = format!("{}-{number:x}", self.instance);
        record.sample = (sample < 1.0).then_some(sample);
    }

    /// Returns a record as it is written; `None` if the rules leave it out.
    pub(crate) fn write(&self, record: &DecisionRecord) -> Option<String> {
        let line = self.form.line(record, &self.rules);
        if line.is_none() {
            self.excluded.fetch_add(1, Ordering::Relaxed);
        }
        line
    }
}
