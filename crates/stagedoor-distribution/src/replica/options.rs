//! What a replica follows, and how.

use std::path::PathBuf;
use std::time::Duration;

use crate::channel::Channel;
use crate::digest::Digest;
use crate::signed_set::SignedSet;

/// The largest bundle, in bytes: what one file of policies may have.
const BUNDLE_BYTES: u64 = 64 << 20;

/// What a replica follows, and how.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReplicaOptions {
    /// The set and the channel.
    pub channel: Channel,
    /// Where the last good sets are kept. A directory of this replica's own.
    pub state: PathBuf,
    /// The one bundle that may be in force, whatever its number is.
    pub pin: Option<Digest>,
    /// For how long the store may be out of reach, or offer nothing that can be taken, until the
    /// replica is not ready any more. Without it, that is told, and nothing else.
    pub max_staleness: Option<Duration>,
    /// When a set that was refused is tried again (60 s).
    pub retry: Duration,
    /// The largest bundle, in bytes (64 MiB).
    pub bundle_bytes: u64,
}

impl ReplicaOptions {
    /// Returns options with the defaults.
    #[must_use]
    pub fn new(channel: Channel, state: impl Into<PathBuf>) -> Self {
        Self {
            channel,
            state: state.into(),
            pin: None,
            max_staleness: None,
            retry: Duration::from_secs(60),
            bundle_bytes: BUNDLE_BYTES,
        }
    }

    /// Returns whether a set on disk may serve, of which the newest has this number.
    pub(super) fn may_serve(&self, set: &SignedSet, highest: Option<u64>) -> bool {
        match self.pin {
            Some(pin) => set.release().digest == pin,
            None => Some(set.release().counter) == highest,
        }
    }
}
