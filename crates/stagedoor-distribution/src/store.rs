//! Where published sets lie.

use std::fmt::Debug;
use std::time::Duration;

use crate::channel::Channel;
use crate::digest::Digest;
use crate::key::SigningKey;
use crate::status::ReplicaStatus;

#[cfg(any(feature = "kubernetes", feature = "objects"))]
mod blocking;
pub mod directory;
pub mod http;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
#[cfg(feature = "objects")]
pub mod objects;
pub mod oci;
mod offered;
mod options;
#[cfg(feature = "postgres")]
pub mod postgres;

pub use offered::{OfferedRelease, OfferedStore};
pub use options::StoreOptions;

/// A place from which policy sets are read, and to which they are published.
///
/// A store is not trusted: whatever it says is verified by whoever reads it. It holds bundles by
/// their digest, and for each channel the signature of its newest release, which names its bundle.
pub trait PolicyStore: Debug + Send + Sync {
    /// Returns what messages call it.
    fn name(&self) -> String;

    /// Returns the newest signature of a channel, unless it is the one of a version.
    ///
    /// Blocks, within the time limits of the store.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn head(&self, channel: &Channel, known: Option<&Version>) -> Result<Head, StoreError>;

    /// Returns the bytes of a bundle: at most `limit` of them. Whoever reads them holds them to the
    /// digest.
    ///
    /// Blocks, within the time limits of the store.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn bundle(&self, channel: &Channel, digest: Digest, limit: u64) -> Result<Vec<u8>, StoreError>;

    /// Makes a release the newest one of its channel. The bundle is there before the signature is.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; [`StoreError::Changed`] if the newest one is not the one that it is to
    /// come after, where the store can tell.
    fn publish(&self, channel: &Channel, publication: &Publication<'_>) -> Result<(), StoreError>;

    /// Returns what lies beside the newest release for other tools, where the store has a place for it.
    /// None of it is verified.
    ///
    /// Blocks, within the time limits of the store.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn attachments(&self, channel: &Channel) -> Result<Option<Attachments>, StoreError> {
        let _ = channel;
        Ok(None)
    }

    /// Waits until there may be something new, and no longer than a time. Only a hint: it may
    /// come for nothing, and it may be lost.
    fn wait(&self, channel: &Channel, timeout: Duration) -> Hint {
        let _ = (channel, timeout);
        Hint::NotGiven
    }

    /// Tells how a replica is, where the store has a place for it. Is asked often, and says the same
    /// only once in a while.
    ///
    /// # Errors
    ///
    /// [`StoreError`], which changes nothing for the replica.
    fn report(&self, channel: &Channel, status: &ReplicaStatus) -> Result<(), StoreError> {
        let _ = (channel, status);
        Ok(())
    }
}

/// Whether a store says when there is something new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// There may be something new.
    Given,
    /// There was none in the time.
    TimedOut,
    /// This store gives none, and has not waited.
    NotGiven,
}

/// What a store calls the state of a channel: an ETag, a digest, a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(pub String);

/// The newest release of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    /// It is the one of the version that was given.
    Unchanged,
    /// It is this one.
    Found {
        /// What the store calls it, if it calls it anything.
        version: Option<Version>,
        /// The signature, which is not verified.
        envelope: Vec<u8>,
    },
}

/// A release to be published.
#[derive(Debug, Clone, Copy)]
pub struct Publication<'a> {
    /// The signature.
    pub envelope: &'a [u8],
    /// The digest of the bundle.
    pub digest: Digest,
    /// The bundle.
    pub bundle: &'a [u8],
    /// What it comes after: the signature that was the newest one before.
    pub after: Option<&'a [u8]>,
    /// Who signs it, where that is known: signs what the store lays beside it for other tools.
    pub signer: Option<&'a SigningKey>,
}

/// What lies beside a release for other tools: signatures and attestations about its manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachments {
    /// The manifest of the release.
    pub manifest: Digest,
    /// What is signed about it, in Sigstore bundles.
    pub envelopes: Vec<Vec<u8>>,
    /// Whether that is all there is: no more than 64 are read, of no more than 16 pages of a list.
    pub is_complete: bool,
}

/// Why a store does not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Nothing was published there.
    #[error("there is no {what} in {store}")]
    Missing {
        /// What is not there.
        what: String,
        /// The store.
        store: String,
    },
    /// It cannot be reached, or breaks off.
    #[error("{store} cannot be reached: {reason}")]
    Unreachable {
        /// The store.
        store: String,
        /// Why.
        reason: String,
    },
    /// It answers otherwise than such a store does.
    #[error("{store} answers with {reason}")]
    Answer {
        /// The store.
        store: String,
        /// What is wrong.
        reason: String,
    },
    /// It does not let this caller in.
    #[error("{store} does not let this caller in ({reason})")]
    Denied {
        /// The store.
        store: String,
        /// What it says.
        reason: String,
    },
    /// Something larger was sent than is read.
    #[error("{what} in {store} is larger than {limit} bytes")]
    TooLarge {
        /// What is.
        what: String,
        /// The store.
        store: String,
        /// The limit.
        limit: u64,
    },
    /// Somebody else has published meanwhile.
    #[error(
        "somebody else has published to {0} meanwhile: look at what is there, and publish again"
    )]
    Changed(String),
    /// Nothing can be published there by this way.
    #[error("{0} can only be read: publish to where it has its files from")]
    ReadOnly(String),
}
