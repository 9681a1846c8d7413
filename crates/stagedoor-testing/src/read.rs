//! Finds test files and reads them.

use std::path::{Path, PathBuf};

use stagedoor_source::{FileKind, Listing, RealFileSystem};

use crate::cedar_files;
use crate::file::TestFile;
use crate::problem::{Problem, TestError};
use crate::text::said;

/// Returns the test files at the paths: files as they are given, and all below directories.
pub(crate) fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, TestError> {
    let mut error = TestError::default();
    let mut found = Vec::new();
    for path in paths {
        if !path.is_dir() {
            found.push(path.clone());
            continue;
        }
        let before = found.len();
        below(path, &mut found, &mut error);
        if found.len() == before {
            let message = "there is no test file here or below";
            let help = "test files end in `.test.yaml`, `.test.yml` or `.test.json`";
            error.add(Problem::new(path, message).with_help(help));
        }
    }
    found.sort();
    found.dedup();
    error.or(found)
}

fn below(directory: &Path, found: &mut Vec<PathBuf>, error: &mut TestError) {
    let listing = Listing::of(&RealFileSystem, directory);
    for problem in &listing.problems {
        let file = problem.file().unwrap_or_default();
        // What is wrong with policies is told by whoever loads them.
        if problem.code() == "file::read" || FileKind::of(file) == FileKind::Tests {
            error.add(Problem::new(Path::new(file), problem.message()));
        }
    }
    let tests = listing.files.into_iter().filter(|file| file.kind == FileKind::Tests);
    found.extend(tests.map(|file| match file.path.strip_prefix(".") {
        Ok(path) => path.to_owned(),
        Err(_) => file.path,
    }));
}

/// Reads one test file.
pub(crate) fn read(path: &Path, text: &str) -> Result<TestFile, TestError> {
    if let Some(file) = cedar_files::read(path, text)? {
        return Ok(file);
    }
    serde_saphyr::from_str(text).map_err(|error| {
        let mut problem = Problem::new(path, said(&error));
        if let Some(location) = error.location() {
            problem = problem.at(location.into());
        }
        problem.into()
    })
}
