//! Who may sign which policy sets.

use std::sync::Arc;

use serde::Deserialize;
use stagedoor_core::{LoadError, without_byte_order_mark};

use crate::channel::{Channel, Name};
use crate::digest::Digest;
use crate::envelope::{Envelope, EnvelopeError};
use crate::key::{KeyError, VerifyingKey};
use crate::statement::{Release, StatementError};
use crate::time::Timestamp;

/// Keys, each with what it may sign.
///
/// Written in YAML or JSON:
///
/// ```yaml
/// keys:
///   - name: ci
///     publicKey: |
///       -----BEGIN PUBLIC KEY-----
///       …
///       -----END PUBLIC KEY-----
///     sets: [payments]             # all, where this is left out
///     channels: [staging]          # all, where this is left out
///     notAfter: 2027-01-01T00:00:00Z
/// ```
///
/// A key that has expired signs nothing new; what was taken up before stays in force, and loads
/// again at a restart. A key that is taken out of the file takes its sets with it.
#[derive(Debug, Clone)]
pub struct Trust {
    keys: Vec<TrustedKey>,
}

#[derive(Debug, Clone)]
struct TrustedKey {
    name: String,
    key: VerifyingKey,
    sets: Option<Vec<Name>>,
    channels: Option<Vec<Name>>,
    not_before: Option<Timestamp>,
    not_after: Option<Timestamp>,
}

/// Why a file does not say whom to trust.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// It is not of the form.
    #[error("it does not say whom to trust: {0}")]
    Form(String),
    /// It has no keys.
    #[error("it has no keys, so that nothing could be loaded: add the key that signs")]
    Empty,
    /// A key cannot be used.
    #[error("the key `{name}` cannot be used: {source}")]
    Key {
        /// The key.
        name: String,
        /// Why.
        source: KeyError,
    },
    /// Two keys have one name, or are one key.
    #[error("`{0}` is there twice: what it may sign is said in one place")]
    Twice(String),
}

/// Why a set is not taken.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The signature cannot be read.
    #[error("the signature cannot be read: {0}")]
    Envelope(#[from] EnvelopeError),
    /// None of the trusted keys has signed it.
    #[error("nobody trusted has signed it: none of the trusted keys verifies the signature")]
    Untrusted,
    /// What is signed cannot be read.
    #[error("what is signed cannot be read: {0}")]
    Statement(#[from] StatementError),
    /// It is signed for another set or channel.
    #[error("it is signed for `{found}`, not for `{expected}`")]
    Channel {
        /// The set and channel that are asked for.
        expected: Channel,
        /// Those that the signature says.
        found: Channel,
    },
    /// The key is for other sets or channels.
    #[error("the key `{key}` may not sign for `{channel}`")]
    Scope {
        /// The key.
        key: String,
        /// What it has signed for.
        channel: Channel,
    },
    /// The key is not in use yet, or not any more.
    #[error("the key `{key}` signs nothing new {when} {time}")]
    KeyPeriod {
        /// The key.
        key: String,
        /// `before` or `after`.
        when: &'static str,
        /// The end of its time.
        time: Timestamp,
    },
    /// The release has expired.
    #[error("release {counter} has expired at {at}: publish a newer one")]
    Expired {
        /// The release.
        counter: u64,
        /// When it expired.
        at: Timestamp,
    },
    /// The bundle is not the one that is signed.
    #[error("the bundle is {found} of {found_bytes} bytes; signed is {expected} of {bytes} bytes")]
    Content {
        /// What is signed.
        expected: Digest,
        /// Its size.
        bytes: u64,
        /// What is there.
        found: Digest,
        /// Its size.
        found_bytes: u64,
    },
    /// The bundle is none, although it is signed.
    #[error("what is signed is not a bundle: {0}")]
    Bundle(Arc<LoadError>),
}

/// Whether something is to be taken up, or was taken up already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It is to be taken up: neither the release nor the key may have expired.
    TakeUp(Timestamp),
    /// It was taken up before: whoever has signed it must still be trusted for it.
    Keep,
}

/// A release whose signature was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifiedRelease {
    /// What is signed.
    pub release: Release,
    /// The name of the key that has signed it.
    pub key: String,
    /// The digest of what is signed: two releases of one number that differ in it contradict
    /// each other.
    pub statement: Digest,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TrustFile {
    keys: Vec<KeyEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KeyEntry {
    name: String,
    public_key: String,
    #[serde(default)]
    sets: Option<Vec<Name>>,
    #[serde(default)]
    channels: Option<Vec<Name>>,
    #[serde(default)]
    not_before: Option<Timestamp>,
    #[serde(default)]
    not_after: Option<Timestamp>,
}

impl Trust {
    /// Returns trust in one key, for all sets and channels and for ever.
    #[must_use]
    pub fn in_key(name: impl Into<String>, key: VerifyingKey) -> Self {
        let (sets, channels, not_before, not_after) = (None, None, None, None);
        let name = name.into();
        Self { keys: vec![TrustedKey { name, key, sets, channels, not_before, not_after }] }
    }

    /// Reads a file: YAML or JSON, or one public key in PEM.
    ///
    /// # Errors
    ///
    /// [`TrustError`].
    pub fn from_text(text: &str) -> Result<Self, TrustError> {
        let text = without_byte_order_mark(text);
        let of_key = |name: &str, text: &str| {
            let key = VerifyingKey::from_pem(text.as_bytes());
            key.map_err(|source| TrustError::Key { name: name.to_owned(), source })
        };
        if text.trim_start().starts_with("-----BEGIN") {
            return Ok(Self::in_key("key", of_key("key", text)?));
        }
        let file: TrustFile = serde_saphyr::from_str(text)
            .map_err(|e| TrustError::Form(stagedoor_core::plain_reason(&e.to_string())))?;
        let mut keys: Vec<TrustedKey> = Vec::new();
        for entry in file.keys {
            let key = of_key(&entry.name, &entry.public_key)?;
            if keys.iter().any(|known| known.name == entry.name || known.key == key) {
                return Err(TrustError::Twice(entry.name));
            }
            let KeyEntry { name, sets, channels, not_before, not_after, .. } = entry;
            keys.push(TrustedKey { name, key, sets, channels, not_before, not_after });
        }
        if keys.is_empty() { Err(TrustError::Empty) } else { Ok(Self { keys }) }
    }

    /// Verifies a signature, and that it is for a channel.
    ///
    /// # Errors
    ///
    /// [`VerifyError`].
    pub fn verify(
        &self,
        envelope: &[u8],
        channel: &Channel,
        purpose: Purpose,
    ) -> Result<VerifiedRelease, VerifyError> {
        let envelope = Envelope::from_json(envelope)?;
        // INVARIANT: nothing of a statement is looked at before its signature was verified.
        let signed = |key: &TrustedKey| Some((key.clone(), envelope.verified_by(&key.key)?));
        let (key, payload) = self.keys.iter().find_map(signed).ok_or(VerifyError::Untrusted)?;
        let text = std::str::from_utf8(payload)
            .map_err(|error| StatementError::Json(error.to_string()))?;
        let release = Release::from_json(text)?;
        if release.channel != *channel {
            let (expected, found) = (channel.clone(), release.channel);
            return Err(VerifyError::Channel { expected, found });
        }
        if !key.may_sign(channel) {
            return Err(VerifyError::Scope { key: key.name, channel: channel.clone() });
        }
        if let Purpose::TakeUp(now) = purpose {
            key.check_period(now)?;
            if let Some(at) = release.expires.filter(|_| release.is_expired(now)) {
                return Err(VerifyError::Expired { counter: release.counter, at });
            }
        }
        Ok(VerifiedRelease { release, key: key.name, statement: Digest::of(payload) })
    }
}

impl TrustedKey {
    fn may_sign(&self, channel: &Channel) -> bool {
        let has = |names: &Option<Vec<Name>>, name| names.as_ref().is_none_or(|n| n.contains(name));
        has(&self.sets, &channel.set) && has(&self.channels, &channel.channel)
    }

    fn check_period(&self, now: Timestamp) -> Result<(), VerifyError> {
        let error = |when, time| VerifyError::KeyPeriod { key: self.name.clone(), when, time };
        match (self.not_before, self.not_after) {
            (Some(time), _) if now < time => Err(error("before", time)),
            (_, Some(time)) if now >= time => Err(error("after", time)),
            _ => Ok(()),
        }
    }
}
