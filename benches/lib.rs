//! The workload that Stagedoor and plain Cedar are timed on, and both engines over it.
//!
//! [`Workload`] makes role grants, users and requests from a seed, so that every run
//! decides the same. [`stagedoor`] and [`cedar`] load its policies and decide its
//! requests; an [`Answer`] of one must equal the other's.

mod answer;
pub mod cedar;
mod export;
mod grants;
mod names;
mod random;
pub mod scenarios;
pub mod stagedoor;
mod workload;

pub use answer::Answer;
pub use export::exported;
pub use grants::{Form, Grant};
pub use workload::{User, Workload, WorkloadRequest};

/// The schema of the workload, in Cedar's syntax.
pub const SCHEMA: &str = include_str!("workload/cluster.cedarschema");

/// The forbids of the workload, in Cedar's syntax.
pub const FORBIDS: &str = include_str!("workload/forbids.cedar");
