//! Running again when something changes.
//!
//! By polling, which sees what editors replace and what is mounted, on every file system.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use stagedoor_source::{Fingerprint, RealFileSystem};

use super::{TestArgs, once};
use crate::ending::Ending;
use crate::failure::Failure;
use crate::output::Output;

/// How long nobody looks, at least.
const INTERVAL: Duration = Duration::from_millis(40);

/// Runs the tests for ever, again after each change.
pub(super) fn watch(args: &TestArgs, output: &mut Output) -> Result<Ending, Failure> {
    let named = || args.paths.iter().chain(&args.policies).chain(&args.load.rules).cloned();
    let mut sources: Vec<PathBuf> = named().collect();
    loop {
        let started = SystemTime::now();
        let seen = |sources: &[PathBuf]| FileState::of(sources, args.coverage_file.as_deref());
        let known = sources.clone();
        let read = seen(&known);
        let (_, used) = once(args, output)?;
        output.flush()?;
        // What could not be loaded is mended in one of the files that were used before.
        if !used.is_empty() {
            sources = used;
        }
        sources.extend(named());
        let before = seen(&sources);
        // Times alone would not tell: they are as coarse as the kernel's clock.
        if seen(&known) != read || before.changed_after(started) {
            continue;
        }
        loop {
            let looked = Instant::now();
            if seen(&sources) != before {
                break;
            }
            // Looking takes a tenth of the time at most.
            std::thread::sleep(INTERVAL.max(looked.elapsed() * 9));
        }
    }
}

/// What files looked like, and when.
#[derive(PartialEq, Eq)]
struct FileState {
    files: Fingerprint,
    times: Vec<SystemTime>,
}

impl FileState {
    fn of(paths: &[PathBuf], but: Option<&Path>) -> Self {
        let all = Fingerprint::of_kinds(&RealFileSystem, paths, |_| true);
        let is_written_here = |path: &Path| {
            path.file_name().is_some_and(|name| name == "coverage.json")
                || but.is_some_and(|but| is_same(but, path))
        };
        let files: Vec<&Path> = all.files().filter(|path| !is_written_here(path)).collect();
        let modified = |path: &&Path| std::fs::metadata(path).ok()?.modified().ok();
        let times = files.iter().filter_map(modified).collect();
        Self { files: Fingerprint::of_files(&RealFileSystem, files), times }
    }

    /// Whether a file changed while it may have been read already.
    fn changed_after(&self, time: SystemTime) -> bool {
        let now = SystemTime::now();
        // A time to come is a clock that is wrong, and no change.
        self.times.iter().any(|modified| *modified > time && *modified <= now)
    }
}

/// Whether two paths lead to one file.
fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    one.file_name() == other.file_name() && real(one) == real(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_seen() -> std::io::Result<()> {
        let place = tempfile::tempdir()?;
        let paths = [place.path().to_owned()];
        let written = place.path().join("below/../written.json");
        let look = || FileState::of(&paths, Some(&written));
        let empty = look();
        std::fs::write(place.path().join("notes.txt"), "")?;
        std::fs::write(place.path().join("coverage.json"), "")?;
        std::fs::create_dir(place.path().join("below"))?;
        std::fs::write(&written, "{}")?;
        assert!(look() == empty);
        std::fs::write(place.path().join("below/a.cedar"), "a")?;
        let one = look();
        assert!(one != empty);
        std::fs::write(place.path().join("below/a.cedar"), "ab")?;
        assert!(look() != one);
        std::fs::remove_file(place.path().join("below/a.cedar"))?;
        assert!(look() == empty);
        assert!(!one.changed_after(SystemTime::now()));
        assert!(one.changed_after(SystemTime::UNIX_EPOCH));
        Ok(())
    }
}
