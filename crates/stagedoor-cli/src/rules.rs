//! Custom rules that policies may be guarded by: `*.wasm` in directories `rules` beside them, or
//! in directories that are named.

#[cfg(feature = "rules")]
pub(crate) mod host;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use stagedoor_core::RuleEvaluator;
use stagedoor_source::{FileKind, Listing, PolicySources, RealFileSystem};
use stagedoor_webhook::RuleSource;

use crate::failure::Failure;

/// What rules may be, and where they are kept when they are compiled.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct RuleHostArgs {
    /// The largest file of a rule, in bytes (16777216).
    #[arg(long, value_name = "BYTES")]
    pub(crate) rule_bytes: Option<u64>,

    /// Modules that the component of a rule may have (16).
    #[arg(long, value_name = "N")]
    pub(crate) rule_modules: Option<u64>,

    /// Processor time to compile one rule, in seconds (2); with more, a rule may have as many times
    /// more code as well.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) rule_compile_seconds: Option<u64>,

    /// Memory to compile one rule, in MiB (256).
    #[arg(long, value_name = "MIB")]
    pub(crate) rule_compile_memory: Option<u64>,

    /// The largest memory that the limits of a rule may allow it, in MiB (32).
    #[arg(long, value_name = "MIB")]
    pub(crate) rule_memory: Option<u64>,

    /// Calls of rules at the same time (16).
    #[arg(long, value_name = "N")]
    pub(crate) rule_concurrency: Option<u64>,

    /// The longest that a call of a rule waits for its turn, in milliseconds (20).
    #[arg(long, value_name = "MS")]
    pub(crate) rule_wait: Option<u64>,

    /// A directory of this user's own where compiled rules are kept (`stagedoor/rules` in the
    /// user's cache).
    #[arg(long, value_name = "DIR")]
    pub(crate) rule_cache: Option<PathBuf>,

    /// A directory of rules that `stagedoor rule precompile` has compiled, which only root and
    /// this user may write: its code is run as it stands.
    #[arg(long, value_name = "DIR")]
    pub(crate) precompiled_rules: Option<PathBuf>,

    /// Compile no rules: only those of `--precompiled-rules` load.
    #[arg(long, requires = "precompiled_rules")]
    pub(crate) precompiled_only: bool,
}

/// Where rules are, and what pins them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RulePlaces<'a> {
    /// Directories that are named.
    pub(crate) named: &'a [PathBuf],
    /// Rules that were found beside policies: they count where no directory is named.
    pub(crate) found: &'a [PathBuf],
    /// Directories of the policies, whose locks hold wherever the rules come from.
    pub(crate) policies: &'a [PathBuf],
}

impl<'a> RulePlaces<'a> {
    /// Returns the places of rules for a policy set.
    pub(crate) fn of(named: &'a [PathBuf], sources: &'a PolicySources) -> Self {
        Self { named, found: sources.rules(), policies: sources.directories() }
    }

    fn is_empty(&self) -> bool {
        self.named.is_empty() && self.found.is_empty()
    }
}

/// Returns the rules of directories that are named, or else those that were found. Waits until they
/// are compiled.
pub(crate) fn load(
    places: RulePlaces<'_>,
    host: &RuleHostArgs,
) -> Result<Option<Arc<dyn RuleEvaluator>>, Failure> {
    if places.is_empty() {
        return Ok(None);
    }
    Loader::new(host)?.load(places, None).map(Some)
}

/// Returns the components in directories that are named, or else those that were found.
pub(crate) fn components(named: &[PathBuf], found: &[PathBuf]) -> Vec<PathBuf> {
    if named.is_empty() {
        return found.to_vec();
    }
    let entries = named.iter().filter_map(|path| std::fs::read_dir(path).ok());
    let mut files: Vec<_> = entries.flatten().flatten().map(|entry| entry.path()).collect();
    files.retain(|path| is_rule(path));
    files.sort_unstable();
    files
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
    named: Vec<PathBuf>,
    policies: Vec<PathBuf>,
    /// The directories of the policies.
    directories: Vec<PathBuf>,
    loader: Loader,
    wait: Duration,
}

impl RuleFiles {
    /// Returns the rules of policies at these paths, which are read again; what is not compiled yet
    /// is waited for so long.
    pub(crate) fn new(
        host: &RuleHostArgs,
        named: Vec<PathBuf>,
        policies: Vec<PathBuf>,
        wait: Duration,
    ) -> Result<Self, Failure> {
        let loader = Loader::new(host)?;
        let directory = |path: &PathBuf| match path.is_dir() {
            true => path.clone(),
            false => path.parent().unwrap_or(path).to_owned(),
        };
        let directories = policies.iter().map(directory).collect();
        Ok(Self { named, policies, directories, loader, wait })
    }

    fn places<'a>(&'a self, found: &'a [PathBuf]) -> RulePlaces<'a> {
        RulePlaces { named: &self.named, found, policies: &self.directories }
    }

    /// Returns the components, and what stands beside them.
    fn listed(&self) -> Vec<PathBuf> {
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

impl RuleSource for RuleFiles {
    fn load(&self) -> Result<Option<Arc<dyn RuleEvaluator>>, String> {
        let found: Vec<PathBuf> = self.listed().into_iter().filter(|path| is_rule(path)).collect();
        let places = self.places(&found);
        if places.is_empty() {
            return Ok(None);
        }
        let loaded = self.loader.load(places, Some(self.wait));
        loaded.map(Some).map_err(|e| e.to_string())
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files = self.listed();
        let locks = locks(self.places(&files));
        files.extend(locks);
        files
    }

    fn version(&self) -> u64 {
        self.loader.version()
    }
}

#[cfg(not(feature = "rules"))]
use without::{Loader, locks};

#[cfg(not(feature = "rules"))]
mod without {
    //! A build that runs no rules says so where there are some.

    use std::path::PathBuf;
    use std::sync::Arc;
    use std::time::Duration;

    use stagedoor_core::RuleEvaluator;

    use super::{RuleHostArgs, RulePlaces};
    use crate::failure::Failure;

    #[derive(Debug)]
    pub(super) struct Loader;

    impl Loader {
        pub(super) fn new(_: &RuleHostArgs) -> Result<Self, Failure> {
            Ok(Self)
        }

        pub(super) fn load(
            &self,
            RulePlaces { named, found, .. }: RulePlaces<'_>,
            _: Option<Duration>,
        ) -> Result<Arc<dyn RuleEvaluator>, Failure> {
            let names: Vec<_> =
                named.iter().chain(found).map(|path| path.display().to_string()).collect();
            let message =
                format!("this build runs no custom rules, which are in `{}`", names.join("`, `"));
            Err(Failure::input(message).with_help("build it with the feature `rules`"))
        }

        pub(super) fn version(&self) -> u64 {
            0
        }
    }

    pub(super) fn locks(_: RulePlaces<'_>) -> Vec<PathBuf> {
        Vec::new()
    }
}

#[cfg(feature = "rules")]
use host::{Loader, locks};
