//! One call of a rule: a fresh instance under its limits.

use std::time::{Duration, Instant};

use stacker::maybe_grow;
use wasmtime::component::Instance;
use wasmtime::{PoolConcurrencyLimitError, Store, Trap, WasmBacktrace};

use crate::contract::LinkedRule;
use crate::cpu_deadline::{CpuBudget, processor_time};
use crate::engine::STACK_BYTES;
use crate::error::{LimitExceeded, WasmRuleError, causes};
use crate::host::HostState;
use crate::instance_limits::State;
use crate::limits::RuleLimits;
use crate::turns::{Busy, SLOW, Turns};

/// Room for the host's own frames below a rule's stack.
const HOST_STACK_BYTES: usize = 256 << 10;

/// Calls a function of a fresh instance. Returns what it gave back, and the fuel it took.
pub(crate) fn call<R>(
    host: &HostState,
    rule: &LinkedRule,
    turns: &Turns,
    limits: &RuleLimits,
    function: impl FnOnce(&Instance, &mut Store<State>) -> wasmtime::Result<R>,
) -> Result<(R, u64), WasmRuleError> {
    let timeout = host.config.acquire_timeout;
    // INVARIANT: held until the instance is gone, so that the pool has a place for everyone who has a
    // turn, and one rule leaves half of the processors to the others.
    let turn = turns.acquire(&host.places, limits.calls, timeout);
    let _turn = turn.map_err(|Busy| WasmRuleError::Busy(timeout))?;
    let _running = host.ticker.run();
    // Asking for the thread's clock takes longer than asking for the one on the wall.
    let (begun, entered) = (processor_time(), Instant::now());
    let called =
        maybe_grow(STACK_BYTES + HOST_STACK_BYTES, 2 * (STACK_BYTES + HOST_STACK_BYTES), || {
            // INVARIANT: an instance serves one call: nothing that a rule learns of one request is
            // there for the next.
            let mut store =
                store(host, limits, begun).map_err(|e| not_instantiated(e, limits, host))?;
            let instance =
                rule.instantiate(&mut store).map_err(|e| not_instantiated(e, limits, host))?;
            let given = function(&instance, &mut store).map_err(|e| failed(e, limits))?;
            let left = store.get_fuel().unwrap_or_default();
            Ok((given, limits.fuel.saturating_sub(left)))
        });
    let passed = entered.elapsed();
    if passed < SLOW {
        turns.took(passed);
    } else if let (Some(begun), Some(now)) = (begun, processor_time()) {
        turns.took(now.saturating_sub(begun));
    }
    called
}

/// Returns a store for a call that began at a processor time of this thread.
fn store(
    host: &HostState,
    limits: &RuleLimits,
    begun: Option<Duration>,
) -> wasmtime::Result<Store<State>> {
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
    let mut budget = CpuBudget::since(limits.deadline, begun);
    store.set_epoch_deadline(budget.first());
    store.epoch_deadline_callback(move |_| Ok(budget.passed()));
    Ok(store)
}

fn not_instantiated(
    error: wasmtime::Error,
    limits: &RuleLimits,
    host: &HostState,
) -> WasmRuleError {
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
