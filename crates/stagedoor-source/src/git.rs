//! The files of a commit, read from the repository and never checked out.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::file_system::{DirectoryEntry, EntryKind, FileMetadata, FileSystem, Stamp};
use crate::normalize::normalize_lexically;

/// A commit lists no more than this.
const LISTING_BYTES: u64 = 256 << 20;
/// A link leads to no longer path.
const LINK_BYTES: u64 = 8 << 10;
/// What git says before an object is not longer.
const HEADER_BYTES: u64 = 1 << 10;

/// Failure to read a commit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GitError {
    /// The text names no revision.
    #[error("`{0}` is not a directory, nor a revision")]
    Syntax(String),
    /// The repository has no such revision or path.
    #[error("git knows no `{0}`")]
    Unknown(String),
    /// Git cannot be run.
    #[error("`git` cannot be run: {0}")]
    Unusable(#[source] io::Error),
    /// Git's answer cannot be used.
    #[error("git cannot list `{0}`")]
    Listing(String),
}

impl GitError {
    /// Returns what to do about it.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::Syntax(_) => "write `REVISION:PATH`, such as `main:policies`",
            Self::Unusable(_) => "revisions are read by the `git` command",
            Self::Unknown(_) | Self::Listing(_) => {
                "write `REVISION:PATH` with the path from the root of the repository, or \
                 `REVISION:./PATH`"
            }
        }
    }
}

/// The files of a commit.
///
/// As what is checked out, but for symbolic links and submodules: a link to a file, and a
/// submodule, cannot be read, and a link to a directory is one. So the walk tells of them.
#[derive(Debug)]
pub struct GitTree {
    /// Where git is run.
    directory: PathBuf,
    revision: String,
    path: PathBuf,
    /// By the path from the root of the repository.
    nodes: BTreeMap<PathBuf, Node>,
    /// Git reading one object after the other, once something was read.
    objects: Mutex<Option<Objects>>,
}

#[derive(Debug, Clone)]
enum Node {
    Blob(String),
    Tree,
    Link(String),
    Submodule,
}

impl GitTree {
    /// Reads `REVISION` or `REVISION:PATH`.
    ///
    /// # Errors
    ///
    /// [`GitError`] if it is none, or git cannot be asked.
    pub fn open(text: &str) -> Result<Self, GitError> {
        Self::open_in(Path::new("."), text)
    }

    /// Reads `REVISION` or `REVISION:PATH` of the repository that a directory lies in.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_in(directory: &Path, text: &str) -> Result<Self, GitError> {
        let (revision, path) = text.split_once(':').unwrap_or((text, "./"));
        if revision.is_empty() || revision.starts_with('-') || text.contains(['\0', '\n']) {
            return Err(GitError::Syntax(text.to_owned()));
        }
        let object = format!("{revision}:{path}");
        let unknown = || GitError::Unknown(object.clone());
        // Also says whether the path is there.
        resolved(directory, &object)?.ok_or_else(unknown)?;
        let root = resolved(directory, &format!("{revision}^{{tree}}"))?.ok_or_else(unknown)?;
        let path = match path.strip_prefix("./") {
            Some(path) => {
                let prefix =
                    git_text(directory, &["rev-parse", "--show-prefix"])?.unwrap_or_default();
                normalize_lexically(Path::new(prefix.trim_end_matches('\n')).join(path))
            }
            None => normalize_lexically(Path::new(path)),
        };
        let listing = git_text(directory, &["ls-tree", "-r", "-t", "-z", "--full-tree", &root])?;
        let listing = listing.ok_or_else(|| GitError::Listing(object.clone()))?;
        let mut nodes = BTreeMap::from([(PathBuf::new(), Node::Tree)]);
        for entry in listing.split('\0').filter(|entry| !entry.is_empty()) {
            let Some((meta, name)) = entry.split_once('\t') else { continue };
            let mut words = meta.split(' ');
            let (mode, id) = (words.next().unwrap_or_default(), words.nth(1).unwrap_or_default());
            let node = match mode {
                "040000" => Node::Tree,
                "120000" => Node::Link(id.to_owned()),
                "160000" => Node::Submodule,
                _ => Node::Blob(id.to_owned()),
            };
            nodes.insert(PathBuf::from(name), node);
        }
        let objects = Mutex::default();
        Ok(Self {
            directory: directory.to_owned(),
            revision: revision.to_owned(),
            path,
            nodes,
            objects,
        })
    }

    /// Returns the path within the commit, from the root of the repository.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn node(&self, path: &Path) -> io::Result<&Node> {
        self.nodes.get(&normalize_lexically(path)).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Returns the bytes of a blob: at most `limit`, and one more if there are more.
    fn blob(&self, id: &str, limit: u64) -> io::Result<Vec<u8>> {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        let mut running = match objects.take() {
            Some(running) => running,
            None => Objects::start(&self.directory)?,
        };
        let (bytes, is_whole) = running.blob(id, limit)?;
        // What is left of one that is too large would be taken for the next.
        if is_whole {
            *objects = Some(running);
        }
        Ok(bytes)
    }

    /// Returns what a link leads to within the commit, through links in any part of it.
    fn target(&self, link: &Path, id: &str) -> io::Result<&Node> {
        let (mut link, mut id) = (normalize_lexically(link), id.to_owned());
        for _ in 0..32 {
            let target = String::from_utf8_lossy(&self.blob(&id, LINK_BYTES)?).into_owned();
            if Path::new(&target).is_absolute() {
                break;
            }
            let path = normalize_lexically(link.parent().unwrap_or(Path::new("")).join(target));
            match self.nodes.get(&path) {
                Some(Node::Link(next)) => (link, id) = (path, next.clone()),
                Some(node) => return Ok(node),
                None => break,
            }
        }
        Err(io::Error::other("it leads out of the commit"))
    }
}

impl FileSystem for GitTree {
    fn metadata(&self, path: &Path) -> io::Result<FileMetadata> {
        let kind = match self.node(path)? {
            Node::Blob(_) => EntryKind::File,
            Node::Tree | Node::Submodule => EntryKind::Directory,
            Node::Link(id) => match self.target(path, id)? {
                Node::Tree | Node::Submodule => EntryKind::Directory,
                // What it leads to is read under its own name.
                _ => EntryKind::File,
            },
        };
        Ok(FileMetadata { kind, size: 0, stamp: Stamp::default() })
    }

    fn entries(&self, directory: &Path) -> io::Result<Vec<DirectoryEntry>> {
        let directory = normalize_lexically(directory);
        match self.node(&directory)? {
            Node::Tree => {}
            Node::Submodule => {
                return Err(io::Error::other("a git submodule is not read: name its directory"));
            }
            _ => return Err(io::ErrorKind::NotADirectory.into()),
        }
        let below = self.nodes.range(directory.clone()..);
        let below = below.take_while(|(path, _)| path.starts_with(&directory));
        let within = below.filter(|(path, _)| path.parent() == Some(&directory));
        let entry = |(path, node): (&PathBuf, &Node)| DirectoryEntry {
            name: path.file_name().map(OsString::from).unwrap_or_default(),
            kind: match node {
                Node::Blob(_) => EntryKind::File,
                Node::Tree | Node::Submodule => EntryKind::Directory,
                Node::Link(_) => EntryKind::Link,
            },
        };
        Ok(within.map(entry).collect())
    }

    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        match self.node(path)? {
            Node::Blob(id) => self.blob(id, limit),
            Node::Link(_) => Err(io::Error::other(
                "it is a symbolic link, and links in a commit are not followed: commit the file \
                 itself",
            )),
            Node::Tree | Node::Submodule => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn display(&self, path: &Path) -> String {
        format!("{}:{}", self.revision, normalize_lexically(path).display())
    }
}

/// Returns the id of an object, if the repository has it.
fn resolved(directory: &Path, object: &str) -> Result<Option<String>, GitError> {
    let args = ["rev-parse", "--verify", "--quiet", "--end-of-options", object];
    let id = git_text(directory, &args)?.map(|id| id.trim().to_owned());
    Ok(id.filter(|id| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_hexdigit())))
}

fn git(directory: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("git");
    // Nothing of the repository's own configuration is to be run for reading it.
    command
        .current_dir(directory)
        .args(["--no-pager", "-c", "core.fsmonitor=false", "-c", "core.quotePath=false"])
        .args(args)
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_NO_LAZY_FETCH", "1")
        .env("GIT_TERMINAL_PROMPT", "0");
    command
}

/// Returns what git prints; `None` if it fails.
fn git_text(directory: &Path, args: &[&str]) -> Result<Option<String>, GitError> {
    let mut child = git(directory, args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(GitError::Unusable)?;
    let mut bytes = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(LISTING_BYTES).read_to_end(&mut bytes).map_err(GitError::Unusable)?;
    }
    let is_whole = (bytes.len() as u64) < LISTING_BYTES;
    if !is_whole {
        // What is beyond the bound is not waited for.
        let _ = child.kill();
    }
    let status = child.wait().map_err(GitError::Unusable)?;
    Ok((status.success() && is_whole).then(|| String::from_utf8_lossy(&bytes).into_owned()))
}

/// `git cat-file --batch`, which is asked for one object after the other.
#[derive(Debug)]
struct Objects {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Objects {
    fn start(directory: &Path) -> io::Result<Self> {
        let mut child = git(directory, &["cat-file", "--batch"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let piped = child.stdin.take().zip(child.stdout.take());
        let (stdin, stdout) = piped.ok_or_else(|| io::Error::other("git has no pipes"))?;
        Ok(Self { child, stdin, stdout: BufReader::new(stdout) })
    }

    /// Returns a blob's first bytes, one more than `limit` if there are more, and whether that is
    /// all of it.
    fn blob(&mut self, id: &str, limit: u64) -> io::Result<(Vec<u8>, bool)> {
        let lost = || io::Error::other("git cannot read it");
        writeln!(self.stdin, "{id}")?;
        self.stdin.flush()?;
        let mut line = String::new();
        self.stdout.by_ref().take(HEADER_BYTES).read_line(&mut line)?;
        let size = line.trim_end().strip_prefix(id).and_then(|size| size.strip_prefix(" blob "));
        let size: u64 = size.and_then(|size| size.parse().ok()).ok_or_else(lost)?;
        let taken = size.min(limit.saturating_add(1));
        let mut bytes = Vec::new();
        let read = self.stdout.by_ref().take(taken).read_to_end(&mut bytes)?;
        if read as u64 != taken {
            return Err(lost());
        }
        if taken < size {
            return Ok((bytes, false));
        }
        self.stdout.read_exact(&mut [0])?;
        Ok((bytes, true))
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        // What is beyond a bound is not waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
