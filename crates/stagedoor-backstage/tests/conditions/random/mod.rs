//! Random policies, users, catalog entities and resources of the scaffolder, the same for the same seed, and what Cedar
//! decides about each of them.
//!
//! The example `condition_cases` writes them as JSON for a comparison with Backstage's own
//! code.

mod cases;
mod entities;
mod policies;
mod scaffolder;
mod seed;

pub(crate) use cases::Cases;
pub(crate) use scaffolder::cases as scaffolder_cases;
pub(crate) use seed::Seed;
