//! The files that sets are read from, behind a trait.

use std::ffi::OsString;
use std::fmt::Debug;
use std::io::{self, Read as _};
use std::path::Path;

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A file with bytes in it.
    File,
    /// A directory.
    Directory,
    /// A symbolic link; of [`DirectoryEntry`] alone, since metadata follows links.
    Link,
    /// A pipe, socket or device, which reading might wait for.
    Special,
}

/// What tells that a file is not the one that it was: equal stamps mean that nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stamp {
    /// Device and inode, since mounted ConfigMaps and Secrets are replaced as a whole.
    identity: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// Returns a stamp of a size and a number that each change raises.
    #[must_use]
    pub fn new(size: u64, version: u64) -> Self {
        Self { identity: (0, version), size, ..Self::default() }
    }
}

/// What is known of a file without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileMetadata {
    /// What it is, links followed.
    pub kind: EntryKind,
    /// Its size, in bytes.
    pub size: u64,
    /// What tells that it changed.
    pub stamp: Stamp,
}

/// One thing in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// Its name, without the directory.
    pub name: OsString,
    /// What it is, links not followed.
    pub kind: EntryKind,
}

/// Files and directories.
///
/// [`RealFileSystem`] is the machine's, [`MemoryFileSystem`](crate::MemoryFileSystem) one of
/// texts, [`GitTree`](crate::GitTree) a commit.
pub trait FileSystem: Debug + Send + Sync {
    /// Returns what stands at a path, links followed.
    ///
    /// # Errors
    ///
    /// The reason if nothing stands there, or it may not be looked at.
    fn metadata(&self, path: &Path) -> io::Result<FileMetadata>;

    /// Returns what is in a directory, in any order.
    ///
    /// # Errors
    ///
    /// The reason if it cannot be listed as a whole.
    fn entries(&self, directory: &Path) -> io::Result<Vec<DirectoryEntry>>;

    /// Returns the bytes of a file, links followed: at most `limit` of them, and one more if
    /// there are more. Does not wait for pipes.
    ///
    /// # Errors
    ///
    /// The reason if it cannot be read.
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>>;

    /// Returns what messages call a path.
    fn display(&self, path: &Path) -> String {
        path.display().to_string()
    }
}

/// The machine's own files.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealFileSystem;

impl FileSystem for RealFileSystem {
    fn metadata(&self, path: &Path) -> io::Result<FileMetadata> {
        let metadata = std::fs::metadata(here(path))?;
        let kind = kind(&metadata.file_type());
        Ok(FileMetadata { kind, size: metadata.len(), stamp: stamp(&metadata) })
    }

    fn entries(&self, directory: &Path) -> io::Result<Vec<DirectoryEntry>> {
        let entry = |entry: io::Result<std::fs::DirEntry>| {
            let entry = entry?;
            Ok(DirectoryEntry { name: entry.file_name(), kind: kind(&entry.file_type()?) })
        };
        std::fs::read_dir(here(directory))?.map(entry).collect()
    }

    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        // Opening a pipe would wait for its writer.
        if !std::fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// The current directory, where a path has no part.
fn here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

fn kind(file_type: &std::fs::FileType) -> EntryKind {
    if file_type.is_dir() {
        EntryKind::Directory
    } else if file_type.is_symlink() {
        EntryKind::Link
    } else if file_type.is_file() {
        EntryKind::File
    } else {
        EntryKind::Special
    }
}

#[cfg(unix)]
fn stamp(metadata: &std::fs::Metadata) -> Stamp {
    use std::os::unix::fs::MetadataExt as _;

    Stamp {
        identity: (metadata.dev(), metadata.ino()),
        size: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    }
}

#[cfg(not(unix))]
fn stamp(metadata: &std::fs::Metadata) -> Stamp {
    let since = |time: io::Result<std::time::SystemTime>| {
        let time = time.ok().and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
        let time = time.unwrap_or_default();
        (i64::try_from(time.as_secs()).unwrap_or(i64::MAX), i64::from(time.subsec_nanos()))
    };
    Stamp {
        identity: (0, 0),
        size: metadata.len(),
        modified: since(metadata.modified()),
        changed: since(metadata.created()),
    }
}
