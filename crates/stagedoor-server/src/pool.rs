//! Where requests are decided: a bounded number of threads, apart from those of connections.
//!
//! What is large claims the memory that it may need before it waits for anything, and is refused at
//! once where there is none left; then it takes its turn in a lane of its own, which leaves at least
//! one thread to what is small. So neither a body of megabytes nor a search over all entities holds
//! up a small decision for longer than it takes.

use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The unit of memory, in bytes.
const UNIT: usize = 1 << 10;

thread_local! {
    /// The turn of what runs on this thread.
    static TURN: RefCell<Vec<OwnedSemaphorePermit>> = const { RefCell::new(Vec::new()) };
}

/// Gives the turn of what runs on this thread to others: for a wait of which nobody knows how
/// long it is. The thread goes on, without counting any more.
pub(crate) fn yield_turn() {
    let turn = TURN.take();
    drop(turn);
}

/// The turn of a thread, which ends with what it is for.
struct Turn;

impl Turn {
    fn begin(permits: Vec<OwnedSemaphorePermit>) -> Self {
        TURN.set(permits);
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        yield_turn();
    }
}

/// Threads that decide.
pub(crate) struct Pool {
    threads: Arc<Semaphore>,
    large: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    /// All the memory there is, in bytes.
    most: usize,
    acquire_timeout: Duration,
    time: Duration,
}

/// How much a request may take while it is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    Small,
    /// So many bytes, as an estimate.
    Large(usize),
}

/// Why nothing was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PoolError {
    /// It alone may need more memory than there is.
    TooLarge {
        /// What it may need, in bytes.
        bytes: usize,
        /// What there is.
        most: usize,
    },
    /// What is in flight takes all the memory there is for large requests.
    Full,
    /// No thread became free in time.
    Busy,
    /// It took too long. The thread goes on, and counts until it is done.
    Overdue,
    /// The thread panicked.
    Panicked,
}

impl Pool {
    /// Returns a pool of `threads`, whose large requests take `memory` bytes together, and in
    /// which a request waits for its turn for `acquire_timeout` at most, and then for its end for `time`.
    pub(crate) fn new(
        threads: NonZeroUsize,
        memory: usize,
        acquire_timeout: Duration,
        time: Duration,
    ) -> Self {
        // One for what is large, one for what is small.
        let threads = threads.get().max(2);
        let units = memory.div_ceil(UNIT).clamp(1, Semaphore::MAX_PERMITS);
        Self {
            threads: Arc::new(Semaphore::new(threads.min(Semaphore::MAX_PERMITS))),
            large: Arc::new(Semaphore::new(threads - 1)),
            memory: Arc::new(Semaphore::new(units)),
            most: units.saturating_mul(UNIT),
            acquire_timeout,
            time,
        }
    }

    /// Runs `work` on a thread of the pool, when it is its turn. What there is no memory for waits
    /// for nothing.
    pub(crate) async fn run<R: Send + 'static>(
        &self,
        weight: Weight,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, PoolError> {
        let memory = self.memory(weight)?;
        let turn = tokio::time::timeout(self.acquire_timeout, self.turn(weight)).await;
        let turn = turn.ok().flatten().ok_or(PoolError::Busy)?;
        // INVARIANT: turn and memory move into the thread. If the caller goes away, the thread goes
        // on, and still counts.
        let done = tokio::task::spawn_blocking(move || {
            let turn = Turn::begin(turn);
            let result = work();
            drop((turn, memory));
            result
        });
        let done = tokio::time::timeout(self.time, done).await.map_err(|_| PoolError::Overdue)?;
        done.map_err(|_| PoolError::Panicked)
    }

    /// Claims the memory of a request, which counts from now to its end.
    fn memory(&self, weight: Weight) -> Result<Option<OwnedSemaphorePermit>, PoolError> {
        let Weight::Large(bytes) = weight else { return Ok(None) };
        let too_large = PoolError::TooLarge { bytes, most: self.most };
        if bytes > self.most {
            return Err(too_large);
        }
        let units = u32::try_from(bytes.div_ceil(UNIT).max(1)).map_err(|_| too_large)?;
        let claimed = Arc::clone(&self.memory).try_acquire_many_owned(units);
        claimed.map(Some).map_err(|_| PoolError::Full)
    }

    /// Waits for the turn of a request.
    async fn turn(&self, weight: Weight) -> Option<Vec<OwnedSemaphorePermit>> {
        let mut turn = Vec::with_capacity(2);
        if let Weight::Large(_) = weight {
            // INVARIANT: the lane before the thread, so that nobody holds a thread while waiting.
            turn.push(Arc::clone(&self.large).acquire_owned().await.ok()?);
        }
        turn.push(Arc::clone(&self.threads).acquire_owned().await.ok()?);
        Some(turn)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::sync::{Arc, mpsc};
    use std::time::Duration;

    use super::{Pool, PoolError, Weight};

    fn pool(acquire_timeout: Duration) -> Arc<Pool> {
        Arc::new(Pool::new(NonZeroUsize::MIN, 1 << 20, acquire_timeout, Duration::from_secs(60)))
    }

    #[tokio::test]
    async fn what_is_small_does_not_wait_for_what_is_large() {
        let pool = pool(Duration::from_secs(60));
        let (end, ended) = mpsc::channel::<()>();
        let other = Arc::clone(&pool);
        let large = tokio::spawn(async move {
            other.run(Weight::Large(1 << 20), move || ended.recv().is_err()).await
        });
        for n in 0..100 {
            assert_eq!(pool.run(Weight::Small, move || n).await, Ok(n));
        }
        assert!(!large.is_finished());
        drop(end);
        assert_eq!(large.await.ok(), Some(Ok(true)));
    }

    #[tokio::test]
    async fn what_there_is_no_memory_for_is_refused_at_once() {
        // Whoever waited at all would wait for ever.
        let pool = pool(Duration::MAX);
        let (end, ended) = mpsc::channel::<()>();
        let (began, begin) = tokio::sync::oneshot::channel();
        let other = Arc::clone(&pool);
        let half = tokio::spawn(async move {
            let work = move || began.send(()).is_ok() && ended.recv().is_err();
            other.run(Weight::Large(1 << 19), work).await
        });
        assert!(begin.await.is_ok());
        // It counts while it waits for its turn as well.
        let other = Arc::clone(&pool);
        let waiting = tokio::spawn(async move { other.run(Weight::Large(1 << 18), || 7).await });
        while pool.memory.available_permits() > 256 {
            tokio::task::yield_now().await;
        }
        for too_large in [(1 << 18) + 1, 1 << 20] {
            assert_eq!(pool.run(Weight::Large(too_large), || ()).await, Err(PoolError::Full));
        }
        assert_eq!(pool.run(Weight::Small, || 7).await, Ok(7));
        drop(end);
        assert_eq!(half.await.ok(), Some(Ok(true)));
        assert_eq!(waiting.await.ok(), Some(Ok(7)));
        assert_eq!(pool.run(Weight::Large(1 << 20), || 7).await, Ok(7), "there is memory again");
    }

    #[tokio::test]
    async fn what_alone_may_need_more_than_there_is_is_never_decided() {
        let pool = pool(Duration::MAX);
        for bytes in [(1 << 20) + 1, usize::MAX] {
            let refused = PoolError::TooLarge { bytes, most: 1 << 20 };
            assert_eq!(pool.run(Weight::Large(bytes), || ()).await, Err(refused));
        }
        assert_eq!(pool.run(Weight::Large(1 << 20), || 7).await, Ok(7));
    }

    #[tokio::test]
    async fn who_gives_its_turn_away_holds_up_nobody() {
        let pool = pool(Duration::from_secs(60));
        let (mut ends, mut waiting) = (Vec::new(), Vec::new());
        for _ in 0..8 {
            let (end, ended) = mpsc::channel::<()>();
            ends.push(end);
            let other = Arc::clone(&pool);
            let work = move || {
                super::yield_turn();
                ended.recv().is_err()
            };
            waiting.push(tokio::spawn(async move { other.run(Weight::Large(1), work).await }));
        }
        for n in 0..100 {
            assert_eq!(pool.run(Weight::Small, move || n).await, Ok(n));
        }
        assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
        drop(ends);
        for waiting in waiting {
            assert_eq!(waiting.await.ok(), Some(Ok(true)));
        }
    }

    #[tokio::test]
    async fn who_waits_too_long_is_sent_away_and_a_panic_ends_nothing() {
        let pool = pool(Duration::from_millis(20));
        let (end, ended) = mpsc::channel::<()>();
        let other = Arc::clone(&pool);
        let (began, begin) = tokio::sync::oneshot::channel();
        let large = tokio::spawn(async move {
            let work = move || began.send(()).is_ok() && ended.recv().is_err();
            other.run(Weight::Large(1), work).await
        });
        assert!(begin.await.is_ok());
        assert_eq!(pool.run(Weight::Large(1), || ()).await, Err(PoolError::Busy));
        drop(end);
        assert_eq!(large.await.ok(), Some(Ok(true)));
        #[expect(clippy::panic, reason = "what is tried here")]
        let panicked = pool.run(Weight::Large(1), || panic!("tried")).await;
        assert_eq!(panicked, Err::<(), _>(PoolError::Panicked));
        assert_eq!(pool.run(Weight::Large(1), || 7).await, Ok(7));
    }

    #[tokio::test]
    async fn what_takes_too_long_is_given_up_and_still_counts() {
        let time = Duration::from_millis(20);
        let pool = Pool::new(NonZeroUsize::MIN, 1 << 20, Duration::from_millis(20), time);
        let (end, ended) = mpsc::channel::<()>();
        let overdue = pool.run(Weight::Large(1), move || ended.recv().is_err()).await;
        assert_eq!(overdue, Err(PoolError::Overdue));
        assert_eq!(pool.run(Weight::Large(1), || ()).await, Err(PoolError::Busy));
        assert_eq!(pool.run(Weight::Small, || 7).await, Ok(7));
        drop(end);
        while pool.run(Weight::Large(1), || ()).await == Err(PoolError::Busy) {}
    }
}
