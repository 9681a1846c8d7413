//! What compiles rules.

use std::ffi::OsString;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

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

/// The program that compiles in a child process: one that calls [`run_compiler`](crate::run_compiler) when it is started
/// with these arguments.
#[derive(Debug, Clone)]
pub struct ChildCompiler {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
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
