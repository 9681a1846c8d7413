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
//! use stagedoor_rule_host::{ChildCompiler, Compiler, HostConfig, RuleHost, WasmRules};
//! use stagedoor_source::FromFiles as _;
//!
//! // A program that compiles rules calls `run_compiler` when it is started as the compiler.
//! if std::env::args().any(|argument| argument == "compile-rule") {
//!     stagedoor_rule_host::run_compiler(std::io::stdin(), std::io::stdout())?;
//!     return Ok(());
//! }
//! let compiler = ChildCompiler::this_program(["compile-rule"]);
//! let compiler = compiler.map_or(Compiler::None, Compiler::Child);
//! let host = RuleHost::new(&HostConfig::default().with_compiler(compiler))?;
//! let rules = WasmRules::load(&host, "policies/rules")?;
//! let engine = Engine::builder().directory("policies").rules(Arc::new(rules)).build()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod arguments;
mod cache;
mod call;
mod code_memory;
mod compile;
mod compiler;
mod contract;
mod cpu_deadline;
mod description;
mod engine;
mod epoch;
mod error;
mod files;
mod guard;
mod host;
mod inspect;
mod instance_limits;
mod limits;
mod limits_file;
mod loader;
mod lock;
mod precompiled;
mod request;
mod rule;
mod rules;
mod seal;
mod semaphore;
mod settings;
mod to_wire;
mod turns;

pub use cache::CacheError;
pub use compile::run_compiler;
pub use compiler::{ChildCompiler, Compiler};
pub use error::{WasmRuleError, WasmRuleLoadError, WasmRulesError};
pub use host::{HostConfig, HostError, RuleHost};
pub use inspect::Contents;
pub use limits::{CompileLimits, ComponentLimits, RuleLimits};
pub use loader::RuleLoader;
pub use lock::{LOCK_FILE, RuleLock};
pub use rule::{RuleVerdict, WasmRule};
pub use rules::{UnusableRule, WasmRules};
pub use settings::HostSettings;
