//! Compiling, which is work for a process that can be stopped.
//!
//! A compiler's time and memory grow faster than what it compiles, and whoever may write a rule
//! would decide how much of both the host spends. So a child process does it, under bounds that
//! the system keeps, and is killed beyond them.

mod child;
mod worker;

use std::ffi::OsString;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{WasmRuleLoadError, causes};
use crate::host::{Shared, compiling_engine};

pub use worker::run_compiler;

/// What compiles rules that were not compiled before.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Compiler {
    /// Nothing: rules load that a cache or a store of precompiled rules has.
    #[default]
    None,
    /// This process itself, without bounds on its time and memory. For rules that are trusted, and
    /// tests.
    InProcess,
    /// A child process, under [`CompileLimits`](crate::CompileLimits).
    Child(ChildCompiler),
}

/// The program that compiles in a child process: one that calls [`run_compiler`] when it is started
/// with these arguments.
#[derive(Debug, Clone)]
pub struct ChildCompiler {
    program: PathBuf,
    arguments: Vec<OsString>,
}

impl ChildCompiler {
    /// Returns a compiler in another program.
    pub fn new(
        program: impl Into<PathBuf>,
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Self {
        let arguments = arguments.into_iter().map(Into::into).collect();
        Self { program: program.into(), arguments }
    }

    /// Returns this program as the compiler, if the system tells where it is.
    #[must_use]
    pub fn this_program(arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Option<Self> {
        // Stays what runs when the file is replaced by another version.
        let running = PathBuf::from("/proc/self/exe");
        let program = if cfg!(target_os = "linux") && running.exists() {
            running
        } else {
            std::env::current_exe().ok()?
        };
        Some(Self::new(program, arguments))
    }
}

/// What is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Processor {
    /// This one, with all that it can do.
    Native,
    /// Any of its kind.
    Portable,
}

/// Compiles a component that was inspected, and returns Wasmtime's form of it.
pub(crate) fn compile(
    host: &Shared,
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
