//! The host's files, of which the module sees what it is told.
//!
//! The module imports nothing, so that it cannot read directories itself. The host lists them, by
//! [`Interest`] of each name, and the one walk of `stagedoor-source` goes through the listing.

use std::ffi::OsStr;

use serde::{Deserialize, Serialize};
use stagedoor_source::{EntryKind, FileKind, MemoryFileSystem, is_ignored};

/// What a host finds at a path, links followed.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TreeEntry {
    path: String,
    kind: TreeEntryKind,
    /// The text of a file that is read and is UTF-8.
    text: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
enum TreeEntryKind {
    File,
    Directory,
    /// A link to a directory.
    LinkedDirectory,
    /// A link that leads nowhere.
    BrokenLink,
    /// A pipe, socket or device.
    Special,
    /// A file that is not UTF-8.
    Binary,
    /// A file that cannot be read, or need not be.
    Unreadable,
    /// A directory that cannot be read.
    UnreadableDirectory,
}

/// What the walk does with a name in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Interest {
    /// It is passed over, with all below it.
    Ignored,
    /// That it is there matters, and nothing in it.
    ListPage,
    /// Its text is read.
    Read,
}

impl Interest {
    pub(crate) fn of(name: &str) -> Self {
        if is_ignored(OsStr::new(name)) {
            Self::Ignored
        } else if FileKind::of(name).is_read() {
            Self::Read
        } else {
            Self::ListPage
        }
    }
}

pub(crate) fn file_system(tree: &[TreeEntry]) -> MemoryFileSystem {
    tree.iter().fold(MemoryFileSystem::default(), |files, TreeEntry { path, kind, text }| {
        match (kind, text) {
            (TreeEntryKind::File, Some(text)) => files.with_file(path, text),
            // A link to where it stands is a link to a directory.
            (TreeEntryKind::LinkedDirectory, _) => files.with_link(path, "."),
            // Names have no NUL, so that it leads nowhere.
            (TreeEntryKind::BrokenLink, _) => files.with_link(path, "\0"),
            (TreeEntryKind::Directory, _) => files.with_directory(path),
            (TreeEntryKind::Special, _) => files.with_pipe(path),
            (TreeEntryKind::Binary, _) => files.with_file(path, [0xff]),
            (TreeEntryKind::Unreadable | TreeEntryKind::File, _) => {
                files.with_unreadable(path, EntryKind::File)
            }
            (TreeEntryKind::UnreadableDirectory, _) => {
                files.with_unreadable(path, EntryKind::Directory)
            }
        }
    })
}
