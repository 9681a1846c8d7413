//! The last good sets on disk: they serve after a restart without the source.
//!
//! `bundles/HEX.bundle.json` holds bundles and `releases/COUNTER.sigstore.json` their
//! signatures, each as it was received. A signature is written after its bundle, so that a
//! release that is there is whole; the highest number that a replica ever took up is the highest
//! one among the names. There is no other file that could contradict them.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::channel::Channel;
use crate::digest::Digest;
use crate::disk::{Disk, PARTIAL, write_whole};
use crate::envelope::{ENVELOPE_BYTES, Envelope};
use crate::signed_set::SignedSet;
use crate::statement::Release;
use crate::trust::{Purpose, Trust, VerifyError};

const BUNDLE: &str = ".bundle.json";
const RELEASE: &str = ".sigstore.json";
/// So many releases are kept, beside the one that is in force.
const KEPT: usize = 2;

/// The sets that a replica has taken up, the last ones of them.
#[derive(Debug)]
pub(crate) struct KeptReleases {
    disk: Arc<dyn Disk>,
    releases: PathBuf,
    bundles: PathBuf,
    bundle_bytes: u64,
    floor: Option<Floor>,
}

/// The highest number that was taken up, and what it said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Floor {
    pub(crate) counter: u64,
    /// The digest of the statement; none where it cannot be read any more.
    pub(crate) statement: Option<Digest>,
}

/// Why a set that was kept does not serve.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeptError {
    #[error("cannot be read: {0}")]
    Read(#[from] io::Error),
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

impl KeptReleases {
    /// Opens a directory, and makes it if it is not there.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        directory: &Path,
        bundle_bytes: u64,
    ) -> io::Result<Self> {
        let (releases, bundles) = (directory.join("releases"), directory.join("bundles"));
        for directory in [&releases, &bundles] {
            disk.create_directory(directory)?;
            for name in disk.list(directory)?.iter().filter(|name| name.ends_with(PARTIAL)) {
                // In nobody's way, if it cannot be removed.
                let _ = disk.remove(&directory.join(name));
            }
        }
        let mut kept = Self { disk, releases, bundles, bundle_bytes, floor: None };
        kept.floor = kept
            .counters()?
            .first()
            .map(|counter| Floor { counter: *counter, statement: kept.statement(*counter) });
        Ok(kept)
    }

    /// Returns the highest number that was taken up.
    pub(crate) fn floor(&self) -> Option<Floor> {
        self.floor
    }

    /// Returns the numbers of the releases that are there, the highest first.
    fn counters(&self) -> io::Result<Vec<u64>> {
        let names = self.disk.list(&self.releases)?;
        let counter = |name: &String| name.strip_suffix(RELEASE)?.parse().ok();
        let mut counters: Vec<u64> = names.iter().filter_map(counter).collect();
        counters.sort_unstable_by(|a, b| b.cmp(a));
        Ok(counters)
    }

    fn release_path(&self, counter: u64) -> PathBuf {
        // Of one width, so that a listing is in order.
        self.releases.join(format!("{counter:020}{RELEASE}"))
    }

    fn bundle_path(&self, digest: Digest) -> PathBuf {
        self.bundles.join(format!("{}{BUNDLE}", digest.hex()))
    }

    fn statement(&self, counter: u64) -> Option<Digest> {
        let envelope = self.disk.read(&self.release_path(counter), ENVELOPE_BYTES).ok()?;
        Some(Digest::of(Envelope::from_json(&envelope).ok()?.unverified_payload()))
    }

    /// Returns the sets that are there, the newest first, each verified anew.
    pub(crate) fn sets(
        &self,
        trust: &Trust,
        channel: &Channel,
    ) -> io::Result<Vec<(u64, Result<SignedSet, KeptError>)>> {
        let set = |counter| (counter, self.set(counter, trust, channel));
        Ok(self.counters()?.into_iter().map(set).collect())
    }

    fn set(&self, counter: u64, trust: &Trust, channel: &Channel) -> Result<SignedSet, KeptError> {
        let envelope = self.disk.read(&self.release_path(counter), ENVELOPE_BYTES)?;
        let verified = trust.verify(&envelope, channel, Purpose::Keep)?;
        if verified.release.counter != counter {
            let message = format!("it is release {}, not {counter}", verified.release.counter);
            return Err(io::Error::other(message).into());
        }
        let bundle =
            self.disk.read(&self.bundle_path(verified.release.digest), self.bundle_bytes)?;
        Ok(SignedSet::of(verified, envelope, bundle)?)
    }

    /// Returns a bundle that is there whole.
    pub(crate) fn bundle(&self, digest: Digest) -> Option<Vec<u8>> {
        let bytes = self.disk.read(&self.bundle_path(digest), self.bundle_bytes).ok()?;
        (Digest::of(&bytes) == digest).then_some(bytes)
    }

    /// Writes a set that is about to be in force, and drops what is too old.
    ///
    /// INVARIANT: a set is on disk before it is in force. Otherwise a restart would go back.
    pub(crate) fn keep(&mut self, set: &SignedSet) -> io::Result<()> {
        let release = set.release();
        let path = self.bundle_path(release.digest);
        if self.bundle(release.digest).is_none() {
            write_whole(&*self.disk, &path, set.bytes())?;
        }
        write_whole(&*self.disk, &self.release_path(release.counter), set.envelope())?;
        if self.floor.is_none_or(|floor| floor.counter < release.counter) {
            let (counter, statement) = (release.counter, Some(set.statement()));
            self.floor = Some(Floor { counter, statement });
        }
        if let Err(error) = self.drop_old(release.counter) {
            tracing::warn!(%error, "releases that are not needed any more could not be removed");
        }
        Ok(())
    }

    fn drop_old(&self, in_force: u64) -> io::Result<()> {
        let counters = self.counters()?;
        let (kept, old): (Vec<(usize, u64)>, Vec<_>) = counters
            .into_iter()
            .enumerate()
            .partition(|(place, counter)| *place < KEPT || *counter == in_force);
        for (_, counter) in old {
            self.disk.remove(&self.release_path(counter))?;
        }
        let mut needed = BTreeSet::new();
        for (_, counter) in kept {
            let envelope = self.disk.read(&self.release_path(counter), ENVELOPE_BYTES)?;
            let envelope = Envelope::from_json(&envelope).map_err(io::Error::other)?;
            let payload = String::from_utf8_lossy(envelope.unverified_payload());
            let release = Release::from_json(&payload).map_err(io::Error::other)?;
            needed.insert(self.bundle_path(release.digest));
        }
        for name in self.disk.list(&self.bundles)? {
            let path = self.bundles.join(&name);
            if name.ends_with(BUNDLE) && !needed.contains(&path) {
                self.disk.remove(&path)?;
            }
        }
        Ok(())
    }
}
