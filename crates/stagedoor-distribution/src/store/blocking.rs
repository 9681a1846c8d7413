//! Clients that are asynchronous, for stores that are not: one thread drives what they are doing.

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use super::StoreError;

/// A thread that waits for the network, and how long an answer may take.
#[derive(Debug)]
pub(super) struct Blocking {
    /// There until this is dropped.
    runtime: Option<Runtime>,
    timeout: Duration,
}

impl Blocking {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// As of the system, if it has none left.
    pub(super) fn new(name: &str, timeout: Duration) -> std::io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).thread_name(name).enable_all().build()?;
        Ok(Self { runtime: Some(runtime), timeout })
    }

    /// Waits for an answer, as long as one may take.
    pub(super) fn answer<T>(
        &self,
        store: &str,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let late = |reason| StoreError::Unreachable { store: store.to_owned(), reason };
        let answered = self.wait(async { tokio::time::timeout(self.timeout, answer).await });
        match answered {
            Some(Ok(answered)) => answered,
            Some(Err(_)) => Err(late(format!("no answer within {} s", self.timeout.as_secs()))),
            None => Err(late("it was closed".to_owned())),
        }
    }

    /// Waits for what has an end by itself.
    pub(super) fn wait<T>(&self, answer: impl Future<Output = T>) -> Option<T> {
        self.runtime.as_ref().map(|runtime| runtime.block_on(answer))
    }
}

impl Drop for Blocking {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // It may be dropped where waiting is not allowed.
            runtime.shutdown_background();
        }
    }
}

/// Returns an error with what it comes from, where it does not say so by itself.
pub(super) fn reason_of(error: &dyn std::error::Error) -> String {
    let mut reason = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !reason.contains(&text) {
            reason = format!("{reason}: {text}");
        }
        cause = error.source();
    }
    reason
}
