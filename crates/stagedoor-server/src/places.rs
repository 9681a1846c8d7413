//! A bounded number of places, in which whoever holds things up gives way to a newcomer.
//!
//! A plain bound would let slow clients take every place and keep it until their time is
//! out. Here a holder that only waits (for a handshake, for the rest of a body, for the next
//! request) may be put out when the places are full: first those that never finished
//! anything, the longest waiting first.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// The places.
#[derive(Debug)]
pub(crate) struct ConnectionLimit {
    most: usize,
    /// How long a holder may wait before it can be put out.
    patience: Duration,
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
    put_out: Arc<Notify>,
}

/// How much a holder that waits has shown so far. Who has shown less gives way first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Priority {
    /// Nothing that it began was ever finished.
    Unproven,
    /// It was answered before.
    Proven,
}

/// One place that is taken, until this is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    places: Arc<ConnectionLimit>,
    put_out: Arc<Notify>,
    state: Mutex<PermitState>,
}

#[derive(Debug, Clone, Copy)]
struct PermitState {
    /// Where it stands among the waiting, if it waits.
    key: Option<(Priority, u64)>,
}

impl ConnectionLimit {
    /// Returns `most` places, whose holders may wait for `patience` undisturbed.
    pub(crate) fn new(most: usize, patience: Duration) -> Arc<Self> {
        Arc::new(Self { most, patience, state: Mutex::new(State::default()) })
    }

    /// Takes a place for a holder that waits, or returns `None` if all are taken and nobody
    /// can be put out.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Permit> {
        let put_out = Arc::new(Notify::new());
        let mut state = self.lock();
        if state.taken >= self.most && !state.put_one_out(self.patience) {
            return None;
        }
        state.taken += 1;
        let key = state.wait(Priority::Unproven, &put_out);
        drop(state);
        let state = Mutex::new(PermitState { key: Some(key) });
        Some(Permit { places: Arc::clone(self), put_out, state })
    }

    /// Puts the one out that has waited longest, whatever it has shown.
    pub(crate) fn make_room(&self) -> bool {
        self.lock().put_one_out(Duration::ZERO)
    }

    /// Returns how many places are taken.
    pub(crate) fn taken(&self) -> usize {
        self.lock().taken
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is consistent whenever the lock is free, even after a panic elsewhere.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wait(&mut self, standing: Priority, put_out: &Arc<Notify>) -> (Priority, u64) {
        let key = (standing, self.next);
        self.next += 1;
        let waiting = Waiting { since: Instant::now(), put_out: Arc::clone(put_out) };
        self.waiting.insert(key, waiting);
        key
    }

    fn put_one_out(&mut self, patience: Duration) -> bool {
        let first = self.waiting.first_key_value();
        if first.is_none_or(|(_, waiting)| waiting.since.elapsed() < patience) {
            return false;
        }
        let Some((_, waiting)) = self.waiting.pop_first() else { return false };
        // Its place counts as free from now on: see `Drop`.
        self.taken = self.taken.saturating_sub(1);
        waiting.put_out.notify_one();
        true
    }
}

impl Permit {
    /// Resolves when the holder has to give way.
    pub(crate) async fn put_out(&self) {
        self.put_out.notified().await;
    }

    /// Says that work begins: from now on the holder is not put out.
    ///
    /// Returns `false` if it has been already.
    pub(crate) fn work(&self) -> bool {
        let mut own = self.own();
        match own.key {
            None => true,
            Some(key) => {
                let still_here = self.places.lock().waiting.remove(&key).is_some();
                if still_here {
                    own.key = None;
                }
                still_here
            }
        }
    }

    /// Says that the holder waits again.
    pub(crate) fn wait(&self, standing: Priority) {
        let mut own = self.own();
        if own.key.is_none() {
            own.key = Some(self.places.lock().wait(standing, &self.put_out));
        }
    }

    fn own(&self) -> MutexGuard<'_, PermitState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let key = self.own().key;
        let mut state = self.places.lock();
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
        let places = ConnectionLimit::new(3, Duration::ZERO);
        let holders: Vec<Permit> = (0..3).filter_map(|_| places.take()).collect();
        let [proven, old, busy] = holders.as_slice() else {
            assert_eq!(holders.len(), 3, "three places");
            return;
        };
        assert!(proven.work());
        proven.wait(Priority::Proven);
        assert!(busy.work());

        let newcomer = places.take();
        assert!(newcomer.is_some());
        assert!(!old.work(), "the unproven one was put out");
        assert!(newcomer.is_some_and(|place| place.work()));
        assert_eq!(places.taken(), 2, "the newcomer has left");

        let second = places.take();
        assert!(second.as_ref().is_some_and(Permit::work));
        let third = places.take();
        assert!(third.is_some());
        assert!(!proven.work(), "nobody else waited");
        assert!(third.as_ref().is_some_and(Permit::work));
        assert!(places.take().is_none(), "all three work");
        drop((second, third));
        assert_eq!(places.taken(), 1);
        drop(holders);
        assert_eq!(places.taken(), 0);
    }

    #[test]
    fn nobody_gives_way_before_their_patience_is_out() {
        let places = ConnectionLimit::new(1, Duration::from_secs(3600));
        let holder = places.take();
        assert!(places.take().is_none());
        assert!(holder.is_some_and(|place| place.work()));
        assert!(places.take().is_some());
    }
}
