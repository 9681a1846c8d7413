//! What programs read and write: one JSON form for the command, the addon for Node, the
//! WebAssembly package and the harness.
//!
//! Answers are made [`From`] what `stagedoor-core` returns; requests and entities are read by
//! [`RequestInput`] and [`EntityInput`]. Whatever goes wrong becomes a [`WireError`] with a stable
//! code; each crate with errors of its own says there what theirs become. Keys of what is read are
//! checked: an unknown one is an error that names the nearest. Keys of what is written that may be
//! left out say so; all others are always there, and `null` where there is nothing.
//!
//! With the feature `schema`, [`schema::json_schema`] and [`schema::typescript`] are the form as a
//! JSON Schema and as types of TypeScript.
//!
//! # Examples
//!
//! ```
//! use stagedoor_core::{Engine, Entities};
//! use stagedoor_wire::{Decision, RequestInput};
//!
//! let engine = Engine::builder()
//!     .schema("s.cedarschema", "entity U; action go appliesTo { principal: U, resource: U };")
//!     .policies("p.cedar", r#"@id("all") permit(principal, action, resource);"#)
//!     .build()?;
//! let json = r#"{"principal": "U::\"a\"", "action": "Action::\"go\"", "resource": "U::\"b\""}"#;
//! let (request, entities) = RequestInput::from_json(json)?.read(&engine, &Entities::empty())?;
//! let decision = Decision::from(&engine.decide(&request, &entities)?);
//! let written = serde_json::to_value(&decision)?;
//! assert_eq!(written["decision"], "allow");
//! assert_eq!(written["reasons"][0], "all");
//!
//! let misspelt = RequestInput::from_json(&json.replace("resource", "ressource"));
//! let told = misspelt.map_err(|error| error.error).err();
//! assert_eq!(told.as_deref(), Some("unknown key `ressource`: did you mean `resource`?"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod backstage;
mod decision;
mod error;
mod explanation;
mod input;
mod keys;
mod problem;
mod query;
pub mod sarif;
#[cfg(feature = "schema")]
pub mod schema;
mod uid;
mod value;

pub use backstage::{
    BackstageAnswer, BackstageCondition, BackstageCriteria, BackstageDecision, BackstageGroup,
    BackstageOwner, BackstageParam, BackstagePermission, BackstageResidual, BackstageUser,
    PermissionAttributes, ResidualApplies,
};
pub use decision::{Decision, Effect, GuardOutcome, GuardVerdict, PolicyFailure, Verdict};
pub use error::{Result, WireError};
pub use explanation::{
    Alternative, Change, Clause, Counterfactual, Explanation, MetValue, NearPermit,
    PolicyExplanation, PolicyIndex, PolicyStatus, Relation,
};
pub use input::{EntityInput, RequestInput};
pub use problem::{Problem, Severity};
pub use query::{Holds, List, ListEntry, ListRefusal, PolicyResidual, QueryAnswer, QueryInput};
pub use uid::{EntityUidInput, Uid};
