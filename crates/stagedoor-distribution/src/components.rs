//! The custom rules of a set, as files for whoever compiles and runs them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use stagedoor_source::Bundle;

/// A directory with the rules of the set that is loaded, and nothing else.
///
/// The files are not trusted: a set loads only with rules of the digests that are signed.
#[derive(Debug)]
pub(crate) struct Components {
    directory: PathBuf,
    writing: Mutex<()>,
}

impl Components {
    /// Returns the directory of a replica that keeps its state in another one.
    pub(crate) fn of(state: &Path) -> Self {
        Self { directory: state.join("set").join("rules"), writing: Mutex::new(()) }
    }

    /// Returns the directory.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Lets the rules of a bundle stand there. What stands there already is left as it is, so that
    /// nobody takes it for a change.
    pub(crate) fn place(&self, bundle: &Bundle) -> io::Result<()> {
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted: Vec<(&str, Vec<u8>)> = bundle.components().collect();
        let there = match fs::read_dir(&self.directory) {
            Ok(entries) => entries.collect::<io::Result<Vec<_>>>()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound && wanted.is_empty() => {
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        for entry in there {
            let name = entry.file_name();
            if !wanted.iter().any(|(wanted, _)| name == *wanted) {
                fs::remove_file(entry.path())?;
            }
        }
        fs::create_dir_all(&self.directory)?;
        for (name, bytes) in wanted {
            let path = self.directory.join(name);
            if fs::read(&path).is_ok_and(|there| there == bytes) {
                continue;
            }
            // Whoever looks meanwhile finds the old rule or the new one.
            let partial = self.directory.join(format!(".{name}"));
            fs::write(&partial, bytes)?;
            fs::rename(&partial, &path)?;
        }
        Ok(())
    }
}
