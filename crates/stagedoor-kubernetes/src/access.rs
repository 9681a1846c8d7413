//! What an auditor asks of a policy set: who can do this, and what can they do?
//!
//! Policies are simplified with what the question tells, and answered one by one. What depends
//! on things that the question leaves open stays as a condition, in Cedar's words: the answer
//! is then neither yes nor no.

mod describe;
mod facts;
mod policies;
mod remarks;
mod what_can;
mod who_can;

pub use crate::api_resources::api_group_of;
pub use policies::{AccessError, AccessPolicies};
pub use remarks::{PolicyRemark, PolicyRemarkCode};
pub use what_can::{Permission, PermissionEffect};
pub use who_can::{Access, AccessQuestion, AccessSubject, Exception};
