//! What somebody else has read, and hands over: where a program has its own way to a database, say.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Head, PolicyStore, Publication, StoreError, Version};
use crate::channel::Channel;
use crate::digest::Digest;

/// A release that was read somewhere. None of it is trusted.
#[derive(Debug, Clone)]
pub struct OfferedRelease {
    /// What it is told apart by where it was read.
    pub version: Version,
    /// Its signature.
    pub envelope: Vec<u8>,
    /// Its bundle, unless whoever reads it has that already.
    pub bundle: Option<Vec<u8>>,
}

/// A store that has the release that was handed over last.
#[derive(Debug, Clone)]
pub struct OfferedStore {
    name: Arc<str>,
    offered: Arc<Mutex<Option<OfferedRelease>>>,
}

impl OfferedStore {
    /// Returns a store that has nothing yet; the name is what messages call it.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), offered: Arc::default() }
    }

    /// Hands over what is the newest release now, if there is one.
    pub fn offer(&self, release: Option<OfferedRelease>) {
        *self.offered.lock().unwrap_or_else(PoisonError::into_inner) = release;
    }

    fn offered(&self) -> Option<OfferedRelease> {
        self.offered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn missing(&self, what: String) -> StoreError {
        StoreError::Missing { what, store: self.name() }
    }
}

impl PolicyStore for OfferedStore {
    fn name(&self) -> String {
        self.name.to_string()
    }

    fn head(&self, channel: &Channel, known: Option<&Version>) -> Result<Head, StoreError> {
        let missing = || self.missing(format!("release of `{channel}`"));
        let OfferedRelease { version, envelope, .. } = self.offered().ok_or_else(missing)?;
        match known == Some(&version) {
            true => Ok(Head::Unchanged),
            false => Ok(Head::Found { version: Some(version), envelope }),
        }
    }

    fn bundle(&self, _: &Channel, digest: Digest, limit: u64) -> Result<Vec<u8>, StoreError> {
        let what = format!("the bundle `{digest}`");
        let bundle = self.offered().and_then(|offered| offered.bundle);
        let bundle = bundle.ok_or_else(|| self.missing(what.clone()))?;
        match bundle.len() as u64 > limit {
            true => Err(StoreError::TooLarge { what, store: self.name(), limit }),
            false => Ok(bundle),
        }
    }

    fn publish(&self, _: &Channel, _: &Publication<'_>) -> Result<(), StoreError> {
        Err(StoreError::ReadOnly(self.name()))
    }
}
