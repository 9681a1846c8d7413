//! What a reviewer of Cedar policies wants to know.
//!
//! - [`diff`]: who gains and who loses what between two policy sets.
//! - [`lint`]: what is wrong with policies though they load.
//! - [`report`]: what a policy set lets whom do, on one page.
//! - [`mod@fmt`]: policies in Cedar's own format.

mod absent_rules;
mod comment;
pub mod diff;
pub mod fmt;
pub mod lint;
mod loading;
mod platform;
mod rbac;
pub mod report;

pub use loading::{LoadingError, Policies};
pub use platform::Platform;
