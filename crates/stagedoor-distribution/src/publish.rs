//! Publishing a release, after the one that is there.

use crate::channel::Channel;
use crate::digest::Digest;
use crate::envelope::Envelope;
use crate::key::SigningKey;
use crate::signed_set::SignedSet;
use crate::statement::Release;
use crate::store::{Head, PolicyStore, Publication, StoreError};
use crate::trust::{Purpose, Trust, VerifiedRelease, VerifyError};

/// The newest release of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublishedRelease {
    /// What is signed, and by whom.
    pub verified: VerifiedRelease,
    /// The signature, as it lies there.
    pub envelope: Vec<u8>,
}

/// Why a release is not published.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The store does not take it, or does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is there is not by anybody trusted: nothing is published after it.
    #[error("what is there as the newest release cannot be built upon: {0}")]
    Newest(#[from] VerifyError),
    /// Its number is not higher than that of the newest one.
    #[error("release {counter} does not come after release {newest}: replicas would refuse it")]
    Counter {
        /// Its number.
        counter: u64,
        /// The newest one.
        newest: u64,
    },
    /// The bundle is another one than the release says.
    #[error("the bundle is {found}, and the release is about {expected}")]
    Bundle {
        /// What the release says.
        expected: Digest,
        /// What was given.
        found: Digest,
    },
}

/// Returns the newest release of a channel, if anything was published there.
///
/// # Errors
///
/// [`PublishError::Store`]; [`PublishError::Newest`] if what is there is not by anybody trusted.
pub fn newest(
    store: &dyn PolicyStore,
    channel: &Channel,
    trust: &Trust,
) -> Result<Option<PublishedRelease>, PublishError> {
    let envelope = match store.head(channel, None) {
        Ok(Head::Found { envelope, .. }) => envelope,
        Ok(Head::Unchanged) => {
            let (store, reason) = (store.name(), "`unchanged`, which was not asked".to_owned());
            return Err(StoreError::Answer { store, reason }.into());
        }
        Err(StoreError::Missing { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let verified = trust.verify(&envelope, channel, Purpose::Keep)?;
    Ok(Some(PublishedRelease { verified, envelope }))
}

/// Signs a release and makes it the newest one of its channel.
///
/// # Errors
///
/// [`PublishError`].
pub fn publish(
    store: &dyn PolicyStore,
    key: &SigningKey,
    release: &Release,
    bundle: &[u8],
    after: Option<&PublishedRelease>,
) -> Result<(), PublishError> {
    let envelope = Envelope::sign(&release.to_json(), key).to_json();
    let publication = Publication {
        envelope: envelope.as_bytes(),
        digest: release.digest,
        bundle,
        after: after.map(|after| after.envelope.as_slice()),
        signer: Some(key),
    };
    write(store, release, &publication, after)
}

/// Makes a release that is signed already the newest one of its channel.
///
/// # Errors
///
/// [`PublishError`].
pub fn publish_signed(
    store: &dyn PolicyStore,
    signed: &SignedSet,
    after: Option<&PublishedRelease>,
) -> Result<(), PublishError> {
    let publication = Publication {
        envelope: signed.envelope(),
        digest: signed.release().digest,
        bundle: signed.bytes(),
        after: after.map(|after| after.envelope.as_slice()),
        signer: None,
    };
    write(store, signed.release(), &publication, after)
}

fn write(
    store: &dyn PolicyStore,
    release: &Release,
    publication: &Publication<'_>,
    after: Option<&PublishedRelease>,
) -> Result<(), PublishError> {
    let Publication { envelope, bundle, .. } = *publication;
    let (expected, found) = (release.digest, Digest::of(bundle));
    if expected != found {
        return Err(PublishError::Bundle { expected, found });
    }
    if let Some(newest) = after.map(|after| after.verified.release.counter)
        && release.counter <= newest
    {
        return Err(PublishError::Counter { counter: release.counter, newest });
    }
    store.publish(&release.channel, publication)?;
    // Some stores cannot tell whether somebody else publishes at the same time: who comes last
    // has the last word, and the other one is told here.
    match store.head(&release.channel, None)? {
        Head::Found { envelope: there, .. } if there == envelope => Ok(()),
        _ => Err(StoreError::Changed(store.name()).into()),
    }
}
