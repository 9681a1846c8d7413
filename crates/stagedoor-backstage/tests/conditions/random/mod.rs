//! Random policies, users and catalog entities, the same for the same seed, and what Cedar
//! decides about each of them.
//!
//! The example `condition_cases` writes them as JSON for a comparison with Backstage's own
//! code.

mod cases;
mod entities;
mod policies;
mod seed;

pub(crate) use cases::Cases;
pub(crate) use seed::Seed;
