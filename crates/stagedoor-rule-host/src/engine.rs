//! How Wasmtime is set up: what code is compiled for, wherever that happens.

use std::num::NonZeroUsize;

use wasmtime::{Config, Engine, WasmBacktraceDetails};

use crate::compiler::Processor;

/// Stack of a rule, on the stack of the thread that calls it.
pub(crate) const STACK_BYTES: usize = 512 << 10;

/// Returns an engine that compiles for a host with this largest memory, and runs nothing.
pub(crate) fn compiling_engine(
    memory_bytes: usize,
    processor: Processor,
) -> wasmtime::Result<Engine> {
    let mut config = code_config(memory_bytes);
    if processor == Processor::Portable {
        config.target(&portable_target())?;
    }
    Engine::new(&config)
}

/// Names this system's processor, without what some have and others lack.
fn portable_target() -> String {
    let system = match std::env::consts::OS {
        "macos" => "apple-darwin",
        "windows" => "pc-windows-msvc",
        _ => "unknown-linux-gnu",
    };
    format!("{}-{system}", std::env::consts::ARCH)
}

/// What compiled code depends on.
pub(crate) fn code_config(memory_bytes: usize) -> Config {
    let mut config = Config::new();
    config
        // A reservation of 4 GiB a memory, which is the default, would take 100 GB of
        // addresses; bounds are checked instead.
        .memory_reservation(memory_bytes as u64)
        .memory_guard_size(0)
        .memory_reservation_for_growth(0)
        // A place of the pool is as large as a memory may become: compiled code then compares with
        // a constant, and does not read how large the memory is.
        .memory_may_move(false)
        .max_wasm_stack(STACK_BYTES)
        .epoch_interruption(true)
        .consume_fuel(true)
        // The same bits on every machine.
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false)
        // One frame tells that a failure came from the rule's own doing (`call.rs`).
        .wasm_backtrace_max_frames(NonZeroUsize::new(1))
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .generate_address_map(false)
        // For debuggers, which look at no rule: a tenth of the code that is kept, and a table that is
        // made of it at each load.
        .native_unwind_info(false);
    config
}
