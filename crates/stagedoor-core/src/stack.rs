//! Room for Cedar's recursive parser, validator and evaluator, however small the caller's stack is.

#[cfg(not(target_family = "wasm"))]
use std::collections::BTreeMap;
#[cfg(not(target_family = "wasm"))]
use std::sync::atomic::{AtomicUsize, Ordering};
#[cfg(not(target_family = "wasm"))]
use std::sync::mpsc::sync_channel;

/// Enough for the deepest expression that [`Limits`](crate::Limits) let through, many times over.
#[cfg(not(target_family = "wasm"))]
const STACK_BYTES: usize = 64 << 20;

/// Runs Cedar's recursive parser and evaluator with room enough for whatever the limits let through.
pub(crate) fn with_stack<R>(work: impl FnOnce() -> R) -> R {
    stacker::maybe_grow(1 << 20, 16 << 20, work)
}

/// Runs `work` on a thread with a large stack: a whole policy set is loaded on it.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn on_large_stack<R: Send>(work: impl FnOnce() -> R + Send) -> Result<R, String> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("stagedoor-load".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work)
            .map_err(|e| format!("no thread to load policies on: {e}"))?;
        thread.join().map_err(|_| "loading policies failed unexpectedly".to_owned())
    })
}

/// Runs `work` with room to load one policy, without a thread of its own.
pub(crate) fn with_stack_to_load<R>(work: impl FnOnce() -> R) -> R {
    stacker::maybe_grow(32 << 20, 64 << 20, work)
}

/// Runs `work`; WebAssembly has no threads.
#[cfg(target_family = "wasm")]
pub(crate) fn on_large_stack<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    Ok(work())
}

/// Works on every item on several threads, and hands over the results in order.
///
/// Few results wait at a time, so that what they hold is soon dropped.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn in_order<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
    mut take: impl FnMut(R),
) -> Result<(), String> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(4);
    if items.len() < 2 || threads < 2 {
        items.iter().map(work).for_each(take);
        return Ok(());
    }
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let (send, receive) = sync_channel(threads);
        let mut workers = Vec::new();
        for _ in 0..threads {
            let send = send.clone();
            let (next, work) = (&next, &work);
            let worker = std::thread::Builder::new()
                .name("stagedoor-load".to_owned())
                .stack_size(STACK_BYTES)
                .spawn_scoped(scope, move || {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let Some(item) = items.get(number) else { break };
                        if send.send((number, work(item))).is_err() {
                            break;
                        }
                    }
                })
                .map_err(|e| format!("no thread to load policies on: {e}"))?;
            workers.push(worker);
        }
        drop(send);
        let mut waiting = BTreeMap::new();
        let mut due = 0;
        for (number, result) in receive {
            waiting.insert(number, result);
            while let Some(result) = waiting.remove(&due) {
                take(result);
                due += 1;
            }
        }
        for worker in workers {
            worker.join().map_err(|_| "loading policies failed unexpectedly".to_owned())?;
        }
        if due == items.len() { Ok(()) } else { Err("loading policies stopped early".to_owned()) }
    })
}

/// Works on every item in order; WebAssembly has no threads.
#[cfg(target_family = "wasm")]
pub(crate) fn in_order<T, R>(
    items: &[T],
    work: impl Fn(&T) -> R,
    take: impl FnMut(R),
) -> Result<(), String> {
    items.iter().map(work).for_each(take);
    Ok(())
}
