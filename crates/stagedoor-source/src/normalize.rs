//! Paths without what says nothing.

use std::path::{Component, Path, PathBuf};

/// Returns a path without `.`, and without a `..` that follows a name.
///
/// By words alone: where the name is a link, the path may lead elsewhere than before.
///
/// # Examples
///
/// ```
/// use std::path::Path;
///
/// let path = stagedoor_source::normalize_lexically("./policies/../tests/a.yaml");
/// assert_eq!(path, Path::new("tests/a.yaml"));
/// ```
pub fn normalize_lexically(path: impl AsRef<Path>) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.as_ref().components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if normal.file_name().is_some() => {
                normal.pop();
            }
            part => normal.push(part),
        }
    }
    normal
}
