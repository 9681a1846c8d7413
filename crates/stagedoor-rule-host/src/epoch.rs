//! Advances the engine's epoch every millisecond while calls are running.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wasmtime::Engine;

/// How long an epoch lasts.
pub(crate) const TICK: Duration = Duration::from_millis(1);
/// So many ticks without a call put the thread to sleep.
const IDLE_TICKS: u32 = 200;

#[derive(Debug)]
pub(crate) struct Ticker {
    shared: Arc<TickerState>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct TickerState {
    calls: AtomicUsize,
    sleeps: AtomicBool,
    stops: AtomicBool,
}

/// A running call: the epoch advances as long as there is one.
#[derive(Debug)]
pub(crate) struct Running<'t>(&'t Ticker);

impl Ticker {
    pub(crate) fn start(engine: Engine) -> std::io::Result<Self> {
        let shared = Arc::new(TickerState::default());
        let of_thread = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("stagedoor-epoch".to_owned())
            .spawn(move || tick(&of_thread, &engine))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Sees to it that time passes for a call.
    pub(crate) fn run(&self) -> Running<'_> {
        // INVARIANT: sequentially consistent with the thread's look at `calls` after it has
        // said that it sleeps, so that one of the two sees the other.
        self.shared.calls.fetch_add(1, Ordering::SeqCst);
        if self.shared.sleeps.load(Ordering::SeqCst) {
            self.wake();
        }
        Running(self)
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.shared.calls.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stops.store(true, Ordering::SeqCst);
        self.wake();
        if let Some(thread) = self.thread.take() {
            // A ticker does not panic; if it did, nothing is lost.
            let _ = thread.join();
        }
    }
}

fn tick(shared: &TickerState, engine: &Engine) {
    let mut idle = 0;
    while !shared.stops.load(Ordering::SeqCst) {
        if idle >= IDLE_TICKS {
            shared.sleeps.store(true, Ordering::SeqCst);
            while shared.calls.load(Ordering::SeqCst) == 0 && !shared.stops.load(Ordering::SeqCst) {
                thread::park();
            }
            shared.sleeps.store(false, Ordering::SeqCst);
            idle = 0;
        }
        thread::park_timeout(TICK);
        engine.increment_epoch();
        idle = if shared.calls.load(Ordering::SeqCst) == 0 { idle + 1 } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thread_ends_with_its_ticker() -> std::io::Result<()> {
        let ticker = Ticker::start(Engine::default())?;
        let shared = Arc::downgrade(&ticker.shared);
        assert!(shared.upgrade().is_some());
        drop(ticker);
        assert!(shared.upgrade().is_none(), "its thread still runs");
        Ok(())
    }

    #[test]
    fn it_sleeps_while_nothing_runs_and_wakes_when_something_does() -> std::io::Result<()> {
        let ticker = Ticker::start(Engine::default())?;
        let wait_until = |sleeps: bool| {
            while ticker.shared.sleeps.load(Ordering::SeqCst) != sleeps {
                thread::yield_now();
            }
        };
        wait_until(true);
        let running = ticker.run();
        wait_until(false);
        assert_eq!(ticker.shared.calls.load(Ordering::SeqCst), 1);
        drop(running);
        assert_eq!(ticker.shared.calls.load(Ordering::SeqCst), 0);
        wait_until(true);
        Ok(())
    }
}
