//! Disks that are full, and processes that end while they write.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, ensure};
use stagedoor_distribution::{Disk, RealDisk, Replica, ReplicaOptions, SigningKey, Trust};

use crate::support::{Link, SignedFixture, TestClock, channel, key, policies};

/// A disk on which only so many steps succeed.
#[derive(Debug)]
pub struct FailingDisk {
    left: AtomicUsize,
    /// Whether nothing succeeds any more after that, as when the process is gone.
    ends: bool,
    /// How much of a file is written by the step that fails: a quarter for each.
    quarters: usize,
}

impl FailingDisk {
    pub fn new(steps: usize, ends: bool, quarters: usize) -> Self {
        Self { left: AtomicUsize::new(steps), ends, quarters }
    }

    /// Returns one that never fails.
    pub fn good() -> Self {
        Self::new(usize::MAX, true, 0)
    }

    fn step(&self) -> io::Result<()> {
        let less = |left: usize| match left {
            0 => None,
            1 if !self.ends => Some(usize::MAX),
            left => Some(left - 1),
        };
        match self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less) {
            // The one step that fails where others go on.
            Ok(1) if !self.ends => Err(io::ErrorKind::StorageFull.into()),
            Ok(_) => Ok(()),
            Err(_) => Err(io::ErrorKind::StorageFull.into()),
        }
    }
}

impl Disk for FailingDisk {
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_directory(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(directory)
    }

    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        RealDisk.read(path, limit)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.step().inspect_err(|_| {
            let part = bytes.get(..bytes.len() * self.quarters / 4).unwrap_or_default();
            // It breaks off here in any case.
            let _ = std::fs::write(path, part);
        })?;
        // Nobody waits for the disk itself: no machine fails here.
        std::fs::write(path, bytes)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        RealDisk.remove(path)
    }
}

fn open(directory: &Path, link: &Link, key: &SigningKey, disk: Arc<dyn Disk>) -> Result<Replica> {
    let options = ReplicaOptions::new(channel()?, directory);
    let trust = Trust::in_key("ci", key.verifying_key());
    let clock = Arc::new(TestClock::new());
    Ok(Replica::open_on(options, Box::new(link.clone()), trust, disk, clock)?)
}

/// Admits what there is; returns the number in force.
fn take(replica: &Replica) -> Result<u64, String> {
    // What the store says is seen by what is in force.
    let _ = replica.poll();
    if let Some(set) = replica.to_load() {
        replica.admit(&set).inspect_err(|reason| replica.refuse(&set, reason))?;
    }
    Ok(replica.in_force().map(|set| set.release().counter).unwrap_or_default())
}

/// Wherever writing breaks off, at the next start there is the old set or the new one, whole.
#[test]
fn a_process_that_ends_at_any_step_leaves_a_whole_set() -> Result<()> {
    let key = key()?;
    let mut steps_taken = 0;
    for quarters in 0..=4 {
        // More steps than there are: then it comes to its end.
        for steps in 0..12 {
            let (directory, link) = (tempfile::tempdir()?, Link::default());
            for counter in 1..=3 {
                // So many that old ones are dropped, too.
                link.put(&SignedFixture::new(counter, counter, &key)?);
                let replica = open(directory.path(), &link, &key, Arc::new(RealDisk))?;
                ensure!(take(&replica) == Ok(counter));
            }
            link.put(&SignedFixture::new(4, 4, &key)?);
            let disk = Arc::new(FailingDisk::new(steps, true, quarters));
            let taken = take(&open(directory.path(), &link, &key, disk)?);
            let what = format!("{steps} steps, {quarters} quarters: {taken:?}");
            ensure!(
                taken.is_ok() || taken.as_ref().is_err_and(|e| e.contains("cannot be kept")),
                "{what}"
            );
            steps_taken += usize::from(taken.is_err());

            link.set(crate::support::Fault::Cut);
            let replica = open(directory.path(), &link, &key, Arc::new(RealDisk))?;
            let set = replica.to_load().with_context(|| format!("nothing is left: {what}"))?;
            let counter = set.release().counter;
            ensure!(counter == 3 || counter == 4, "{what}: {counter}");
            // INVARIANT: what was in force is never forgotten.
            ensure!(counter == 4 || taken.is_err(), "{what}: it went back");
            ensure!(policies(&set)? as u64 == counter, "{what}: half a set");
            ensure!(take(&replica) == Ok(counter));
            link.set(crate::support::Fault::None);
            ensure!(take(&replica) == Ok(4), "{what}: it does not heal");
            let left = std::fs::read_dir(directory.path().join("bundles"))?.count();
            ensure!(left <= 3, "{what}: {left} bundles are left");
        }
    }
    ensure!(steps_taken >= 15, "the disk failed only {steps_taken} times");
    Ok(())
}

/// A set that cannot be kept is not in force: after a restart, the replica would have gone back.
#[test]
fn what_cannot_be_kept_is_not_in_force() -> Result<()> {
    let (key, directory, link) = (key()?, tempfile::tempdir()?, Link::default());
    link.put(&SignedFixture::new(1, 1, &key)?);
    ensure!(take(&open(directory.path(), &link, &key, Arc::new(RealDisk))?) == Ok(1));
    link.put(&SignedFixture::new(2, 2, &key)?);
    let replica = open(directory.path(), &link, &key, Arc::new(FailingDisk::new(0, true, 2)))?;
    for _ in 0..3 {
        // The first one that is there is the one on disk.
        let _ = take(&replica);
        ensure!(replica.in_force().is_none_or(|set| set.release().counter == 1));
    }
    ensure!(replica.status().problem.is_some());
    Ok(())
}
