//! How much a rule may be, how much compiling it may take, and how much it may use.

use std::time::Duration;

/// What one call of a rule may use. Each limit has an error of its own.
///
/// Fuel, time and memory grow with what the call is given, so that a large request can be read:
/// by the same amount for the same request, on every machine.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuleLimits {
    /// The longest that a call may run (5 ms), told to a millisecond: processor time of its
    /// thread, so that a busy machine fails no rule. By the clock a call is cut after twenty
    /// deadlines at the latest; time in which the machine stands still is not counted.
    pub deadline: Duration,
    /// What the deadline grows by for each KiB of input beyond the first 16 (750 µs).
    pub deadline_per_input_kib: Duration,
    /// Units of work that a call may use (10,000,000): about one an instruction, and the same
    /// on every run. Compiling under it costs up to a third of the speed.
    pub fuel: u64,
    /// What the fuel grows by for each byte of input (900): enough for both SDKs to read it, an
    /// interpreter among them.
    pub fuel_per_input_byte: u64,
    /// Memory of an instance (16 MiB), in bytes. It grows with the input up to the host's largest.
    pub memory_bytes: usize,
    /// What the memory grows by for each byte of input (8).
    pub memory_per_input_byte: usize,
    /// Elements of all tables of an instance (100,000).
    pub table_elements: usize,
    /// What a call may be given (4 MiB), in bytes.
    pub input_bytes: usize,
    /// What a call may give back (64 KiB), in bytes.
    pub output_bytes: usize,
    /// The longest reason or error that is shown (1 KiB), in bytes; the rest is cut off.
    pub reason_bytes: usize,
    /// Calls of a rule that was slow of late which run or wait for their turn at a time (16). One
    /// more is refused at once, so that a slow rule holds up nobody else.
    pub calls: usize,
}

impl Default for RuleLimits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_millis(5),
            deadline_per_input_kib: Duration::from_micros(750),
            fuel: 10_000_000,
            fuel_per_input_byte: 900,
            memory_bytes: 16 << 20,
            memory_per_input_byte: 8,
            table_elements: 100_000,
            input_bytes: 4 << 20,
            output_bytes: 64 << 10,
            reason_bytes: 1 << 10,
            calls: 16,
        }
    }
}

/// The input that the deadline allows for anyway, in KiB.
const INPUT_KIB: usize = 16;

impl RuleLimits {
    /// What describing a rule, or checking arguments, may use: it happens once, and an
    /// interpreter starts first.
    pub(crate) fn for_loading(&self) -> Self {
        Self {
            deadline: self.deadline.max(Duration::from_millis(500)),
            fuel: self.fuel.max(100_000_000),
            ..self.clone()
        }
    }

    /// What a call with so many bytes of input may use; no more memory than `most_memory`.
    pub(crate) fn for_input(&self, bytes: usize, most_memory: usize) -> Self {
        let kib = u32::try_from((bytes >> 10).saturating_sub(INPUT_KIB)).unwrap_or(u32::MAX);
        let fuel = self.fuel_per_input_byte.saturating_mul(bytes as u64);
        let memory = self.memory_per_input_byte.saturating_mul(bytes);
        Self {
            deadline: self.deadline.saturating_add(self.deadline_per_input_kib.saturating_mul(kib)),
            fuel: self.fuel.saturating_add(fuel),
            memory_bytes: self
                .memory_bytes
                .saturating_add(memory)
                .min(most_memory.max(self.memory_bytes)),
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
    /// What these take, in bytes (512 KiB): looking at a record of hundreds of fields takes thirty times as
    /// much memory.
    pub type_bytes: u64,
    /// Modules in it (16).
    pub modules: u64,
    /// How deep components nest in it (4).
    pub nesting: usize,
    /// Code of all its functions (2 MiB), in bytes: a compiler takes up to a second for each MiB.
    pub code_bytes: u64,
    /// Code of one function (96 KiB), in bytes.
    pub function_bytes: u64,
    /// Local variables of one function (1,000), its parameters not among them.
    pub locals: u64,
    /// Blocks, loops and branches of one function (6,000).
    pub blocks: u64,
    /// Targets of all `br_table` of one function (4,000).
    pub branch_targets: u64,
    /// Elements that one table begins with (100,000).
    pub table_elements: u64,
    /// Exports of one module, instance or component (2,000).
    pub exports: u64,
    /// Globals, data and element segments of all its modules (40,000): Go's linker writes 22,000.
    pub segments: u64,
}

impl Default for ComponentLimits {
    fn default() -> Self {
        Self {
            bytes: 16 << 20,
            functions: 50_000,
            types: 20_000,
            type_bytes: 512 << 10,
            modules: 16,
            nesting: 4,
            code_bytes: 2 << 20,
            function_bytes: 96 << 10,
            locals: 1_000,
            blocks: 6_000,
            branch_targets: 4_000,
            table_elements: 100_000,
            exports: 2_000,
            segments: 40_000,
        }
    }
}

/// What compiling one component may take of a child process, which is killed beyond it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompileLimits {
    /// Processor time (2 s), to a second. In a build with debug assertions, whose compiler takes three
    /// to four times as long, 8 s.
    pub processor_time: Duration,
    /// Memory of the child as a whole (256 MiB), in bytes. Held to on Linux.
    pub memory_bytes: u64,
    /// Size of the compiled code (64 MiB), in bytes.
    pub output_bytes: u64,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self {
            processor_time: Duration::from_secs(if cfg!(debug_assertions) { 8 } else { 2 }),
            memory_bytes: 256 << 20,
            output_bytes: 64 << 20,
        }
    }
}

impl CompileLimits {
    /// The longest by the clock: a machine with other work gives a child a part of its time.
    pub(crate) fn longest(&self) -> Duration {
        self.processor_time.saturating_mul(15).max(Duration::from_secs(20))
    }

    /// Processor time in whole seconds, as the system counts it.
    pub(crate) fn seconds(&self) -> u64 {
        self.processor_time.as_secs() + u64::from(self.processor_time.subsec_nanos() > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_told_in_whole_seconds_that_suffice() {
        for (millis, seconds) in [(1, 1), (1_000, 1), (1_001, 2), (2_000, 2)] {
            let processor_time = Duration::from_millis(millis);
            let limits = CompileLimits { processor_time, ..CompileLimits::default() };
            assert_eq!(limits.seconds(), seconds, "{millis}");
        }
    }
}
