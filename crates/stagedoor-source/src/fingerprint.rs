//! What files look like from outside, to see that they have changed.

use std::path::{Path, PathBuf};

use crate::file_system::{EntryKind, FileSystem, RealFileSystem, Stamp};
use crate::kind::FileKind;
use crate::walk::Listing;

/// Names, sizes and times of files. Two that are equal mean that nothing has changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fingerprint {
    files: Vec<(PathBuf, Option<Stamp>)>,
    version: u64,
}

impl Fingerprint {
    /// Looks at the machine's files, through links.
    #[must_use]
    pub fn of<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Self {
        Self::of_files(&RealFileSystem, paths)
    }

    /// Looks at files, through links.
    #[must_use]
    pub fn of_files<'a>(files: &dyn FileSystem, paths: impl IntoIterator<Item = &'a Path>) -> Self {
        let stamp = |path: &Path| files.metadata(path).ok().map(|metadata| metadata.stamp);
        let files = paths.into_iter().map(|path| (path.to_owned(), stamp(path))).collect();
        Self { files, version: 0 }
    }

    /// Looks at policies: at files that are named, and at all in directories that has to do with
    /// policies, rules and tests among it.
    #[must_use]
    pub fn of_policies(files: &dyn FileSystem, paths: &[impl AsRef<Path>]) -> Self {
        Self::of_kinds(files, paths, |_| true)
    }

    /// Looks at files that are named, and at those of some kinds in directories.
    #[must_use]
    pub fn of_kinds(
        files: &dyn FileSystem,
        paths: &[impl AsRef<Path>],
        mut takes: impl FnMut(FileKind) -> bool,
    ) -> Self {
        let mut found = Vec::new();
        for path in paths.iter().map(AsRef::as_ref) {
            let metadata = files.metadata(path);
            if metadata.is_ok_and(|metadata| metadata.kind == EntryKind::Directory) {
                // What cannot be read is left for loading to report.
                let listing = Listing::of(files, path);
                let taken = listing.files.into_iter().filter(|file| takes(file.kind));
                found.extend(taken.map(|file| file.path));
                // A link to a directory that is added is a change, too.
                let told = listing.problems.iter().filter_map(|problem| problem.file());
                found.extend(told.map(PathBuf::from));
            } else {
                found.push(path.to_owned());
            }
        }
        found.sort_unstable();
        Self::of_files(files, found.iter().map(PathBuf::as_path))
    }

    /// Adds another fingerprint to this one.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.files.extend(other.files);
        self.version = self.version.wrapping_add(other.version);
        self
    }

    /// Adds what changes although no file does: a number that is another one when there is more to
    /// load, such as a rule that is compiled by now.
    #[must_use]
    pub fn with_version(self, version: u64) -> Self {
        Self { version, ..self }
    }

    /// Returns the files that were looked at.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|(path, _)| path.as_path())
    }
}
