//! One text of a policy set.

use std::sync::Arc;

use crate::kind::FileKind;

/// One text of a policy set.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceFile {
    /// The name within the set, with `/` between its parts: the same for a directory, a bundle
    /// and a commit.
    pub name: String,
    /// What messages call it: its path, where it has one.
    pub place: String,
    /// What it holds.
    pub kind: FileKind,
    /// The text, without a byte order mark.
    pub text: Arc<str>,
    /// The directory that it stands in, of all that were given: what set it belongs to.
    pub(crate) directory: Vec<String>,
}
