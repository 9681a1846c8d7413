//! Where the command runs rules, what compiles them, and where they are kept.

use std::error::Error as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use stagedoor_core::RuleEvaluator;
use stagedoor_rule_host::{
    ChildCompiler, Compiler, HostSettings, RuleHost, RuleLoader, RuleLock, WasmRulesError,
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
    let mut settings = HostSettings::default();
    settings.bytes = args.rule_bytes;
    settings.modules = args.rule_modules;
    settings.compile_seconds = args.rule_compile_seconds;
    settings.compile_memory_mib = args.rule_compile_memory;
    settings.memory_mib = args.rule_memory;
    settings.concurrency = args.rule_concurrency;
    settings.wait_ms = args.rule_wait;
    settings.cache.clone_from(&args.rule_cache);
    settings.precompiled.clone_from(&args.precompiled_rules);
    settings.precompiled_only = args.precompiled_only;
    let compiler = ChildCompiler::this_program([COMPILE]);
    let made = settings.host(compiler.map_or(Compiler::None, Compiler::Child));
    let (host, unkept) = made.map_err(|error| {
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        Failure::input(format!("{error}{cause}"))
    })?;
    if let Some(reason) = unkept {
        tracing::warn!(
            "compiled rules are not kept, and are compiled at each start: {reason}; name a directory \
             with `--rule-cache`, or `--precompiled-rules`"
        );
    }
    Ok(host)
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
