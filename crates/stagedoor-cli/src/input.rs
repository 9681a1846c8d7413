//! Files that a command is given, `-` for the standard input among them, within limits.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use stagedoor_core::without_byte_order_mark;

use crate::failure::Failure;

/// What stands for the standard input.
const STDIN: &str = "-";
/// What messages call it.
const STDIN_NAME: &str = "<standard input>";

/// Reads files; the standard input can be read once.
#[derive(Debug, Default)]
pub(crate) struct Input {
    stdin_taken: bool,
}

impl Input {
    /// Returns what messages call a file.
    pub(crate) fn name(path: &Path) -> String {
        if is_stdin(path) { STDIN_NAME.to_owned() } else { path.display().to_string() }
    }

    /// Returns the text of a file of at most `limit` bytes.
    pub(crate) fn text(&mut self, path: &Path, limit: usize) -> Result<String, Failure> {
        let name = Self::name(path);
        let mut bytes = Vec::new();
        // One byte more than allowed tells that there is more.
        let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        let mut reader = self.open(path)?.take(bound);
        reader.read_to_end(&mut bytes).map_err(|e| unreadable(&name, &e))?;
        if bytes.len() > limit {
            let message = format!("`{name}` is larger than the limit of {limit} bytes");
            return Err(Failure::input(message));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            Failure::input(format!("`{name}` is not UTF-8 after byte {at}"))
                .with_help("save the file as UTF-8")
        })?;
        Ok(match without_byte_order_mark(&text) {
            whole if whole.len() == text.len() => text,
            rest => rest.to_owned(),
        })
    }

    /// Opens a file to be read bit by bit.
    pub(crate) fn open(&mut self, path: &Path) -> Result<BufReader<Box<dyn Read>>, Failure> {
        if is_stdin(path) {
            if std::mem::replace(&mut self.stdin_taken, true) {
                return Err(Failure::input("`-` is given twice")
                    .with_help("the standard input can be read only once: give a file"));
            }
            return Ok(BufReader::new(Box::new(io::stdin())));
        }
        let name = Self::name(path);
        let file = File::open(path).map_err(|e| unreadable(&name, &e))?;
        if file.metadata().is_ok_and(|meta| meta.is_dir()) {
            return Err(Failure::input(format!("`{name}` is a directory; a file is needed")));
        }
        Ok(BufReader::new(Box::new(file)))
    }
}

/// Returns whether a path stands for the standard input.
pub(crate) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == STDIN
}

pub(crate) fn unreadable(name: &str, error: &io::Error) -> Failure {
    Failure::input(format!("`{name}` cannot be read: {error}"))
}
