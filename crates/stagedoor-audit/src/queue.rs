//! What waits to be written: text, in batches.

use std::collections::VecDeque;

/// How many records are written at a time, and how many bytes they have: collectors refuse what is
/// too large as a whole.
const BATCH: usize = 256;
const BATCH_BYTES: usize = 1 << 20;

/// Records from so many bytes on are handed over as they are, instead of being copied.
pub(crate) const LARGE: usize = 64 << 10;

/// Records that wait to be written.
#[derive(Default)]
pub(crate) struct Queue {
    batches: VecDeque<Batch>,
    /// The records of all that wait.
    pub(crate) records: usize,
    /// The bytes of all that wait, and of what the writer has in its hands.
    pub(crate) bytes: usize,
    /// Room that a batch had which is written.
    spare: Vec<u8>,
    /// Whether the writer has to be woken.
    pub(crate) asleep: bool,
    pub(crate) reopen: bool,
    pub(crate) closed: bool,
    /// Whether somebody waits until all is written.
    pub(crate) awaited: bool,
    /// Whether nobody waits for what is not written yet.
    pub(crate) abandoned: bool,
    /// Whether the writer has records in its hands.
    pub(crate) busy: bool,
    /// Whether the last write failed: told once, until one succeeds.
    pub(crate) failing: bool,
}

/// What is written at a time: lines of the own form, each with its break.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) lines: Vec<u8>,
    pub(crate) records: usize,
    /// Whether nothing is added to it.
    closed: bool,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.closed || self.records >= BATCH || self.lines.len() >= BATCH_BYTES
    }
}

impl Queue {
    /// Adds a line, whose text may be taken.
    pub(crate) fn push(&mut self, line: &mut Vec<u8>) {
        self.records += 1;
        self.bytes = self.bytes.saturating_add(line.len());
        if line.len() >= LARGE {
            let lines = std::mem::take(line);
            return self.batches.push_back(Batch { lines, records: 1, closed: true });
        }
        match self.batches.back_mut() {
            Some(last) if !last.is_full() => {
                last.lines.extend_from_slice(line);
                last.records += 1;
            }
            _ => {
                let mut lines = std::mem::take(&mut self.spare);
                lines.extend_from_slice(line);
                self.batches.push_back(Batch { lines, records: 1, closed: false });
            }
        }
    }

    /// Takes what is written next; nothing if nothing waits.
    pub(crate) fn take(&mut self) -> Batch {
        let batch = self.batches.pop_front().unwrap_or_default();
        self.records = self.records.saturating_sub(batch.records);
        self.busy = batch.records > 0;
        batch
    }

    /// Returns whether more cannot gather in what is written next.
    pub(crate) fn has_full(&self) -> bool {
        self.batches.front().is_some_and(Batch::is_full)
    }

    /// Gives up what waits; returns how many records that are.
    pub(crate) fn give_up(&mut self) -> usize {
        let bytes = self.batches.drain(..).map(|batch| batch.lines.len()).sum();
        self.bytes = self.bytes.saturating_sub(bytes);
        std::mem::take(&mut self.records)
    }

    /// Takes back the room of what is written.
    pub(crate) fn written(&mut self, Batch { mut lines, .. }: Batch) {
        self.busy = false;
        self.bytes = self.bytes.saturating_sub(lines.len());
        if lines.capacity() <= 2 * BATCH_BYTES && lines.capacity() > self.spare.capacity() {
            lines.clear();
            self.spare = lines;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BATCH, BATCH_BYTES, LARGE, Queue};

    /// Takes everything out; returns how many records and bytes each batch has.
    fn taken(queue: &mut Queue) -> Vec<(usize, usize)> {
        let mut taken = Vec::new();
        loop {
            let batch = queue.take();
            if batch.records == 0 {
                return taken;
            }
            taken.push((batch.records, batch.lines.len()));
            queue.written(batch);
        }
    }

    #[test]
    fn what_waits_is_cut_by_count_and_by_size() {
        let mut queue = Queue::default();
        for _ in 0..=BATCH {
            queue.push(&mut vec![b'x'; 10]);
        }
        queue.push(&mut vec![b'x'; LARGE]);
        queue.push(&mut vec![b'x'; 10]);
        for _ in 0..=BATCH_BYTES / (LARGE - 1) {
            queue.push(&mut vec![b'x'; LARGE - 1]);
        }
        let (count, bytes) = (BATCH + 4 + BATCH_BYTES / (LARGE - 1), queue.bytes);
        assert_eq!(queue.records, count);
        let taken = taken(&mut queue);
        let (first, last) = (taken.get(..3), taken.get(3..));
        assert_eq!(first, Some(&[(BATCH, 10 * BATCH), (1, 10), (1, LARGE)][..]));
        assert!(last.is_some_and(|last| last.iter().all(|(_, b)| *b < BATCH_BYTES + LARGE)));
        assert_eq!(taken.iter().map(|(records, _)| records).sum::<usize>(), count);
        assert_eq!(taken.iter().map(|(_, bytes)| bytes).sum::<usize>(), bytes);
        assert_eq!((queue.records, queue.bytes, queue.busy), (0, 0, false));
        // Room is used again, and a lost batch is not counted any more.
        queue.push(&mut vec![b'x'; 10]);
        assert_eq!(queue.give_up(), 1);
        assert_eq!((queue.records, queue.bytes), (0, 0));
    }
}
