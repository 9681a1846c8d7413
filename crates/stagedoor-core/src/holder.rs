//! An engine that can be replaced while decisions go on.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::builder::EngineBuilder;
use crate::engine::Engine;
use crate::problem::LoadError;

/// Holds the engine in force.
///
/// Reading takes no lock. A decision uses the engine that was in force when it began.
///
/// # Examples
///
/// ```
/// use stagedoor_core::{Engine, EngineHolder};
///
/// let schema = "entity User; action view appliesTo { principal: User, resource: User };";
/// let load = |policies: &str| {
///     Engine::builder().schema("s.cedarschema", schema).policies("p.cedar", policies)
/// };
/// let holder = EngineHolder::new(load("permit(principal, action, resource);").build()?);
/// let before = holder.current().revision().to_owned();
///
/// assert!(holder.reload(load("permit(principal, oops")).is_err());
/// assert_eq!(holder.current().revision(), before);
///
/// holder.reload(load("forbid(principal, action, resource);"))?;
/// assert_ne!(holder.current().revision(), before);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct EngineHolder {
    engine: ArcSwap<Engine>,
}

impl EngineHolder {
    /// Puts an engine in force.
    #[must_use]
    pub fn new(engine: Engine) -> Self {
        Self { engine: ArcSwap::from_pointee(engine) }
    }

    /// Returns the engine in force.
    #[must_use]
    pub fn current(&self) -> Engine {
        self.engine.load().as_ref().clone()
    }

    /// Puts another engine in force.
    pub fn replace(&self, engine: Engine) {
        self.engine.store(Arc::new(engine));
    }

    /// Loads an engine and puts it in force.
    ///
    /// # Errors
    ///
    /// [`LoadError`] if it does not load; the old engine then stays in force.
    pub fn reload(&self, builder: EngineBuilder) -> Result<(), LoadError> {
        self.replace(builder.build()?);
        Ok(())
    }
}
