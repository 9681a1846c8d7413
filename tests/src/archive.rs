//! Reads `.tar.gz` archives of test cases into memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use flate2::read::GzDecoder;

/// Files by their path within an archive or directory.
pub type Files = BTreeMap<String, String>;

/// Returns the text files of an archive.
///
/// # Errors
///
/// If the archive cannot be read, or a file in it is not UTF-8.
pub fn unpack(archive: &Path) -> Result<Files> {
    let file = File::open(archive).with_context(|| archive.display().to_string())?;
    let mut files = Files::new();
    for entry in tar::Archive::new(GzDecoder::new(file)).entries()? {
        let mut entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = entry.path()?.to_string_lossy().trim_start_matches("./").to_owned();
        let mut text = String::new();
        entry.read_to_string(&mut text).with_context(|| path.clone())?;
        files.insert(path, text);
    }
    Ok(files)
}

/// Returns the text files below a directory, by path within it.
///
/// # Errors
///
/// If a file cannot be read, or is not UTF-8.
pub fn read_directory(root: &Path) -> Result<Files> {
    let mut files = Files::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        let entries = std::fs::read_dir(&directory)
            .with_context(|| directory.display().to_string())?
            .collect::<Result<Vec<_>, _>>()?;
        for path in entries.into_iter().map(|entry| entry.path()) {
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let name = path.strip_prefix(root)?.to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path).with_context(|| name.clone())?;
            files.insert(name, text);
        }
    }
    Ok(files)
}
