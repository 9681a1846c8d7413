//! The policies in force, and their reloading.
//!
//! Until a set has been loaded nothing is decided. A set that does not load leaves the one
//! before in force, and the failure is kept to be shown.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use stagedoor_core::{Engine, EngineBuilder, Limits, OpenEngine};
use stagedoor_kubernetes::admission;
use stagedoor_kubernetes::{Reviewer, SCHEMA};
use stagedoor_server::{Commit, Fingerprint, InForce, LoadFailure, Replaced, Source};

use crate::conditional;
use crate::error::PoliciesError;
use crate::files::{is_schema, policy_files};
use crate::rules::RuleSource;

/// Where the policies of a webhook are.
///
/// The schemas of authorization and of admission that ship are added unless one of the files
/// declares them itself.
#[derive(Debug, Clone)]
pub struct PolicySource {
    paths: Vec<PathBuf>,
    limits: Limits,
    conditional: bool,
    rules: Option<Arc<dyn RuleSource>>,
}

impl PolicySource {
    /// Returns policies in these files and directories.
    #[must_use]
    pub fn new(paths: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        let paths = paths.into_iter().map(Into::into).collect();
        Self { paths, limits: Limits::default(), conditional: false, rules: None }
    }

    /// Sets the rules that policies may be guarded by. They are reloaded with the policies.
    #[must_use]
    pub fn with_rules(mut self, rules: Arc<dyn RuleSource>) -> Self {
        self.rules = Some(rules);
        self
    }

    /// Sets the limits of the engine.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Returns what builds an engine of the policies and rules as they are now.
    ///
    /// # Errors
    ///
    /// [`PoliciesError::Rules`] if the rules do not load.
    pub fn builder(&self) -> Result<EngineBuilder, PoliciesError> {
        let mut builder = Engine::builder().limits(self.limits.clone());
        let rules = self.rules.as_ref().map(|rules| rules.load().map_err(PoliciesError::Rules));
        if let Some(rules) = rules.transpose()?.flatten() {
            builder = builder.rules(rules);
        }
        for path in &self.paths {
            builder = if path.is_dir() { builder.directory(path) } else { builder.file(path) };
        }
        let schemas = self.schemas();
        if !schemas.iter().any(|text| declares(text, "NonResourceURL")) {
            let schema = if self.conditional { conditional::schema() } else { SCHEMA.to_owned() };
            builder = builder.schema("(shipped) kubernetes.cedarschema", schema);
        }
        if !schemas.iter().any(|text| declares(text, admission::OBJECT_TYPE)) {
            builder = builder.schema("(shipped) admission.cedarschema", admission::SCHEMA);
        }
        Ok(builder)
    }

    fn has_rules(&self) -> bool {
        self.rules.as_ref().is_some_and(|rules| !rules.files().is_empty())
    }

    fn fingerprint(&self) -> Fingerprint {
        let rules = self.rules.iter().flat_map(|rules| rules.files());
        let files: Vec<PathBuf> = policy_files(&self.paths).into_iter().chain(rules).collect();
        Fingerprint::of(files.iter().map(PathBuf::as_path))
    }

    /// Returns the schemas beside the policies; the engine reports those that cannot be read.
    fn schemas(&self) -> Vec<String> {
        let named = |path: &Path| path.file_name().is_some_and(|n| is_schema(&n.to_string_lossy()));
        let fits = |path: &Path| {
            path.metadata().is_ok_and(|meta| meta.len() <= self.limits.file_bytes as u64)
        };
        let files = policy_files(&self.paths);
        let schemas = files.iter().filter(|path| named(path) && fits(path));
        schemas.filter_map(|path| std::fs::read_to_string(path).ok()).collect()
    }
}

/// Whether a schema, as text or JSON, declares an entity type of this name.
fn declares(schema: &str, entity_type: &str) -> bool {
    if schema.trim_start().starts_with('{') {
        let json: Option<serde_json::Value> = serde_json::from_str(schema).ok();
        let namespaces = json.as_ref().and_then(serde_json::Value::as_object);
        return namespaces.is_some_and(|namespaces| {
            namespaces.values().any(|namespace| {
                namespace.get("entityTypes").is_some_and(|t| t.get(entity_type).is_some())
            })
        });
    }
    let code = |line: &str| line.split_once("//").map_or(line, |(code, _)| code).to_owned();
    let text: String = schema.lines().map(|line| code(line) + "\n").collect();
    let mut words =
        text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty());
    let mut last = "";
    words.any(|word| std::mem::replace(&mut last, word) == "entity" && word == entity_type)
}

/// A policy set that was loaded.
pub(crate) struct Loaded {
    pub(crate) reviewer: Reviewer,
    /// The same policies, where some of them depend on the object that is written.
    pub(crate) open: Option<OpenEngine>,
    pub(crate) since: SystemTime,
}

/// The policies in force.
pub(crate) struct Policies {
    source: PolicySource,
    loaded: Arc<ArcSwapOption<Loaded>>,
}

impl Policies {
    /// Returns policies to be loaded; with `conditional` they may depend on objects.
    pub(crate) fn new(source: PolicySource, conditional: bool) -> Self {
        Self { source: PolicySource { conditional, ..source }, loaded: Arc::default() }
    }

    /// Returns the set in force, if one was loaded.
    pub(crate) fn current(&self) -> Option<Arc<Loaded>> {
        self.loaded.load_full()
    }

    fn read(&self) -> Result<Loaded, PoliciesError> {
        let engine = self.source.builder()?.build()?;
        let open = conditional::open(engine.clone(), self.source.conditional)?;
        Ok(Loaded { reviewer: Reviewer::new(engine)?, open, since: SystemTime::now() })
    }
}

impl Source for Policies {
    fn name(&self) -> &'static str {
        "policies"
    }

    fn fingerprint(&self) -> Fingerprint {
        self.source.fingerprint()
    }

    fn load(&self) -> Result<Commit, LoadFailure> {
        let new = self.read()?;
        let (loaded, has_rules) = (Arc::clone(&self.loaded), self.source.has_rules());
        Ok(Box::new(move || {
            let engine = new.reviewer.engine();
            let is_same = |old: &Arc<Loaded>| old.reviewer.engine().revision() == engine.revision();
            // The limits of rules are not in the revision.
            if !has_rules && loaded.load_full().as_ref().is_some_and(is_same) {
                return Replaced::Same;
            }
            for warning in engine.warnings() {
                tracing::warn!(
                    code = warning.code(),
                    file = warning.file(),
                    line = warning.line(),
                    "{}",
                    warning.message()
                );
            }
            Replaced::With(Box::new(loaded.swap(Some(Arc::new(new)))))
        }))
    }

    fn in_force(&self) -> Option<InForce> {
        let loaded = self.current()?;
        let engine = loaded.reviewer.engine();
        let policies = engine.policies().len();
        Some(InForce {
            summary: format!("{policies} policies"),
            revision: Some(engine.revision().to_owned()),
            policies: Some(policies),
            since: loaded.since,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::declares;

    #[test]
    fn schemas_that_declare_a_type_are_told_from_those_that_use_it() {
        let own = "namespace k8s {\n  // the path\n  entity NonResourceURL = { path: String };\n}";
        let addition = "namespace k8s {\n  // entity NonResourceURL\n  action \"x\" appliesTo { \
                        principal: [User], resource: [NonResourceURL] };\n}";
        let json = r#"{"k8s": {"entityTypes": {"NonResourceURL": {}}, "actions": {}}}"#;
        let json_addition =
            r#"{"k8s": {"entityTypes": {"X": {}}, "actions": {"NonResourceURL": {}}}}"#;
        assert!(declares(own, "NonResourceURL"));
        assert!(declares(json, "NonResourceURL"));
        assert!(!declares(addition, "NonResourceURL"));
        assert!(!declares(json_addition, "NonResourceURL"));
        assert!(!declares("{ not json", "NonResourceURL"));
    }
}
