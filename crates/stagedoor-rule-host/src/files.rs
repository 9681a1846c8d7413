//! Files of rules: which there are, whether they changed, and what is in them.

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// A file that changed so recently may change again without another time in its stamp: kernels
/// count in ticks.
const SETTLED: Duration = Duration::from_millis(50);

/// What a file looks like from outside. Two stamps that are equal, and of a file that has settled,
/// mean that nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    size: u64,
    modified: Option<SystemTime>,
    place: FileIdentity,
    settled: bool,
}

#[cfg(unix)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileIdentity {
    device: u64,
    inode: u64,
    changed: (i64, i64),
}

#[cfg(not(unix))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileIdentity;

impl Stamp {
    /// Looks at a file, through links.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let meta = fs::metadata(path)?;
        let modified = meta.modified().ok();
        let age = modified.and_then(|modified| modified.elapsed().ok());
        let place = FileIdentity::of(&meta);
        let settled = age.is_some_and(|age| age > SETTLED) && place.settled();
        Ok(Self { size: meta.len(), modified, place, settled })
    }

    /// Returns whether a file with this stamp is as it was when it had the other.
    pub(crate) fn is_still(&self, before: &Self) -> bool {
        // One that had not settled when it was read may have changed right after.
        before.settled && Self { settled: true, ..*self } == *before
    }
}

#[cfg(unix)]
impl FileIdentity {
    fn of(meta: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        let changed = (meta.ctime(), meta.ctime_nsec());
        Self { device: meta.dev(), inode: meta.ino(), changed }
    }

    /// Whether the file's own time of change is past: others can be set.
    fn settled(&self) -> bool {
        let (seconds, nanos) = self.changed;
        let (Ok(seconds), Ok(nanos)) = (u64::try_from(seconds), u32::try_from(nanos)) else {
            return false;
        };
        let changed = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos);
        changed.elapsed().is_ok_and(|age| age > SETTLED)
    }
}

#[cfg(not(unix))]
impl FileIdentity {
    fn of(_: &Metadata) -> Self {
        Self
    }

    fn settled(&self) -> bool {
        true
    }
}

/// Returns the components of a directory, sorted.
pub(crate) fn components(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "wasm") {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Reads a file; one that is larger than the limit is not read, and its size is the inner error.
pub(crate) fn read(path: &Path, limit: u64) -> io::Result<Result<Vec<u8>, u64>> {
    let meta = fs::metadata(path)?;
    // Opening a pipe would wait for its writer.
    if !meta.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    if meta.len() > limit {
        return Ok(Err(meta.len()));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or_default());
    // It may grow meanwhile.
    File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    let size = bytes.len() as u64;
    Ok(if size > limit { Err(size) } else { Ok(bytes) })
}

/// Returns what a rule in this file is called, if it is called as its file is.
pub(crate) fn expected_name(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().replace('_', "-").to_lowercase()
}

/// Returns when a wait of this length is over; `None` for one that is without end.
pub(crate) fn until(wait: Option<Duration>) -> Option<Instant> {
    Instant::now().checked_add(wait?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the stamp of a file that nobody has changed for some time.
    fn settled(path: &Path) -> io::Result<Stamp> {
        let begun = Instant::now();
        loop {
            let stamp = Stamp::of(path)?;
            if stamp.settled {
                return Ok(stamp);
            }
            if begun.elapsed() > Duration::from_secs(60) {
                return Err(io::Error::other("it never settles"));
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_file_is_as_it_was_only_if_nothing_of_it_differs() -> io::Result<()> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("a.wasm");
        fs::write(&path, "one")?;
        let fresh = Stamp::of(&path)?;
        let before = settled(&path)?;
        assert_eq!(before.size, 3);
        assert!(before.is_still(&before));
        // It may have changed after it was looked at, without another time.
        assert!(fresh.settled || !before.is_still(&fresh));

        // Time and size are those of before, and the content is another's.
        let time = fs::metadata(&path)?.modified()?;
        fs::write(&path, "two")?;
        File::options().write(true).open(&path)?.set_modified(time)?;
        let after = Stamp::of(&path)?;
        assert_eq!((after.size, after.modified), (before.size, before.modified));
        #[cfg(unix)]
        assert!(!after.settled && !after.is_still(&before));
        assert!(Stamp::of(&directory.path().join("b.wasm")).is_err());
        Ok(())
    }

    #[test]
    fn a_time_that_is_to_come_has_not_settled() -> io::Result<()> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("a.wasm");
        fs::write(&path, "one")?;
        settled(&path)?;
        let tomorrow = SystemTime::now() + Duration::from_secs(86_400);
        File::options().write(true).open(&path)?.set_modified(tomorrow)?;
        let begun = Instant::now();
        // Until the time of the change itself is past.
        while begun.elapsed() < SETTLED * 3 {
            std::thread::yield_now();
        }
        assert!(!Stamp::of(&path)?.settled);
        Ok(())
    }

    #[test]
    fn components_are_what_ends_so_and_are_read_up_to_the_limit() -> io::Result<()> {
        let directory = tempfile::tempdir()?;
        let path = |name: &str| directory.path().join(name);
        for name in ["b.wasm", "a.wasm", "a.limits.json", "wasm"] {
            fs::write(path(name), "12345")?;
        }
        assert_eq!(components(directory.path())?, [path("a.wasm"), path("b.wasm")]);
        assert_eq!(read(&path("a.wasm"), 5)?, Ok(b"12345".to_vec()));
        assert_eq!(read(&path("a.wasm"), 4)?, Err(5));
        assert!(read(directory.path(), 5).is_err());
        assert_eq!(expected_name(&path("Change_Window.wasm")), "change-window");
        assert_eq!(until(None), None);
        assert!(until(Some(Duration::from_secs(9))).is_some_and(|until| until > Instant::now()));
        Ok(())
    }
}
