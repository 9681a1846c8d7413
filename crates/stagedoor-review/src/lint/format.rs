//! Findings for other programs.

mod github;
mod sarif;

pub use github::github;
pub use sarif::sarif;
