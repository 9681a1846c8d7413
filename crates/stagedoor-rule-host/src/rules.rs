//! The rules of a directory.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use stagedoor_core::{Guard, GuardRefusal, Problem, RuleEvaluator};

use crate::error::WasmRuleLoadError;
use crate::guard::WasmGuard;
use crate::host::RuleHost;
use crate::limits::RuleLimits;
use crate::rule::WasmRule;

/// Rules by name, for policies to be guarded by.
#[derive(Debug, Default)]
pub struct WasmRules {
    rules: BTreeMap<String, Arc<WasmRule>>,
    /// Files that are no rules, with the reasons. No policy may need them.
    broken: BTreeMap<PathBuf, String>,
}

/// Failure to load the rules of a directory. None of them is used.
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
    /// Two rules have one name.
    #[error("`{file}` is another rule `{name}`")]
    Duplicate {
        /// The second of the two files.
        file: String,
        /// The name.
        name: String,
    },
}

/// `NAME.limits.json` beside `NAME.wasm`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LimitsFile {
    deadline_ms: Option<u64>,
    fuel: Option<u64>,
    memory_bytes: Option<usize>,
    table_elements: Option<usize>,
    input_bytes: Option<usize>,
    output_bytes: Option<usize>,
}

impl WasmRules {
    /// Loads every `*.wasm` of a directory.
    ///
    /// Beside `NAME.wasm` may stand `NAME.limits.json`, an object with any of `deadlineMs`,
    /// `fuel`, `memoryBytes`, `tableElements`, `inputBytes` and `outputBytes`.
    ///
    /// # Errors
    ///
    /// [`WasmRulesError`] for the first file that is not as it should be.
    pub fn load(host: &RuleHost, directory: impl AsRef<Path>) -> Result<Self, WasmRulesError> {
        let mut rules = Self::default();
        rules.add_directory(host, directory)?;
        Ok(rules)
    }

    /// Loads the rules of files that were found beside policies. A file that is no rule is told of
    /// ([`RuleEvaluator::warnings`]); policies that name it do not load.
    ///
    /// # Errors
    ///
    /// [`WasmRulesError::Duplicate`] if two files have rules of one name.
    pub fn found(
        host: &RuleHost,
        files: impl IntoIterator<Item = impl AsRef<Path>>,
    ) -> Result<Self, WasmRulesError> {
        let mut rules = Self::default();
        for path in files {
            let path = path.as_ref();
            match Self::file(host, path) {
                Ok(rule) => {
                    let name = rule.name().to_owned();
                    if rules.add(rule).is_err() {
                        let file = path.display().to_string();
                        return Err(WasmRulesError::Duplicate { file, name });
                    }
                }
                Err(error) => {
                    let cause = std::error::Error::source(&error);
                    let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
                    rules.broken.insert(path.to_owned(), format!("{error}{cause}"));
                }
            }
        }
        Ok(rules)
    }

    /// Adds every rule of a directory, as [`load`](Self::load) does.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn add_directory(
        &mut self,
        host: &RuleHost,
        directory: impl AsRef<Path>,
    ) -> Result<(), WasmRulesError> {
        let directory = directory.as_ref();
        let name = directory.display().to_string();
        let failed = |e| WasmRulesError::Io(name.clone(), e);
        let mut files: Vec<PathBuf> = Vec::new();
        for entry in fs::read_dir(directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|ending| ending == "wasm") {
                files.push(path);
            }
        }
        if files.is_empty() {
            return Err(WasmRulesError::Empty(name));
        }
        files.sort_unstable();
        for path in files {
            let file = path.display().to_string();
            let rule = Self::file(host, &path)?;
            let name = rule.name().to_owned();
            if self.add(rule).is_err() {
                return Err(WasmRulesError::Duplicate { file, name });
            }
        }
        Ok(())
    }

    /// Loads one file, with the limits beside it.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn file(host: &RuleHost, path: &Path) -> Result<WasmRule, WasmRulesError> {
        let file = path.display().to_string();
        let limit = host.config().component.bytes;
        let bytes = read(path, limit as u64 + 1)?;
        let limits = limits(&path.with_extension("limits.json"))?;
        WasmRule::load(host, &bytes, limits).map_err(|error| WasmRulesError::Rule { file, error })
    }

    /// Adds a rule.
    ///
    /// # Errors
    ///
    /// Gives it back if there is one of its name.
    pub fn add(&mut self, rule: WasmRule) -> Result<(), Box<WasmRule>> {
        if self.rules.contains_key(rule.name()) {
            return Err(Box::new(rule));
        }
        self.rules.insert(rule.name().to_owned(), Arc::new(rule));
        Ok(())
    }

    /// Returns the rules, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &WasmRule> {
        self.rules.values().map(AsRef::as_ref)
    }
}

impl RuleEvaluator for WasmRules {
    fn guard(&self, rule: &str, arguments: &str) -> Result<Arc<dyn Guard>, GuardRefusal> {
        let Some(known) = self.rules.get(rule) else {
            return Err(match self.broken.is_empty() {
                true => GuardRefusal::Unknown { known: self.rules.keys().cloned().collect() },
                // Which rule a broken file was to be is not known.
                false => {
                    let reasons: Vec<&str> = self.broken.values().map(String::as_str).collect();
                    GuardRefusal::Broken(reasons.join("; "))
                }
            });
        };
        known.check_arguments(arguments).map_err(GuardRefusal::Arguments)?;
        let (rule, arguments) = (Arc::clone(known), arguments.to_owned());
        Ok(Arc::new(WasmGuard { rule, arguments }))
    }

    fn warnings(&self) -> Vec<Problem> {
        let problem = |(path, reason): (&PathBuf, &String)| {
            Problem::warning("rules::broken", format!("the file is not used: {reason}"))
                .with_help("`stagedoor rule check FILE` tells what is wrong with a rule")
                .in_file(&path.display().to_string())
        };
        self.broken.iter().map(problem).collect()
    }
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, WasmRulesError> {
    let failed = |e| WasmRulesError::Io(path.display().to_string(), e);
    let mut bytes = Vec::new();
    // Opening a pipe would wait for its writer.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(failed(io::Error::other("it is not a file")));
    }
    fs::File::open(path).map_err(failed)?.take(limit).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn limits(path: &Path) -> Result<RuleLimits, WasmRulesError> {
    let mut limits = RuleLimits::default();
    if !path.exists() {
        return Ok(limits);
    }
    let wrong =
        |reason: String| WasmRulesError::Limits { file: path.display().to_string(), reason };
    let read: LimitsFile = serde_json::from_slice(&read(path, 64 << 10)?)
        .map_err(|e| wrong(stagedoor_core::plain_reason(&e.to_string())))?;
    let set = |limit: &mut usize, value: Option<usize>| *limit = value.unwrap_or(*limit);
    limits.deadline = read.deadline_ms.map_or(limits.deadline, Duration::from_millis);
    limits.fuel = read.fuel.unwrap_or(limits.fuel);
    set(&mut limits.memory_bytes, read.memory_bytes);
    set(&mut limits.table_elements, read.table_elements);
    set(&mut limits.input_bytes, read.input_bytes);
    set(&mut limits.output_bytes, read.output_bytes);
    Ok(limits)
}
