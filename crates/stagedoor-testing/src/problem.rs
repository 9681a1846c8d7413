//! What keeps tests from being run.

use std::fmt;
use std::path::Path;

use serde::Serialize;
use stagedoor_backstage::FileError;
use stagedoor_core::{LoadError, Severity};
use stagedoor_wire::WireError;

/// More problems than this are only counted.
const REPORTED: usize = 100;

/// Something that is wrong with a test file or with what it refers to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Problem {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: Option<u64>,
    /// The column, from 1.
    pub column: Option<u64>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Problem {
    pub(crate) fn new(file: &Path, message: impl Into<String>) -> Self {
        let file = file.display().to_string();
        Self { file, line: None, column: None, message: message.into(), help: None }
    }

    pub(crate) fn at(mut self, place: Position) -> Self {
        // JSON of other formats is read without places, which is told as line 0.
        self.line = Some(place.line).filter(|line| *line > 0);
        self.column = Some(place.column).filter(|column| *column > 0);
        self
    }

    pub(crate) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        for number in self.line.iter().chain(&self.column) {
            write!(f, ":{number}")?;
        }
        write!(f, ": {}", self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

/// A line and a column, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Position {
    pub(crate) line: u64,
    pub(crate) column: u64,
}

impl From<serde_saphyr::Location> for Position {
    fn from(location: serde_saphyr::Location) -> Self {
        Self { line: location.line(), column: location.column() }
    }
}

/// Tests cannot be run. None of them was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TestError {
    problems: Vec<Problem>,
    unreported: usize,
}

impl TestError {
    /// Returns the problems: the first hundred.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Returns how many problems there are beyond those.
    #[must_use]
    pub fn unreported(&self) -> usize {
        self.unreported
    }

    pub(crate) fn add(&mut self, problem: Problem) {
        if self.problems.len() < REPORTED {
            self.problems.push(problem);
        } else {
            self.unreported += 1;
        }
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.unreported += other.unreported;
        other.problems.into_iter().for_each(|problem| self.add(problem));
    }

    /// Returns `value`, unless there are problems.
    pub(crate) fn or<T>(self, value: T) -> Result<T, Self> {
        if self.problems.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl From<Problem> for TestError {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem], unreported: 0 }
    }
}

impl From<&LoadError> for TestError {
    fn from(error: &LoadError) -> Self {
        let mut all = Self { unreported: error.unreported(), ..Self::default() };
        // Warnings beside errors mostly follow from them.
        for problem in error.problems().iter().filter(|p| p.severity() == Severity::Error) {
            all.add(Problem {
                file: problem.file().unwrap_or("(policies)").to_owned(),
                line: problem.line().map(|line| line as u64),
                column: problem.column().map(|column| column as u64),
                message: problem.message().to_owned(),
                help: problem.help().map(str::to_owned),
            });
        }
        all
    }
}

/// What keeps a command from getting as far as the tests: an empty file is meant where none is.
impl From<&WireError> for TestError {
    fn from(error: &WireError) -> Self {
        let number = |number: Option<usize>| number.and_then(|n| u64::try_from(n).ok());
        let mut all = Self { unreported: error.unreported, ..Self::default() };
        let is_error = |problem: &&stagedoor_wire::Problem| {
            problem.severity == stagedoor_wire::Severity::Error
        };
        for problem in error.problems.iter().filter(is_error) {
            all.add(Problem {
                file: problem.file.clone().unwrap_or_default(),
                line: number(problem.line),
                column: number(problem.column),
                message: problem.message.clone(),
                help: problem.help.clone(),
            });
        }
        if all.problems.is_empty() {
            all.add(Problem {
                file: error.file.clone().unwrap_or_default(),
                line: number(error.line),
                column: number(error.column),
                message: error.error.clone(),
                help: error.help.clone(),
            });
        }
        all
    }
}

impl From<FileError> for TestError {
    fn from(error: FileError) -> Self {
        let mut all = Self { unreported: error.unreported(), ..Self::default() };
        for problem in error.problems() {
            all.add(Problem {
                file: problem.file.clone(),
                line: Some(problem.line.into()),
                column: Some(problem.column.into()),
                message: problem.message.clone(),
                help: problem.help.clone(),
            });
        }
        all
    }
}

impl fmt::Display for TestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.problems.iter().enumerate() {
            let end = if number == 0 { "" } else { "\n" };
            write!(f, "{end}{problem}")?;
        }
        match self.unreported {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

impl std::error::Error for TestError {}
