//! Whose turn it is: how many calls of one rule run at a time, and how many wait.
//!
//! A slow rule takes processors and places of the pool from everybody else. So one that was slow
//! of late, or of which nobody knows yet, runs on half of the processors at a time, and all of them
//! together in half of the pool; a call that would not come to its turn in time is refused at once.
//! Those who wait are served in the order in which they came, within a rule and among rules.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::semaphore::{Bounds, Permit, Semaphore};

/// A rule whose calls take so much processor time is slow.
pub(crate) const SLOW: Duration = Duration::from_millis(1);
/// No call has ended yet.
const UNKNOWN: u64 = u64::MAX;

/// The pool's places, which all rules share.
#[derive(Debug)]
pub(crate) struct Places {
    all: Semaphore,
    most: usize,
    /// Those of slow rules.
    slow: Semaphore,
}

/// The turns of one rule.
#[derive(Debug)]
pub(crate) struct Turns {
    semaphore: Semaphore,
    /// Processor time of a call, in nanoseconds: the longest of late, fading. Where it matters, not the
    /// time by the clock, in which a busy machine may have done other things.
    took: AtomicU64,
}

/// The turn of one call, and its place in the pool, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'t> {
    _own: Permit<'t>,
    _slow: Option<Permit<'t>>,
    _place: Permit<'t>,
}

/// No turn comes in time.
#[derive(Debug)]
pub(crate) struct Busy;

impl Places {
    pub(crate) fn new(most: usize) -> Self {
        Self { all: Semaphore::default(), most, slow: Semaphore::default() }
    }

    /// Places that one rule may have, and all that are slow together: the others are for the rest.
    fn half(&self) -> usize {
        (self.most / 2).max(1)
    }
}

impl Turns {
    pub(crate) fn new() -> Self {
        Self { semaphore: Semaphore::default(), took: AtomicU64::new(UNKNOWN) }
    }

    /// Waits for a turn of a rule of which so many calls may run and wait while it is slow.
    ///
    /// # Errors
    ///
    /// If it does not come in time; at once if that is known beforehand.
    pub(crate) fn acquire<'t>(
        &'t self,
        places: &'t Places,
        calls: usize,
        timeout: Duration,
    ) -> Result<Turn<'t>, Busy> {
        let until = Instant::now() + timeout;
        let took = self.known();
        let bounds = match took {
            Some(took) if took < SLOW => Bounds::of(places.half()),
            None => Bounds::of(at_a_time(places)),
            Some(took) => while_slow(took, timeout, at_a_time(places), calls),
        };
        let own = self.semaphore.acquire(bounds, until).ok_or(Busy)?;
        // It may have become fast while it waited.
        let is_slow = self.known().is_none_or(|took| took >= SLOW);
        let slow = match is_slow {
            true => Some(places.slow.acquire(Bounds::of(places.half()), until).ok_or(Busy)?),
            false => None,
        };
        let place = places.all.acquire(Bounds::of(places.most), until).ok_or(Busy)?;
        Ok(Turn { _own: own, _slow: slow, _place: place })
    }

    /// Remembers how much processor time a call took, or how much it took by the clock if that is
    /// less than what makes it slow.
    pub(crate) fn took(&self, time: Duration) {
        let time = u64::try_from(time.as_nanos()).unwrap_or(UNKNOWN - 1);
        let before = match self.took.load(Ordering::Relaxed) {
            UNKNOWN => 0,
            before => before,
        };
        // A lost update of another thread makes no difference that matters.
        self.took.store(time.max(before - before / 16), Ordering::Relaxed);
    }

    fn known(&self) -> Option<Duration> {
        let took = self.took.load(Ordering::Relaxed);
        (took != UNKNOWN).then(|| Duration::from_nanos(took))
    }
}

/// Calls of one slow rule at a time.
fn at_a_time(places: &Places) -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    processors.div_ceil(2).min(places.half())
}

/// The bounds of a rule whose calls take so long: no more wait than come to their turn in time.
fn while_slow(took: Duration, timeout: Duration, at_a_time: usize, calls: usize) -> Bounds {
    let rounds = timeout.as_nanos() / took.as_nanos().max(1);
    let in_time = usize::try_from(rounds).unwrap_or(usize::MAX).saturating_mul(at_a_time);
    let permits = at_a_time.min(calls.max(1));
    Bounds { permits, waiters: in_time.min(calls.saturating_sub(permits)) }
}

#[cfg(test)]
mod tests {
    use super::{Places, Turns, at_a_time, while_slow};
    use crate::semaphore::Bounds;
    use std::time::Duration;

    const NOW: Duration = Duration::ZERO;
    const MS: Duration = Duration::from_millis(1);

    fn that_took(time: Duration) -> Turns {
        let turns = Turns::new();
        turns.took(time);
        turns
    }

    #[test]
    fn slow_rules_leave_half_of_the_pool_to_fast_ones() {
        let places = Places::new(16);
        let slow: Vec<Turns> = (0..100).map(|_| that_took(1000 * MS)).collect();
        let of_slow: Vec<_> =
            slow.iter().filter_map(|turns| turns.acquire(&places, 16, NOW).ok()).collect();
        assert_eq!(of_slow.len(), 8);
        // One rule alone does not take them all either.
        let fast = that_took(MS / 50);
        let of_fast: Vec<_> =
            (0..100).filter_map(|_| fast.acquire(&places, 16, NOW).ok()).collect();
        assert_eq!(of_fast.len(), 8);
        drop(of_slow);
        assert!(slow.iter().all(|turns| turns.acquire(&places, 16, NOW).is_ok()));
    }

    #[test]
    fn a_slow_rule_has_its_share_of_processors_and_so_has_one_nobody_knows() {
        let places = Places::new(1024);
        for turns in [that_took(10 * MS), Turns::new()] {
            let running: Vec<_> =
                (0..100).filter_map(|_| turns.acquire(&places, 100, NOW).ok()).collect();
            assert_eq!(running.len(), at_a_time(&places));
            drop(running);
            // It was slow once.
            for _ in 0..200 {
                turns.took(MS / 50);
            }
            let running: Vec<_> =
                (0..100).filter_map(|_| turns.acquire(&places, 100, NOW).ok()).collect();
            assert_eq!(running.len(), 100);
        }
    }

    #[test]
    fn no_more_wait_than_come_to_their_turn() {
        let bounds = |took, calls| while_slow(took, 20 * MS, 2, calls);
        assert_eq!(bounds(5 * MS, 16), Bounds { permits: 2, waiters: 8 });
        assert_eq!(bounds(2 * MS, 16), Bounds { permits: 2, waiters: 14 });
        assert_eq!(bounds(1000 * MS, 16), Bounds { permits: 2, waiters: 0 });
        assert_eq!(bounds(5 * MS, 1), Bounds { permits: 1, waiters: 0 });
        assert_eq!(bounds(5 * MS, 0), Bounds { permits: 1, waiters: 0 });
    }
}
