//! Loading and reloading, which JavaScript shares with the threads that do it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use stagedoor_core::{Engine, EngineBuilder};

use crate::failure::{Failure, Result};
use crate::options::Options;

/// The policies in force, and where they come from.
#[derive(Debug)]
pub struct Policies {
    options: Options,
    engine: ArcSwap<Engine>,
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
        let engine = guarded(|| Ok(builder(&options).build()?))?;
        let engine = ArcSwap::from_pointee(engine);
        Ok(Self { options, engine, reloading: Mutex::new(()) })
    }

    /// Loads the same files again and puts them in force; returns whether they differ.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load); what was in force stays so.
    pub(crate) fn reload(&self) -> Result<(bool, Engine)> {
        let _reloading = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let engine = guarded(|| Ok(builder(&self.options).build()?))?;
        let before = self.engine.swap(Arc::new(engine.clone()));
        Ok((before.revision() != engine.revision(), engine))
    }

    /// Returns the engine in force.
    pub(crate) fn engine(&self) -> arc_swap::Guard<Arc<Engine>> {
        self.engine.load()
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
