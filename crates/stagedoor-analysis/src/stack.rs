//! Room for conditions as deep as the engine takes them.

/// The stack of a thread that walks conditions.
pub(crate) const BYTES: usize = 256 << 20;

/// Runs on a thread with room enough, or here where there is no thread to be had.
pub(crate) fn with_stack<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    let work = std::sync::Mutex::new(Some(work));
    let run = || {
        let taken = work.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        taken.map(|work| work())
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(BYTES).spawn_scoped(scope, run);
        let done = match thread {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(_) => run(),
        };
        // INVARIANT: whichever of the two ran found the work there.
        done.unwrap_or_else(|| std::process::abort())
    })
}
