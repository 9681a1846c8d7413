//! What an instance of a rule has taken, and may take.

use wasmtime::ResourceLimiter;

use crate::error::LimitExceeded;

/// What a store knows of its instance: what it has taken, and may take.
pub(crate) struct State {
    pub(crate) memory: usize,
    pub(crate) table: usize,
    pub(crate) memory_limit: usize,
    pub(crate) table_limit: usize,
}

impl ResourceLimiter for State {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // INVARIANT: the sum over all memories of the instance, of which this is one.
        let taken = self.memory.saturating_sub(current).saturating_add(desired);
        if taken > self.memory_limit {
            return Err(LimitExceeded::Memory.into());
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
            return Err(LimitExceeded::Table.into());
        }
        let fits = maximum.is_none_or(|maximum| desired <= maximum);
        if fits {
            self.table = taken;
        }
        Ok(fits)
    }
}
