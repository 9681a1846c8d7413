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
