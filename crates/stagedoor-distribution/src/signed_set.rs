//! A policy set as it is published: a bundle, and a signature over what it is for.

use std::sync::Arc;

use stagedoor_source::{Bundle, PolicySources};

use crate::channel::Channel;
use crate::digest::Digest;
use crate::statement::Release;
use crate::trust::{Purpose, Trust, VerifiedRelease, VerifyError};

/// A policy set that somebody trusted has signed: whole, and nothing else.
///
/// There is no other way to make one than [`verify`](Self::verify).
///
/// # Examples
///
/// ```
/// use stagedoor_distribution::{
///     Envelope, Purpose, Release, SignedSet, SigningKey, Trust, VerifyError,
/// };
///
/// let bundle = br#"{"files":{"all.cedar":"permit (principal, action, resource);"}}"#;
/// let channel = "payments:production".parse()?;
/// let key = SigningKey::from_pem(SigningKey::generate()?.as_bytes())?;
/// let now = "2026-03-01T12:00:00Z".parse()?;
/// let statement = Release::new("payments:production".parse()?, 1, bundle, now).to_json();
/// let envelope = Envelope::sign(&statement, &key).to_json().into_bytes();
///
/// let trust = Trust::in_key("ci", key.verifying_key());
/// let purpose = Purpose::TakeUp(now);
/// let set = SignedSet::verify(&trust, &channel, purpose, envelope.clone(), bundle.to_vec())?;
/// assert_eq!(set.release().counter, 1);
///
/// let staging = "payments:staging".parse()?;
/// let error = SignedSet::verify(&trust, &staging, purpose, envelope, bundle.to_vec());
/// assert!(matches!(error, Err(VerifyError::Channel { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SignedSet {
    verified: VerifiedRelease,
    envelope: Vec<u8>,
    bytes: Vec<u8>,
    bundle: Bundle,
}

impl SignedSet {
    /// Verifies a signature and the bundle that it is about.
    ///
    /// # Errors
    ///
    /// [`VerifyError`].
    pub fn verify(
        trust: &Trust,
        channel: &Channel,
        purpose: Purpose,
        envelope: Vec<u8>,
        bundle: Vec<u8>,
    ) -> Result<Self, VerifyError> {
        let verified = trust.verify(&envelope, channel, purpose)?;
        Self::of(verified, envelope, bundle)
    }

    /// Holds a bundle to a release that was verified.
    pub(crate) fn of(
        verified: VerifiedRelease,
        envelope: Vec<u8>,
        bytes: Vec<u8>,
    ) -> Result<Self, VerifyError> {
        let (found, found_bytes) = (Digest::of(&bytes), bytes.len() as u64);
        let Release { digest: expected, bytes: signed_bytes, .. } = verified.release;
        // INVARIANT: a bundle is parsed only when its bytes are those that are signed.
        if found != expected || found_bytes != signed_bytes {
            return Err(VerifyError::Content { expected, bytes: signed_bytes, found, found_bytes });
        }
        let text = std::str::from_utf8(&bytes).map_err(|error| {
            let problem = stagedoor_core::Problem::error("bundle::utf8", error.to_string());
            VerifyError::Bundle(Arc::new(stagedoor_core::LoadError::of(vec![problem])))
        })?;
        let bundle = Bundle::from_json(&expected.to_string(), text)
            .map_err(|error| VerifyError::Bundle(Arc::new(error)))?;
        Ok(Self { verified, envelope, bytes, bundle })
    }

    /// Returns what is signed, and by whom.
    #[must_use]
    pub fn verified(&self) -> &VerifiedRelease {
        &self.verified
    }

    /// Returns what is signed.
    #[must_use]
    pub fn release(&self) -> &Release {
        &self.verified.release
    }

    /// Returns the name of the key that has signed it.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.verified.key
    }

    /// Returns the digest of what is signed.
    #[must_use]
    pub fn statement(&self) -> Digest {
        self.verified.statement
    }

    /// Returns the signature, as it was received.
    #[must_use]
    pub fn envelope(&self) -> &[u8] {
        &self.envelope
    }

    /// Returns the bundle, as it was received.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the bundle.
    #[must_use]
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// Returns the texts of the set.
    #[must_use]
    pub fn sources(&self) -> PolicySources {
        PolicySources::from_bundle(&self.bundle)
    }
}
