//! The files that policies are read from.

use std::path::PathBuf;

use stagedoor_core::is_passed_over;

/// Returns the files below `paths` that an engine reads, sorted: of directories those whose
/// names say that they hold policies or schemas, and everything that is named itself.
#[must_use]
pub fn policy_files(paths: &[PathBuf]) -> Vec<PathBuf> {
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
