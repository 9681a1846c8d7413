//! Whether a `PolicySet` may be written: what a validating webhook asks.

use serde::Deserialize;
use serde_json::Value;

use super::KubernetesStore;
use super::object::{PolicySetSpec, object_name, spec_of};
use crate::signed_set::SignedSet;
use crate::store::{PolicyStore as _, StoreError};
use crate::time::Timestamp;
use crate::trust::{Purpose, Trust, VerifyError};

/// A `PolicySet` that is about to be written.
#[derive(Debug, Clone)]
pub struct PolicySetReview {
    spec: PolicySetSpec,
    old: Option<PolicySetSpec>,
    namespace: String,
}

/// Why a `PolicySet` is not to be written.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PolicySetRefusal {
    /// It is none, or says something else than what is signed.
    #[error("it is not a PolicySet: {0}")]
    Form(String),
    /// It is not one of this namespace.
    #[error("sets of the namespace `{0}` are not reviewed here")]
    Namespace(String),
    /// Nobody trusted has signed it.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// Its number is not higher than that of the release that is there.
    #[error("release {new} does not come after release {old}: replicas would refuse it")]
    Older {
        /// The number that is there.
        old: u64,
        /// The number that is to be written.
        new: u64,
    },
    /// Its bundle is not there, or is not whole.
    #[error("its bundle cannot be read: {0}")]
    Bundle(#[from] StoreError),
}

#[derive(Deserialize)]
struct ObjectHead {
    metadata: ObjectMetadata,
}

#[derive(Deserialize)]
struct ObjectMetadata {
    name: String,
    namespace: String,
}

impl PolicySetReview {
    /// Reads the object that is to be written, and the one that is there.
    ///
    /// # Errors
    ///
    /// [`PolicySetRefusal::Form`].
    pub fn new(object: &Value, old: Option<&Value>) -> Result<Self, PolicySetRefusal> {
        let form = PolicySetRefusal::Form;
        let head = ObjectHead::deserialize(object).map_err(|e| form(e.to_string()))?;
        let spec: PolicySetSpec = spec_of(object).map_err(form)?;
        spec.check(&head.metadata.name).map_err(form)?;
        // What is there may be anything: it was written before anybody reviewed.
        let old = old.and_then(|old| spec_of(old).ok());
        Ok(Self { spec, old, namespace: head.metadata.namespace })
    }
}

impl KubernetesStore {
    /// Returns the set that a `PolicySet` is about to offer: signed by somebody trusted, newer than
    /// what it replaces, and whole.
    ///
    /// # Errors
    ///
    /// [`PolicySetRefusal`].
    pub fn review(
        &self,
        review: &PolicySetReview,
        trust: &Trust,
        now: Timestamp,
        bundle_bytes: u64,
    ) -> Result<SignedSet, PolicySetRefusal> {
        if review.namespace != self.namespace {
            return Err(PolicySetRefusal::Namespace(review.namespace.clone()));
        }
        let (channel, spec) = (review.spec.channel(), &review.spec);
        object_name(&channel).map_err(PolicySetRefusal::Form)?;
        let envelope = spec.signature.as_bytes();
        let is_same = review.old.as_ref().is_some_and(|old| old.signature == spec.signature);
        // Labels of a release that has expired meanwhile may change.
        let purpose = if is_same { Purpose::Keep } else { Purpose::TakeUp(now) };
        let verified = trust.verify(envelope, &channel, purpose)?;
        // INVARIANT: a number counts only where somebody trusted has signed it.
        let old =
            review.old.as_ref().filter(|_| !is_same).and_then(|old| {
                trust.verify(old.signature.as_bytes(), &channel, Purpose::Keep).ok()
            });
        let new = verified.release.counter;
        if let Some(old) = old.map(|old| old.release.counter).filter(|old| new <= *old) {
            return Err(PolicySetRefusal::Older { old, new });
        }
        let limit = verified.release.bytes;
        if limit > bundle_bytes {
            let (what, store) = (format!("the bundle `{}`", verified.release.digest), self.name());
            return Err(StoreError::TooLarge { what, store, limit: bundle_bytes }.into());
        }
        let bundle = self.bundle(&channel, verified.release.digest, limit)?;
        Ok(SignedSet::of(verified, spec.signature.clone().into_bytes(), bundle)?)
    }
}
