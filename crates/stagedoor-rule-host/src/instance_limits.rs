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

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        State { memory: 0, table: 0, memory_limit: 100, table_limit: 10 }
    }

    /// What is taken counts for all memories, or tables, together; a bound of the module's own is
    /// no failure.
    #[test]
    fn all_memories_share_one_limit_and_all_tables_another() -> wasmtime::Result<()> {
        let mut state = state();
        assert!(state.memory_growing(0, 60, None)?);
        assert!(!state.memory_growing(10, 20, Some(19))?, "beyond its own");
        assert!(state.memory_growing(0, 40, Some(40))?, "another, up to the limit");
        assert!(state.memory_growing(40, 41, None).is_err());
        assert_eq!(state.memory, 100, "what did not grow takes nothing");
        assert!(state.memory_growing(60, 60, None)?);
        assert!(state.table_growing(0, 6, Some(6))?);
        assert!(!state.table_growing(2, 3, Some(2))?);
        assert!(state.table_growing(0, 4, None)?);
        assert!(state.table_growing(4, 5, None).is_err());
        assert_eq!((state.memory, state.table), (100, 10));
        Ok(())
    }
}
