//! Lets so many calls run at a time, in the order in which they came.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

/// Permits, which those who wait are given in turn: nobody who comes later is served before.
#[derive(Debug, Default)]
pub(crate) struct Semaphore {
    state: Mutex<State>,
    released: Condvar,
}

#[derive(Debug, Default)]
struct State {
    taken: usize,
    /// Those who wait, the first first.
    queue: VecDeque<u64>,
    next: u64,
}

/// How many may have a permit, and wait for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) permits: usize,
    pub(crate) waiters: usize,
}

impl Bounds {
    /// So many permits, for which any number may wait.
    pub(crate) fn of(permits: usize) -> Self {
        Self { permits, waiters: usize::MAX }
    }
}

/// A permit, given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit<'s>(&'s Semaphore);

impl Semaphore {
    /// Waits for a permit; `None` at once if so many wait already, and if none comes in time.
    ///
    /// The bounds may differ from call to call.
    pub(crate) fn acquire(&self, bounds: Bounds, until: Instant) -> Option<Permit<'_>> {
        let permits = bounds.permits.max(1);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.taken >= permits || !state.queue.is_empty() {
            if state.queue.len() >= bounds.waiters {
                return None;
            }
            let own = state.next;
            state.next = own.wrapping_add(1);
            state.queue.push_back(own);
            while state.taken >= permits || state.queue.front() != Some(&own) {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    state.queue.retain(|waiting| *waiting != own);
                    // Whoever stood behind may be the first now.
                    self.released.notify_all();
                    return None;
                }
                let waited = self.released.wait_timeout(state, left);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
            state.queue.pop_front();
            // There may be another permit for the next.
            self.released.notify_all();
        }
        state.taken += 1;
        Some(Permit(self))
    }

    /// Returns how many wait.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).queue.len()
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.taken = state.taken.saturating_sub(1);
        if !state.queue.is_empty() {
            // Only the first can go on, and nobody knows which of them that is.
            self.0.released.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Bounds, Semaphore};
    use std::sync::{Mutex, PoisonError};
    use std::time::{Duration, Instant};

    fn in_an_hour() -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    #[test]
    fn one_more_than_may_wait_is_refused_at_once() {
        let semaphore = Semaphore::default();
        let permit = semaphore.acquire(Bounds::of(1), Instant::now());
        assert!(permit.is_some());
        // Would wait for an hour if it waited.
        let nobody_waits = Bounds { permits: 1, waiters: 0 };
        assert!(semaphore.acquire(nobody_waits, in_an_hour()).is_none());
        assert!(semaphore.acquire(Bounds::of(1), Instant::now()).is_none());
        drop(permit);
        assert!(semaphore.acquire(nobody_waits, Instant::now()).is_some());
    }

    #[test]
    fn who_came_first_is_served_first() {
        let (semaphore, served) = (Semaphore::default(), Mutex::new(Vec::new()));
        let permit = semaphore.acquire(Bounds::of(1), Instant::now());
        let (semaphore, served) = (&semaphore, &served);
        std::thread::scope(|scope| {
            for number in 0..8 {
                scope.spawn(move || {
                    let permit = semaphore.acquire(Bounds::of(1), in_an_hour());
                    served.lock().unwrap_or_else(PoisonError::into_inner).push(number);
                    drop(permit);
                });
                while semaphore.waiting() <= number {
                    std::thread::yield_now();
                }
            }
            drop(permit);
        });
        assert!(served.lock().is_ok_and(|served| *served == (0..8).collect::<Vec<_>>()));
    }

    #[test]
    fn who_gives_up_lets_the_next_one_on() {
        let semaphore = Semaphore::default();
        let permit = semaphore.acquire(Bounds::of(1), Instant::now());
        let soon = Instant::now() + Duration::from_millis(20);
        std::thread::scope(|scope| {
            let first = scope.spawn(|| semaphore.acquire(Bounds::of(1), soon).is_some());
            while semaphore.waiting() < 1 {
                std::thread::yield_now();
            }
            // Has a permit to take, and stands behind one who has none.
            let second = scope.spawn(|| semaphore.acquire(Bounds::of(2), in_an_hour()).is_some());
            assert!(first.join().is_ok_and(|acquired| !acquired));
            assert!(second.join().is_ok_and(|acquired| acquired));
        });
        drop(permit);
        assert!(semaphore.acquire(Bounds::of(1), Instant::now()).is_some());
    }
}
