//! What makes lines of records: which are kept, what is masked, and in which form.

use std::borrow::Cow;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

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
/// let asked = || serde_json::json!({"subject": {"type": "user", "id": "ann"}});
/// let denied = DecisionRecord::new(Platform::AuthZen, "evaluation", Outcome::Denied, asked());
/// assert!(recorder.line(denied, false).is_some_and(|line| line.contains("\"denied\"")));
/// // By default, what is allowed is recorded where it changes something.
/// let allowed = DecisionRecord::new(Platform::AuthZen, "evaluation", Outcome::Allowed, asked());
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
    pub fn line<R: Serialize>(
        &self,
        record: DecisionRecord<'_, R>,
        is_change: bool,
    ) -> Option<String> {
        let sample = self.wants(record.outcome, is_change)?;
        let mut own = Vec::new();
        self.write(record, sample, &mut own).ok()?;
        let own = String::from_utf8(own).ok()?;
        match self.form.is_plain(&self.rules) {
            true => Some(own),
            false => self.formed(&own).map(Cow::into_owned),
        }
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

    /// Gives a record its id, and adds it to a text in the own form.
    pub(crate) fn write<R: Serialize>(
        &self,
        mut record: DecisionRecord<'_, R>,
        Sample(sample): Sample,
        text: &mut Vec<u8>,
    ) -> io::Result<()> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        record.id = self.id(number);
        record.sample = (sample < 1.0).then_some(sample);
        serde_json::to_writer(text, &record).map_err(io::Error::from)
    }

    /// Returns the id of a record: by hand, since what formats in general takes as long as the rest.
    fn id(&self, number: u64) -> String {
        let mut id = String::with_capacity(self.instance.len() + 17);
        id.push_str(&self.instance);
        id.push('-');
        let digits = (u64::BITS - number.leading_zeros()).div_ceil(4).max(1);
        for place in (0..digits).rev() {
            let digit = (number >> (4 * place)) & 0xf;
            id.extend(u32::try_from(digit).ok().and_then(|digit| char::from_digit(digit, 16)));
        }
        id
    }

    /// Returns records of the own form, each with its line break, as they are written, and how many
    /// of them there are.
    pub(crate) fn lines<'l>(&self, own: &'l str, count: usize) -> (Cow<'l, str>, usize) {
        if self.form.is_plain(&self.rules) {
            return (Cow::Borrowed(own), count);
        }
        let (mut lines, mut kept) = (String::with_capacity(own.len()), 0);
        for line in own.lines().filter_map(|own| self.formed(own)) {
            lines.push_str(&line);
            lines.push('\n');
            kept += 1;
        }
        (Cow::Owned(lines), kept)
    }

    /// Returns a record of the own form as it is written; `None` if the rules leave it out.
    fn formed<'l>(&self, own: &'l str) -> Option<Cow<'l, str>> {
        let line = self.form.line(own, &self.rules);
        if line.is_none() {
            self.excluded.fetch_add(1, Ordering::Relaxed);
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::{Form, Recorder, Rules};

    #[test]
    fn ids_end_in_hexadecimal() {
        let recorder = Recorder::new(Rules::default(), Form::Own);
        for number in [0, 1, 15, 16, 0xabc, u64::MAX] {
            let id = recorder.id(number);
            assert_eq!(id, format!("{}-{number:x}", recorder.instance));
        }
    }
}
