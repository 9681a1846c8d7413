//! AuthZEN's [Authorization API 1.0](https://openid.github.io/authzen/), answered by Cedar policies.
//!
//! A [`World`] holds policies with their schema, stored entities, and what AuthZEN's names stand
//! for; [`answer`] takes the body of a request to the body of its answer. [`router`] makes that
//! routes of one's own axum server; [`AuthZen`] is the same for a
//! [`Server`](stagedoor_server::Server), with tokens, reloads, records and bounds: what
//! `stagedoor serve authzen` runs.
//!
//! # What stands for what
//!
//! | AuthZEN | Cedar |
//! |---|---|
//! | `type` of a subject or resource | the entity type of this name, or the [`Mapping`]'s |
//! | `id` | the id |
//! | `name` of an action | the id of the one action that has it in any namespace, or the mapping's |
//! | `properties` of a subject or resource | attributes, laid over those that are stored |
//! | `properties` of an action | `context.action`, or another key of the mapping's, where the schema declares a record there |
//! | `context` | the context |
//!
//! What the schema does not declare is left out, at every depth, and named in the record of the
//! decision: policies that were validated cannot read it. A declared attribute of another type, a
//! context that lacks what is required, and a type or action that is not declared are denials.
//!
//! # Lists
//!
//! A search gives exactly the stored entities, or actions, for which an evaluation says yes,
//! sorted by id or name. An entity that is given and not stored has no results.

mod answer;
mod conformance;
mod datetime;
mod json;
mod keys;
mod mapping;
mod media_type;
mod metadata;
mod names;
mod page;
mod protocol;
mod query;
mod reader;
mod router;
mod search;
mod service;
mod sources;
mod token;
mod world;

pub use keys::{Keys, KeysError};
pub use mapping::{Mapping, MappingError, PropertiesPrecedence};
pub use metadata::{PublicUrl, PublicUrlError};
pub use names::NamesError;
pub use protocol::{AuthZen, AuthZenOptions};
pub use query::BadRequest;
pub use router::{RouterState, router};
pub use service::{Operation, Recording, Reply, answer};
pub use sources::{LoadedWorld, WorldLoader};
pub use token::{TokenError, TokenRules};
pub use world::{World, WorldError};
