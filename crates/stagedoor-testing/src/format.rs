//! Reports as other programs read them.

mod github;
mod junit;
mod tap;
mod text;

pub use github::github;
pub use junit::junit;
pub use tap::tap;
pub use text::{failure, failures};
