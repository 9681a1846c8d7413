//! What a policy engine is to be made of.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use stagedoor_core::{Limits, RuleEvaluator};
use stagedoor_source::{Bundle, PolicySet, PolicySources, RealFileSystem, Vocabulary};

use crate::discovery::PluginMetadata;
use crate::permission::{Permissions, with_permission_help};
use crate::policy_engine::{PolicyEngine, PolicyEngineError};
use crate::schema::VOCABULARY;

/// The name of the schema that permission files make.
pub(crate) const FRAGMENT: &str = "(schema of added permissions)";

/// Collects policies, schemas and permission files, and builds a [`PolicyEngine`] of them. The
/// schema that ships is added unless they bring their own.
///
/// # Examples
///
/// ```
/// use stagedoor_backstage::PolicyEngine;
///
/// let policy = "permit (principal, action, resource);";
/// let policies = PolicyEngine::builder().texts([("all.cedar", policy)]).build()?;
/// assert_eq!(policies.engine().policies().len(), 1);
/// # Ok::<(), stagedoor_backstage::PolicyEngineError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct PolicyEngineBuilder {
    paths: Vec<PathBuf>,
    sources: PolicySources,
    rules: Option<Arc<dyn RuleEvaluator>>,
    limits: Limits,
    others: Vec<Vocabulary>,
    plugins: Vec<PluginMetadata>,
}

impl PolicyEngineBuilder {
    /// Adds a directory with all below it, read when the engine is built.
    #[must_use]
    pub fn directory(self, path: impl Into<PathBuf>) -> Self {
        self.file(path)
    }

    /// Adds a file, read when the engine is built: policies, a schema, permissions or a bundle.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.paths.push(path.into());
        self
    }

    /// Adds texts, given as names and texts. The name tells what a text is, as that of a file
    /// does.
    #[must_use]
    pub fn texts<N: Into<String>, T: Into<String>>(
        self,
        texts: impl IntoIterator<Item = (N, T)>,
    ) -> Self {
        self.sources(PolicySources::from_texts(texts))
    }

    /// Adds the files of a bundle.
    #[must_use]
    pub fn bundle(self, bundle: &Bundle) -> Self {
        self.sources(PolicySources::from_bundle(bundle))
    }

    /// Adds texts that were read before.
    #[must_use]
    pub fn sources(mut self, sources: PolicySources) -> Self {
        self.sources.extend(sources);
        self
    }

    /// Sets the rules that policies may be guarded by.
    #[must_use]
    pub fn rules(mut self, rules: Arc<dyn RuleEvaluator>) -> Self {
        self.rules = Some(rules);
        self
    }

    /// Sets the limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Names another platform whose policies may have directories of their own beside those of
    /// Backstage: they are no part of this set.
    #[must_use]
    pub fn beside(mut self, other: Vocabulary) -> Self {
        self.others.push(other);
        self
    }

    /// Adds the permissions and rules that plugins of a running Backstage tell of and that
    /// nobody has listed. What of it cannot be taken is no error: see
    /// [`PolicyEngine::findings`].
    #[must_use]
    pub fn plugins(mut self, plugins: impl IntoIterator<Item = PluginMetadata>) -> Self {
        self.plugins.extend(plugins);
        self
    }

    /// Loads everything.
    ///
    /// # Errors
    ///
    /// [`PolicyEngineError`] with everything that is wrong. Nothing is loaded in part.
    pub fn build(self) -> Result<PolicyEngine, PolicyEngineError> {
        let Self { paths, mut sources, rules, limits, others, plugins } = self;
        sources.extend(PolicySources::read(&RealFileSystem, &paths, &limits));
        let vocabularies: Vec<Vocabulary> = std::iter::once(VOCABULARY).chain(others).collect();
        let set = PolicySet::of(sources, &vocabularies, &[VOCABULARY.name], &limits);
        let permissions = Permissions::known()?.with_sources(set.sources())?;
        let (permissions, remarks) = permissions.with_plugins(&plugins);
        let set = permissions.add_to(set);
        let builder = set.builder();
        let builder = rules.into_iter().fold(builder, stagedoor_core::EngineBuilder::rules);
        let engine = builder.build().map_err(with_permission_help)?;
        Ok(PolicyEngine::new(engine, permissions).with_remarks(remarks))
    }
}

impl Permissions {
    /// Adds the schema of the permissions that files added to a policy set.
    #[must_use]
    pub fn add_to(&self, set: PolicySet) -> PolicySet {
        self.schema_fragment().into_iter().fold(set, |set, text| set.with_fragment(FRAGMENT, text))
    }
}

impl PolicyEngine {
    /// Returns a builder, to load policies with.
    #[must_use]
    pub fn builder() -> PolicyEngineBuilder {
        PolicyEngineBuilder::default()
    }

    /// Loads policies, schema and permission files of a directory, with all below it. The
    /// schema that ships is added unless the directory has its own.
    ///
    /// # Errors
    ///
    /// [`PolicyEngineError`] with everything that is wrong.
    pub fn load(directory: &Path) -> Result<Self, PolicyEngineError> {
        Self::builder().directory(directory).build()
    }
}
