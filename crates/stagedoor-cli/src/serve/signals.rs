//! What signals tell a server.

use stagedoor_server::ServerHandle;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::Failure;

/// The signals of a server. From the moment they are taken, none of them ends the process.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// Not for anything: without a handler they would end the process.
    _ignored: [Signal; 2],
}

impl Signals {
    /// Takes the signals over.
    pub(crate) fn take() -> Result<Self, Failure> {
        let take = |kind| {
            signal(kind).map_err(|e| Failure::input(format!("signals cannot be handled: {e}")))
        };
        Ok(Self {
            terminate: take(SignalKind::terminate())?,
            interrupt: take(SignalKind::interrupt())?,
            hangup: take(SignalKind::hangup())?,
            _ignored: [take(SignalKind::user_defined1())?, take(SignalKind::user_defined2())?],
        })
    }

    /// Resolves at SIGTERM or SIGINT; reloads at each SIGHUP until then.
    pub(crate) async fn asked_to_stop(mut self, server: ServerHandle) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => server.reload(),
            }
        }
    }
}
