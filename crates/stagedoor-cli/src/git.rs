//! Files of a commit, read from the repository and never checked out.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use stagedoor_core::{Limits, is_passed_over};

use crate::failure::Failure;

/// Endings of the files that policies consist of.
const ENDINGS: [&str; 7] = [
    ".cedar",
    ".cedar.json",
    ".cedarschema",
    ".cedarschema.json",
    ".permissions.yaml",
    ".permissions.yml",
    ".permissions.json",
];

/// All files of a commit together are not larger than this.
const TOTAL_BYTES: usize = 512 << 20;
/// A directory of a commit lists no more than this.
const LISTING_BYTES: u64 = 64 << 20;

/// A commit and a path in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    revision: String,
    /// From the root of the repository, or from here where it begins with `./`.
    path: String,
}

/// One file of a commit.
struct Blob {
    id: String,
    name: String,
}

impl Place {
    /// Reads `REVISION` or `REVISION:PATH`.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let (revision, path) = text.split_once(':').unwrap_or((text, "./"));
        if revision.is_empty() || revision.starts_with('-') || text.contains(['\0', '\n']) {
            return Err(Failure::input(format!("`{text}` is not a directory, nor a revision"))
                .with_help("write `REVISION:PATH`, such as `main:policies`"));
        }
        Ok(Self { revision: revision.to_owned(), path: path.to_owned() })
    }

    /// Returns the path in the commit, as one from here where that can be told.
    pub(crate) fn path(&self) -> &str {
        self.path
            .strip_prefix("./")
            .filter(|path| !path.is_empty())
            .unwrap_or(if self.path == "./" { "." } else { &self.path })
    }

    /// Returns the texts of all policy files at the place, by names such as `main:policies/a.cedar`.
    pub(crate) fn texts(&self) -> Result<Vec<(String, String)>, Failure> {
        let object = format!("{}:{}", self.revision, self.path);
        let id = self.resolved(&object)?;
        let blobs = match git_text(&["cat-file", "-t", &id])?.trim() {
            "blob" => vec![Blob { id, name: object.clone() }],
            _ => self.listed(&id)?,
        };
        if blobs.is_empty() {
            return Err(Failure::input(format!("there are no policies at `{object}`"))
                .with_help("policies stand in `.cedar` or `.cedar.json` files"));
        }
        read(&blobs)
    }

    fn resolved(&self, object: &str) -> Result<String, Failure> {
        let args = ["rev-parse", "--verify", "--quiet", "--end-of-options", object];
        let id = git_text(&args).map_err(|error| match error {
            Failure::Input { message, .. } if message.starts_with("`git` cannot") => {
                Failure::input(message)
            }
            _ => Failure::input(format!("git knows no `{object}`")).with_help(
                "write `REVISION:PATH` with the path from the root of the repository, or `REVISION:./PATH`",
            ),
        })?;
        let id = id.trim().to_owned();
        let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_id { Ok(id) } else { Err(Failure::input(format!("git knows no `{object}`"))) }
    }

    fn listed(&self, tree: &str) -> Result<Vec<Blob>, Failure> {
        let listing = git_text(&["ls-tree", "-r", "-z", "--full-tree", tree])?;
        let directory = self.path.trim_end_matches('/').trim_start_matches("./");
        let mut blobs = Vec::new();
        for entry in listing.split('\0').filter(|entry| !entry.is_empty()) {
            let Some((meta, path)) = entry.split_once('\t') else { continue };
            let mut words = meta.split(' ');
            let (mode, id) = (words.next().unwrap_or_default(), words.nth(1).unwrap_or_default());
            let is_passed_over = path.split('/').any(|part| is_passed_over(part.as_ref()));
            if is_passed_over || !ENDINGS.iter().any(|ending| path.ends_with(ending)) {
                continue;
            }
            let joined = if directory.is_empty() || directory == "." {
                path.to_owned()
            } else {
                format!("{directory}/{path}")
            };
            let name = format!("{}:{joined}", self.revision);
            if mode == "120000" {
                // Leaving it out could lose a forbid.
                return Err(Failure::input(format!("`{name}` is a symbolic link"))
                    .with_help("links in a commit are not followed: commit the file itself"));
            }
            blobs.push(Blob { id: id.to_owned(), name });
        }
        Ok(blobs)
    }
}

/// Reads blobs in one run of git.
fn read(blobs: &[Blob]) -> Result<Vec<(String, String)>, Failure> {
    let mut child = git(&["cat-file", "--batch"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| unusable(&e))?;
    let ids: String = blobs.iter().map(|blob| format!("{}\n", blob.id)).collect();
    let mut stdin = child.stdin.take().ok_or_else(|| Failure::input("`git` takes no input"))?;
    let writer = std::thread::spawn(move || stdin.write_all(ids.as_bytes()));
    let mut bytes = Vec::new();
    let bound = TOTAL_BYTES as u64 + 1;
    let read = match child.stdout.take() {
        Some(stdout) => stdout.take(bound).read_to_end(&mut bytes),
        None => Ok(0),
    };
    // What is beyond the bound is not waited for.
    let _ = child.kill();
    let _ = child.wait();
    let _ = writer.join();
    read.map_err(|e| unusable(&e))?;
    if bytes.len() > TOTAL_BYTES {
        return Err(Failure::input(format!(
            "the files are larger than {TOTAL_BYTES} bytes together"
        )));
    }
    let mut rest = bytes.as_slice();
    blobs.iter().map(|blob| Ok((blob.name.clone(), next(&mut rest, blob)?))).collect()
}

/// Takes the next blob off what `cat-file --batch` printed.
fn next(rest: &mut &[u8], blob: &Blob) -> Result<String, Failure> {
    let lost = || Failure::input(format!("git cannot read `{}`", blob.name));
    let end = rest.iter().position(|byte| *byte == b'\n').ok_or_else(lost)?;
    let (line, after) = rest.split_at_checked(end).ok_or_else(lost)?;
    let size = std::str::from_utf8(line).ok().and_then(|line| line.strip_prefix(&blob.id));
    let size = size.and_then(|size| size.strip_prefix(" blob ")).and_then(|size| size.parse().ok());
    let size: usize = size.ok_or_else(lost)?;
    let limit = Limits::default().file_bytes;
    if size > limit {
        return Err(Failure::input(format!(
            "`{}` is larger than the limit of {limit} bytes",
            blob.name
        )));
    }
    let text = after.get(1..=size).ok_or_else(lost)?;
    *rest = after.get(size + 2..).unwrap_or_default();
    String::from_utf8(text.to_vec()).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::input(format!("`{}` is not UTF-8 after byte {at}", blob.name))
    })
}

fn git(args: &[&str]) -> Command {
    let mut command = Command::new("git");
    // Nothing of the repository's own configuration is to be run for reading it.
    command
        .args(["--no-pager", "-c", "core.fsmonitor=false", "-c", "core.quotePath=false"])
        .args(args)
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_NO_LAZY_FETCH", "1")
        .env("GIT_TERMINAL_PROMPT", "0");
    command
}

fn git_text(args: &[&str]) -> Result<String, Failure> {
    let mut child = git(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| unusable(&e))?;
    let mut bytes = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(LISTING_BYTES).read_to_end(&mut bytes).map_err(|e| unusable(&e))?;
    }
    let status = child.wait().map_err(|e| unusable(&e))?;
    if !status.success() {
        return Err(Failure::input("git failed"));
    }
    String::from_utf8(bytes).map_err(|_| Failure::input("git printed a name that is not UTF-8"))
}

fn unusable(error: &std::io::Error) -> Failure {
    Failure::input(format!("`git` cannot be run: {error}"))
        .with_help("revisions are read by the `git` command")
}
