//! The policies in force, and their reloading.
//!
//! Until a set has been loaded nothing is decided. A set that does not load leaves the one
//! before in force, and the failure is kept to be shown.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use stagedoor_core::{Effect, Engine, EngineBuilder, Limits, count_of};
use stagedoor_kubernetes::conditional::ConditionalReviewer;
use stagedoor_kubernetes::{ModeCeiling, Reviewer, VOCABULARY};
use stagedoor_server::{
    Admission, Fingerprint, InForce, LoadFailure, OriginHealth, ReloadSource, Reloading, Source,
    SourceStatus, YieldingRules, admission,
};
use stagedoor_source::{
    ManifestUse, OriginSet, PathOrigin, PolicyChanges, PolicyOrigin, PolicySet, PolicySources,
    Vocabulary,
};

use crate::conditional;
use crate::error::PoliciesError;
use crate::rules::RuleSource;

/// So many policies are named when they come or go.
const TOLD: usize = 20;

/// Where the policies of a webhook are.
///
/// The schemas of authorization and of admission that ship are added unless one of the files
/// declares them itself.
#[derive(Debug, Clone)]
pub struct PolicySource {
    paths: Vec<PathBuf>,
    manifest: ManifestUse,
    /// Where the policies come from instead of the paths.
    origin: Option<Arc<dyn PolicyOrigin>>,
    limits: Limits,
    conditional: bool,
    rules: Option<Arc<dyn RuleSource>>,
    others: Vec<Vocabulary>,
    ceilings: Vec<ModeCeiling>,
}

impl PolicySource {
    /// Returns policies in these files and directories.
    #[must_use]
    pub fn new(paths: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        Self {
            paths: paths.into_iter().map(Into::into).collect(),
            manifest: ManifestUse::default(),
            origin: None,
            limits: Limits::default(),
            conditional: false,
            rules: None,
            others: Vec::new(),
            ceilings: Vec::new(),
        }
    }

    /// Returns policies that come from somewhere else than files.
    #[must_use]
    pub fn of(origin: Arc<dyn PolicyOrigin>) -> Self {
        Self { origin: Some(origin), ..Self::new(Vec::<PathBuf>::new()) }
    }

    /// Sets the rules that policies may be guarded by. They are reloaded with the policies.
    #[must_use]
    pub fn with_rules(mut self, rules: Arc<dyn RuleSource>) -> Self {
        self.rules = Some(rules);
        self
    }

    /// Sets how much the policies below some paths count at most, whatever `@mode` they have.
    #[must_use]
    pub fn with_ceilings(mut self, ceilings: impl IntoIterator<Item = ModeCeiling>) -> Self {
        self.ceilings = ceilings.into_iter().collect();
        self
    }

    /// Sets the limits of the engine.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Says whether directories are held to their manifests.
    #[must_use]
    pub fn with_manifest(mut self, manifest: ManifestUse) -> Self {
        self.manifest = manifest;
        self
    }

    /// Names another platform whose policies may have directories of their own beside those of
    /// Kubernetes: they are no part of what is served.
    #[must_use]
    pub fn beside(mut self, other: Vocabulary) -> Self {
        self.others.push(other);
        self
    }

    /// Returns what builds an engine of the policies and rules as they are now.
    ///
    /// # Errors
    ///
    /// [`PoliciesError::Rules`] if the rules do not load.
    pub fn builder(&self) -> Result<EngineBuilder, PoliciesError> {
        self.builder_of(self.origin().read(&self.limits)?.sources)
    }

    fn origin(&self) -> Arc<dyn PolicyOrigin> {
        let files =
            || -> Arc<dyn PolicyOrigin> { Arc::new(PathOrigin::new(&self.paths, self.manifest)) };
        self.origin.clone().unwrap_or_else(files)
    }

    fn builder_of(&self, sources: PolicySources) -> Result<EngineBuilder, PoliciesError> {
        let vocabularies: Vec<Vocabulary> =
            std::iter::once(self.vocabulary()?).chain(self.others.iter().cloned()).collect();
        let builder =
            PolicySet::of(sources, &vocabularies, &[VOCABULARY.name], &self.limits).builder();
        let rules = self.rules.as_ref().map(|rules| rules.load().map_err(PoliciesError::Rules));
        let rules = rules.transpose()?.flatten();
        Ok(match rules {
            Some(rules) => builder.rules(Arc::new(YieldingRules::new(rules))),
            None => builder,
        })
    }

    /// Returns the words of Kubernetes, with those that come later if conditions are asked for.
    fn vocabulary(&self) -> Result<Vocabulary, PoliciesError> {
        let mut vocabulary = VOCABULARY;
        if self.conditional
            && let Some(schema) = vocabulary.schemas.to_mut().first_mut()
        {
            schema.text = Cow::Owned(conditional::schema()?);
        }
        Ok(vocabulary)
    }

    fn has_rules(&self) -> bool {
        self.rules.as_ref().is_some_and(|rules| !rules.files().is_empty())
    }
}

/// A policy set that was loaded.
pub(crate) struct LoadedPolicies {
    pub(crate) reviewer: Reviewer,
    /// The same policies, where some of them depend on the object that is written.
    pub(crate) open: Option<ConditionalReviewer>,
    /// Whether a manifest says that the set is what it is meant to be.
    is_pinned: bool,
    /// What has the last word on it where it comes from.
    admission: Option<Arc<dyn Admission>>,
}

impl LoadedPolicies {
    fn engine(&self) -> &Engine {
        self.reviewer.engine()
    }
}

/// The policies in force.
pub(crate) type Policies = Reloading<ServedPolicies>;

/// Where policies come from, and what reloads have lost of them.
pub(crate) struct ServedPolicies {
    source: PolicySource,
    /// The ids of forbids that reloads have lost, until they are back or a manifest pins a set
    /// without them.
    lost_forbids: ArcSwap<Vec<String>>,
}

impl ServedPolicies {
    /// Returns policies to be loaded; with `conditional` they may depend on objects.
    pub(crate) fn new(source: PolicySource, conditional: bool) -> Self {
        let lost_forbids = ArcSwap::default();
        Self { source: PolicySource { conditional, ..source }, lost_forbids }
    }

    fn read(&self, set: OriginSet) -> Result<LoadedPolicies, PoliciesError> {
        let is_pinned = set.is_pinned();
        let OriginSet { sources, admission } = set;
        let engine = self.source.builder_of(sources)?.build()?;
        let reviewer = Reviewer::new(engine)?.with_ceilings(&self.source.ceilings)?;
        let open = conditional::open(&reviewer, self.source.conditional)?;
        Ok(LoadedPolicies { reviewer, open, is_pinned, admission })
    }

    /// Tells which policies came and went, and counts the forbids that are lost.
    fn tell_changes(&self, before: &LoadedPolicies, now: &LoadedPolicies) {
        let changes = PolicyChanges::between(before.engine(), now.engine());
        let changed = [
            ("added", &changes.added),
            ("removed", &changes.removed),
            ("changed", &changes.changed),
        ];
        for (what, ids) in changed {
            if !ids.is_empty() {
                tracing::info!(count = ids.len(), policies = shown(ids), "policies {what}");
            }
        }
        let mut lost = self.lost_forbids.load_full().to_vec();
        lost.extend(changes.lost_forbids);
        if now.is_pinned {
            lost.clear();
        }
        let forbids = now.engine().policies().filter(|policy| policy.effect() == Effect::Forbid);
        let there: Vec<&str> = forbids.map(|policy| policy.id()).collect();
        lost.retain(|id| !there.contains(&id.as_str()));
        lost.sort_unstable();
        lost.dedup();
        if !lost.is_empty() {
            tracing::warn!(
                count = lost.len(),
                policies = shown(&lost),
                "forbids were lost by reloads: restore them, or pin the set by `stagedoor manifest`"
            );
        }
        self.lost_forbids.store(Arc::new(lost));
    }
}

impl ReloadSource for ServedPolicies {
    type Value = LoadedPolicies;
    type Error = LoadFailure;

    fn fingerprint(&self) -> Fingerprint {
        let rule_version = self.source.rules.as_ref().map_or(0, |rules| rules.version());
        let rules: Vec<PathBuf> =
            self.source.rules.iter().flat_map(|rules| rules.files()).collect();
        self.source
            .origin()
            .fingerprint()
            .and(Fingerprint::of(rules.iter().map(PathBuf::as_path)))
            .and(Fingerprint::default().with_version(rule_version))
    }

    fn load(&self, in_force: Option<&LoadedPolicies>) -> Result<LoadedPolicies, LoadFailure> {
        let set = self.source.origin().read(&self.source.limits).map_err(PoliciesError::from)?;
        let admission = set.admission.clone();
        let before = in_force.map(LoadedPolicies::engine);
        let new = self.read(set).map_err(LoadFailure::from);
        admission::check(admission.as_deref(), new, LoadedPolicies::engine, before)
    }

    fn admit(&self, loaded: &mut LoadedPolicies) -> Result<(), LoadFailure> {
        admission::admit(loaded.admission.take().as_deref())
    }

    /// A manifest that was added acknowledges. The limits of rules are not in the revision.
    fn is_same(&self, in_force: &LoadedPolicies, loaded: &LoadedPolicies) -> bool {
        !self.source.has_rules()
            && in_force.engine().revision() == loaded.engine().revision()
            && in_force.is_pinned == loaded.is_pinned
    }

    fn replaced(&self, before: Option<&LoadedPolicies>, now: &LoadedPolicies) {
        for warning in now.engine().warnings() {
            tracing::warn!(
                code = warning.code(),
                file = warning.file(),
                line = warning.line(),
                "{}",
                warning.message()
            );
        }
        if let Some(before) = before {
            self.tell_changes(before, now);
        }
    }
}

impl Source for ServedPolicies {
    fn name(&self) -> &'static str {
        "policies"
    }

    fn status(&self, in_force: &InForce<LoadedPolicies>) -> SourceStatus {
        let engine = in_force.value.engine();
        let policies = engine.policies().len();
        SourceStatus {
            summary: count_of(policies, "policy", "policies"),
            revision: Some(engine.revision().to_owned()),
            policies: Some(policies),
            lost_forbids: self.lost_forbids.load().len(),
            since: in_force.since,
        }
    }

    fn health(&self) -> Option<OriginHealth> {
        self.source.origin().health()
    }
}

/// Returns the first of many ids in one text.
fn shown(ids: &[String]) -> String {
    ids.get(..TOLD).unwrap_or(ids).join(", ")
}
