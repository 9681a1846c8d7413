//! The disk that the last good sets are on, behind a trait.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

/// What writing whole files takes, step by step.
///
/// Each step may be the last one that a process takes. [`RealDisk`] is the machine's; tests bring one
/// that is full, or breaks off.
pub trait Disk: Debug + Send + Sync {
    /// Makes a directory and those above it, if they are not there.
    ///
    /// # Errors
    ///
    /// As of the file system.
    fn create_directory(&self, path: &Path) -> io::Result<()>;

    /// Returns the names of the files in a directory.
    ///
    /// # Errors
    ///
    /// As of the file system.
    fn list(&self, directory: &Path) -> io::Result<Vec<String>>;

    /// Returns the bytes of a file; an error if there are more than `limit`.
    ///
    /// # Errors
    ///
    /// As of the file system.
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>>;

    /// Writes a new file, in the place of one that may be there, until it is on the disk. It may
    /// break off at any byte.
    ///
    /// # Errors
    ///
    /// As of the file system.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;

    /// Gives a file another name in the same directory, in the place of one that may have it. All
    /// or nothing, and on the disk when it returns.
    ///
    /// # Errors
    ///
    /// As of the file system.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    ///
    /// As of the file system.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// What follows the name of a file that is not whole yet.
pub(crate) const PARTIAL: &str = ".partial";

/// Writes a file, whole or not at all.
pub(crate) fn write_whole(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(PARTIAL);
    let partial = Path::new(&partial);
    let written = disk.write(partial, bytes).and_then(|()| disk.rename(partial, path));
    if written.is_err() {
        // What is left of it is in nobody's way: it is removed at the next start, or written anew.
        let _ = disk.remove(partial);
    }
    written
}

/// The machine's own disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let name = |entry: io::Result<fs::DirEntry>| {
            entry.map(|entry| entry.file_name().to_string_lossy().into_owned())
        };
        fs::read_dir(directory)?.map(name).collect()
    }

    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(io::Error::other(format!("it is larger than {limit} bytes")));
        }
        Ok(bytes)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            // Policies are not for everybody to read.
            options.mode(0o640);
        }
        let mut file = options.open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)?;
        match to.parent() {
            // A name is on the disk when its directory is.
            Some(directory) if cfg!(unix) => File::open(directory)?.sync_all(),
            _ => Ok(()),
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}
