//! Custom rules that policies may be guarded by: `rules/*.wasm` beside them, or a directory
//! that is named.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use stagedoor_core::{EngineBuilder, RuleEvaluator, is_passed_over};
use stagedoor_webhook::RuleSource;

use crate::failure::Failure;

/// Where custom rules are.
#[derive(Debug, Args)]
pub(crate) struct RulesArgs {
    /// Directories of custom rules, `*.wasm`, that policies may be guarded by; else `rules` in
    /// those of the policies.
    #[arg(long = "rules", value_name = "DIR", num_args = 1..)]
    named: Vec<PathBuf>,
}

impl RulesArgs {
    /// Adds the rules that policies at these paths may be guarded by.
    pub(crate) fn add_to(
        &self,
        builder: EngineBuilder,
        policies: &[PathBuf],
    ) -> Result<EngineBuilder, Failure> {
        let rules = load_any(&named_or_beside(&self.named, policies))?;
        Ok(rules.into_iter().fold(builder, EngineBuilder::rules))
    }

    /// Returns the rules of a server, which are read again.
    pub(crate) fn files(&self, policies: Vec<PathBuf>) -> RuleFiles {
        RuleFiles { named: self.named.clone(), policies }
    }
}

/// Returns the directories that are named, or else those `rules` in the policies' that have
/// rules.
fn named_or_beside(named: &[PathBuf], policies: &[PathBuf]) -> Vec<PathBuf> {
    if !named.is_empty() {
        return named.to_vec();
    }
    policies.iter().map(|path| path.join("rules")).filter(|path| has_rules(path)).collect()
}

/// Returns the directories `rules` with rules at or below the paths.
pub(crate) fn below<'p>(paths: impl IntoIterator<Item = &'p PathBuf>) -> Vec<PathBuf> {
    let mut found = BTreeSet::new();
    for path in paths {
        let directory = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
        let mut open = vec![directory.to_owned()];
        while let Some(directory) = open.pop() {
            open.extend(directories(&directory));
            // By its real path, which several paths may lead to.
            let real = std::fs::canonicalize(directory).ok();
            found.extend(real.filter(|real| real.ends_with("rules") && has_rules(real)));
        }
    }
    found.into_iter().collect()
}

/// Returns the rules of directories, if there are any.
pub(crate) fn load_any(directories: &[PathBuf]) -> Result<Option<Arc<dyn RuleEvaluator>>, Failure> {
    if directories.is_empty() { Ok(None) } else { load(directories).map(Some) }
}

/// Returns the directories in one where policies may be; what cannot be read has none.
fn directories(directory: &Path) -> Vec<PathBuf> {
    // The current directory, where a path has no other part.
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let is_looked_at = |entry: &std::fs::DirEntry| {
        // Links are not followed, so that there is no circle.
        !is_passed_over(&entry.file_name())
            && entry.file_type().is_ok_and(|of_type| of_type.is_dir())
    };
    entries.filter(is_looked_at).map(|entry| entry.path()).collect()
}

/// The rules of a server: of directories, or else those beside its policies.
#[derive(Debug)]
pub(crate) struct RuleFiles {
    named: Vec<PathBuf>,
    policies: Vec<PathBuf>,
}

impl RuleSource for RuleFiles {
    fn load(&self) -> Result<Option<Arc<dyn RuleEvaluator>>, String> {
        load_any(&named_or_beside(&self.named, &self.policies)).map_err(|e| e.to_string())
    }

    fn files(&self) -> Vec<PathBuf> {
        let directories = named_or_beside(&self.named, &self.policies);
        let entries = directories.iter().filter_map(|path| std::fs::read_dir(path).ok());
        let mut files: Vec<_> = entries.flatten().flatten().map(|entry| entry.path()).collect();
        // The rules and their limits.
        files.retain(|path| path.extension().is_some_and(|e| e == "wasm" || e == "json"));
        files.sort_unstable();
        files
    }
}

fn has_rules(directory: &Path) -> bool {
    let is_rule = |entry: std::fs::DirEntry| entry.path().extension().is_some_and(|e| e == "wasm");
    std::fs::read_dir(directory).is_ok_and(|entries| entries.flatten().any(is_rule))
}

#[cfg(feature = "rules")]
fn load(directories: &[PathBuf]) -> Result<Arc<dyn RuleEvaluator>, Failure> {
    use stagedoor_rule_host::WasmRules;

    let host = host()?;
    let mut rules = WasmRules::default();
    for directory in directories {
        rules.add_directory(&host, directory).map_err(|error| failed(&error))?;
    }
    Ok(Arc::new(rules))
}

#[cfg(not(feature = "rules"))]
fn load(directories: &[PathBuf]) -> Result<Arc<dyn RuleEvaluator>, Failure> {
    let names: Vec<_> = directories.iter().map(|path| path.display().to_string()).collect();
    let message = format!("this build runs no custom rules, which are in `{}`", names.join("`, `"));
    Err(Failure::input(message).with_help("build it with the feature `rules`"))
}

/// Returns why rules do not load, with the cause and what to do about it.
#[cfg(feature = "rules")]
pub(crate) fn failed(error: &stagedoor_rule_host::WasmRulesError) -> Failure {
    use std::error::Error as _;

    use stagedoor_rule_host::WasmRulesError;

    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    let failure = Failure::input(format!("{error}{cause}"));
    let help = match error {
        WasmRulesError::Rule { error, .. } => miette::Diagnostic::help(error),
        _ => None,
    };
    help.into_iter().fold(failure, |failure, help| failure.with_help(help.to_string()))
}

/// Returns where rules run, with this user's cache of compiled ones if it can be used.
#[cfg(feature = "rules")]
pub(crate) fn host() -> Result<stagedoor_rule_host::RuleHost, Failure> {
    use stagedoor_rule_host::{HostConfig, HostError, RuleHost};

    let mut config = HostConfig::default();
    config.cache = cache();
    let made = match RuleHost::new(&config) {
        // A home that cannot be written, or is another's: compiling takes milliseconds.
        Err(HostError::Cache(_)) => {
            config.cache = None;
            RuleHost::new(&config)
        }
        made => made,
    };
    made.map_err(|e| Failure::input(e.to_string()))
}

#[cfg(feature = "rules")]
fn cache() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let caches = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(caches.join("stagedoor").join("rules"))
}
