//! Rules by name, as policies name them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::path::Path;
use std::sync::Arc;

use stagedoor_core::{Guard, GuardRefusal, Problem, RuleEvaluator, RuleReference, single_line};

use crate::error::WasmRuleLoadError;
use crate::files::{expected_name, read};
use crate::guard::{PendingGuard, WasmGuard};
use crate::host::RuleHost;
use crate::limits_file::limits_beside;
use crate::loader::RuleLoader;
use crate::rule::WasmRule;

/// Rules by name, for policies to be guarded by.
///
/// A file that is no rule does not keep the others from being used. Policies that name it do
/// not load; where none does, it is a warning.
#[derive(Debug, Default)]
pub struct WasmRules {
    rules: BTreeMap<String, Arc<WasmRule>>,
    unusable: Vec<UnusableRule>,
    pending: Vec<PendingRule>,
}

/// A file that is not used, and why.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct UnusableRule {
    /// The file.
    pub file: String,
    /// What the rule is called; where that is not known, what its file is.
    pub name: String,
    /// Why.
    pub error: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// A file that is being compiled.
#[derive(Debug, Clone)]
pub(crate) struct PendingRule {
    pub(crate) file: String,
    /// What its file is called.
    pub(crate) name: String,
}

/// Failure to load rules. None of them is used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WasmRulesError {
    /// A file or the directory cannot be read.
    #[error("`{0}` cannot be read")]
    Io(String, #[source] io::Error),
    /// There are no rules in the directory.
    #[error("there are no rules (`*.wasm`) in `{0}`")]
    Empty(String),
    /// A component is no rule.
    #[error("`{file}`: {error}")]
    Rule {
        /// The file.
        file: String,
        /// Why.
        error: WasmRuleLoadError,
    },
    /// The limits of a rule cannot be read.
    #[error("`{file}` has no limits of a rule: {reason}")]
    Limits {
        /// The file.
        file: String,
        /// Why.
        reason: String,
    },
    /// What pins the rules cannot be read.
    #[error("`{file}` does not pin rules: {reason}")]
    Lock {
        /// The file.
        file: String,
        /// Why.
        reason: String,
    },
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

    /// Adds a rule.
    ///
    /// # Errors
    ///
    /// Gives it back if there is one of its name.
    pub fn add(&mut self, rule: WasmRule) -> Result<(), Box<WasmRule>> {
        match self.rules.entry(rule.name().to_owned()) {
            Entry::Vacant(place) => {
                place.insert(Arc::new(rule));
                Ok(())
            }
            Entry::Occupied(_) => Err(Box::new(rule)),
        }
    }

    /// Returns the rules, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &WasmRule> {
        self.rules.values().map(AsRef::as_ref)
    }

    /// Returns the files that are not used.
    #[must_use]
    pub fn unusable(&self) -> &[UnusableRule] {
        &self.unusable
    }

    /// Returns whether rules are still being compiled. Policies that name them are in force, and
    /// their guards fail closed.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Adds the rule of a file; of two with one name neither is used, since the order of files
    /// would decide.
    pub(crate) fn add_file(&mut self, file: &str, rule: WasmRule) {
        let name = rule.name().to_owned();
        let taken = self.unusable.iter().any(|unusable| unusable.name == name);
        match self.rules.entry(name.clone()) {
            Entry::Occupied(other) if other.get().digest() == rule.digest() => {}
            Entry::Occupied(other) => {
                other.remove();
                self.two_of_a_name(file, &name);
            }
            Entry::Vacant(_) if taken => self.two_of_a_name(file, &name),
            Entry::Vacant(place) => {
                place.insert(Arc::new(rule));
            }
        }
    }

    fn two_of_a_name(&mut self, file: &str, name: &str) {
        self.unusable.push(UnusableRule {
            file: file.to_owned(),
            name: name.to_owned(),
            error: format!("another file has a rule `{name}` as well, so that neither is used"),
            help: Some("keep one of them".to_owned()),
        });
    }

    pub(crate) fn add_unusable(
        &mut self,
        path: &Path,
        name: Option<&str>,
        error: &dyn std::fmt::Display,
        help: Option<String>,
    ) {
        self.unusable.push(UnusableRule {
            file: path.display().to_string(),
            name: name.map_or_else(|| expected_name(path), str::to_owned),
            // It may quote what is in the file.
            error: single_line(&error.to_string()),
            help,
        });
    }

    pub(crate) fn add_pending(&mut self, path: &Path) {
        let (file, name) = (path.display().to_string(), expected_name(path));
        self.pending.push(PendingRule { file, name });
    }

    fn is_pending_as(&self, name: &str) -> bool {
        // A file may be called otherwise than its rule: then any of them may be the one.
        let known = self.unusable.iter().any(|unusable| unusable.name == name);
        self.pending.iter().any(|pending| pending.name == name)
            || (!self.pending.is_empty() && !known)
    }
}

impl RuleEvaluator for WasmRules {
    fn guard(&self, rule: &str, arguments: &str) -> Result<Arc<dyn Guard>, GuardRefusal> {
        let RuleReference { name, sha256 } = RuleReference::parse(rule);
        let found = self.rules.get(name);
        let fits = found.filter(|found| sha256.is_none_or(|pinned| pinned == found.digest()));
        if let Some(rule) = fits {
            rule.check_arguments(arguments).map_err(GuardRefusal::Arguments)?;
            let (rule, arguments) = (Arc::clone(rule), arguments.to_owned());
            return Ok(Arc::new(WasmGuard { rule, arguments }));
        }
        if self.is_pending_as(name) {
            return Ok(Arc::new(PendingGuard::new(sha256)));
        }
        if let (Some(found), Some(pinned)) = (found, sha256) {
            let (pinned, found) = (pinned.to_owned(), found.digest().to_owned());
            return Err(GuardRefusal::Digest { pinned, found });
        }
        if let Some(unusable) = self.unusable.iter().find(|unusable| unusable.name == name) {
            let UnusableRule { file, error, .. } = unusable;
            return Err(GuardRefusal::Broken(format!("`{file}`: {error}")));
        }
        Err(GuardRefusal::Unknown { known: self.rules.keys().cloned().collect() })
    }

    fn warnings(&self) -> Vec<Problem> {
        let unusable = self.unusable.iter().map(|unusable| {
            let message = format!("the file is not used: {}", unusable.error);
            let problem = Problem::warning("rules::broken", message).in_file(&unusable.file);
            unusable.help.iter().fold(problem, |problem, help| problem.with_help(help))
        });
        let pending = self.pending.iter().map(|pending| {
            let message = "the rule is still being compiled, and its guards fail closed until then";
            Problem::warning("rules::compiling", message).in_file(&pending.file)
        });
        unusable.chain(pending).collect()
    }
}
