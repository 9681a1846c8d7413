//! Compiling, which is work for a process that can be stopped.
//!
//! A compiler's time and memory grow faster than what it compiles, and whoever may write a rule
//! would decide how much of both the host spends. So a child process does it, under bounds that
//! the system keeps, and is killed beyond them.

mod child;
mod worker;

use crate::compiler::{Compiler, Processor};
use crate::engine::compiling_engine;
use crate::error::{WasmRuleLoadError, causes};
use crate::host::HostState;

pub use worker::run_compiler;

/// Compiles a component that was inspected, and returns Wasmtime's form of it.
pub(crate) fn compile(
    host: &HostState,
    bytes: &[u8],
    processor: Processor,
) -> Result<Vec<u8>, WasmRuleLoadError> {
    match &host.config.compiler {
        Compiler::None => Err(WasmRuleLoadError::NoCompiler),
        Compiler::InProcess => {
            let engine = compiling_engine(host.config.memory_bytes, processor)
                .map_err(|e| WasmRuleLoadError::Compiler(e.to_string()))?;
            let compiled = engine.precompile_component(bytes);
            compiled.map_err(|e| WasmRuleLoadError::Compile(causes(&e)))
        }
        Compiler::Child(child) => child.compile(bytes, &host.config, processor),
    }
}
