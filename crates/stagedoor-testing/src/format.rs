//! Reports as other programs read them.

mod github;
mod junit;
mod sarif;
mod tap;
mod text;

pub use github::{github, github_problems};
pub use junit::{junit, junit_problems};
pub use sarif::{sarif, sarif_problems};
pub use tap::tap;
pub use text::{failure, failures};
