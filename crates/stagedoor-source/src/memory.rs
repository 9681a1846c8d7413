//! Files in memory.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use crate::file_system::{DirectoryEntry, EntryKind, FileMetadata, FileSystem, Stamp};
use crate::normalize::normalize_lexically;

/// So many links lead on to others.
const LINKS: usize = 32;

/// Files in memory: for tests, and for listings that another program made.
///
/// Directories come by themselves with what is in them. Paths are relative, or all absolute.
#[derive(Debug, Default)]
pub struct MemoryFileSystem {
    nodes: RwLock<Nodes>,
}

#[derive(Debug, Default)]
struct Nodes {
    all: BTreeMap<PathBuf, Node>,
    /// Raised by each change, so that a file that is written again has another stamp.
    version: u64,
}

#[derive(Debug, Clone)]
enum Node {
    File {
        bytes: Vec<u8>,
        version: u64,
    },
    Directory,
    Link(PathBuf),
    Special,
    /// Something that may not be read.
    Unreadable(EntryKind),
}

impl MemoryFileSystem {
    /// Adds a file, or replaces it.
    #[must_use]
    pub fn with_file(self, path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> Self {
        self.write(path, bytes);
        self
    }

    /// Adds a directory, which may stay empty.
    #[must_use]
    pub fn with_directory(self, path: impl AsRef<Path>) -> Self {
        self.insert(path.as_ref(), |_| Node::Directory);
        self
    }

    /// Adds a symbolic link to a path: of the same directory, or with `..`.
    #[must_use]
    pub fn with_link(self, path: impl AsRef<Path>, target: impl AsRef<Path>) -> Self {
        let target = target.as_ref().to_owned();
        self.insert(path.as_ref(), |_| Node::Link(target));
        self
    }

    /// Adds a pipe.
    #[must_use]
    pub fn with_pipe(self, path: impl AsRef<Path>) -> Self {
        self.insert(path.as_ref(), |_| Node::Special);
        self
    }

    /// Adds a file or directory that may not be read.
    #[must_use]
    pub fn with_unreadable(self, path: impl AsRef<Path>, kind: EntryKind) -> Self {
        self.insert(path.as_ref(), |_| Node::Unreadable(kind));
        self
    }

    /// Writes a file, for whoever has this by reference.
    pub fn write(&self, path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref().to_vec();
        self.insert(path.as_ref(), |version| Node::File { bytes, version });
    }

    /// Removes a file or link, or a directory with all below it.
    pub fn remove(&self, path: impl AsRef<Path>) {
        let path = normalize_lexically(path.as_ref());
        let mut nodes = self.nodes.write().unwrap_or_else(PoisonError::into_inner);
        nodes.version += 1;
        nodes.all.retain(|other, _| !other.starts_with(&path));
    }

    fn insert(&self, path: &Path, node: impl FnOnce(u64) -> Node) {
        let path = normalize_lexically(path);
        let mut nodes = self.nodes.write().unwrap_or_else(PoisonError::into_inner);
        nodes.version += 1;
        let node = node(nodes.version);
        for above in path.ancestors().skip(1) {
            nodes.all.entry(above.to_owned()).or_insert(Node::Directory);
        }
        nodes.all.insert(path, node);
    }

    /// Returns what stands at a path, links followed wherever they stand in it.
    fn find(&self, path: &Path) -> io::Result<(PathBuf, Node)> {
        let nodes = self.nodes.read().unwrap_or_else(PoisonError::into_inner);
        let mut path = normalize_lexically(path);
        for _ in 0..LINKS {
            let above: Vec<PathBuf> = path.ancestors().map(Path::to_owned).collect();
            let link = above.iter().rev().find_map(|part| match nodes.all.get(part) {
                Some(Node::Link(target)) => Some((part.clone(), target.clone())),
                _ => None,
            });
            let Some((link, target)) = link else {
                let node = nodes.all.get(&path).ok_or(io::ErrorKind::NotFound)?;
                return Ok((path, node.clone()));
            };
            let rest = path.strip_prefix(&link).unwrap_or(Path::new("")).to_owned();
            let target = link.parent().unwrap_or(Path::new("")).join(target);
            path = normalize_lexically(&if rest.as_os_str().is_empty() {
                target
            } else {
                target.join(rest)
            });
        }
        Err(io::Error::other("too many levels of symbolic links"))
    }
}

impl FileSystem for MemoryFileSystem {
    fn metadata(&self, path: &Path) -> io::Result<FileMetadata> {
        let (size, version, kind) = match self.find(path)?.1 {
            Node::File { bytes, version } => (bytes.len() as u64, version, EntryKind::File),
            Node::Directory => (0, 0, EntryKind::Directory),
            Node::Special => (0, 0, EntryKind::Special),
            Node::Unreadable(kind) => (0, 0, kind),
            Node::Link(_) => return Err(io::ErrorKind::NotFound.into()),
        };
        Ok(FileMetadata { kind, size, stamp: Stamp::new(size, version) })
    }

    fn entries(&self, directory: &Path) -> io::Result<Vec<DirectoryEntry>> {
        let (directory, node) = self.find(directory)?;
        match node {
            Node::Directory => {}
            Node::Unreadable(_) => return Err(io::ErrorKind::PermissionDenied.into()),
            _ => return Err(io::ErrorKind::NotADirectory.into()),
        }
        let nodes = self.nodes.read().unwrap_or_else(PoisonError::into_inner);
        let below = nodes.all.range(directory.clone()..);
        let below = below.take_while(|(path, _)| path.starts_with(&directory));
        let within = below.filter(|(path, _)| path.parent() == Some(&directory));
        let entry = |(path, node): (&PathBuf, &Node)| DirectoryEntry {
            name: path.file_name().map(OsString::from).unwrap_or_default(),
            kind: match node {
                Node::File { .. } => EntryKind::File,
                Node::Directory => EntryKind::Directory,
                Node::Link(_) => EntryKind::Link,
                Node::Special => EntryKind::Special,
                Node::Unreadable(kind) => *kind,
            },
        };
        Ok(within.map(entry).collect())
    }

    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        match self.find(path)?.1 {
            Node::File { mut bytes, .. } => {
                bytes.truncate(usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(1));
                Ok(bytes)
            }
            Node::Directory => Err(io::ErrorKind::IsADirectory.into()),
            Node::Unreadable(_) => Err(io::ErrorKind::PermissionDenied.into()),
            Node::Special | Node::Link(_) => Err(io::Error::other("it is not a file")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_in_every_part_of_a_path() -> io::Result<()> {
        let files = MemoryFileSystem::default()
            .with_file("real/a.cedar", "a")
            .with_link("policies/..data", "../real")
            .with_link("policies/a.cedar", "..data/a.cedar")
            .with_link("policies/loop", "loop")
            .with_link("policies/nowhere", "missing");
        let read = |path: &str| files.read(Path::new(path), 10);
        assert_eq!(read("policies/a.cedar")?, b"a");
        assert_eq!(read("policies/..data/a.cedar")?, b"a");
        assert_eq!(read("./policies/../real/a.cedar")?, b"a");
        assert!(read("policies/loop").is_err() && read("policies/nowhere").is_err());
        assert_eq!(files.entries(Path::new("policies"))?.len(), 4);
        let before = files.metadata(Path::new("policies/a.cedar"))?;
        files.write("real/a.cedar", "b");
        assert_ne!(files.metadata(Path::new("policies/a.cedar"))?, before);
        Ok(())
    }
}
