//! What is wrong with catalog and permission files, all of it at once.

use std::fmt;

use stagedoor_core::count_of;

use crate::yaml::{Position, YamlError};

/// More problems than this are only counted.
const REPORTED: usize = 100;

/// One thing that keeps a file from being read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileProblem {
    /// The file, as it was named when it was handed over.
    pub file: String,
    /// Which document of the file, counted from 1.
    pub document: usize,
    /// The line, counted from 1.
    pub line: u32,
    /// The column, counted from 1.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, document, line, column, message, help } = self;
        write!(f, "{file}:{line}:{column}: document {document}: {message}")?;
        match help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

/// Failure to read catalog or permission files. Nothing of them is loaded.
///
/// # Examples
///
/// ```
/// use stagedoor_backstage::Catalog;
///
/// let text = "apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata: {}\n";
/// let error = Catalog::from_files([("catalog-info.yaml", text)]).err().ok_or("it was read")?;
/// let problem = error.problems().first().ok_or("no problem")?;
/// assert_eq!((problem.line, problem.message.as_str()), (3, "`name` is missing"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileError {
    problems: Vec<FileProblem>,
    unreported: usize,
}

impl FileError {
    /// Returns the problems: the first hundred, in the order of the files.
    #[must_use]
    pub fn problems(&self) -> &[FileProblem] {
        &self.problems
    }

    /// Returns how many problems there are beyond those.
    #[must_use]
    pub fn unreported(&self) -> usize {
        self.unreported
    }

    /// Returns `value`, unless there are problems.
    pub(crate) fn or<T>(self, value: T) -> Result<T, Self> {
        if self.problems.is_empty() { Ok(value) } else { Err(self) }
    }

    /// Adds a problem that is nowhere in the file but is the file itself.
    pub(crate) fn file(&mut self, file: &str, message: impl Into<String>) {
        let place = Position { line: 1, column: 1 };
        Report { file, document: 1, error: self }.problem(place, message, "");
    }

    pub(crate) fn yaml(&mut self, file: &str, error: YamlError) {
        let mut report = Report { file, document: error.document, error: self };
        report.problem(error.place, error.message, "");
    }

    fn push(&mut self, problem: FileProblem) {
        if self.problems.len() < REPORTED {
            self.problems.push(problem);
        } else {
            self.unreported += 1;
        }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.problems.len() + self.unreported;
        write!(f, "files were not read: {}", count_of(total, "problem", "problems"))?;
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        match self.unreported {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

impl std::error::Error for FileError {}

/// One document, for the problems found in it.
pub(crate) struct Report<'a> {
    pub(crate) file: &'a str,
    pub(crate) document: usize,
    pub(crate) error: &'a mut FileError,
}

impl Report<'_> {
    pub(crate) fn problem(&mut self, place: Position, message: impl Into<String>, help: &str) {
        self.error.push(FileProblem {
            file: self.file.to_owned(),
            document: self.document,
            line: place.line,
            column: place.column,
            message: message.into(),
            help: (!help.is_empty()).then(|| help.to_owned()),
        });
    }
}
