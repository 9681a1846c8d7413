//! Findings for other programs.

mod github;
mod sarif;

pub use github::{github, github_unusable};
pub use sarif::{sarif, sarif_unusable};

/// Something that keeps policies from being looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// A stable code.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// The file, if one is meant.
    pub file: Option<String>,
    /// The line, from 1.
    pub line: Option<usize>,
}
