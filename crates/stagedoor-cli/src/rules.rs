//! Custom rules that policies may be guarded by: `*.wasm` in directories `rules` beside them, or
//! in directories that are named.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use stagedoor_core::RuleEvaluator;
use stagedoor_source::{FileKind, Listing, RealFileSystem};
use stagedoor_webhook::RuleSource;

use crate::failure::Failure;

/// Returns the rules of directories that are named, or else those that were found.
pub(crate) fn load(
    named: &[PathBuf],
    found: &[PathBuf],
) -> Result<Option<Arc<dyn RuleEvaluator>>, Failure> {
    match (named, found) {
        ([], []) => Ok(None),
        ([], found) => load_found(found).map(Some),
        (named, _) => load_named(named).map(Some),
    }
}

/// Returns the rules in directories `rules` at or below the paths; of a file, beside it.
pub(crate) fn below<'p>(paths: impl IntoIterator<Item = &'p PathBuf>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in paths {
        let directory = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
        found.extend(files_below(directory).into_iter().filter(|path| is_rule(path)));
    }
    // By its real path, which several paths may lead to.
    let real = |path: PathBuf| std::fs::canonicalize(&path).unwrap_or(path);
    let mut found: Vec<PathBuf> = found.into_iter().map(real).collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn is_rule(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "wasm")
}

/// Returns the rules below a directory, and their limits.
fn files_below(directory: &Path) -> Vec<PathBuf> {
    let is_of_rules = |path: &Path| path.parent().is_some_and(|parent| parent.ends_with("rules"));
    let listing = Listing::of(&RealFileSystem, directory);
    let files = listing.files.into_iter();
    let files = files.filter(|f| matches!(f.kind, FileKind::Rule | FileKind::RuleLimits));
    files.map(|file| file.path).filter(|path| is_of_rules(path)).collect()
}

/// The rules of a server: of directories that are named, or else those beside its policies.
#[derive(Debug)]
pub(crate) struct RuleFiles {
    pub(crate) named: Vec<PathBuf>,
    pub(crate) policies: Vec<PathBuf>,
}

impl RuleSource for RuleFiles {
    fn load(&self) -> Result<Option<Arc<dyn RuleEvaluator>>, String> {
        let found: Vec<PathBuf> = self.files().into_iter().filter(|path| is_rule(path)).collect();
        load(&self.named, &found).map_err(|e| e.to_string())
    }

    fn files(&self) -> Vec<PathBuf> {
        if self.named.is_empty() {
            let directories = self.policies.iter().filter(|path| path.is_dir());
            return directories.flat_map(|path| files_below(path)).collect();
        }
        let entries = self.named.iter().filter_map(|path| std::fs::read_dir(path).ok());
        let mut files: Vec<_> = entries.flatten().flatten().map(|entry| entry.path()).collect();
        // The rules and their limits.
        files.retain(|path| path.extension().is_some_and(|e| e == "wasm" || e == "json"));
        files.sort_unstable();
        files
    }
}

#[cfg(feature = "rules")]
fn load_named(directories: &[PathBuf]) -> Result<Arc<dyn RuleEvaluator>, Failure> {
    use stagedoor_rule_host::WasmRules;

    let host = host()?;
    let mut rules = WasmRules::default();
    for directory in directories {
        rules.add_directory(&host, directory).map_err(|error| failed(&error))?;
    }
    Ok(Arc::new(rules))
}

#[cfg(feature = "rules")]
fn load_found(files: &[PathBuf]) -> Result<Arc<dyn RuleEvaluator>, Failure> {
    use stagedoor_rule_host::WasmRules;

    Ok(Arc::new(WasmRules::found(&host()?, files).map_err(|error| failed(&error))?))
}

#[cfg(not(feature = "rules"))]
fn load_named(paths: &[PathBuf]) -> Result<Arc<dyn RuleEvaluator>, Failure> {
    load_found(paths)
}

#[cfg(not(feature = "rules"))]
fn load_found(paths: &[PathBuf]) -> Result<Arc<dyn RuleEvaluator>, Failure> {
    let names: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
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
