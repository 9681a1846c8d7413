//! Loading and reloading, which JavaScript shares with the threads that do it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use stagedoor_backstage::{OwnerCounts, PolicyBundle, PolicyEngine, User};
use stagedoor_core::{Engine, EngineBuilder, Entity, RuleEvaluator};
use stagedoor_kubernetes::Reviewer;
use stagedoor_source::{FileSystem as _, PolicySet, PolicySources, RealFileSystem, Vocabulary};
use stagedoor_wire::{Problem, WireError};

use crate::failure::{Failure, Result};
use crate::options::{Options, Platform};
use crate::rules::Rules;

/// The most bytes of a bundle.
const BUNDLE_BYTES: u64 = 256 << 20;

/// The platforms that policies may be about.
const PLATFORMS: [Vocabulary; 2] =
    [stagedoor_backstage::VOCABULARY, stagedoor_kubernetes::VOCABULARY];

/// Policies that were loaded.
#[derive(Debug)]
pub(crate) struct LoadedPolicies {
    pub(crate) engine: Engine,
    /// The same policies as a platform's, if they are.
    platform: Option<PlatformPolicies>,
    /// Tells these policies from all others, in this process.
    pub(crate) generation: u64,
}

/// Policies as a platform asks them.
enum PlatformPolicies {
    Backstage(Box<PolicyEngine>),
    Kubernetes(Box<Reviewer>),
}

impl std::fmt::Debug for PlatformPolicies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Backstage(policy) => policy.fmt(f),
            Self::Kubernetes(reviewer) => reviewer.engine().fmt(f),
        }
    }
}

/// The policies in force, and where they come from.
#[derive(Debug)]
pub struct Policies {
    options: Options,
    loaded: ArcSwap<LoadedPolicies>,
    /// Held by a reload: of two, the later one has the last word.
    reloading: Mutex<()>,
    /// Held while policies are put in force with what the catalog tells, which takes no time.
    /// INVARIANT: `loaded` is stored with this held, and has these facts.
    facts: Mutex<CatalogFacts>,
    /// The rules that policies may be guarded by.
    rules: Option<Rules>,
}

/// What Backstage's catalog tells beside the policies.
#[derive(Debug, Clone, Default)]
struct CatalogFacts {
    groups: Vec<Entity>,
    owners: OwnerCounts,
}

impl Policies {
    /// Loads policies. Takes its time.
    ///
    /// # Errors
    ///
    /// [`Failure`] with everything that is wrong.
    pub(crate) fn load(options: Options) -> Result<Self> {
        let policies = options.directory.as_deref();
        let rules = options.rules.as_deref();
        let rules = rules.map(|rules| Rules::new(rules, policies, &options.rule_host));
        let rules = rules.transpose()?;
        let load = || LoadedPolicies::load(&options, rules.as_ref(), &CatalogFacts::default());
        let loaded = guarded(load)?;
        Ok(Self {
            options,
            loaded: ArcSwap::from_pointee(loaded),
            reloading: Mutex::default(),
            facts: Mutex::default(),
            rules,
        })
    }

    /// Loads the same files again and puts them in force; returns whether they differ, and
    /// the revision. What the catalog tells meanwhile holds for the new policies. Rules that are not
    /// compiled in a moment follow when they are.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load); what was in force stays so.
    pub(crate) fn reload(self: &Arc<Self>) -> Result<(bool, String)> {
        let reloaded = self.reload_once()?;
        if let Some(rules) = &self.rules {
            let policies = Arc::downgrade(self);
            rules.when_compiled(move || {
                // Policies that are gone by then need no rules.
                let Some(policies) = policies.upgrade() else { return };
                // What does not load leaves in force what is: its guards fail closed. The next
                // reload says why.
                let _ = policies.reload_once();
            });
        }
        Ok(reloaded)
    }

    fn reload_once(&self) -> Result<(bool, String)> {
        let _reloading = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        // Without the facts' lock: whoever sets groups does not wait for files.
        let rules = self.rules.as_ref();
        let loaded =
            guarded(|| LoadedPolicies::load(&self.options, rules, &CatalogFacts::default()))?;
        let facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = guarded(|| loaded.with_facts(&self.options, &facts))?;
        let revision = loaded.engine.revision().to_owned();
        // Taken up in any case: what permission files say of rules is not in the revision.
        let before = self.loaded.swap(Arc::new(loaded));
        Ok((before.engine.revision() != revision, revision))
    }

    /// Sets Backstage's groups above groups, for the policies in force and those to come.
    ///
    /// # Errors
    ///
    /// [`Failure`] if they are too many, or the policies are not Backstage's. What was in
    /// force stays so.
    pub(crate) fn set_groups(&self, groups: Vec<Entity>) -> Result<()> {
        self.set_facts(|facts| facts.groups = groups)
    }

    /// Sets how many entities each owner has, for the policies in force and those to come.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the policies are not Backstage's.
    pub(crate) fn set_owners(&self, owners: OwnerCounts) -> Result<()> {
        self.set_facts(|facts| facts.owners = owners)
    }

    fn set_facts(&self, change: impl FnOnce(&mut CatalogFacts)) -> Result<()> {
        let mut before = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut facts = before.clone();
        change(&mut facts);
        let current = self.loaded.load_full();
        let policy = current.backstage()?;
        let policy = PolicyEngine::new(policy.engine().clone(), policy.permissions().clone());
        self.loaded.store(Arc::new(LoadedPolicies::of(policy, &self.options, &facts)?));
        *before = facts;
        Ok(())
    }

    /// Returns for which of these users Backstage's conditions are too large. Takes its time.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the policies are not Backstage's.
    pub(crate) fn over_budget(&self, users: Vec<User>) -> Result<Vec<Problem>> {
        // Reloads meanwhile do not wait for it.
        let loaded = self.loaded.load_full();
        guarded(|| Ok(loaded.backstage()?.over_budget(users).iter().map(Problem::from).collect()))
    }

    /// Returns the policies in force.
    pub(crate) fn current(&self) -> arc_swap::Guard<Arc<LoadedPolicies>> {
        self.loaded.load()
    }

    /// Returns how many of Backstage's answers may be kept.
    pub(crate) fn cache_size(&self) -> u32 {
        self.options.cache_size
    }
}

impl LoadedPolicies {
    fn load(options: &Options, rules: Option<&Rules>, facts: &CatalogFacts) -> Result<Self> {
        let rules = rules.map(Rules::load).transpose()?;
        let sources = sources(options)?;
        match options.platform {
            None => {
                let engine = builder(options, sources, None, rules).build()?;
                Ok(Self { engine, platform: None, generation: generation() })
            }
            Some(Platform::Kubernetes) => {
                let kubernetes = stagedoor_kubernetes::VOCABULARY.name;
                let engine = builder(options, sources, Some(kubernetes), rules).build()?;
                let reviewer = Reviewer::new(engine.clone()).map_err(WireError::from)?;
                let platform = Some(PlatformPolicies::Kubernetes(Box::new(reviewer)));
                Ok(Self { engine, platform, generation: generation() })
            }
            Some(Platform::Backstage) => {
                let builder = PolicyEngine::builder().beside(stagedoor_kubernetes::VOCABULARY);
                let builder = builder.sources(sources).limits(options.limits.clone());
                let builder =
                    rules.into_iter().fold(builder, |builder, rules| builder.rules(rules));
                let builder = builder.plugins(options.plugins.iter().cloned());
                Self::of(builder.build()?, options, facts)
            }
        }
    }

    fn of(policy: PolicyEngine, options: &Options, facts: &CatalogFacts) -> Result<Self> {
        // Answers are kept in JavaScript (`answers.js`), next to who asks again.
        let policy = policy.with_cache(0).with_budget(options.budget);
        let policy = policy.with_owners(facts.owners.clone());
        let policy = policy.with_groups(facts.groups.iter().cloned())?;
        let engine = policy.engine().clone();
        let platform = Some(PlatformPolicies::Backstage(Box::new(policy)));
        Ok(Self { engine, platform, generation: generation() })
    }

    /// Returns the same policies with what the catalog tells.
    fn with_facts(self, options: &Options, facts: &CatalogFacts) -> Result<Self> {
        match self.platform {
            Some(PlatformPolicies::Backstage(policy)) => Self::of(*policy, options, facts),
            Some(PlatformPolicies::Kubernetes(_)) | None => Ok(self),
        }
    }

    /// Returns what was warned of while loading, and what of Backstage's policies its rules cannot
    /// say.
    pub(crate) fn warnings(&self) -> Vec<Problem> {
        let findings = match &self.platform {
            Some(PlatformPolicies::Backstage(policy)) => policy.findings(),
            Some(PlatformPolicies::Kubernetes(_)) | None => &[],
        };
        let warnings = self.engine.warnings().iter().map(Problem::from);
        warnings.chain(findings.iter().map(Problem::from)).collect()
    }

    /// Returns the policies as Backstage's.
    ///
    /// # Errors
    ///
    /// `engine::platform` if they are not.
    pub(crate) fn backstage(&self) -> Result<&PolicyEngine> {
        match &self.platform {
            Some(PlatformPolicies::Backstage(policy)) => Ok(policy),
            Some(PlatformPolicies::Kubernetes(_)) | None => Err(not_for("backstage")),
        }
    }

    /// Returns the policies as Kubernetes'.
    ///
    /// # Errors
    ///
    /// As [`backstage`](Self::backstage).
    pub(crate) fn kubernetes(&self) -> Result<&Reviewer> {
        match &self.platform {
            Some(PlatformPolicies::Kubernetes(reviewer)) => Ok(reviewer),
            Some(PlatformPolicies::Backstage(_)) | None => Err(not_for("kubernetes")),
        }
    }
}

fn not_for(platform: &str) -> Failure {
    Failure::new("engine::platform", format!("the engine was not loaded for {platform}"))
        .with_help(format!("load it with {{platform: '{platform}'}}"))
}

/// Returns a number that no other policies in this process have.
fn generation() -> u64 {
    static GENERATIONS: AtomicU64 = AtomicU64::new(1);
    GENERATIONS.fetch_add(1, Ordering::Relaxed)
}

/// Returns the texts that options name, wherever they are.
fn sources(options: &Options) -> Result<PolicySources> {
    let mut sources = match (&options.release, &options.bundle) {
        (Some(release), _) => release.sources(),
        (None, Some(path)) => PolicySources::from_bundle(&read_bundle(path)?),
        (None, None) => {
            let paths: Vec<&PathBuf> = options.directory.iter().chain(&options.paths).collect();
            PolicySources::read(&RealFileSystem, &paths, &options.limits)
        }
    };
    let texts = options.texts.iter().map(|text| (text.name.as_str(), text.text.as_str()));
    sources.extend(PolicySources::from_texts(texts));
    Ok(sources)
}

fn read_bundle(path: &Path) -> Result<PolicyBundle> {
    let name = path.display().to_string();
    let bytes = RealFileSystem.read(path, BUNDLE_BYTES).map_err(|error| {
        let message = format!("`{name}` cannot be read: {error}");
        Failure::new("file::read", message).with_help("check the path and its permissions")
    })?;
    if bytes.len() as u64 > BUNDLE_BYTES {
        let message = format!("`{name}` is larger than {} MiB", BUNDLE_BYTES >> 20);
        return Err(Failure::new("file::read", message).with_help("ship several sets"));
    }
    let json = String::from_utf8(bytes).map_err(|_| {
        Failure::new("file::read", format!("`{name}` is not UTF-8"))
            .with_help("`stagedoor bundle DIR` writes bundles")
    })?;
    Ok(PolicyBundle::from_json(&name, &json)?)
}

/// Returns what builds an engine with the schemas of the platforms that the texts are about, and
/// of the one that is named.
fn builder(
    options: &Options,
    sources: PolicySources,
    platform: Option<&str>,
    rules: Option<Arc<dyn RuleEvaluator>>,
) -> EngineBuilder {
    let builder = if options.exact {
        sources.add_to(Engine::builder()).limits(options.limits.clone()).exact_cedar()
    } else {
        let platforms: Vec<&str> = platform.into_iter().collect();
        PolicySet::of(sources, &PLATFORMS, &platforms, &options.limits).builder()
    };
    rules.into_iter().fold(builder, EngineBuilder::rules)
}

/// Turns a panic into a failure: on a thread of Node's it would end the process.
pub(crate) fn guarded<T>(load: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(load)).unwrap_or_else(|_| {
        Err(Failure::new("internal::panic", "it failed in a way that it never should")
            .with_help("this is a defect of Stagedoor: please report it"))
    })
}
