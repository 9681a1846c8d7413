//! What all rules share: the compiler, the pool of instances, the clock and the cache.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::Linker;
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig,
    WasmBacktraceDetails,
};

use crate::cache::{Cache, CacheError};
use crate::call::State;
use crate::error::causes;
use crate::gate::Gate;
use crate::limits::ComponentLimits;
use crate::ticker::Ticker;

/// Stack of a rule, on the stack of the thread that calls it.
pub(crate) const STACK_BYTES: usize = 512 << 10;
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
    /// the largest memory: 16 × 4 × 16 MiB = 1 GiB, of which a few MiB are used.
    pub concurrency: usize,
    /// The longest that a call waits for its turn (20 ms).
    pub patience: Duration,
    /// The largest memory that a rule may be allowed (16 MiB), in bytes.
    pub memory_bytes: usize,
    /// The most elements that a rule's table may have (100,000).
    pub table_elements: usize,
    /// What a component may be.
    pub component: ComponentLimits,
    /// A directory of this user's own for compiled rules; none compiles them at each start.
    pub cache: Option<PathBuf>,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            concurrency: 16,
            patience: Duration::from_millis(20),
            memory_bytes: 16 << 20,
            table_elements: 100_000,
            component: ComponentLimits::default(),
            cache: None,
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
}

/// Failure to make a host.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
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
pub struct RuleHost(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) engine: Engine,
    /// Empty: a rule imports nothing.
    pub(crate) linker: Linker<State>,
    pub(crate) gate: Gate,
    pub(crate) ticker: Ticker,
    pub(crate) cache: Option<Cache>,
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
        Ok(Self(Arc::new(Shared {
            ticker: Ticker::start(engine.clone()).map_err(HostError::Ticker)?,
            linker: Linker::new(&engine),
            gate: Gate::new(config.concurrency),
            engine,
            cache,
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

    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        // A reservation of 4 GiB a memory, which is the default, would take 100 GB of
        // addresses; bounds are checked instead.
        .memory_reservation(host.memory_bytes as u64)
        .memory_guard_size(0)
        .memory_reservation_for_growth(0)
        .max_wasm_stack(STACK_BYTES)
        .epoch_interruption(true)
        .consume_fuel(true)
        // The same bits on every machine.
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false)
        .wasm_backtrace_max_frames(None)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .generate_address_map(false);
    Ok(config)
}
