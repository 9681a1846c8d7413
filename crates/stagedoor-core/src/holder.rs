//! An engine that can be replaced while decisions go on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use crate::builder::EngineBuilder;
use crate::edit::PolicyEdit;
use crate::engine::Engine;
use crate::problem::LoadError;

/// Holds the engine in force.
///
/// Reading takes no lock and waits for nobody. A decision uses the engine that was in force when it began.
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
    /// Held by whoever makes the next engine of the one in force.
    writing: Mutex<()>,
}

impl EngineHolder {
    /// Puts an engine in force.
    #[must_use]
    pub fn new(engine: Engine) -> Self {
        Self { engine: ArcSwap::from_pointee(engine), writing: Mutex::default() }
    }

    /// Returns the engine in force.
    #[must_use]
    pub fn current(&self) -> Engine {
        self.engine.load().as_ref().clone()
    }

    /// Puts another engine in force.
    pub fn replace(&self, engine: Engine) {
        let _writing = self.writing();
        self.engine.store(Arc::new(engine));
    }

    /// Edits the policies in force, and returns the engine that is in force then. Edits wait for
    /// each other, so that none is lost; decisions wait for none.
    ///
    /// # Errors
    ///
    /// What `edit` fails with; the old engine then stays in force.
    ///
    /// # Examples
    ///
    /// ```
    /// use stagedoor_core::{Engine, EngineHolder};
    ///
    /// let schema = "entity User; action view appliesTo { principal: User, resource: User };";
    /// let holder = EngineHolder::new(Engine::builder().schema("s.cedarschema", schema).build()?);
    /// let text = r#"permit(principal == User::"ana", action, resource);"#;
    /// holder.edit(|edit| edit.add("ana", text).apply())?;
    /// assert!(holder.edit(|edit| edit.add("ana", text).apply()).is_err());
    /// assert_eq!(holder.current().policies().len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn edit<E>(&self, edit: impl FnOnce(PolicyEdit) -> Result<Engine, E>) -> Result<Engine, E> {
        let _writing = self.writing();
        let engine = edit(self.current().edit())?;
        self.engine.store(Arc::new(engine.clone()));
        Ok(engine)
    }

    /// Puts the same policies in force with an index that is arranged for all of them; see
    /// [`Engine::settled`]. Edits wait for it, decisions do not.
    pub fn settle(&self) {
        let _writing = self.writing();
        self.engine.store(Arc::new(self.current().settled()));
    }

    fn writing(&self) -> MutexGuard<'_, ()> {
        // Nothing lies behind the lock that could be left half done.
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
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
