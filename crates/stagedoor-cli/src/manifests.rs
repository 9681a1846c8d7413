//! Files that hold roles and bindings of Kubernetes.

use std::path::{Path, PathBuf};

use stagedoor_source::is_ignored;

use crate::failure::Failure;
use crate::input::unreadable;

/// Directories are not nested deeper than this.
const DEPTH: usize = 64;

/// Endings of files that have another meaning for policies than manifests have.
const OTHERS: [&str; 9] = [
    ".test.yaml",
    ".test.yml",
    ".test.json",
    ".permissions.yaml",
    ".permissions.yml",
    ".permissions.json",
    ".cedar.json",
    ".cedarschema.json",
    ".cedar",
];

/// Returns the manifests at a path, sorted: the file, or those below a directory. None where the
/// path holds policies.
pub(crate) fn below(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Found::default();
    if path.is_dir() {
        walk(path, 0, &mut found)?;
    } else {
        found.add(path);
    }
    if found.policies {
        return Ok(Vec::new());
    }
    found.manifests.sort_unstable();
    Ok(found.manifests)
}

#[derive(Default)]
struct Found {
    manifests: Vec<PathBuf>,
    policies: bool,
}

impl Found {
    fn add(&mut self, path: &Path) {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = name.unwrap_or_default();
        let is = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
        self.policies |= is(&[".cedar", ".cedar.json"]);
        if is(&[".yaml", ".yml", ".json"]) && !is(&OTHERS) {
            self.manifests.push(path.to_owned());
        }
    }
}

fn walk(directory: &Path, depth: usize, found: &mut Found) -> Result<(), Failure> {
    let failed = |e: &std::io::Error| unreadable(&directory.display().to_string(), e);
    if depth > DEPTH {
        let message = format!("`{}` is nested too deeply", directory.display());
        return Err(Failure::input(message));
    }
    for entry in std::fs::read_dir(directory).map_err(|e| failed(&e))? {
        let entry = entry.map_err(|e| failed(&e))?;
        if is_ignored(&entry.file_name()) {
            continue;
        }
        let path = entry.path();
        if path.is_dir() {
            if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
                // Following it could leave the directory; leaving it out could lose a grant.
                found.policies |= true;
                continue;
            }
            walk(&path, depth + 1, found)?;
        } else {
            found.add(&path);
        }
    }
    Ok(())
}
