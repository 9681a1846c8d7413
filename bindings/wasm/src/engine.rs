//! Policies that were loaded, as those of a platform or as plain Cedar.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use stagedoor_backstage::{Budget, PolicyBundle, PolicyEngine, read_groups};
use stagedoor_core::{EngineBuilder, Entity, Limits};
use stagedoor_kubernetes::{Reviewer, SubjectAccessReview, SubjectAccessReviewStatus};
use stagedoor_source::{PolicySet, PolicySources, Vocabulary, limits_from_numbers};
use stagedoor_wire::{BackstageGroup, Problem, Result, WireError};

use crate::tree::{TreeEntry, file_system};

/// Answers that are kept unless the options say otherwise.
const CACHED: usize = 20_000;

/// What an engine is made of. JavaScript has checked it, and read the files.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Options {
    #[serde(default)]
    texts: Vec<Text>,
    /// Directories and files, whose entries are in `tree`.
    #[serde(default)]
    paths: Vec<String>,
    #[serde(default)]
    tree: Vec<TreeEntry>,
    /// A bundle, in place of texts and paths.
    bundle: Option<Box<RawValue>>,
    platform: Option<Platform>,
    cache_size: Option<usize>,
    #[serde(default)]
    budget: ConditionBudget,
    #[serde(default)]
    limits: BTreeMap<String, f64>,
    #[serde(default)]
    exact_cedar: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    name: String,
    text: String,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Platform {
    Backstage,
    Kubernetes,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConditionBudget {
    leaves: Option<usize>,
    depth: Option<usize>,
    bytes: Option<usize>,
}

impl From<ConditionBudget> for Budget {
    fn from(given: ConditionBudget) -> Self {
        let default = Self::default();
        Self {
            leaves: given.leaves.unwrap_or(default.leaves),
            depth: given.depth.unwrap_or(default.depth),
            bytes: given.bytes.unwrap_or(default.bytes),
        }
    }
}

/// Policies that were loaded.
pub(crate) struct Engine {
    policies: Policies,
    /// Answers to Backstage that are kept, and how large they may be.
    kept: (usize, Budget),
    groups: Vec<Entity>,
}

enum Policies {
    Cedar(stagedoor_core::Engine),
    Backstage(Box<PolicyEngine>),
    Kubernetes(Box<Reviewer>),
}

impl Engine {
    pub(crate) fn load(options: Options, groups: &[Entity]) -> Result<Self> {
        let kept = (options.cache_size.unwrap_or(CACHED), options.budget.into());
        let policies = match options.platform {
            None => Policies::Cedar(builder(&options, None)?.build()?),
            Some(Platform::Backstage) => {
                let policy = above_groups(backstage(&options)?, kept, groups)?;
                Policies::Backstage(Box::new(policy))
            }
            Some(Platform::Kubernetes) => {
                let engine = builder(&options, Some("kubernetes"))?.build()?;
                Policies::Kubernetes(Box::new(Reviewer::new(engine)?))
            }
        };
        Ok(Self { policies, kept, groups: groups.to_vec() })
    }

    pub(crate) fn core(&self) -> &stagedoor_core::Engine {
        match &self.policies {
            Policies::Cedar(engine) => engine,
            Policies::Backstage(policy) => policy.engine(),
            Policies::Kubernetes(reviewer) => reviewer.engine(),
        }
    }

    pub(crate) fn groups(&self) -> &[Entity] {
        &self.groups
    }

    pub(crate) fn warnings(&self) -> Vec<Problem> {
        let warnings = self.core().warnings().iter().map(Problem::from);
        match &self.policies {
            Policies::Backstage(policy) => {
                warnings.chain(policy.findings().iter().map(Problem::from)).collect()
            }
            Policies::Cedar(_) | Policies::Kubernetes(_) => warnings.collect(),
        }
    }

    /// Returns the policies as Backstage's.
    pub(crate) fn backstage(&self) -> Result<&PolicyEngine> {
        match &self.policies {
            Policies::Backstage(policy) => Ok(policy),
            Policies::Cedar(_) | Policies::Kubernetes(_) => Err(not_for("backstage")),
        }
    }

    pub(crate) fn set_groups(&mut self, groups: Vec<BackstageGroup>) -> Result<Vec<Problem>> {
        let Policies::Backstage(policy) = &mut self.policies else {
            return Err(not_for("backstage"));
        };
        let groups = groups.into_iter().map(|group| (group.entity_ref, group.parents));
        let (groups, unreadable) = read_groups(groups);
        let renewed = PolicyEngine::new(policy.engine().clone(), policy.permissions().clone());
        **policy = above_groups(renewed, self.kept, &groups)?;
        self.groups = groups;
        let findings = unreadable.iter().chain(policy.group_findings());
        Ok(findings.map(Problem::from).collect())
    }

    pub(crate) fn review(&self, review: &str) -> Result<SubjectAccessReviewStatus> {
        let Policies::Kubernetes(reviewer) = &self.policies else {
            return Err(not_for("kubernetes"));
        };
        let review = SubjectAccessReview::from_json(review)?;
        Ok(reviewer.answer(review).status.unwrap_or_default())
    }
}

fn above_groups(
    policy: PolicyEngine,
    (cached, budget): (usize, Budget),
    groups: &[Entity],
) -> Result<PolicyEngine> {
    Ok(policy.with_cache(cached).with_budget(budget).with_groups(groups.iter().cloned())?)
}

fn not_for(platform: &str) -> WireError {
    WireError::new("engine::platform", format!("the engine was not loaded for {platform}"))
        .with_help(format!("load it with {{platform: '{platform}'}}"))
}

/// Limits that cannot be raised here. Cedar's validator recurses on the host's stack, of which V8 gives
/// about a megabyte, and a step takes 5 KB of it when V8 has optimised the code, which it does when
/// policies were loaded for a while: 172 differences did not fit any more. Less leaves room for the
/// caller.
const CAPS: [(&str, usize); 2] = [("operators", 100), ("nesting", 64)];

/// Returns the limits of the module, with those that the options set.
fn limits(options: &Options) -> Result<Limits> {
    let wrong = |message: String| WireError::new("argument::option", format!("limits: {message}"));
    let given = options.limits.iter().map(|(name, number)| (name.as_str(), *number));
    let mut limits = limits_from_numbers(given).map_err(wrong)?;
    for (name, most) in CAPS {
        match options.limits.get(name) {
            // Compared as it was given: what is no whole number was refused above.
            Some(given) if *given > most as f64 => {
                return Err(wrong(format!("`{name}` cannot be more than {most} in WebAssembly"))
                    .with_help("split the policy, or use the addon, `@stagedoor/node`"));
            }
            Some(_) => {}
            None => limits.set(name, most).map_err(|error| wrong(error.to_string()))?,
        }
    }
    Ok(limits)
}

/// The platforms that policies may be about.
const PLATFORMS: [Vocabulary; 2] =
    [stagedoor_backstage::VOCABULARY, stagedoor_kubernetes::VOCABULARY];

/// Returns the texts that options give, wherever JavaScript found them.
fn sources(options: &Options, limits: &Limits) -> Result<PolicySources> {
    let mut sources = match &options.bundle {
        Some(bundle) => {
            PolicySources::from_bundle(&PolicyBundle::from_json("the bundle", bundle.get())?)
        }
        None => PolicySources::read(&file_system(&options.tree), &options.paths, limits),
    };
    let texts = options.texts.iter().map(|Text { name, text }| (name.as_str(), text.as_str()));
    sources.extend(PolicySources::from_texts(texts));
    Ok(sources)
}

fn backstage(options: &Options) -> Result<PolicyEngine> {
    let limits = limits(options)?;
    let builder = PolicyEngine::builder().beside(stagedoor_kubernetes::VOCABULARY);
    Ok(builder.sources(sources(options, &limits)?).limits(limits).build()?)
}

/// Returns what builds an engine with the schemas of the platforms that the texts are about, and
/// of the one that is named.
fn builder(options: &Options, platform: Option<&str>) -> Result<EngineBuilder> {
    let limits = limits(options)?;
    let sources = sources(options, &limits)?;
    if options.exact_cedar {
        return Ok(sources.add_to(stagedoor_core::Engine::builder()).limits(limits).exact_cedar());
    }
    let platforms: Vec<&str> = platform.into_iter().collect();
    Ok(PolicySet::of(sources, &PLATFORMS, &platforms, &limits).builder())
}
