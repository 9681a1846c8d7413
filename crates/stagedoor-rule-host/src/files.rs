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
