//! Findings for other programs.

mod github;
mod sarif;

pub use github::{github, github_unusable};
pub use sarif::sarif;
