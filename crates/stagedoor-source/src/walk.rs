//! The one walk through a directory.
//!
//! Written here and not taken from `walkdir` or `ignore`, which know the machine's files alone:
//! commits and listings in memory are walked by the same rules.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use stagedoor_core::{Limits, Problem};

use crate::file_system::{EntryKind, FileSystem};
use crate::kind::FileKind;
use crate::lookalike;

/// Directories nest no deeper: mounts may lead in circles.
const DEPTH: usize = 64;
/// A directory with more in it is not a directory of policies.
const ENTRIES: usize = 1_000_000;
/// Directories of this name hold custom rules.
const RULES: &str = "rules";

/// Returns whether what has this name in a directory of policies is no part of it: hidden files
/// and directories, and Node's packages.
#[must_use]
pub fn is_ignored(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".") || name == "node_modules"
}

/// A file that a walk came by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListedFile {
    /// The name, from the root of the walk, with `/` between its parts.
    pub name: String,
    /// The path to read it at.
    pub path: PathBuf,
    /// What it holds, as its name says.
    pub kind: FileKind,
}

/// What a walk came by.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Listing {
    /// The files, sorted by name; those that are nothing by their names are left out.
    pub files: Vec<ListedFile>,
    /// What could not be looked into, or is not read and should be told of.
    pub problems: Vec<Problem>,
}

impl Listing {
    /// Walks through a directory and all below it.
    ///
    /// Hidden names and `node_modules` are passed over. Links to files are followed; a link to a
    /// directory is a problem: following it could go in circles, and leaving it out could lose a
    /// forbid. Pipes, sockets and devices under the name of policies are problems, too.
    ///
    /// # Examples
    ///
    /// ```
    /// use stagedoor_source::{Listing, MemoryFileSystem};
    ///
    /// let files = MemoryFileSystem::default()
    ///     .with_file("p/b/a.cedar", "")
    ///     .with_file("p/b.cedar", "")
    ///     .with_file("p/.git/c.cedar", "")
    ///     .with_link("p/more", "b");
    /// let listing = Listing::of(&files, "p".as_ref());
    /// let names: Vec<_> = listing.files.iter().map(|file| file.name.as_str()).collect();
    /// assert_eq!(names, ["b.cedar", "b/a.cedar"]);
    /// assert_eq!(listing.problems.first().map(|problem| problem.code()), Some("directory::link"));
    /// ```
    #[must_use]
    pub fn of(files: &dyn FileSystem, root: &Path) -> Self {
        Self::matching(files, root, |name| FileKind::of(name) != FileKind::Other)
    }

    /// Returns the files below a directory that are wanted by their base names, as
    /// [`of`](Self::of) does: for what stands in files of other names than those of policies,
    /// such as entities and manifests.
    ///
    /// # Examples
    ///
    /// ```
    /// use stagedoor_source::{Listing, MemoryFileSystem};
    ///
    /// let files = MemoryFileSystem::default().with_file("m/a.yaml", "").with_file("m/b.cedar", "");
    /// let listing = Listing::matching(&files, "m".as_ref(), |name| name.ends_with(".yaml"));
    /// let names: Vec<_> = listing.files.iter().map(|file| file.name.as_str()).collect();
    /// assert_eq!(names, ["a.yaml"]);
    /// ```
    #[must_use]
    pub fn matching(files: &dyn FileSystem, root: &Path, is_wanted: impl Fn(&str) -> bool) -> Self {
        let mut listing = Self::default();
        let mut open = vec![(root.to_owned(), String::new(), 0)];
        let mut seen = 0;
        while let Some((directory, above, depth)) = open.pop() {
            let mut entries = match files.entries(&directory) {
                Ok(entries) => entries,
                Err(error) => {
                    listing.problems.push(unreadable(&files.display(&directory), &error));
                    continue;
                }
            };
            entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            seen += entries.len();
            if depth > DEPTH || seen > ENTRIES {
                let name = files.display(&directory);
                let message = match depth > DEPTH {
                    true => format!("directories nest deeper than {DEPTH}"),
                    false => format!("there are more than {ENTRIES} files"),
                };
                let problem = Problem::error("directory::size", message);
                let help = "give the directory of the policies alone";
                listing.problems.push(problem.with_help(help).in_file(&name));
                break;
            }
            for entry in entries {
                if is_ignored(&entry.name) {
                    continue;
                }
                let path = directory.join(&entry.name);
                let name = format!("{above}{}", entry.name.to_string_lossy());
                if entry.kind == EntryKind::Directory {
                    open.push((path, format!("{name}/"), depth + 1));
                } else {
                    let is_wanted = is_wanted(name.rsplit('/').next().unwrap_or(&name));
                    listing.entry(files, path, name, entry.kind, is_wanted);
                }
            }
        }
        // By the whole name: the order decides how policies without a name are called, and is
        // that of a bundle's files.
        listing.files.sort_unstable();
        listing
    }

    fn entry(
        &mut self,
        files: &dyn FileSystem,
        path: PathBuf,
        name: String,
        entry: EntryKind,
        is_wanted: bool,
    ) {
        let base = name.rsplit('/').next().unwrap_or(&name);
        let kind = FileKind::of(base);
        let metadata = match entry {
            EntryKind::Link => files.metadata(&path).map(|metadata| metadata.kind),
            kind => Ok(kind),
        };
        match metadata {
            Ok(EntryKind::Directory) => self.problems.push(linked_directory(&files.display(&path))),
            Ok(EntryKind::File) => {
                if is_wanted {
                    self.files.push(ListedFile { name, path, kind });
                }
            }
            Ok(_) if !is_wanted => {}
            Ok(_) => self.problems.push(special(&files.display(&path))),
            // A link to nothing may be one to a directory that is not there yet.
            Err(error) if !is_wanted => {
                let problem =
                    Problem::warning("file::link", format!("the link is not followed: {error}"));
                let help = "remove it, or let it lead to a file";
                self.problems.push(problem.with_help(help).in_file(&files.display(&path)));
            }
            Err(error) => self.problems.push(unreadable(&files.display(&path), &error)),
        }
    }

    /// Says what lies here and is not read, though it may be meant as policies.
    pub(crate) fn tell_unread(&mut self, files: &dyn FileSystem, limits: &Limits) {
        for file in &self.files {
            let place = files.display(&file.path);
            let problem = match file.kind {
                FileKind::Lookalike => lookalike::lookalike(&place),
                FileKind::Aside => lookalike::aside(&place),
                FileKind::Bundle => lookalike::bundle(&place),
                FileKind::Json => match files.read(&file.path, limits.file_bytes as u64) {
                    Ok(bytes) if bytes.len() > limits.file_bytes => {
                        lookalike::not_looked_into(&place)
                    }
                    Ok(bytes) if lookalike::holds_policies(&bytes) => {
                        lookalike::policies_by_content(&place)
                    }
                    Ok(_) => continue,
                    Err(error) => {
                        let message = format!("cannot be read: {error}");
                        Problem::warning("file::unread", message).in_file(&place)
                    }
                },
                _ => continue,
            };
            self.problems.push(problem);
        }
    }

    /// Returns the custom rules: `*.wasm` in directories `rules`.
    pub(crate) fn rules(&self) -> impl Iterator<Item = &ListedFile> {
        self.files.iter().filter(|file| {
            let directory = file.path.parent().and_then(Path::file_name);
            file.kind == FileKind::Rule && directory == Some(OsStr::new(RULES))
        })
    }
}

pub(crate) fn unreadable(place: &str, error: &std::io::Error) -> Problem {
    Problem::error("file::read", format!("cannot be read: {error}"))
        .with_help("check the path and its permissions")
        .in_file(place)
}

pub(crate) fn special(place: &str) -> Problem {
    Problem::error("file::special", "not a file, but a pipe, socket or device")
        .with_help("remove it, or give it another name")
        .in_file(place)
}

fn linked_directory(place: &str) -> Problem {
    Problem::error("directory::link", "a symbolic link to a directory is not followed")
        .with_help("give the directory it leads to as a path of its own, or move it here")
        .in_file(place)
}
