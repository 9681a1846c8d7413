//! Which files of a directory make a set, where several platforms lie in it.
//!
//! A directory that holds policies of two platforms in directories of their own is a set for
//! each. Files that are about no platform belong to each set that their directory is above of.

use std::collections::BTreeMap;

use crate::source_file::SourceFile;

/// The platforms that something is about, one bit for each.
pub(crate) type Platforms = u32;

/// The directories of a set, with what is in them and below them.
#[derive(Debug, Default)]
pub(crate) struct Tree<'f> {
    /// By its parts: what the files in it are about, and what those below it are.
    directories: BTreeMap<&'f [String], (Platforms, Platforms)>,
}

impl<'f> Tree<'f> {
    /// Returns the directories of files, each with what it is about.
    pub(crate) fn of(files: impl Iterator<Item = (&'f SourceFile, Platforms)>) -> Self {
        let mut tree = Self::default();
        for (file, platforms) in files {
            let directory = file.directory.as_slice();
            for depth in 0..=directory.len() {
                let above = directory.get(..depth).unwrap_or(directory);
                let (own, below) = tree.directories.entry(above).or_default();
                *below |= platforms;
                if depth == directory.len() {
                    *own |= platforms;
                }
            }
        }
        tree
    }

    /// Returns what all files are about.
    pub(crate) fn all(&self) -> Platforms {
        self.directories.get([].as_slice()).map_or(0, |(_, below)| *below)
    }

    /// Returns whether each platform has directories of its own: no directory has files of two
    /// in it.
    pub(crate) fn is_split(&self) -> bool {
        self.all().count_ones() > 1
            && self.directories.values().all(|(own, _)| own.count_ones() <= 1)
    }

    /// Returns whether a file belongs to the set of a platform: unless it is about another one, or
    /// stands in a directory that is about others alone.
    pub(crate) fn belongs(&self, file: &SourceFile, own: Platforms, platform: Platforms) -> bool {
        if own != 0 {
            return own & platform != 0;
        }
        (0..=file.directory.len()).all(|depth| {
            let above = file.directory.get(..depth).unwrap_or_default();
            let below = self.directories.get(above).map_or(0, |(_, below)| *below);
            below == 0 || below & platform != 0
        })
    }
}
