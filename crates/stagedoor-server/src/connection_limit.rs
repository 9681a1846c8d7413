//! A bounded number of permits, in which whoever holds things up gives way to a newcomer.
//!
//! A plain bound would let slow clients take every permit and keep it until their time is
//! out. Here a holder that only waits (for a handshake, for the rest of a body, for the next
//! request) may be evicted when all are taken: first those that never finished anything, the
//! longest waiting first.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// So many connections or requests at a time.
#[derive(Debug)]
pub(crate) struct ConnectionLimit {
    most: usize,
    /// How long a holder may wait before it can be evicted.
    grace: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    taken: usize,
    next: u64,
    waiting: BTreeMap<(Priority, u64), Waiting>,
}

#[derive(Debug)]
struct Waiting {
    since: Instant,
    evicted: Arc<Notify>,
}

/// How much a holder that waits has shown so far. Who has shown less gives way first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Priority {
    /// Nothing that it began was ever finished.
    Unproven,
    /// It was answered before.
    Proven,
}

/// One of the permits, until this is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    limit: Arc<ConnectionLimit>,
    evicted: Arc<Notify>,
    state: Mutex<PermitState>,
}

#[derive(Debug, Clone, Copy)]
struct PermitState {
    /// Where it stands among the waiting, if it waits.
    key: Option<(Priority, u64)>,
}

impl ConnectionLimit {
    /// Returns `most` permits, whose holders may wait for `grace` undisturbed.
    pub(crate) fn new(most: usize, grace: Duration) -> Arc<Self> {
        Arc::new(Self { most, grace, state: Mutex::new(State::default()) })
    }

    /// Takes a permit for a holder that waits, or returns `None` if all are taken and nobody
    /// can be evicted.
    pub(crate) fn acquire(self: &Arc<Self>) -> Option<Permit> {
        let evicted = Arc::new(Notify::new());
        let mut state = self.lock();
        if state.taken >= self.most && !state.evict_longest(self.grace) {
            return None;
        }
        state.taken += 1;
        let key = state.wait(Priority::Unproven, &evicted);
        drop(state);
        let state = Mutex::new(PermitState { key: Some(key) });
        Some(Permit { limit: Arc::clone(self), evicted, state })
    }

    /// Evicts the one that has waited longest, whatever it has shown.
    pub(crate) fn evict(&self) -> bool {
        self.lock().evict_longest(Duration::ZERO)
    }

    /// Returns how many permits are taken.
    pub(crate) fn taken(&self) -> usize {
        self.lock().taken
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is consistent whenever the lock is free, even after a panic elsewhere.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wait(&mut self, priority: Priority, evicted: &Arc<Notify>) -> (Priority, u64) {
        let key = (priority, self.next);
        self.next += 1;
        let waiting = Waiting { since: Instant::now(), evicted: Arc::clone(evicted) };
        self.waiting.insert(key, waiting);
        key
    }

    fn evict_longest(&mut self, grace: Duration) -> bool {
        let first = self.waiting.first_key_value();
        if first.is_none_or(|(_, waiting)| waiting.since.elapsed() < grace) {
            return false;
        }
        let Some((_, waiting)) = self.waiting.pop_first() else { return false };
        // INVARIANT: a permit is counted once: an evicted one not any more, and `Drop` knows it by its
        // key, which is gone. It counts as free from now on: see `Drop`.
        self.taken = self.taken.saturating_sub(1);
        waiting.evicted.notify_one();
        true
    }
}

impl Permit {
    /// Resolves when the holder has to give way.
    pub(crate) async fn evicted(&self) {
        self.evicted.notified().await;
    }

    /// Says that work begins: from now on the holder is not evicted.
    ///
    /// Returns `false` if it has been already.
    pub(crate) fn work(&self) -> bool {
        let mut own = self.own();
        match own.key {
            None => true,
            Some(key) => {
                let still_here = self.limit.lock().waiting.remove(&key).is_some();
                if still_here {
                    own.key = None;
                }
                still_here
            }
        }
    }

    /// Says that the holder waits again.
    pub(crate) fn wait(&self, priority: Priority) {
        let mut own = self.own();
        if own.key.is_none() {
            own.key = Some(self.limit.lock().wait(priority, &self.evicted));
        }
    }

    fn own(&self) -> MutexGuard<'_, PermitState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let key = self.own().key;
        let mut state = self.limit.lock();
        let counts = match key {
            None => true,
            Some(key) => state.waiting.remove(&key).is_some(),
        };
        if counts {
            state.taken = state.taken.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{ConnectionLimit, Permit, Priority};

    #[test]
    fn the_longest_waiting_of_the_least_proven_gives_way() {
        let limit = ConnectionLimit::new(3, Duration::ZERO);
        let holders: Vec<Permit> = (0..3).filter_map(|_| limit.acquire()).collect();
        let [proven, old, busy] = holders.as_slice() else {
            assert_eq!(holders.len(), 3, "three permits");
            return;
        };
        assert!(proven.work());
        proven.wait(Priority::Proven);
        assert!(busy.work());

        let newcomer = limit.acquire();
        assert!(newcomer.is_some());
        assert!(!old.work(), "the unproven one was evicted");
        assert!(newcomer.is_some_and(|permit| permit.work()));
        assert_eq!(limit.taken(), 2, "the newcomer has left");

        let second = limit.acquire();
        assert!(second.as_ref().is_some_and(Permit::work));
        let third = limit.acquire();
        assert!(third.is_some());
        assert!(!proven.work(), "nobody else waited");
        assert!(third.as_ref().is_some_and(Permit::work));
        assert!(limit.acquire().is_none(), "all three work");
        drop((second, third));
        assert_eq!(limit.taken(), 1);
        drop(holders);
        assert_eq!(limit.taken(), 0);
    }

    #[test]
    fn nobody_gives_way_within_the_grace() {
        let limit = ConnectionLimit::new(1, Duration::from_secs(3600));
        let holder = limit.acquire();
        assert!(limit.acquire().is_none());
        assert!(holder.is_some_and(|permit| permit.work()));
        assert!(limit.acquire().is_some());
    }
}
