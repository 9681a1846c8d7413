//! One call of a rule: a fresh instance under its limits.

use stacker::maybe_grow;
use wasmtime::{PoolConcurrencyLimitError, ResourceLimiter, Store, Trap};

use crate::contract::{Rule, RulePre};
use crate::deadline::Allowance;
use crate::error::{Beyond, WasmRuleError, causes};
use crate::host::{STACK_BYTES, Shared};
use crate::limits::RuleLimits;

/// Room for the host's own frames below a rule's stack.
const HOST_STACK_BYTES: usize = 256 << 10;

/// What a store knows of its instance: what it has taken, and may take.
pub(crate) struct State {
    memory: usize,
    table: usize,
    memory_limit: usize,
    table_limit: usize,
}

impl ResourceLimiter for State {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let taken = self.memory.saturating_sub(current).saturating_add(desired);
        if taken > self.memory_limit {
            return Err(Beyond::Memory.into());
        }
        // What the module itself declares is no failure: growing returns -1.
        let fits = maximum.is_none_or(|maximum| desired <= maximum);
        if fits {
            self.memory = taken;
        }
        Ok(fits)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let taken = self.table.saturating_sub(current).saturating_add(desired);
        if taken > self.table_limit {
            return Err(Beyond::Table.into());
        }
        let fits = maximum.is_none_or(|maximum| desired <= maximum);
        if fits {
            self.table = taken;
        }
        Ok(fits)
    }
}

/// Calls a function of a fresh instance. Returns what it gave back, and the fuel it took.
pub(crate) fn call<R>(
    host: &Shared,
    rule: &RulePre<State>,
    limits: &RuleLimits,
    function: impl FnOnce(&Rule, &mut Store<State>) -> wasmtime::Result<R>,
) -> Result<(R, u64), WasmRuleError> {
    let patience = host.config.patience;
    let _place = host.gate.enter(patience).ok_or(WasmRuleError::Busy(patience))?;
    let _running = host.ticker.run();
    maybe_grow(STACK_BYTES + HOST_STACK_BYTES, 2 * (STACK_BYTES + HOST_STACK_BYTES), || {
        let mut store = store(host, limits).map_err(|e| not_instantiated(e, limits, host))?;
        let instance =
            rule.instantiate(&mut store).map_err(|e| not_instantiated(e, limits, host))?;
        let given = function(&instance, &mut store).map_err(|e| failed(e, limits))?;
        let left = store.get_fuel().unwrap_or_default();
        Ok((given, limits.fuel.saturating_sub(left)))
    })
}

fn store(host: &Shared, limits: &RuleLimits) -> wasmtime::Result<Store<State>> {
    let state = State {
        memory: 0,
        table: 0,
        memory_limit: limits.memory_bytes,
        table_limit: limits.table_elements,
    };
    let mut store = Store::new(&host.engine, state);
    store.limiter(|state| state);
    store.set_fuel(limits.fuel)?;
    store.set_hostcall_fuel(limits.output_bytes);
    let mut allowance = Allowance::begin(limits.deadline);
    store.set_epoch_deadline(allowance.first());
    store.epoch_deadline_callback(move |_| Ok(allowance.passed()));
    Ok(store)
}

fn not_instantiated(error: wasmtime::Error, limits: &RuleLimits, host: &Shared) -> WasmRuleError {
    if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
        return WasmRuleError::Busy(host.config.patience);
    }
    limit(&error, limits)
        .unwrap_or_else(|| WasmRuleError::NotInstantiated(causes(&error), error.into()))
}

fn failed(error: wasmtime::Error, limits: &RuleLimits) -> WasmRuleError {
    if let Some(error) = limit(&error, limits) {
        return error;
    }
    match error.downcast_ref::<Trap>() {
        Some(trap) => WasmRuleError::Trapped(trap.to_string(), error.into()),
        None => WasmRuleError::BadOutput(causes(&error), error.into()),
    }
}

/// Returns the limit that a rule ran into, if it did.
fn limit(error: &wasmtime::Error, limits: &RuleLimits) -> Option<WasmRuleError> {
    if let Some(beyond) = error.downcast_ref::<Beyond>() {
        return Some(beyond.error(limits));
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
