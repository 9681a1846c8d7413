//! Lets so many calls run at a time: the pool refuses one more at once, the semaphore lets it wait.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(crate) struct Semaphore {
    state: Mutex<State>,
    released: Condvar,
}

#[derive(Debug)]
struct State {
    free: usize,
    waiting: usize,
}

/// A turn, given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit<'s>(&'s Semaphore);

impl Semaphore {
    /// Gives so many permits at a time.
    pub(crate) fn new(permits: usize) -> Self {
        let state = Mutex::new(State { free: permits.max(1), waiting: 0 });
        Self { state, released: Condvar::new() }
    }

    /// Waits for a permit; `None` if none comes in time.
    pub(crate) fn acquire(&self, timeout: Duration) -> Option<Permit<'_>> {
        self.acquire_among(timeout, usize::MAX)
    }

    /// Waits for a permit; `None` at once if `waiters` wait already, and if none comes in time.
    pub(crate) fn acquire_among(&self, timeout: Duration, waiters: usize) -> Option<Permit<'_>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.free == 0 {
            if state.waiting >= waiters {
                return None;
            }
            let until = Instant::now() + timeout;
            // INVARIANT: `waiting` is how many are in the loop below: each leaves it once.
            state.waiting += 1;
            while state.free == 0 {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    state.waiting -= 1;
                    return None;
                }
                let waited = self.released.wait_timeout(state, left);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
            state.waiting -= 1;
        }
        state.free -= 1;
        Some(Permit(self))
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).free += 1;
        self.0.released.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::Semaphore;
    use std::time::Duration;

    #[test]
    fn one_more_than_may_wait_is_refused_at_once() {
        let semaphore = Semaphore::new(1);
        let permit = semaphore.acquire(Duration::ZERO);
        assert!(permit.is_some());
        // Would wait for an hour if it waited.
        assert!(semaphore.acquire_among(Duration::from_secs(3600), 0).is_none());
        drop(permit);
        assert!(semaphore.acquire(Duration::ZERO).is_some());
    }

    #[test]
    fn who_waits_gets_the_next_permit() {
        let semaphore = Semaphore::new(1);
        let permit = semaphore.acquire(Duration::ZERO);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| semaphore.acquire(Duration::from_secs(3600)).is_some());
            drop(permit);
            assert!(waiter.join().is_ok_and(|acquired| acquired));
        });
        assert!(semaphore.acquire(Duration::ZERO).is_some());
    }
}
