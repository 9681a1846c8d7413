//! Loads the rules of directories again and again: what did not change is neither read nor compiled
//! again, and what is compiled is not waited for.

mod work;

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use miette::Diagnostic as _;

use crate::error::{WasmRuleLoadError, WasmRulesError};
use crate::files::{Stamp, components, read, until};
use crate::host::RuleHost;
use crate::limits_file::limits_beside;
use crate::lock::RuleLock;
use crate::rule::{PreparedRule, WasmRule, digest};
use crate::rules::WasmRules;

use work::{Job, Work};

/// The longest that the first load waits for rules, where later ones do not wait: there are no
/// policies in force yet that it would hold up.
const FIRST: Duration = Duration::from_secs(30);

/// Loads rules, for policies that are reloaded while they are in force.
///
/// Compiling goes on in the background. Until a rule is compiled, what was in its file before
/// serves; where nothing was, its guards fail closed. [`version`](Self::version) tells when there is
/// more to load.
pub struct RuleLoader {
    host: RuleHost,
    work: Arc<Work>,
    /// Held while rules are loaded: each load forgets what it did not see.
    turn: Mutex<()>,
}

/// A file as it was when it was last read.
#[derive(Debug, Clone)]
pub(crate) struct SeenFile {
    stamp: Stamp,
    digest: String,
    /// What was in it before, which serves until this is compiled.
    before: Option<String>,
}

/// What is known of a component.
#[derive(Clone)]
pub(crate) enum Progress {
    Pending,
    Ready(Arc<PreparedRule>),
    Failed {
        error: String,
        help: Option<String>,
        /// Whether it may be otherwise at another time.
        passing: bool,
    },
}

impl RuleLoader {
    /// Returns a loader for a host.
    #[must_use]
    pub fn new(host: RuleHost) -> Self {
        let work = Arc::new(Work::new(host.clone()));
        Self { host, work, turn: Mutex::default() }
    }

    /// Returns the rules of directories as they are now, with what locks pin. Several calls at a time
    /// take turns.
    ///
    /// Waits up to `wait` for rules that are not compiled yet, or for as long as it takes. The
    /// first time it waits for half a minute at least.
    ///
    /// # Errors
    ///
    /// [`WasmRulesError`] if a directory or a lock cannot be read, or a directory has no rules.
    pub fn load(
        &self,
        directories: &[PathBuf],
        locks: &[PathBuf],
        wait: Option<Duration>,
    ) -> Result<WasmRules, WasmRulesError> {
        let mut files = Vec::new();
        for directory in directories {
            let name = || directory.display().to_string();
            let found = components(directory).map_err(|e| WasmRulesError::Io(name(), e))?;
            if found.is_empty() {
                return Err(WasmRulesError::Empty(name()));
            }
            files.extend(found);
        }
        self.load_files(files, locks, wait)
    }

    /// Returns the rules of files, as [`load`](Self::load) does those of directories.
    ///
    /// # Errors
    ///
    /// [`WasmRulesError`] if a lock cannot be read.
    pub fn load_files(
        &self,
        files: Vec<PathBuf>,
        locks: &[PathBuf],
        wait: Option<Duration>,
    ) -> Result<WasmRules, WasmRulesError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let lock = RuleLock::read(locks)?;
        let mut rules = WasmRules::default();
        let seen: Vec<(PathBuf, SeenFile)> = files
            .into_iter()
            .filter_map(|path| match self.look(&path) {
                Ok(seen) => Some((path, seen)),
                Err(error) => {
                    rules.add_unusable(&path, None, &error, help(&error));
                    None
                }
            })
            .collect();
        let digests: HashSet<String> = seen.iter().map(|(_, seen)| seen.digest.clone()).collect();
        let wait = if self.work.is_first() { wait.map(|wait| wait.max(FIRST)) } else { wait };
        self.work.wait(&digests, until(wait));
        for (path, seen) in &seen {
            self.add(&mut rules, path, seen, lock.as_ref());
        }
        self.work.keep(seen);
        Ok(rules)
    }

    /// Returns a number that grows whenever a rule is compiled that was not waited for.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.work.version()
    }

    /// Returns whether something is being compiled that a load did not wait for.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.work.is_missed()
    }

    /// Waits until everything is compiled that a load did not wait for.
    pub fn settle(&self) {
        self.work.settle();
    }

    /// Looks at a file, and has it compiled if it changed.
    fn look(&self, path: &Path) -> Result<SeenFile, WasmRuleLoadError> {
        let unreadable = |e: std::io::Error| WasmRuleLoadError::Read(e);
        let stamp = Stamp::of(path).map_err(unreadable)?;
        let last = self.work.seen(path);
        if let Some(last) = &last
            && stamp.is_still(&last.stamp)
        {
            return Ok(last.clone());
        }
        let component = &self.host.config().component;
        let bytes = read(path, component.bytes as u64).map_err(unreadable)?;
        let bytes = bytes.map_err(|size| WasmRuleLoadError::too_large(size, component))?;
        let digest = digest(&bytes);
        // INVARIANT: what runs meanwhile is the last one that could be used, never one that was
        // refused.
        let before = last.and_then(|last| {
            if last.digest == digest { last.before } else { self.work.usable(&last) }
        });
        self.work.add(Job { digest: digest.clone(), bytes });
        Ok(SeenFile { stamp, digest, before })
    }

    /// Adds what there is of a file to the rules.
    fn add(&self, rules: &mut WasmRules, path: &Path, seen: &SeenFile, lock: Option<&RuleLock>) {
        let prepared = match self.work.progress(&seen.digest) {
            Progress::Ready(prepared) => prepared,
            Progress::Failed { error, help, .. } => {
                return rules.add_unusable(path, None, &error, help);
            }
            Progress::Pending => {
                rules.add_pending(path);
                let before = seen.before.as_ref().map(|digest| self.work.progress(digest));
                let Some(Progress::Ready(prepared)) = before else { return };
                prepared
            }
        };
        let limits = match limits_beside(path) {
            Ok(limits) => limits,
            Err(error) => return rules.add_unusable(path, None, &error, None),
        };
        let rule = WasmRule::with_limits(&self.host, prepared, limits);
        let rule = rule.and_then(|rule| {
            // INVARIANT: a lock holds for what runs, and so for what still runs while its file is
            // compiled anew.
            let locked = lock.map_or(Ok(()), |lock| lock.check(rule.name(), rule.digest()));
            // Another name than its file's is known by now.
            locked.inspect_err(|error| {
                rules.add_unusable(path, Some(rule.name()), error, help(error));
            })?;
            Ok(rule)
        });
        match rule {
            Ok(rule) => rules.add_file(&path.display().to_string(), rule),
            Err(WasmRuleLoadError::Digest { .. } | WasmRuleLoadError::Unlocked { .. }) => {}
            Err(error) => rules.add_unusable(path, None, &error, help(&error)),
        }
    }
}

impl fmt::Debug for RuleLoader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuleLoader").field("host", &self.host).finish_non_exhaustive()
    }
}

fn help(error: &WasmRuleLoadError) -> Option<String> {
    error.help().map(|help| help.to_string())
}

impl WasmRules {
    /// Loads every `*.wasm` of a directory, and waits until all are compiled.
    ///
    /// Beside `NAME.wasm` may stand `NAME.limits.json`, an object with any of `deadlineMs`,
    /// `fuel`, `memoryBytes`, `tableElements`, `inputBytes`, `outputBytes`, `reasonBytes`, `calls`,
    /// `deadlineMicrosPerInputKib`, `fuelPerInputByte` and `memoryPerInputByte`.
    ///
    /// # Errors
    ///
    /// [`WasmRulesError`] if the directory cannot be read or has no rules. Files that are no rules
    /// are in [`unusable`](Self::unusable).
    pub fn load(host: &RuleHost, directory: impl AsRef<Path>) -> Result<Self, WasmRulesError> {
        RuleLoader::new(host.clone()).load(&[directory.as_ref().to_owned()], &[], None)
    }

    /// Loads the rules of files that were found beside policies, and waits until all are compiled.
    ///
    /// # Errors
    ///
    /// None today; files that are no rules are in [`unusable`](Self::unusable).
    pub fn found(
        host: &RuleHost,
        files: impl IntoIterator<Item = impl AsRef<Path>>,
    ) -> Result<Self, WasmRulesError> {
        let files = files.into_iter().map(|file| file.as_ref().to_owned()).collect();
        RuleLoader::new(host.clone()).load_files(files, &[], None)
    }

    /// Loads one file, with the limits beside it.
    ///
    /// # Errors
    ///
    /// [`WasmRulesError`] if it is no rule, or its limits are none.
    pub fn file(host: &RuleHost, path: &Path) -> Result<WasmRule, WasmRulesError> {
        let file = path.display().to_string();
        let component = &host.config().component;
        let bytes =
            read(path, component.bytes as u64).map_err(|e| WasmRulesError::Io(file.clone(), e))?;
        let rule = bytes
            .map_err(|size| WasmRuleLoadError::too_large(size, component))
            .map(|bytes| Ok((bytes, limits_beside(path)?)));
        let rule = match rule {
            Ok(loaded) => {
                let (bytes, limits) = loaded?;
                WasmRule::load(host, &bytes, limits)
            }
            Err(error) => Err(error),
        };
        rule.map_err(|error| WasmRulesError::Rule { file, error })
    }
}
