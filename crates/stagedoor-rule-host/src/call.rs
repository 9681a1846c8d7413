//! One call of a rule: a fresh instance under its limits.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use stacker::maybe_grow;
use wasmtime::component::Instance;
use wasmtime::{PoolConcurrencyLimitError, Store, Trap, WasmBacktrace};

use crate::contract::LinkedRule;
use crate::cpu_deadline::{CpuBudget, processor_time};
use crate::engine::STACK_BYTES;
use crate::error::{LimitExceeded, WasmRuleError, causes};
use crate::host::Shared;
use crate::instance_limits::State;
use crate::limits::RuleLimits;
use crate::semaphore::{Permit, Semaphore};

/// Room for the host's own frames below a rule's stack.
const HOST_STACK_BYTES: usize = 256 << 10;

/// A rule whose calls take so much processor time is slow.
const SLOW: Duration = Duration::from_millis(1);

/// The turns of one rule. One that is slow runs on half of the processors at a time, so that it leaves
/// the others to the rest, and lets no more wait than come to their turn in time.
#[derive(Debug)]
pub(crate) struct Turns {
    semaphore: Semaphore,
    at_a_time: usize,
    /// Processor time of a call, in nanoseconds: the longest of late, fading. Not the time by the
    /// clock, in which a busy machine may have done other things.
    took: AtomicU64,
}

impl Turns {
    pub(crate) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let at_a_time = processors.div_ceil(2);
        Self { semaphore: Semaphore::new(at_a_time), at_a_time, took: AtomicU64::new(0) }
    }

    /// Waits for a turn, if the rule is slow.
    ///
    /// # Errors
    ///
    /// At once if it would not come in time.
    fn acquire(&self, timeout: Duration, calls: usize) -> Result<Option<Permit<'_>>, Busy> {
        let took = Duration::from_nanos(self.took.load(Ordering::Relaxed));
        if took < SLOW {
            return Ok(None);
        }
        let in_time = timeout.as_nanos() / took.as_nanos() * self.at_a_time as u128;
        let most = calls.saturating_sub(self.at_a_time);
        let waiters = usize::try_from(in_time).map_or(most, |in_time| in_time.min(most));
        self.semaphore.acquire_among(timeout, waiters).map(Some).ok_or(Busy)
    }

    fn took(&self, begun: Option<Duration>) {
        let (Some(begun), Some(now)) = (begun, processor_time()) else { return };
        let time = u64::try_from(now.saturating_sub(begun).as_nanos()).unwrap_or(u64::MAX);
        let before = self.took.load(Ordering::Relaxed);
        // A lost update of another thread makes no difference that matters.
        self.took.store(time.max(before - before / 16), Ordering::Relaxed);
    }
}

/// No turn comes in time.
struct Busy;

/// Calls a function of a fresh instance. Returns what it gave back, and the fuel it took.
pub(crate) fn call<R>(
    host: &Shared,
    rule: &LinkedRule,
    turns: &Turns,
    limits: &RuleLimits,
    function: impl FnOnce(&Instance, &mut Store<State>) -> wasmtime::Result<R>,
) -> Result<(R, u64), WasmRuleError> {
    let timeout = host.config.acquire_timeout;
    let busy = || WasmRuleError::Busy(timeout);
    // INVARIANT: held until the instance is gone, so that the pool has a place for everyone who has a
    // permit, and one rule leaves half of the processors to the others.
    let _turn = turns.acquire(timeout, limits.calls).map_err(|Busy| busy())?;
    let _permit = host.semaphore.acquire(timeout).ok_or_else(busy)?;
    let _running = host.ticker.run();
    let begun = processor_time();
    let called =
        maybe_grow(STACK_BYTES + HOST_STACK_BYTES, 2 * (STACK_BYTES + HOST_STACK_BYTES), || {
            // INVARIANT: an instance serves one call: nothing that a rule learns of one request is
            // there for the next.
            let mut store = store(host, limits).map_err(|e| not_instantiated(e, limits, host))?;
            let instance =
                rule.instantiate(&mut store).map_err(|e| not_instantiated(e, limits, host))?;
            let given = function(&instance, &mut store).map_err(|e| failed(e, limits))?;
            let left = store.get_fuel().unwrap_or_default();
            Ok((given, limits.fuel.saturating_sub(left)))
        });
    turns.took(begun);
    called
}

fn store(host: &Shared, limits: &RuleLimits) -> wasmtime::Result<Store<State>> {
    let state = State {
        memory: 0,
        table: 0,
        memory_limit: limits.memory_bytes,
        table_limit: limits.table_elements,
    };
    let mut store = Store::new(&host.engine, state);
    // INVARIANT: all bounds stand before the rule's first instruction: its start function is its code
    // as well.
    store.limiter(|state| state);
    store.set_fuel(limits.fuel)?;
    store.set_hostcall_fuel(limits.output_bytes);
    let mut budget = CpuBudget::begin(limits.deadline);
    store.set_epoch_deadline(budget.first());
    store.epoch_deadline_callback(move |_| Ok(budget.passed()));
    Ok(store)
}

fn not_instantiated(error: wasmtime::Error, limits: &RuleLimits, host: &Shared) -> WasmRuleError {
    if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
        return WasmRuleError::Busy(host.config.acquire_timeout);
    }
    limit(&error, limits)
        .unwrap_or_else(|| WasmRuleError::NotInstantiated(causes(&error), error.into()))
}

fn failed(error: wasmtime::Error, limits: &RuleLimits) -> WasmRuleError {
    if let Some(error) = limit(&error, limits) {
        return error;
    }
    if let Some(trap) = error.downcast_ref::<Trap>() {
        return WasmRuleError::Trapped(trap.to_string(), error.into());
    }
    // Only what happened while the rule itself ran has a backtrace: it used a handle that it does
    // not have, say. What it gave back is read when it has returned.
    if error.downcast_ref::<WasmBacktrace>().is_some() {
        return WasmRuleError::Trapped(causes(&error), error.into());
    }
    WasmRuleError::BadOutput(causes(&error), error.into())
}

/// Returns the limit that a rule ran into, if it did.
fn limit(error: &wasmtime::Error, limits: &RuleLimits) -> Option<WasmRuleError> {
    if let Some(exceeded) = error.downcast_ref::<LimitExceeded>() {
        return Some(exceeded.error(limits));
    }
    // Wasmtime has no type for this one.
    let output = |cause: &(dyn std::error::Error + 'static)| {
        cause.to_string().starts_with("too much data is being copied")
    };
    if error.chain().any(output) {
        return Some(WasmRuleError::OutputTooLarge(limits.output_bytes));
    }
    match error.downcast_ref::<Trap>()? {
        Trap::Interrupt => Some(WasmRuleError::DeadlineExceeded(limits.deadline)),
        Trap::OutOfFuel => Some(WasmRuleError::OutOfFuel(limits.fuel)),
        Trap::StackOverflow => Some(WasmRuleError::StackOverflow),
        _ => None,
    }
}
