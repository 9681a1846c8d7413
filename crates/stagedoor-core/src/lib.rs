//! Cedar policy set, schema and entities in; decision, determining policies and reasons out.
//!
//! The [`Engine`] decides as [Cedar](https://www.cedarpolicy.com) does, without walking
//! all policies for each request, and fails closed where Cedar would skip a `forbid`
//! that it cannot evaluate. It knows nothing of a platform: the crates
//! `stagedoor-backstage` and `stagedoor-kubernetes` bring the words.
//!
//! # Cedar's types
//!
//! Ids, types of entities, effects, decisions and schemas are `cedar_policy`'s own and re-exported
//! here, so that they pass to and from a program that uses Cedar. [`PolicyInfo::tree`],
//! [`QueryCondition`], [`expr`], [`Trial`] and [`Variants`] show trees of `cedar_policy_core`'s
//! [`ast`], for crates that analyse policies. Cedar is pinned to one exact release
//! (`=4.14.1`), as its syntax trees and partial evaluation may change in any. Cargo allows one release
//! of 4.x in a build: a program that names `cedar-policy` itself asks for that one, and one that does
//! not need it takes the types from here.
//!
//! # Serde
//!
//! [`Value`], [`Extension`], [`Request`], [`Entity`] and [`Entities`] are written and read in Cedar's
//! JSON form. [`Outcome`], [`Ruling`], [`Explanation`], [`Problem`] and [`LoadError`] are written in
//! the form that all faces answer in, of which `stagedoor-wire` has a JSON Schema.
//!
//! ```
//! use stagedoor_core::{Entity, Value};
//!
//! let entity = Entity::new(r#"User::"ana""#.parse()?).with_attribute("level", 3);
//! let json = serde_json::to_string(&entity)?;
//! assert_eq!(json, r#"{"uid":{"type":"User","id":"ana"},"attrs":{"level":3},"parents":[]}"#);
//! assert_eq!(serde_json::from_str::<Entity>(&json)?, entity);
//! assert!(serde_json::from_str::<Value>(r#"{"__extn": {"fn": "ip", "arg": "300.0.0.1"}}"#).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod answer_json;
mod builder;
mod by_schema;
mod columns;
mod compiled;
mod condition_cache;
mod conformance;
mod context;
mod decide;
mod deferred;
mod edit;
mod engine;
mod entities;
mod entity;
mod entity_loader;
mod error;
mod evaluate;
mod explain;
pub mod expr;
mod extension;
mod from_serde;
mod glob;
mod ground;
mod guard;
mod handles;
mod hash;
mod hierarchy;
mod holder;
mod index;
mod ir;
mod json;
mod ledger;
mod limits;
mod load;
mod lookup;
mod lower;
mod namespaces;
mod node;
mod number;
mod outcome;
mod parse;
mod partial;
mod path_set;
mod policy;
mod policy_list;
mod prepared;
mod problem;
mod query;
mod reason;
mod request;
mod residual;
mod shadow;
mod snapshot;
mod source;
mod stack;
mod statement;
mod statistics;
mod subset;
mod symbols;
mod text;
mod trial;
mod unknown;
mod validation;
mod value;

pub use builder::{EngineBuilder, TemplateLink};
pub use cedar_policy::{Decision, Effect, EntityId, EntityTypeName, EntityUid, Schema};
pub use cedar_policy_core::ast;
pub use deferred::{
    ConditionalEngine, ConditionalError, ConditionalOutcome, ConditionalResidual,
    DeferredCondition, DeferredConditionError,
};
pub use edit::PolicyEdit;
pub use engine::Engine;
pub use entities::Entities;
pub use entity::Entity;
pub use entity_loader::EntityLoader;
pub use error::{DecideError, EntitiesError, RequestError, ValueError};
pub use explain::{
    Change, ChangedTo, Counterfactual, Explanation, FailedClause, HeldAlternative, HeldClause,
    MetValue, NearPermit, PolicyExplanation, PolicyStatus,
};
pub use extension::{Extension, ExtensionType};
pub use guard::{
    Guard, GuardAnswer, GuardFailure, GuardInfo, GuardInputs, GuardOutcome, GuardRefusal,
    GuardVerdict, RuleEvaluator, RuleReference,
};
pub use holder::EngineHolder;
#[doc(hidden)]
pub use json::Unambiguous as UniqueJson;
pub use limits::{Limits, UnknownLimit};
pub use namespaces::{declared_entity_types, has_policies, names_namespace};
pub use outcome::{Outcome, PolicyError, Ruling};
pub use parse::{entity_uid, uid};
pub use policy::PolicyInfo;
pub use prepared::{
    Action, ContextType, ContextValues, PreparedRequest, Principal, Resource, ResourceType,
    StoredResource,
};
pub use problem::{LoadError, Problem, Severity};
pub use query::{
    EntityIndex, ListEntry, ListError, ListPage, Page, PartialContext, Party, Query, QueryAnswer,
    QueryCondition, QueryResidual,
};
pub use reason::{nearest_name, plain_reason, unknown_key};
#[doc(hidden)]
pub use reason::{of_uid as uid_json_reason, of_uid_text as uid_reason, value_reason};
pub use request::Request;
pub use residual::{Residual, ResidualCondition};
pub use shadow::DifferenceSink;
pub use source::{SourceKind, without_byte_order_mark};
pub use statistics::Statistics;
pub use text::{count_of, is_unsafe, printable, single_line};
pub use trial::{PolicyVerdict, ScopeTable, ScopeTruths, Trial, Variants, Verdicts};
pub use value::{Record, Value, ValueRef, serialize_record};
