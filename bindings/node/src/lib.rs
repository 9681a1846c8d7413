//! The engine as a Node.js addon: conversions between JavaScript's values and the engine's,
//! and nothing else.
//!
//! The JavaScript interface is described in `index.d.ts`, which is generated from the items
//! marked `#[napi]` here.
//!
//! Everything that JavaScript hands over is checked: what is wrong becomes an error with a
//! `code` ([`StagedoorError`]), never a panic. A panic would become an error as well.

#![expect(unsafe_code, reason = "Node-API is a C interface, and `#[napi]` expands to calls of it")]

mod backstage;
mod decider;
mod decision;
mod engine;
mod entities;
mod explanation;
mod failure;
mod loading;
mod options;
mod prepared;
mod request;
mod testing;
mod text;
mod uid;
mod value;

pub use backstage::{BackstageAnswer, BackstageCriteria, BackstagePermission, BackstageUser};
pub use decision::{BatchFailure, Decision, PolicyFailure};
pub use engine::{Engine, Reloaded};
pub use entities::{Entities, EntityInput};
pub use explanation::{Clause, Explanation, NearPermit, PolicyExplanation};
pub use failure::{Problem, StagedoorError};
pub use options::{EngineOptions, SourceText};
pub use prepared::{Action, Principal, ResourceType};
pub use request::RequestInput;
pub use testing::run_policy_test_files;
pub use uid::EntityUidInput;
