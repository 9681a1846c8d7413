//! Loading and reloading, which JavaScript shares with the threads that do it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use stagedoor_backstage::{Permissions, PolicyEngine, PolicyEngineError, SCHEMA};
use stagedoor_core::{Engine, EngineBuilder};

use crate::failure::{Failure, Result};
use crate::options::Options;

/// Policies that were loaded.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) engine: Engine,
    /// The same policies as Backstage's, if they are.
    pub(crate) backstage: Option<PolicyEngine>,
    /// Tells these policies from all others, in this process.
    pub(crate) generation: u64,
}

/// The policies in force, and where they come from.
#[derive(Debug)]
pub struct Policies {
    options: Options,
    loaded: ArcSwap<Loaded>,
    /// Held while files are read: of two reloads, the later one has the last word.
    reloading: Mutex<()>,
}

impl Policies {
    /// Loads policies. Takes its time.
    ///
    /// # Errors
    ///
    /// [`Failure`] with everything that is wrong.
    pub(crate) fn load(options: Options) -> Result<Self> {
        let loaded = ArcSwap::from_pointee(guarded(|| Loaded::load(&options))?);
        Ok(Self { options, loaded, reloading: Mutex::new(()) })
    }

    /// Loads the same files again and puts them in force; returns whether they differ, and
    /// the revision.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load); what was in force stays so.
    pub(crate) fn reload(&self) -> Result<(bool, String)> {
        let _reloading = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = guarded(|| Loaded::load(&self.options))?;
        let revision = loaded.engine.revision().to_owned();
        // Taken up in any case: what permission files say of rules is not in the revision.
        let before = self.loaded.swap(Arc::new(loaded));
        Ok((before.engine.revision() != revision, revision))
    }

    /// Returns the policies in force.
    pub(crate) fn current(&self) -> arc_swap::Guard<Arc<Loaded>> {
        self.loaded.load()
    }

    /// Returns how many of Backstage's answers may be kept.
    pub(crate) fn cache_size(&self) -> usize {
        self.options.cache_size
    }
}

impl Loaded {
    fn load(options: &Options) -> Result<Self> {
        static GENERATIONS: AtomicU64 = AtomicU64::new(1);
        let generation = GENERATIONS.fetch_add(1, Ordering::Relaxed);
        if !options.backstage {
            let engine = builder(options).build()?;
            return Ok(Self { engine, backstage: None, generation });
        }
        let policy = match &options.directory {
            Some(directory) => PolicyEngine::load(directory)?,
            None => {
                let builder = builder(options).schema("(shipped) backstage.cedarschema", SCHEMA);
                let permissions = Permissions::known().map_err(PolicyEngineError::from)?;
                PolicyEngine::new(builder.build()?, permissions)
            }
        };
        let policy = policy.with_cache(options.cache_size);
        Ok(Self { engine: policy.engine().clone(), backstage: Some(policy), generation })
    }
}

fn builder(options: &Options) -> EngineBuilder {
    let mut builder = Engine::builder();
    if let Some(directory) = &options.directory {
        builder = builder.directory(directory);
    }
    for path in &options.paths {
        builder = builder.file(path);
    }
    for source in &options.texts {
        let (name, text) = (source.name.clone(), source.text.clone());
        builder = match name.as_str() {
            name if name.ends_with(".cedarschema") => builder.schema(name, text),
            name if name.ends_with(".cedarschema.json") => builder.schema_json(name, text),
            name if name.ends_with(".json") => builder.policies_json(name, text),
            name => builder.policies(name, text),
        };
    }
    if options.exact { builder.exact_cedar() } else { builder }
}

/// Turns a panic into a failure: on a thread of Node's it would end the process.
fn guarded<T>(load: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(load)).unwrap_or_else(|_| {
        Err(Failure::new("internal::panic", "loading failed in a way that it never should")
            .with_help("this is a defect of Stagedoor: please report it"))
    })
}
