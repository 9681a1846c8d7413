//! Custom rules in WebAssembly: load, limit and call components that guard Cedar policies.
//!
//! [`WasmRules`] implements [`RuleEvaluator`](stagedoor_core::RuleEvaluator) for a directory
//! of components that follow the contract in the SDK's `wit/` folder. A rule imports nothing,
//! runs in a fresh instance for every call, and is cut off at its [`RuleLimits`]: whatever it
//! does, the caller gets an answer or a [`WasmRuleError`] in bounded time and memory.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use stagedoor_core::Engine;
//! use stagedoor_rule_host::{HostConfig, RuleHost, WasmRules};
//! use stagedoor_source::FromFiles as _;
//!
//! let host = RuleHost::new(&HostConfig::default())?;
//! let rules = WasmRules::load(&host, "policies/rules")?;
//! let engine = Engine::builder().directory("policies").rules(Arc::new(rules)).build()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod arguments;
mod cache;
mod call;
mod contract;
mod deadline;
mod description;
mod error;
mod gate;
mod guard;
mod host;
mod inspect;
mod limits;
mod request;
mod rule;
mod rules;
mod ticker;
mod to_wire;

pub use cache::CacheError;
pub use error::{WasmRuleError, WasmRuleLoadError};
pub use host::{HostConfig, HostError, RuleHost};
pub use inspect::Contents;
pub use limits::{ComponentLimits, RuleLimits};
pub use rule::{Evaluated, WasmRule};
pub use rules::{WasmRules, WasmRulesError};
