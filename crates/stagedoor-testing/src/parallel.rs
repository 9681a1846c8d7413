//! Work on all processors.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Does `work` for every number below `count`, each thread with a state of its own. Returns
/// the states.
pub(crate) fn fold<S: Send>(
    count: usize,
    new: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize) + Sync,
) -> Vec<S> {
    let next = AtomicUsize::new(0);
    let states = Mutex::new(Vec::new());
    let thread = || {
        let mut state = new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                break;
            }
            work(&mut state, number);
        }
        states.lock().unwrap_or_else(PoisonError::into_inner).push(state);
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 1..threads.min(count) {
            scope.spawn(thread);
        }
        thread();
    });
    states.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Returns what `work` makes of every number below `count`, in order.
pub(crate) fn map<R: Send>(count: usize, work: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let made = fold(count, Vec::new, |made, number| made.push((number, work(number))));
    let mut made: Vec<_> = made.into_iter().flatten().collect();
    made.sort_unstable_by_key(|(number, _)| *number);
    made.into_iter().map(|(_, made)| made).collect()
}
