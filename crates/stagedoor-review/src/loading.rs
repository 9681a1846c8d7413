//! Policies to review.

use std::sync::Arc;

use stagedoor_backstage::{FileError, Permissions};
use stagedoor_core::{Engine, Limits, LoadError, RuleEvaluator};
use stagedoor_source::{PolicySet, PolicySources, Vocabulary};

use crate::absent_rules::AbsentRules;
use crate::platform::Platform;

/// The platforms that policies may be about.
const PLATFORMS: [Vocabulary; 2] =
    [stagedoor_backstage::VOCABULARY, stagedoor_kubernetes::VOCABULARY];

/// Policies that load, and what they are about.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Policies {
    /// The policies.
    pub engine: Engine,
    /// Those that decide: for Kubernetes, all but those whose `@mode` says otherwise.
    pub enforced: Engine,
    /// The permissions of Backstage with those that files beside the policies add.
    pub permissions: Permissions,
    /// The platform.
    pub platform: Platform,
}

/// Policies that do not load.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadingError {
    /// Policies or schemas are wrong.
    #[error(transparent)]
    Policies(#[from] LoadError),
    /// Files of permissions are wrong.
    #[error(transparent)]
    Permissions(#[from] FileError),
    /// A policy for Kubernetes has a mode that there is not.
    #[error(transparent)]
    Mode(#[from] stagedoor_kubernetes::VocabularyError),
    /// Roles of Kubernetes cannot be imported.
    #[error("the roles cannot be imported: {0}")]
    Rbac(String),
}

impl Policies {
    /// Loads policies with their own schema, or else with those that ship: one set, or one for
    /// each platform that has directories of its own.
    ///
    /// Without `rules`, those that guard policies are not run: a guarded permit is off, a guarded
    /// forbid on.
    ///
    /// # Errors
    ///
    /// [`LoadingError`] with everything that is wrong with the first set that does not load.
    pub fn all(
        sources: PolicySources,
        rules: Option<Arc<dyn RuleEvaluator>>,
        limits: &Limits,
    ) -> Result<Vec<Self>, LoadingError> {
        Self::all_beside(&[], sources, rules, limits)
    }

    /// Loads policies as [`all`](Self::all) does, to be held against others: what both have word
    /// for word is not read again.
    ///
    /// # Errors
    ///
    /// As [`all`](Self::all).
    pub fn all_beside(
        others: &[Self],
        sources: PolicySources,
        rules: Option<Arc<dyn RuleEvaluator>>,
        limits: &Limits,
    ) -> Result<Vec<Self>, LoadingError> {
        let rules = rules.unwrap_or_else(|| Arc::new(AbsentRules));
        let sets = PolicySet::all_within(sources, &PLATFORMS, limits);
        sets.into_iter().map(|set| Self::of(set, others, Arc::clone(&rules))).collect()
    }

    fn of(
        set: PolicySet,
        others: &[Self],
        rules: Arc<dyn RuleEvaluator>,
    ) -> Result<Self, LoadingError> {
        let mut permissions = Permissions::known()?;
        let set = match set.is_about(stagedoor_backstage::VOCABULARY.name) {
            true => {
                permissions = permissions.with_sources(set.sources())?;
                permissions.add_to(set)
            }
            false => set,
        };
        let builder = others.iter().fold(set.builder(), |b, other| b.resembling(&other.engine));
        let engine = builder.rules(rules).build()?;
        let platform = engine.schema().map_or(Platform::Cedar, Platform::of);
        let enforced = match platform {
            Platform::Kubernetes => stagedoor_kubernetes::enforced_policies(&engine)?,
            Platform::Backstage | Platform::Cedar => engine.clone(),
        };
        Ok(Self { engine, enforced, permissions, platform })
    }
}
