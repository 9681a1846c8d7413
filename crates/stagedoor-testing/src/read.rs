//! Finds test files and reads them.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use stagedoor_core::is_passed_over;

use crate::cedar_files;
use crate::file::TestFile;
use crate::problem::{Problem, TestError};

/// The endings of test files.
const ENDINGS: [&str; 3] = [".test.yaml", ".test.yml", ".test.json"];

/// A test file is not larger than this.
const FILE_BYTES: u64 = 16 << 20;

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
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        let entries = fs::read_dir(&directory).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let entries = match entries {
            Ok(entries) => entries,
            Err(e) => {
                error.add(Problem::new(&directory, format!("cannot be read: {e}")));
                continue;
            }
        };
        for entry in entries {
            let name = entry.file_name();
            if is_passed_over(&name) {
                continue;
            }
            let name = name.to_string_lossy();
            // Links to directories are not followed, so that there is no cycle.
            if entry.file_type().is_ok_and(|of_type| of_type.is_dir()) {
                open.push(entry.path());
            } else if ENDINGS.iter().any(|ending| name.ends_with(ending)) {
                let path = entry.path();
                // A pipe would be waited for.
                if fs::metadata(&path).is_ok_and(|meta| !meta.is_file()) {
                    error.add(Problem::new(&path, "not a file"));
                    continue;
                }
                found.push(path.strip_prefix(".").map(Path::to_owned).unwrap_or(path));
            }
        }
    }
}

/// Reads one test file.
pub(crate) fn read(path: &Path) -> Result<TestFile, TestError> {
    let text = text(path)?;
    if let Some(file) = cedar_files::read(path, &text)? {
        return Ok(file);
    }
    serde_saphyr::from_str(&text).map_err(|error| {
        let mut problem = Problem::new(path, said(&error));
        if let Some(location) = error.location() {
            problem = problem.at(location.into());
        }
        problem.into()
    })
}

/// Reads a file that a test file refers to.
pub(crate) fn text(path: &Path) -> Result<String, TestError> {
    let unreadable = |e: std::io::Error| {
        Problem::new(path, format!("cannot be read: {e}")).with_help("check the path")
    };
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES {
        let message = format!("the file is larger than {FILE_BYTES} bytes");
        return Err(Problem::new(path, message).with_help("split the file").into());
    }
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        Problem::new(path, format!("not UTF-8 after byte {at}")).into()
    })
}

/// Returns what an error of the parser says, without the place and the lines around it.
pub(crate) fn said(error: &serde_saphyr::Error) -> String {
    let text = error.to_string();
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let line = line.trim_start_matches("error: ");
    let said = match line.strip_prefix("line ").and_then(|placed| placed.split_once(": ")) {
        Some((place, said))
            if place.chars().all(|c| c.is_ascii_digit() || " column".contains(c)) =>
        {
            said
        }
        _ => line,
    };
    // What follows is for programmers.
    said.split(", set DuplicateKeyPolicy").next().unwrap_or(said).to_owned()
}
