//! Where the command runs rules, what compiles them, and where they are kept.

use std::error::Error as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use stagedoor_core::RuleEvaluator;
use stagedoor_rule_host::{
    ChildCompiler, Compiler, HostConfig, HostError, RuleHost, RuleLoader, RuleLock, WasmRulesError,
};

use super::{RuleHostArgs, RulePlaces};
use crate::ending::Ending;
use crate::failure::Failure;

/// What this program is started with to compile a rule.
const COMPILE: &str = "compile-rule";

/// Loads rules again and again.
#[derive(Debug)]
pub(crate) struct Loader(RuleLoader);

impl Loader {
    pub(crate) fn new(args: &RuleHostArgs) -> Result<Self, Failure> {
        Ok(Self(RuleLoader::new(host(args)?)))
    }

    /// Loads the rules of directories that are named, or else of files that were found.
    pub(crate) fn load(
        &self,
        places: RulePlaces<'_>,
        wait: Option<Duration>,
    ) -> Result<Arc<dyn RuleEvaluator>, Failure> {
        let locks = locks(places);
        let loaded = match places.named {
            [] => self.0.load_files(places.found.to_vec(), &locks, wait),
            named => self.0.load(named, &locks, wait),
        };
        Ok(Arc::new(loaded.map_err(|error| failed(&error))?))
    }

    pub(crate) fn version(&self) -> u64 {
        self.0.version()
    }
}

/// Returns the lock files for rules: those of the policies that they guard, and those of the
/// directories that the rules are in.
pub(crate) fn locks(places: RulePlaces<'_>) -> Vec<PathBuf> {
    let RulePlaces { named, found, policies } = places;
    let of_found = found.iter().filter_map(|file| file.parent()).filter(|_| named.is_empty());
    let directories = named.iter().chain(policies).map(PathBuf::as_path).chain(of_found);
    let mut locks: Vec<PathBuf> = directories.filter_map(RuleLock::of_directory).collect();
    locks.sort_unstable();
    locks.dedup();
    locks
}

/// Returns where rules run, with this user's cache of compiled ones if it can be used.
pub(crate) fn host(args: &RuleHostArgs) -> Result<RuleHost, Failure> {
    let mut config = HostConfig::default();
    config.component.bytes = args.rule_bytes;
    if let Some(seconds) = args.rule_compile_seconds {
        config.compile.processor_time = Duration::from_secs(seconds);
        config.component.code_bytes = config.component.code_bytes.max(seconds << 20);
        // What is larger as a whole has more of everything.
        config.component.functions = config.component.functions.max(seconds * 10_000);
        config.component.function_bytes = config.component.function_bytes.max(seconds << 16);
    }
    config.compile.memory_bytes = args.rule_compile_memory << 20;
    config.compiler = match ChildCompiler::this_program([COMPILE]) {
        Some(child) => Compiler::Child(child),
        None => Compiler::None,
    };
    config.precompiled.clone_from(&args.precompiled_rules);
    config.cache = args.rule_cache.clone().or_else(HostConfig::user_cache);
    let is_named = args.rule_cache.is_some();
    let made = match RuleHost::new(&config) {
        // A home that cannot be written, or is another's.
        Err(HostError::Cache(error)) if !is_named && args.precompiled_rules.is_none() => {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            tracing::warn!(
                "compiled rules are not kept, and are compiled at each start: {error}{cause}; name a \
                 directory with `--rule-cache`, or `--precompiled-rules`"
            );
            config.cache = None;
            RuleHost::new(&config)
        }
        made => made,
    };
    made.map_err(|error| {
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        Failure::input(format!("{error}{cause}"))
    })
}

/// Returns why rules do not load, with the cause and what to do about it.
pub(crate) fn failed(error: &WasmRulesError) -> Failure {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    let failure = Failure::input(format!("{error}{cause}"));
    let help = match error {
        WasmRulesError::Rule { error, .. } => miette::Diagnostic::help(error),
        _ => None,
    };
    help.into_iter().fold(failure, |failure, help| failure.with_help(help.to_string()))
}

/// Compiles one rule, as the parent process has ordered by the standard input.
pub(crate) fn compile() -> Result<Ending, Failure> {
    let compiled = stagedoor_rule_host::run_compiler(std::io::stdin(), std::io::stdout());
    compiled.map_err(|e| {
        Failure::input(format!("`{COMPILE}` is for `stagedoor` itself, and got no order: {e}"))
    })?;
    Ok(Ending::Done)
}
