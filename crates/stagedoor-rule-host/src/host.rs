//! What all rules share: the compiler, the pool of instances, the clock and the cache.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::Linker;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::cache::{Cache, CacheError};
use crate::compiler::Compiler;
use crate::engine::code_config;
use crate::epoch::Ticker;
use crate::error::causes;
use crate::instance_limits::State;
use crate::limits::{CompileLimits, ComponentLimits};
use crate::precompiled::PrecompiledRule;
use crate::turns::Places;

/// Core instances and memories of one component: a TypeScript rule takes 13 and 3.
const CORE_INSTANCES: u32 = 20;
const MEMORIES: u32 = 4;
const TABLES: u32 = 8;
/// Memory of an instance that is kept for the next one, cleared, in bytes: all of that of a
/// TypeScript rule. Giving it back would interrupt all processors that run this process.
///
/// Wasmtime can ask Linux which pages were written, and clear no others. It passes over pages
/// that are swapped out or being moved, which the next call would then read: not done.
const KEPT_BYTES: usize = 2 << 20;

/// How rules are hosted.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HostConfig {
    /// Calls at the same time (16). The pool reserves address space for so many instances of
    /// the largest memory: 16 × 4 × 32 MiB = 2 GiB, of which a few MiB are used.
    pub concurrency: usize,
    /// The longest that a call waits for its turn (20 ms).
    pub acquire_timeout: Duration,
    /// The largest memory that a rule may be allowed (32 MiB), in bytes.
    pub memory_bytes: usize,
    /// The most elements that a rule's table may have (100,000).
    pub table_elements: usize,
    /// What a component may be.
    pub component: ComponentLimits,
    /// What compiles rules (nothing).
    pub compiler: Compiler,
    /// What compiling one may take.
    pub compile: CompileLimits,
    /// A directory of this user's own for compiled rules; none compiles them at each start.
    pub cache: Option<PathBuf>,
    /// A directory of rules that were compiled before, which is trusted as this program is: it and
    /// its files belong to root or this user, and nobody else may write them.
    pub precompiled: Option<PathBuf>,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            concurrency: 16,
            acquire_timeout: Duration::from_millis(20),
            memory_bytes: 32 << 20,
            table_elements: 100_000,
            component: ComponentLimits::default(),
            compiler: Compiler::None,
            compile: CompileLimits::default(),
            cache: None,
            precompiled: None,
        }
    }
}

impl HostConfig {
    /// Sets the directory for compiled rules.
    #[must_use]
    pub fn with_cache(mut self, directory: impl Into<PathBuf>) -> Self {
        self.cache = Some(directory.into());
        self
    }

    /// Returns this user's directory for compiled rules, as the XDG base directories have it, if the
    /// environment tells where it is.
    #[must_use]
    pub fn user_cache() -> Option<PathBuf> {
        let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
        let caches = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
        Some(caches?.join("stagedoor").join("rules"))
    }

    /// Sets what compiles rules.
    #[must_use]
    pub fn with_compiler(mut self, compiler: Compiler) -> Self {
        self.compiler = compiler;
        self
    }

    /// Sets the directory of rules that were compiled before.
    #[must_use]
    pub fn with_precompiled(mut self, directory: impl Into<PathBuf>) -> Self {
        self.precompiled = Some(directory.into());
        self
    }
}

/// Failure to make a host.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// A setting cannot be.
    #[error("{0}")]
    Setting(String),
    /// The settings do not go together, or the machine lacks what they ask for.
    #[error("rules cannot be run: {0}")]
    Engine(String),
    /// The clock's thread could not be started.
    #[error("the clock of rules cannot be started")]
    Ticker(#[source] std::io::Error),
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// Where rules run. Cheap to clone.
#[derive(Clone)]
pub struct RuleHost(pub(crate) Arc<HostState>);

pub(crate) struct HostState {
    pub(crate) engine: Engine,
    /// Empty: a rule imports nothing.
    pub(crate) linker: Linker<State>,
    pub(crate) places: Places,
    pub(crate) ticker: Ticker,
    pub(crate) cache: Option<Cache>,
    pub(crate) precompiled: Option<PrecompiledRule>,
    pub(crate) config: HostConfig,
}

impl RuleHost {
    /// Makes a host.
    ///
    /// # Errors
    ///
    /// [`HostError`] for settings that cannot be met, and for a cache that is not this user's own.
    pub fn new(config: &HostConfig) -> Result<Self, HostError> {
        let refused = |e: wasmtime::Error| HostError::Engine(causes(&e));
        let engine = Engine::new(&engine_config(config)?).map_err(refused)?;
        let cache = match &config.cache {
            Some(directory) => Some(Cache::open(directory, &engine)?),
            None => None,
        };
        let precompiled = config.precompiled.as_deref().map(PrecompiledRule::open).transpose()?;
        Ok(Self(Arc::new(HostState {
            ticker: Ticker::start(engine.clone()).map_err(HostError::Ticker)?,
            linker: Linker::new(&engine),
            places: Places::new(config.concurrency),
            engine,
            cache,
            precompiled,
            config: config.clone(),
        })))
    }

    /// Returns how it was set up.
    #[must_use]
    pub fn config(&self) -> &HostConfig {
        &self.0.config
    }
}

impl fmt::Debug for RuleHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuleHost").field("config", self.config()).finish_non_exhaustive()
    }
}

fn engine_config(host: &HostConfig) -> Result<Config, HostError> {
    let places = u32::try_from(host.concurrency).ok().filter(|n| (1..=1024).contains(n));
    let places = places.ok_or_else(|| {
        HostError::Engine(format!("a concurrency of {} is not from 1 to 1024", host.concurrency))
    })?;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(places)
        .total_core_instances(places * CORE_INSTANCES)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_memories_per_module(MEMORIES)
        .total_memories(places * MEMORIES)
        .max_memory_size(host.memory_bytes)
        .max_tables_per_component(TABLES)
        .max_tables_per_module(TABLES)
        .total_tables(places * TABLES)
        .table_elements(host.table_elements)
        .max_component_instance_size(1 << 20)
        .max_core_instance_size(1 << 20)
        .pagemap_scan(Enabled::No)
        .linear_memory_keep_resident(KEPT_BYTES)
        .table_keep_resident(16 << 10);

    let mut config = code_config(host.memory_bytes);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Ok(config)
}
