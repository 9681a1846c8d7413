//! Custom rules: where they run, and what compiles them.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use napi_derive::napi;
use stagedoor_core::RuleEvaluator;
use stagedoor_rule_host::{
    ChildCompiler, Compiler, HostConfig, HostError, RuleHost, RuleLoader, RuleLock, run_compiler,
};

use crate::failure::{Failure, Result};

/// The longest that a reload waits for rules which are not compiled yet.
const WAIT: Duration = Duration::from_millis(500);

/// What starts another Node that compiles.
static COMPILER: OnceLock<ChildCompiler> = OnceLock::new();

/// Sets what compiles rules: Node with this package's `compiler.js`.
#[napi(skip_typescript, catch_unwind)]
pub fn set_rule_compiler(program: String, arguments: Vec<String>) {
    // Threads of Node's load the package again: the first has set the same.
    let _ = COMPILER.set(ChildCompiler::new(program, arguments));
}

/// Compiles one rule, as the process that has started this one orders by the standard input.
#[napi(skip_typescript, catch_unwind)]
pub fn compile_rule() -> napi::Result<()> {
    run_compiler(std::io::stdin(), std::io::stdout())
        .map_err(|error| napi::Error::from_reason(format!("no rule was compiled: {error}")))
}

/// The rules of a directory, loaded again with the policies that they guard.
#[derive(Debug)]
pub(crate) struct Rules {
    directory: PathBuf,
    /// The directory of the policies, whose lock holds wherever the rules come from.
    policies: Option<PathBuf>,
    loader: Arc<RuleLoader>,
}

impl Rules {
    pub(crate) fn new(directory: &Path, policies: Option<&Path>) -> Result<Self> {
        let compiler = COMPILER.get().cloned().map_or(Compiler::None, Compiler::Child);
        let config = HostConfig::default().with_compiler(compiler);
        let cache = HostConfig::user_cache();
        let host = match cache.map(|cache| RuleHost::new(&config.clone().with_cache(cache))) {
            Some(Ok(host)) => host,
            Some(Err(error)) if !matches!(error, HostError::Cache(_)) => return Err(error.into()),
            // A home that cannot be written: rules are compiled at each start.
            Some(Err(_)) | None => RuleHost::new(&config)?,
        };
        let loader = Arc::new(RuleLoader::new(host));
        let policies = policies.map(Path::to_owned);
        Ok(Self { directory: directory.to_owned(), policies, loader })
    }

    /// Loads the rules as they are now; the first time it waits until they are compiled.
    pub(crate) fn load(&self) -> Result<Arc<dyn RuleEvaluator>> {
        let directories = std::iter::once(&self.directory).chain(&self.policies);
        let mut locks: Vec<PathBuf> =
            directories.filter_map(|directory| RuleLock::of_directory(directory)).collect();
        locks.dedup();
        let rules = self.loader.load(std::slice::from_ref(&self.directory), &locks, Some(WAIT));
        Ok(Arc::new(rules.map_err(Failure::from)?))
    }

    /// Does something once what the last load did not wait for is compiled, on a thread of its own;
    /// nothing if there is nothing to wait for.
    pub(crate) fn when_compiled(&self, then: impl FnOnce() + Send + 'static) {
        if !self.loader.is_pending() {
            return;
        }
        let loader = Arc::clone(&self.loader);
        // Without a thread the next reload takes them up.
        let _ = thread::Builder::new().name("stagedoor-rules".to_owned()).spawn(move || {
            loader.settle();
            then();
        });
    }
}
