//! An action whose groups and place in the schema are looked up once.

use std::sync::Arc;

use cedar_policy::EntityUid;

use super::Principal;
use crate::conformance::ActionShape;
use crate::node::EntitySymbols;
use crate::number::TypeNumber;
use crate::path_set::PathSet;
use crate::symbols::{Path, Symbols, Var};
use crate::value::Record;

/// An action, ready for many requests and threads.
///
/// Made for one engine. After a reload it still decides rightly with the new one, only not
/// as fast: make it anew with [`Engine::action`](crate::Engine::action) then.
#[derive(Debug, Clone)]
pub struct Action {
    pub(crate) uid: EntityUid,
    pub(crate) numbering: u64,
    /// None where the entities tell its groups.
    pub(crate) interned: Option<Arc<EntitySymbols>>,
    type_: Option<TypeNumber>,
    applies: Option<AppliesTo>,
    /// The paths of the context at which every context has something that conforms.
    pub(super) there: PathSet,
}

/// What the action applies to.
#[derive(Debug, Clone)]
struct AppliesTo {
    principals: Arc<[TypeNumber]>,
    resources: Arc<[TypeNumber]>,
    shape: Arc<ActionShape>,
}

impl Action {
    /// `interned` is what the schema tells of its groups, `shape` of what it applies to.
    pub(crate) fn new(
        uid: &EntityUid,
        symbols: &Symbols,
        interned: Option<Arc<EntitySymbols>>,
        shape: Option<&Arc<ActionShape>>,
    ) -> Self {
        let applies = shape.map(|shape| {
            let (principals, resources) = shape.types(symbols);
            AppliesTo { principals, resources, shape: Arc::clone(shape) }
        });
        let is_there = |_: usize, path: &Path| match path.steps.as_slice() {
            [step] => shape.is_some_and(|shape| shape.slot(step).is_some_and(|slot| slot.required)),
            _ => false,
        };
        let there = symbols.path_set(Var::Context, is_there);
        let (numbering, type_) = (symbols.numbering, symbols.type_(uid.type_name()));
        Self { uid: uid.clone(), numbering, interned, type_, applies, there }
    }

    /// Returns the action's id.
    #[must_use]
    pub fn uid(&self) -> &EntityUid {
        &self.uid
    }

    /// Returns whether the action is of another type.
    pub(super) fn is_apart_from(&self, type_: TypeNumber) -> bool {
        self.type_ != Some(type_)
    }

    /// Returns whether the action surely applies to such a principal and resource.
    #[inline]
    pub(super) fn applies_to(&self, principal: &Principal, resource: TypeNumber) -> bool {
        self.applies.as_ref().is_some_and(|applies| {
            principal.interned().type_.is_some_and(|type_| applies.principals.contains(&type_))
                && applies.resources.contains(&resource)
        })
    }

    /// Returns whether the action surely has such a context.
    #[inline]
    pub(super) fn fits(&self, context: &Record) -> bool {
        self.applies.as_ref().is_some_and(|applies| applies.shape.fits_context(context))
    }
}
