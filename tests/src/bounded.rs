//! Bounds the time that something may take, so that a hang is a failure and not a wait.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Result, bail};

/// Runs `work` on a thread with an ordinary stack and returns what it returns.
///
/// # Errors
///
/// If it takes longer than `limit`, or panics. The thread is then left behind.
pub fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    on_stack(2 << 20, limit, work)
}

/// Runs `work` on a thread with a stack of `bytes`.
///
/// # Errors
///
/// As [`within`].
pub fn on_stack<T: Send + 'static>(
    bytes: usize,
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    let (send, receive) = channel();
    let thread = std::thread::Builder::new().stack_size(bytes).spawn(move || {
        // Nobody listens any more when it took too long.
        let _ = send.send(work());
    })?;
    match receive.recv_timeout(limit) {
        Ok(result) => Ok(result),
        Err(RecvTimeoutError::Timeout) => bail!("not done within {limit:?}"),
        Err(RecvTimeoutError::Disconnected) => {
            let cause = thread.join().err().and_then(|cause| {
                let text = cause.downcast_ref::<&str>().map(|text| (*text).to_owned());
                text.or_else(|| cause.downcast_ref::<String>().cloned())
            });
            bail!("panicked: {}", cause.unwrap_or_default())
        }
    }
}
