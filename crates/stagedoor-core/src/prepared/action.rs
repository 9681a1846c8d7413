//! An action whose groups and place in the schema are looked up once.

use std::sync::Arc;

use cedar_policy::EntityUid;

use super::Principal;
use crate::engine::Engine;
use crate::error::RequestError;
use crate::node::EntitySymbols;
use crate::shape::ActionShape;
use crate::value::Record;

/// An action, ready for many requests and threads.
///
/// Made for one engine. After a reload it still decides rightly with the new one, only not
/// as fast: make it anew with [`Engine::action`] then.
#[derive(Debug, Clone)]
pub struct Action {
    pub(crate) uid: EntityUid,
    pub(crate) numbering: u64,
    /// None where the entities tell its groups.
    pub(crate) interned: Option<Arc<EntitySymbols>>,
    type_: Option<u32>,
    applies: Option<Applies>,
}

/// What the action applies to.
#[derive(Debug, Clone)]
struct Applies {
    principals: Arc<[u32]>,
    resources: Arc<[u32]>,
    shape: Arc<ActionShape>,
}

impl Engine {
    /// Returns a handle for an action.
    ///
    /// # Errors
    ///
    /// [`RequestError::Schema`] if the schema does not have the action, but not in
    /// [exact-Cedar mode](crate::EngineBuilder::exact_cedar).
    pub fn action(&self, uid: &EntityUid) -> Result<Action, RequestError> {
        let (given, limit) = (uid.id().unescaped().len(), self.0.limits.string_bytes);
        if given > limit {
            return Err(RequestError::StringTooLong { given, limit });
        }
        let symbols = &self.0.symbols;
        let interned = self.0.actions.get(uid).cloned();
        if interned.is_none() && !self.0.exact {
            return Err(RequestError::Schema(format!("action `{uid}` is not in the schema")));
        }
        let applies = self.0.shapes.action(uid).map(|shape| {
            let (principals, resources) = shape.types(symbols);
            Applies { principals, resources, shape: Arc::clone(shape) }
        });
        let (numbering, type_) = (symbols.numbering, symbols.type_(uid.type_name()));
        Ok(Action { uid: uid.clone(), numbering, interned, type_, applies })
    }
}

impl Action {
    /// Returns the action's id.
    #[must_use]
    pub fn uid(&self) -> &EntityUid {
        &self.uid
    }

    /// Returns whether the handle was made for this engine, and is as fast as can be.
    #[must_use]
    pub fn is_of(&self, engine: &Engine) -> bool {
        self.numbering == engine.0.symbols.numbering
    }

    /// Returns whether the action is of another type.
    pub(super) fn is_apart_from(&self, type_: u32) -> bool {
        self.type_ != Some(type_)
    }

    /// Returns whether the action surely applies to such a principal and resource, in such
    /// circumstances.
    pub(super) fn fits(&self, principal: &Principal, resource: u32, context: &Record) -> bool {
        self.applies.as_ref().is_some_and(|applies| {
            principal.interned().type_.is_some_and(|type_| applies.principals.contains(&type_))
                && applies.resources.contains(&resource)
                && applies.shape.fits_context(context)
        })
    }
}
