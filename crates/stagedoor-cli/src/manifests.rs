//! Files that hold roles and bindings of Kubernetes.

use std::path::{Path, PathBuf};

use stagedoor_core::{LoadError, Severity};
use stagedoor_source::{EntryKind, FileKind, FileSystem, Listing};

use crate::built_in_roles::FILE_BYTES;
use crate::failure::Failure;
use crate::input::unreadable;

/// Returns the names and texts of the manifests at a path, sorted: of the file, or of those below a
/// directory. None where the path holds policies.
pub(crate) fn texts_below(
    files: &dyn FileSystem,
    path: &Path,
) -> Result<Vec<(String, String)>, Failure> {
    below(files, path)?.iter().map(|path| text(files, path)).collect()
}

fn text(files: &dyn FileSystem, path: &Path) -> Result<(String, String), Failure> {
    let name = files.display(path);
    let limit = FILE_BYTES as u64;
    let bytes = files.read(path, limit).map_err(|e| unreadable(&name, &e))?;
    if bytes.len() as u64 > limit {
        let message = format!("`{name}` is larger than the limit of {limit} bytes");
        return Err(Failure::input(message));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::input(format!("`{name}` is not UTF-8 after byte {at}"))
    })?;
    Ok((name, text))
}

/// Returns the manifests at a path, sorted: the file, or those below a directory. None where the
/// path holds policies.
fn below(files: &dyn FileSystem, path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let metadata = files.metadata(path).map_err(|e| unreadable(&files.display(path), &e))?;
    if metadata.kind != EntryKind::Directory {
        let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        return Ok(is_manifest(&name).then(|| path.to_owned()).into_iter().collect());
    }
    let is_policies = |name: &str| FileKind::of(name).is_policies();
    let listing = Listing::matching(files, path, |name| is_policies(name) || is_manifest(name));
    if listing.files.iter().any(|file| file.kind.is_policies()) {
        return Ok(Vec::new());
    }
    // Following a link could leave the directory; leaving it out could lose a grant.
    if listing.problems.iter().any(|problem| problem.severity() == Severity::Error) {
        return Err(LoadError::of(listing.problems).into());
    }
    Ok(listing.files.into_iter().map(|file| file.path).collect())
}

/// Whether a file may hold manifests: YAML or JSON that means nothing else beside policies.
fn is_manifest(name: &str) -> bool {
    let is_text = [".yaml", ".yml", ".json"].iter().any(|ending| name.ends_with(ending));
    is_text && matches!(FileKind::of(name), FileKind::Other | FileKind::Json)
}
