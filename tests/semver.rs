//! What the last release promised in Rust is there, unless the version says that it may be gone: the
//! public interface of `stagedoor` and `stagedoor-core` beside that of the last tag. Both are
//! `cases/api.txt`, which the test `api` writes from the code, so that no other build is needed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

const API: &str = "tests/cases/api.txt";

/// What the text says of one item.
#[derive(Debug, Default)]
struct Item<'a> {
    in_facade: bool,
    is_open: bool,
    lines: BTreeSet<&'a str>,
}

fn items(text: &str) -> BTreeMap<&str, Item<'_>> {
    let mut all = BTreeMap::new();
    for block in text.split("\n\n").filter(|block| !block.starts_with('#')) {
        let mut lines = block.lines();
        let Some(head) = lines.next() else { continue };
        let (head, in_facade) = match head.strip_suffix(" *") {
            Some(head) => (head, true),
            None => (head, false),
        };
        let (name, is_open) = match head.strip_suffix(" (non-exhaustive)") {
            Some(name) => (name, true),
            None => (head, false),
        };
        all.insert(name, Item { in_facade, is_open, lines: lines.map(str::trim).collect() });
    }
    all
}

/// Returns what of an interface a program may not find any more in the one after it, or what stops it
/// from compiling.
fn breaks(before: &str, after: &str) -> Vec<String> {
    let (before, after) = (items(before), items(after));
    let mut found = Vec::new();
    for (name, old) in &before {
        let Some(new) = after.get(name) else {
            found.push(format!("`{name}` is gone, or another"));
            continue;
        };
        if old.in_facade && !new.in_facade {
            found.push(format!("`stagedoor` does not export `{name}`"));
        }
        if new.is_open && !old.is_open {
            found.push(format!("`{name}` is non-exhaustive"));
        }
        for line in old.lines.difference(&new.lines) {
            if !new.lines.contains(format!("{line} (provided)").as_str()) {
                found.push(format!("`{name}`: `{line}` is gone, or another"));
            }
        }
        let has_fields = old.lines.iter().any(|line| is_part(line));
        for line in new.lines.difference(&old.lines) {
            let asks = match name.split_once(' ').map(|(kind, _)| kind) {
                Some("trait") => {
                    !line.ends_with(" (provided)")
                        && !old.lines.contains(format!("{line} (provided)").as_str())
                }
                Some("enum") => !new.is_open && is_part(line),
                Some("struct") => !new.is_open && has_fields && is_part(line),
                _ => false,
            };
            if asks {
                found.push(format!("`{name}`: `{line}` is new, and code that was complete is not"));
            }
        }
    }
    found
}

/// Whether a line is a field or a variant.
fn is_part(line: &str) -> bool {
    !["fn ", "const ", "is "].iter().any(|start| line.starts_with(start))
}

/// Whether Cargo takes the second version for the first without being asked.
fn is_compatible(before: &str, after: &str) -> Result<bool> {
    let parts = |version: &str| -> Result<(u64, u64)> {
        let mut parts = version.split('.').map(str::parse);
        let mut next = || parts.next().with_context(|| format!("`{version}` is no version"));
        Ok((next()??, next()??))
    };
    let (before, after) = (parts(before)?, parts(after)?);
    Ok(before.0 == after.0 && (before.0 > 0 || before.1 == after.1))
}

/// Returns the last tag of a release before what a repository has, if there is one.
fn last_release(root: &Path) -> Result<Option<String>> {
    let arguments = ["describe", "--tags", "--abbrev=0", "--match", "v[0-9]*"];
    let output = Command::new("git").arg("-C").arg(root).args(arguments).output()?;
    Ok(output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned()))
}

/// Returns what breaks since a tag, which a repository has, in a version that may not break it.
fn broken_since(tag: &str, root: &Path, version: &str) -> Result<Vec<String>> {
    let released = tag.trim_start_matches('v');
    if !is_compatible(released, version)? {
        return Ok(Vec::new());
    }
    let object = format!("{tag}:{API}");
    let output = Command::new("git").arg("-C").arg(root).args(["show", &object]).output()?;
    ensure!(output.status.success(), "`{tag}` has no {API}");
    let before = String::from_utf8(output.stdout)?;
    Ok(breaks(&before, &std::fs::read_to_string(root.join(API))?))
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn the_last_release_is_kept() -> Result<()> {
    let Some(tag) = last_release(&repository())? else {
        println!("SKIPPED: no tag of a release is here");
        return Ok(());
    };
    let version = env!("CARGO_PKG_VERSION");
    let broken = broken_since(&tag, &repository(), version)?;
    ensure!(
        broken.is_empty(),
        "{version} may not break what `{tag}` promised: keep it, or make it a version that may\n{}",
        broken.join("\n")
    );
    Ok(())
}

const BEFORE: &str = "\
# What is exported.

struct Action *
  fn uid(&self) -> &EntityUid
  is Clone

enum ChangedTo *
  Absent
  Value(String)

enum LoadError (non-exhaustive)
  Limit

struct Place
  line: usize

struct Sealed
  fn new() -> Self

trait Guard *
  fn digest(&self) -> &str
  fn inputs(&self) -> GuardInputs (provided)

fn parse(text: &str) -> Result<Place, LoadError> *
";

#[test]
fn what_breaks_is_told_and_nothing_else() {
    for (from, to, expected) in [
        ("  is Clone\n", "  is Clone\n  is Eq\n", 0),
        ("  is Clone\n", "", 1),
        ("(&self) -> &EntityUid", "(&self) -> EntityUid", 1),
        ("struct Action *", "struct Action", 1),
        ("struct Place\n", "struct Place *\n", 0),
        ("struct Place\n", "struct Place (non-exhaustive)\n", 1),
        ("line: usize\n", "line: usize\n  column: usize\n", 1),
        ("fn new() -> Self\n", "fn new() -> Self\n  name: String\n", 0),
        ("  Absent\n", "  Absent\n  Other\n", 1),
        ("  Absent\n", "  Absent\n  fn is_absent(&self) -> bool\n", 0),
        ("  Limit\n", "  Limit\n  Parse\n", 0),
        ("digest(&self) -> &str\n", "digest(&self) -> &str (provided)\n", 0),
        ("digest(&self) -> &str\n", "digest(&self) -> &str\n  fn more(&self)\n", 1),
        ("digest(&self) -> &str\n", "digest(&self) -> &str\n  fn more(&self) (provided)\n", 0),
        // The line that is gone; what takes its place was there, provided.
        (" (provided)", "", 1),
        ("parse(text: &str)", "parse(text: String)", 1),
        ("fn parse(", "fn read(", 1),
        ("fn parse(", "fn read()\n\nfn parse(", 0),
    ] {
        let after = BEFORE.replacen(from, to, 1);
        assert_ne!(after, BEFORE, "{from:?}");
        let found = breaks(BEFORE, &after);
        assert_eq!(found.len(), expected, "{from:?} to {to:?}: {found:?}");
    }
}

#[test]
fn the_version_says_whether_it_may_break() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let root = directory.path();
    let path = root.join(API);
    std::fs::create_dir_all(path.parent().context("a folder")?)?;
    std::fs::write(&path, BEFORE)?;
    assert_eq!(last_release(root)?, None);
    let git = |arguments: &[&str]| -> Result<()> {
        let who = ["-c", "user.name=a", "-c", "user.email=a@example.com"];
        let output = Command::new("git").current_dir(root).args(who).args(arguments).output()?;
        ensure!(output.status.success(), "{arguments:?}: {output:?}");
        Ok(())
    };
    git(&["init", "-q"])?;
    git(&["add", "-A"])?;
    git(&["commit", "-qm", "first"])?;
    git(&["tag", "v0.1.0"])?;
    std::fs::write(&path, BEFORE.replace("  is Clone\n", ""))?;
    let tag = last_release(root)?.context("a tag")?;
    assert_eq!(tag, "v0.1.0");
    for (version, broken) in [("0.1.1", 1), ("0.2.0", 0), ("1.0.0", 0)] {
        assert_eq!(broken_since(&tag, root, version)?.len(), broken, "{version}");
    }
    assert!(is_compatible("1.2.3", "1.9.0")? && !is_compatible("1.2.3", "2.0.0")?);
    Ok(())
}
