//! Running again when something changes.
//!
//! By polling, which sees what editors replace and what is mounted, on every file system.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use stagedoor_core::is_passed_over;

use super::{TestArgs, once};
use crate::cli::Ending;
use crate::failure::Failure;
use crate::output::Output;

/// How long nobody looks, at least.
const INTERVAL: Duration = Duration::from_millis(40);

/// The endings of files that tests are made of.
const ENDINGS: [&str; 6] = ["cedar", "cedarschema", "json", "yaml", "yml", "wasm"];

/// Runs the tests for ever, again after each change.
pub(super) fn watch(args: &TestArgs, output: &mut Output) -> Result<Ending, Failure> {
    let named = || args.paths.iter().chain(&args.policies).chain(&args.rules).cloned();
    let mut sources: Vec<PathBuf> = named().collect();
    loop {
        let started = SystemTime::now();
        let seen = |sources: &[PathBuf]| Seen::of(sources, args.coverage_file.as_deref());
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

/// Files with what tells that they changed.
#[derive(PartialEq, Eq)]
struct Seen(BTreeMap<PathBuf, (Option<SystemTime>, u64)>);

impl Seen {
    fn of(paths: &[PathBuf], but: Option<&Path>) -> Self {
        let mut seen = BTreeMap::new();
        let mut open: Vec<PathBuf> = paths.to_vec();
        open.sort_unstable();
        open.dedup();
        while let Some(path) = open.pop() {
            let Ok(meta) = std::fs::metadata(&path) else { continue };
            if meta.is_dir() {
                open.extend(entries(&path));
            } else if !but.is_some_and(|but| is_same(but, &path)) {
                seen.insert(path, (meta.modified().ok(), meta.len()));
            }
        }
        Self(seen)
    }

    /// Whether a file changed while it may have been read already.
    fn changed_after(&self, time: SystemTime) -> bool {
        let now = SystemTime::now();
        let times = self.0.values().filter_map(|(modified, _)| *modified);
        // A time to come is a clock that is wrong, and no change.
        times.into_iter().any(|modified| modified > time && modified <= now)
    }
}

/// Whether two paths lead to one file.
fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    one.file_name() == other.file_name() && real(one) == real(other)
}

/// Returns what in a directory tests may be made of.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let of_tests = entries.filter(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_directory = entry.file_type().is_ok_and(|of_type| of_type.is_dir());
        let ending = name.rsplit('.').next().unwrap_or_default();
        let is_written_here = name == "coverage.json";
        !is_passed_over(&entry.file_name())
            && (is_directory || ENDINGS.contains(&ending) && !is_written_here)
    });
    of_tests.map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_seen() -> std::io::Result<()> {
        let place = tempfile::tempdir()?;
        let paths = [place.path().to_owned()];
        let written = place.path().join("below/../written.json");
        let look = || Seen::of(&paths, Some(&written));
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
