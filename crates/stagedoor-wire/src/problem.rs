//! Problems of policies, schemas and files.

use serde::{Deserialize, Serialize};

/// How much a problem matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It keeps the policies from being loaded.
    Error,
    /// Loading goes on.
    Warning,
}

impl From<stagedoor_core::Severity> for Severity {
    fn from(severity: stagedoor_core::Severity) -> Self {
        match severity {
            stagedoor_core::Severity::Error => Self::Error,
            stagedoor_core::Severity::Warning => Self::Warning,
        }
    }
}

/// One thing that is wrong with policies, schemas or files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Problem {
    /// Whether it keeps the policies from being loaded.
    pub severity: Severity,
    /// Stable code of this kind of problem, such as `policy::parse`.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// The file, or the name that was given for the text.
    pub file: Option<String>,
    /// Which document of a file of several, from 1; left out elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<usize>,
    /// The line, from 1.
    pub line: Option<usize>,
    /// The column in characters, from 1.
    pub column: Option<usize>,
    /// What to do about it.
    pub help: Option<String>,
    /// Id of the policy that is meant.
    pub policy: Option<String>,
}

impl Problem {
    /// Returns a problem without a place.
    #[must_use]
    pub fn new(severity: Severity, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            severity,
            code: code.into(),
            message: message.into(),
            file: None,
            document: None,
            line: None,
            column: None,
            help: None,
            policy: None,
        }
    }
}

impl From<&stagedoor_core::Problem> for Problem {
    fn from(problem: &stagedoor_core::Problem) -> Self {
        Self {
            severity: problem.severity().into(),
            code: problem.code().to_owned(),
            message: problem.message().to_owned(),
            file: problem.file().map(str::to_owned),
            document: None,
            line: problem.line(),
            column: problem.column(),
            help: problem.help().map(str::to_owned),
            policy: problem.policy().map(str::to_owned),
        }
    }
}
