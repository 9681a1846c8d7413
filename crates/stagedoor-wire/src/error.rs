//! What goes wrong.

use std::fmt;

use serde::{Deserialize, Serialize};
use stagedoor_core::{DecideError, EntitiesError, ListError, LoadError, RequestError};

use crate::problem::{Problem, Severity};

/// Result of what may fail with a [`WireError`].
pub type Result<T> = std::result::Result<T, WireError>;

/// Why something was not done: a stable code, a message, where, and what to do.
///
/// In JavaScript it is thrown as `StagedoorError`, whose `message` names all problems. For policies
/// that do not load, place and help are those of the first of `problems`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[must_use]
pub struct WireError {
    /// Stable code of this kind of error, such as `policy::parse` or `argument::type`.
    pub code: String,
    /// What is wrong, in a line.
    pub error: String,
    /// What to do about it.
    pub help: Option<String>,
    /// The file that is wrong; left out where none is meant, as are the next two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The column in characters, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// Everything that is wrong with policies, schemas and files.
    pub problems: Vec<Problem>,
    /// How many problems more there are.
    pub unreported: usize,
}

impl WireError {
    /// Returns an error without a place.
    pub fn new(code: impl Into<String>, error: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            error: error.into(),
            help: None,
            file: None,
            line: None,
            column: None,
            problems: Vec::new(),
            unreported: 0,
        }
    }

    /// Returns the error of a value that is not what it must be.
    pub fn mistyped(what: impl fmt::Display, expected: impl fmt::Display) -> Self {
        Self::new("argument::type", format!("{what} must be {expected}"))
    }

    /// Returns the error of several problems, with the place of the first that is an error.
    pub fn of_problems(
        code: &str,
        error: impl Into<String>,
        problems: Vec<Problem>,
        unreported: usize,
    ) -> Self {
        let first = problems.iter().find(|problem| problem.severity == Severity::Error);
        let Some(Problem { file, line, column, help, .. }) = first.cloned() else {
            return Self { problems, unreported, ..Self::new(code, error) };
        };
        Self { file, line, column, help, problems, unreported, ..Self::new(code, error) }
    }

    /// Adds what to do about it.
    pub fn with_help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// Adds the file that is wrong.
    pub fn with_file(self, file: impl Into<String>) -> Self {
        Self { file: Some(file.into()), ..self }
    }

    /// Says in which argument or field it is.
    pub fn within(self, place: impl fmt::Display) -> Self {
        Self { error: format!("{place}: {}", self.error), ..self }
    }

    /// Returns what is wrong with all problems, a line each.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = self.error.clone();
        let errors = self.problems.iter().filter(|each| each.severity == Severity::Error);
        for Problem { file, line, column, message, code, .. } in errors {
            text.push_str("\n  ");
            let place = [file.clone(), line.map(|n| n.to_string()), column.map(|n| n.to_string())];
            let place: Vec<String> = place.into_iter().flatten().collect();
            if !place.is_empty() {
                text.push_str(&place.join(":"));
                text.push_str(": ");
            }
            text.push_str(&format!("{message} ({code})"));
        }
        if self.unreported > 0 {
            text.push_str(&format!("\n  and at least {} more", self.unreported));
        }
        text
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)
    }
}

impl std::error::Error for WireError {}

impl From<&LoadError> for WireError {
    fn from(error: &LoadError) -> Self {
        let problems: Vec<Problem> = error.problems().iter().map(Problem::from).collect();
        let first = problems.iter().find(|problem| problem.severity == Severity::Error);
        let code = first.map_or("policies::load", |problem| problem.code.as_str()).to_owned();
        // The first line; the others are the problems.
        let summary = error.to_string().lines().next().unwrap_or_default().to_owned();
        Self::of_problems(&code, summary, problems, error.unreported())
    }
}

impl From<LoadError> for WireError {
    fn from(error: LoadError) -> Self {
        Self::from(&error)
    }
}

impl From<DecideError> for WireError {
    fn from(error: DecideError) -> Self {
        match error {
            DecideError::Request(error) => error.into(),
            DecideError::Entities(error) => error.into(),
            other => Self::new(other.code(), other.to_string()),
        }
    }
}

impl From<RequestError> for WireError {
    fn from(error: RequestError) -> Self {
        let told = Self::new(error.code(), error.to_string());
        match error {
            RequestError::EntityUid { .. } => {
                told.with_help("write `Type::\"id\"`, such as `User::\"alice\"`, or {type, id}")
            }
            _ => told,
        }
    }
}

impl From<EntitiesError> for WireError {
    fn from(error: EntitiesError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<ListError> for WireError {
    fn from(error: ListError) -> Self {
        match error {
            ListError::Decide(error) => error.into(),
            other => Self::new("argument::type", other.to_string()),
        }
    }
}
