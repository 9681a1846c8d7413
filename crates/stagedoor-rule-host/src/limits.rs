//! How much a rule may be, and how much it may use.

use std::time::Duration;

/// What one call of a rule may use. Each limit has an error of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuleLimits {
    /// The longest that a call may run (5 ms), told to a millisecond: processor time of its
    /// thread, so that a busy machine fails no rule. By the clock a call is cut after twenty
    /// deadlines at the latest; time in which the machine stands still is not counted.
    pub deadline: Duration,
    /// Units of work that a call may use (10,000,000): about one an instruction, and the same
    /// on every run. Compiling under it costs up to a third of the speed.
    pub fuel: u64,
    /// Memory of an instance (16 MiB), in bytes.
    pub memory_bytes: usize,
    /// Elements of all tables of an instance (100,000).
    pub table_elements: usize,
    /// What a call may be given (4 MiB), in bytes.
    pub input_bytes: usize,
    /// What a call may give back (64 KiB), in bytes.
    pub output_bytes: usize,
    /// The longest reason or error that is shown (1 KiB), in bytes; the rest is cut off.
    pub reason_bytes: usize,
}

impl Default for RuleLimits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_millis(5),
            fuel: 10_000_000,
            memory_bytes: 16 << 20,
            table_elements: 100_000,
            input_bytes: 4 << 20,
            output_bytes: 64 << 10,
            reason_bytes: 1 << 10,
        }
    }
}

impl RuleLimits {
    /// What describing a rule may use: it happens once, and an interpreter starts first.
    pub(crate) fn for_description(&self) -> Self {
        Self {
            deadline: self.deadline.max(Duration::from_millis(500)),
            fuel: self.fuel.max(100_000_000),
            ..self.clone()
        }
    }
}

/// What a component may be, before anything of it is compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ComponentLimits {
    /// Size of the file (16 MiB), in bytes.
    pub bytes: usize,
    /// Functions of all its modules (50,000).
    pub functions: u64,
    /// Types of all its modules and components (20,000).
    pub types: u64,
    /// Modules in it (16).
    pub modules: u64,
    /// How deep components nest in it (4).
    pub nesting: usize,
}

impl Default for ComponentLimits {
    fn default() -> Self {
        Self { bytes: 16 << 20, functions: 50_000, types: 20_000, modules: 16, nesting: 4 }
    }
}
