//! What files look like from outside, to see that they have changed.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use stagedoor_core::is_passed_over;

/// Names, sizes and times of files. Two that are equal mean that nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fingerprint(Vec<(PathBuf, Option<Stamp>)>);

/// The inode is part of it, since mounted ConfigMaps and Secrets are replaced as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Fingerprint {
    /// Looks at these files, through links.
    pub(crate) fn of<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Self {
        let stamp = |path: &Path| std::fs::metadata(path).ok().map(|meta| Stamp::of(&meta));
        Self(paths.into_iter().map(|path| (path.to_owned(), stamp(path))).collect())
    }
}

impl Stamp {
    fn of(meta: &Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

/// Returns the files below `paths` that an engine reads, sorted: of directories those whose
/// names say that they hold policies or schemas, and everything that is named itself.
pub(crate) fn policy_files(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = Vec::new();
    for path in paths {
        if path.is_dir() { open.push(path.clone()) } else { found.push(path.clone()) }
    }
    while let Some(directory) = open.pop() {
        // What cannot be read is left for the engine to report.
        let Ok(entries) = std::fs::read_dir(&directory) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if is_passed_over(&entry.file_name()) {
                continue;
            }
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(entry.path());
            } else if is_policy(&name) || is_schema(&name) {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

fn is_policy(name: &str) -> bool {
    name.ends_with(".cedar") || name.ends_with(".cedar.json")
}

/// Whether a file of this name holds a schema.
pub(crate) fn is_schema(name: &str) -> bool {
    name.ends_with(".cedarschema") || name.ends_with(".cedarschema.json")
}
