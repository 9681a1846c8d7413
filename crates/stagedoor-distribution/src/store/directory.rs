//! A directory, such as a share, a mounted volume, or what a web server or an object store serves.
//!
//! `SET/bundles/HEX.bundle.json` holds bundles, `SET/channels/CHANNEL.sigstore.json` the newest
//! signature of each channel.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Head, PolicyStore, Publication, StoreError, Version};
use crate::channel::Channel;
use crate::digest::Digest;
use crate::disk::{Disk, RealDisk, write_whole};
use crate::envelope::ENVELOPE_BYTES;

/// A store in a directory.
#[derive(Debug, Clone)]
pub struct DirectoryStore {
    root: PathBuf,
    disk: Arc<dyn Disk>,
}

/// Returns where the newest signature of a channel is, below the root of a store.
pub(super) fn head_name(channel: &Channel) -> String {
    format!("{}/channels/{}.sigstore.json", channel.set, channel.channel)
}

/// Returns where a bundle is, below the root of a store.
pub(super) fn bundle_name(channel: &Channel, digest: Digest) -> String {
    format!("{}/bundles/{}.bundle.json", channel.set, digest.hex())
}

impl DirectoryStore {
    /// Returns the store in a directory.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), disk: Arc::new(RealDisk) }
    }

    fn failed(&self, path: &Path, error: &io::Error) -> StoreError {
        let store = self.name();
        match error.kind() {
            io::ErrorKind::NotFound => {
                let what = path.strip_prefix(&self.root).unwrap_or(path);
                StoreError::Missing { what: format!("`{}`", what.display()), store }
            }
            io::ErrorKind::PermissionDenied => {
                StoreError::Denied { store, reason: error.to_string() }
            }
            _ => StoreError::Unreachable { store, reason: error.to_string() },
        }
    }

    fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, StoreError> {
        let path = self.root.join(name);
        self.disk.read(&path, limit).map_err(|error| self.failed(&path, &error))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.root.join(name);
        let directory = path.parent().unwrap_or(&self.root);
        self.disk
            .create_directory(directory)
            .and_then(|()| write_whole(&*self.disk, &path, bytes))
            .map_err(|error| self.failed(&path, &error))
    }

    /// Lets one publish at a time.
    fn lock(&self) -> Result<File, StoreError> {
        let failed = |error: io::Error| self.failed(&self.root, &error);
        self.disk.create_directory(&self.root).map_err(failed)?;
        let path = self.root.join(".lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let file = file.map_err(failed)?;
        file.lock().map_err(failed)?;
        Ok(file)
    }
}

impl PolicyStore for DirectoryStore {
    fn name(&self) -> String {
        format!("the directory `{}`", self.root.display())
    }

    fn head(&self, channel: &Channel, known: Option<&Version>) -> Result<Head, StoreError> {
        let envelope = self.read(&head_name(channel), ENVELOPE_BYTES)?;
        let version = Version(Digest::of(&envelope).to_string());
        Ok(match known == Some(&version) {
            true => Head::Unchanged,
            false => Head::Found { version: Some(version), envelope },
        })
    }

    fn bundle(&self, channel: &Channel, digest: Digest, limit: u64) -> Result<Vec<u8>, StoreError> {
        self.read(&bundle_name(channel, digest), limit)
    }

    fn publish(&self, channel: &Channel, publication: &Publication<'_>) -> Result<(), StoreError> {
        let _one_at_a_time = self.lock()?;
        let before = match self.read(&head_name(channel), ENVELOPE_BYTES) {
            Ok(envelope) => Some(envelope),
            Err(StoreError::Missing { .. }) => None,
            Err(error) => return Err(error),
        };
        if before.as_deref() != publication.after {
            return Err(StoreError::Changed(self.name()));
        }
        self.write(&bundle_name(channel, publication.digest), publication.bundle)?;
        self.write(&head_name(channel), publication.envelope)
    }
}
