//! Where records go.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Where records go, in whatever form.
///
/// A sink is used by one thread at a time. What it cannot write is counted, not tried again,
/// unless it does so itself.
pub trait DecisionSink: Send {
    /// Takes records: each a line, with its break.
    ///
    /// # Errors
    ///
    /// Why they cannot be kept. None of them counts as written then.
    fn write(&mut self, lines: &str) -> io::Result<()>;

    /// Sees to it that everything taken so far is where it belongs.
    ///
    /// # Errors
    ///
    /// Why it cannot.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Lets go of what it writes to and takes it up again, by name: what SIGHUP asks for.
    ///
    /// # Errors
    ///
    /// Why it cannot; it then goes on as before.
    fn reopen(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes records as lines, to the standard output say.
#[derive(Debug)]
pub struct Writer<W>(W);

impl<W: Write + Send> Writer<W> {
    /// Returns a sink that writes here.
    pub fn new(writer: W) -> Self {
        Self(writer)
    }
}

impl<W: Write + Send> DecisionSink for Writer<W> {
    fn write(&mut self, lines: &str) -> io::Result<()> {
        self.0.write_all(lines.as_bytes())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Writes records as lines to a file that only its owner can read.
///
/// Once it is as large as it may be, it is renamed to `FILE.1`, that before to `FILE.2`, and so
/// on; the oldest goes. Programs that rename it themselves, as logrotate does, have it reopened.
///
/// What cannot be written as a whole, as on a disk that is full, is taken away again: a file never
/// has half a record before others.
#[derive(Debug)]
pub struct FileSink {
    path: PathBuf,
    file: File,
    max_bytes: u64,
    keep: usize,
    /// Where half a record may begin.
    torn: Option<u64>,
}

impl FileSink {
    /// Opens a file, or makes it. It is never larger than `max_bytes` by more than one write;
    /// `keep` of the older ones stay.
    ///
    /// # Errors
    ///
    /// Why it cannot be opened.
    pub fn open(path: impl Into<PathBuf>, max_bytes: u64, keep: usize) -> io::Result<Self> {
        let path = path.into();
        let file = open(&path)?;
        Ok(Self { path, file, max_bytes, keep, torn: None })
    }

    fn rotate(&mut self) -> io::Result<()> {
        let numbered = |n: usize| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{n}"));
            PathBuf::from(name)
        };
        for n in (1..self.keep).rev() {
            ignore_missing(std::fs::rename(numbered(n), numbered(n + 1)))?;
        }
        match self.keep {
            0 => ignore_missing(std::fs::remove_file(&self.path))?,
            _ => ignore_missing(std::fs::rename(&self.path, numbered(1)))?,
        }
        self.reopen()
    }

    /// Returns the size of the file as it is: somebody else may have made it shorter.
    fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Takes away what was written in part.
    fn mend(&mut self) -> io::Result<()> {
        let Some(begin) = self.torn else { return Ok(()) };
        if self.size()? > begin {
            self.file.set_len(begin)?;
        }
        self.torn = None;
        Ok(())
    }
}

impl DecisionSink for FileSink {
    fn write(&mut self, lines: &str) -> io::Result<()> {
        self.mend()?;
        let mut size = self.size()?;
        if size > 0 && size + lines.len() as u64 > self.max_bytes {
            self.rotate()?;
            size = self.size()?;
        }
        let written = self.file.write_all(lines.as_bytes());
        if written.is_err() {
            self.torn = Some(size);
            // If that cannot be done now, then before the next record.
            let _ = self.mend();
        }
        written
    }

    fn reopen(&mut self) -> io::Result<()> {
        // The one before keeps nothing in halves, as far as that can be had.
        let _ = self.mend();
        self.file = open(&self.path)?;
        self.torn = None;
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::{DecisionSink as _, FileSink};

    #[test]
    fn a_file_is_turned_over_by_size_and_reopened_by_name() -> std::io::Result<()> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("audit.log");
        let mut sink = FileSink::open(&path, 10, 2)?;
        for record in ["one--\n", "two--\n", "three\n", "four-\n"] {
            sink.write(record)?;
        }
        let read = |name: &str| std::fs::read_to_string(directory.path().join(name));
        assert_eq!(read("audit.log")?, "four-\n");
        assert_eq!(read("audit.log.1")?, "three\n");
        assert_eq!(read("audit.log.2")?, "two--\n");
        assert!(read("audit.log.3").is_err());

        std::fs::rename(&path, directory.path().join("moved"))?;
        sink.write("a\n")?;
        sink.reopen()?;
        sink.write("b\n")?;
        assert_eq!(read("moved")?, "four-\na\n");
        assert_eq!(read("audit.log")?, "b\n");
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&path)?.permissions().mode() & 0o777, 0o600);
        Ok(())
    }
}
