//! Custom rules: where they run, and what compiles them.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use napi_derive::napi;
use stagedoor_core::{Problem, RuleEvaluator};
use stagedoor_rule_host::{
    ChildCompiler, Compiler, HostSettings, RuleLoader, RuleLock, run_compiler,
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
    /// Why compiled rules are not kept, if they are not.
    unkept: Option<String>,
}

impl Rules {
    pub(crate) fn new(
        directory: &Path,
        policies: Option<&Path>,
        settings: &HostSettings,
    ) -> Result<Self> {
        let compiler = COMPILER.get().cloned().map_or(Compiler::None, Compiler::Child);
        let (host, unkept) = settings.host(compiler)?;
        let loader = Arc::new(RuleLoader::new(host));
        let policies = policies.map(Path::to_owned);
        Ok(Self { directory: directory.to_owned(), policies, loader, unkept })
    }

    /// Loads the rules as they are now; the first time it waits until they are compiled.
    pub(crate) fn load(&self) -> Result<Arc<dyn RuleEvaluator>> {
        let directories = std::iter::once(&self.directory).chain(&self.policies);
        let mut locks: Vec<PathBuf> =
            directories.filter_map(|directory| RuleLock::of_directory(directory)).collect();
        locks.dedup();
        let rules = self.loader.load(std::slice::from_ref(&self.directory), &locks, Some(WAIT));
        let mut rules = rules.map_err(Failure::from)?;
        if let Some(reason) = &self.unkept {
            let message =
                format!("compiled rules are not kept, and are compiled at each start: {reason}");
            rules.add_warning(Problem::warning("rules::not-kept", message).with_help(
                "name a directory with `ruleHost.cache`, or one of rules that were compiled before \
                 with `ruleHost.precompiled`",
            ));
        }
        Ok(Arc::new(rules))
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
