//! The engine as a Node.js addon: conversions between JavaScript's values and the engine's,
//! and nothing else.
//!
//! The JavaScript interface is described in `index.d.ts`, which is generated from the items
//! marked `#[napi]` here, and in `wire.d.ts`: what is read and written is the form of
//! `stagedoor-wire`, whose types stand there.
//!
//! Everything that JavaScript hands over is checked: what is wrong becomes an error with a
//! `code` ([`stagedoor_wire::WireError`]), never a panic. A panic would become an error as well.

#![expect(unsafe_code, reason = "Node-API is a C interface, and `#[napi]` expands to calls of it")]

mod access;
mod backstage;
mod decider;
mod decision;
mod engine;
mod entities;
mod failure;
mod json;
mod keys;
mod loading;
mod options;
mod packed;
mod prepared;
mod records;
mod replica;
mod request;
mod rules;
mod testing;
mod text;
mod uid;
mod value;

pub use engine::{Engine, ReloadResult};
pub use entities::Entities;
pub use options::{EngineOptions, SourceText};
pub use prepared::{Action, Principal, ResourceType};
pub use records::{DecisionRecorder, DecisionRecorderOptions};
pub use replica::{OfferedReleaseInput, PolicyReplica, PolicyReplicaOptions};
pub use rules::{compile_rule, set_rule_compiler};
pub use testing::run_policy_test_files;
