//! Rules by name, as policies name them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;
use std::sync::Arc;

use stagedoor_core::{Guard, GuardRefusal, Problem, RuleEvaluator, RuleReference, single_line};

use crate::files::expected_name;
use crate::guard::{PendingGuard, WasmGuard};
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
    warnings: Vec<Problem>,
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

impl WasmRules {
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

    /// Adds something to warn of when policies load with these rules.
    pub fn add_warning(&mut self, warning: Problem) {
        self.warnings.push(warning);
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
        unusable.chain(pending).chain(self.warnings.iter().cloned()).collect()
    }
}
