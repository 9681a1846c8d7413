//! Who may sign which policy sets.

use std::sync::Arc;

use serde::Deserialize;
use stagedoor_core::{LoadError, without_byte_order_mark};

use crate::attestation::About;
use crate::channel::{Channel, Name};
use crate::digest::Digest;
use crate::envelope::{Envelope, EnvelopeError};
#[cfg(feature = "sigstore")]
use crate::identity::SigningIdentity;
use crate::key::{KeyError, VerifyingKey};
use crate::statement::{Release, StatementError};
use crate::time::Timestamp;

/// Keys and identities, each with what it may sign.
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
/// An identity signs by a certificate, as Sigstore's tools have it without keys. Who may issue such
/// certificates, and which logs are believed, the trusted root says, as JSON or YAML:
///
/// ```yaml
/// identities:
///   - name: release
///     identity: https://github.com/acme/policies/.github/workflows/release.yml@refs/heads/main
///     issuer: https://token.actions.githubusercontent.com
///     channels: [production]
/// trustedRoot: {"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1", …}
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
    key: Signatory,
    sets: Option<Vec<Name>>,
    channels: Option<Vec<Name>>,
    not_before: Option<Timestamp>,
    not_after: Option<Timestamp>,
}

/// By what somebody signs.
#[derive(Debug, Clone, PartialEq)]
enum Signatory {
    Key(VerifyingKey),
    #[cfg(feature = "sigstore")]
    Identity(SigningIdentity),
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
    /// It has identities, and nothing to verify them by.
    #[error("identities are verified by a trusted root of Sigstore: add it as `trustedRoot`")]
    NoRoot,
    /// The trusted root cannot be used.
    #[error("the `trustedRoot` cannot be used: {0}")]
    Root(String),
    /// This build verifies no certificates.
    #[error("identities are not verified by this build, which lacks the feature `sigstore`")]
    Identities,
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
    /// It is signed by a certificate that is not one of anybody trusted, or is not in order.
    #[error("nobody trusted has signed it by a certificate: {0}")]
    Certificate(String),
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
    /// It is about something else.
    #[error("it is not about {0}")]
    Subject(Digest),
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

/// A statement about an artifact of a registry, whose signature was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifiedAttestation {
    /// What it says: a predicate type of in-toto.
    pub predicate_type: String,
    /// The name of the key that has signed it.
    pub key: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TrustFile {
    #[serde(default)]
    keys: Vec<KeyEntry>,
    #[serde(default)]
    identities: Vec<IdentityEntry>,
    #[serde(default, rename = "trustedRoot")]
    trusted_root: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(
    not(feature = "sigstore"),
    expect(dead_code, reason = "read, so that it is told that this build does not verify it")
)]
struct IdentityEntry {
    name: String,
    identity: String,
    issuer: String,
    /// Whether certificates are in a log of certificates, as those of Sigstore's own authority are.
    #[serde(default = "yes")]
    certificate_log: bool,
    #[serde(default)]
    sets: Option<Vec<Name>>,
    #[serde(default)]
    channels: Option<Vec<Name>>,
    #[serde(default)]
    not_before: Option<Timestamp>,
    #[serde(default)]
    not_after: Option<Timestamp>,
}

const fn yes() -> bool {
    true
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
        let (name, key) = (name.into(), Signatory::Key(key));
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
            let key = Signatory::Key(of_key(&entry.name, &entry.public_key)?);
            if keys.iter().any(|known| known.name == entry.name || known.key == key) {
                return Err(TrustError::Twice(entry.name));
            }
            let KeyEntry { name, sets, channels, not_before, not_after, .. } = entry;
            keys.push(TrustedKey { name, key, sets, channels, not_before, not_after });
        }
        for entry in identities(file.identities, file.trusted_root.as_ref())? {
            if keys.iter().any(|known| known.name == entry.name || known.key == entry.key) {
                return Err(TrustError::Twice(entry.name));
            }
            keys.push(entry);
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
        let (key, payload) = self.signed(&envelope)?;
        let text = std::str::from_utf8(payload)
            .map_err(|error| StatementError::Json(error.to_string()))?;
        let release = Release::from_json(text)?;
        if release.channel != *channel {
            let (expected, found) = (channel.clone(), release.channel);
            return Err(VerifyError::Channel { expected, found });
        }
        if !key.may_sign(channel) {
            return Err(VerifyError::Scope { key: key.name.clone(), channel: channel.clone() });
        }
        if let Purpose::TakeUp(now) = purpose {
            key.check_period(now)?;
            if let Some(at) = release.expires.filter(|_| release.is_expired(now)) {
                return Err(VerifyError::Expired { counter: release.counter, at });
            }
        }
        Ok(VerifiedRelease { release, key: key.name.clone(), statement: Digest::of(payload) })
    }

    /// Verifies what lies beside a release of a channel in a registry: a statement of any kind, about its
    /// manifest.
    ///
    /// # Errors
    ///
    /// [`VerifyError`].
    pub fn verify_attestation(
        &self,
        envelope: &[u8],
        channel: &Channel,
        manifest: Digest,
    ) -> Result<VerifiedAttestation, VerifyError> {
        let envelope = Envelope::from_json(envelope)?;
        let (key, payload) = self.signed(&envelope)?;
        if !key.may_sign(channel) {
            return Err(VerifyError::Scope { key: key.name.clone(), channel: channel.clone() });
        }
        let about = About::from_json(payload)?;
        match about.is_about(manifest) {
            true => Ok(VerifiedAttestation {
                predicate_type: about.predicate_type,
                key: key.name.clone(),
            }),
            false => Err(VerifyError::Subject(manifest)),
        }
    }

    /// Returns who has signed an envelope, and what.
    ///
    /// INVARIANT: nothing of a statement is looked at before its signature was verified.
    fn signed<'a>(
        &'a self,
        envelope: &'a Envelope,
    ) -> Result<(&'a TrustedKey, &'a [u8]), VerifyError> {
        let mut refused = VerifyError::Untrusted;
        for key in &self.keys {
            match key.key.verified(envelope) {
                Ok(payload) => return Ok((key, payload)),
                // Why a certificate is not taken says more than that no key fits.
                Err(error @ VerifyError::Certificate(_)) => refused = error,
                Err(_) => {}
            }
        }
        if envelope.by_certificate().is_some() && matches!(refused, VerifyError::Untrusted) {
            refused = VerifyError::Certificate("no identities are trusted".to_owned());
        }
        Err(refused)
    }
}

/// Returns the identities of a file.
#[cfg(feature = "sigstore")]
fn identities(
    entries: Vec<IdentityEntry>,
    root: Option<&serde_json::Value>,
) -> Result<Vec<TrustedKey>, TrustError> {
    let trusted = |entry: IdentityEntry| {
        let root = root.ok_or(TrustError::NoRoot)?;
        let IdentityEntry { name, identity, issuer, certificate_log, .. } = entry;
        let identity = SigningIdentity::new(identity, issuer, root, certificate_log);
        let IdentityEntry { sets, channels, not_before, not_after, .. } = entry;
        let key = Signatory::Identity(identity.map_err(TrustError::Root)?);
        Ok(TrustedKey { name, key, sets, channels, not_before, not_after })
    };
    entries.into_iter().map(trusted).collect()
}

#[cfg(not(feature = "sigstore"))]
fn identities(
    entries: Vec<IdentityEntry>,
    _: Option<&serde_json::Value>,
) -> Result<Vec<TrustedKey>, TrustError> {
    if entries.is_empty() { Ok(Vec::new()) } else { Err(TrustError::Identities) }
}

impl Signatory {
    /// Returns what is signed, if it is signed by this.
    fn verified<'a>(&self, envelope: &'a Envelope) -> Result<&'a [u8], VerifyError> {
        match self {
            Self::Key(key) => envelope.verified_by(key).ok_or(VerifyError::Untrusted),
            #[cfg(feature = "sigstore")]
            Self::Identity(identity) => {
                let bundle = envelope.by_certificate().ok_or(VerifyError::Untrusted)?;
                let payload = envelope.unverified_payload();
                // Only what it is about, which the bundle is held to afterwards.
                let about = About::from_json(payload)?.sha256().ok_or(VerifyError::Untrusted)?;
                identity.verify(bundle, payload, about).map_err(VerifyError::Certificate)?;
                Ok(payload)
            }
        }
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
