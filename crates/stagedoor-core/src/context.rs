//! One request as the index and the tests of conditions see it.

use std::cell::{Cell, RefCell};
use std::ptr;
use std::sync::Arc;

use arc_swap::Guard;
use cedar_policy::EntityUid;
use cedar_policy_core::ast;
use smallvec::SmallVec;

use crate::entities::Entities;
use crate::error::DecideError;
use crate::hash::FastMap;
use crate::lookup::{Lookup, PathKey, PathValue, field, step_into};
use crate::node::{EntitySymbols, Node};
use crate::number::{EntityNumber, PathNumber, TypeNumber};
use crate::path_set::PathSet;
use crate::prepared::{Bound, PathTarget, PreparedContext, PreparedRequest, PreparedResource};
use crate::request::Request;
use crate::symbols::{Key, Path, Step, Symbols, Var};
use crate::unknown::Unknown;
use crate::value::{Record, Value, ValueRef};

/// The form in which a request is given.
#[derive(Clone, Copy)]
pub(crate) enum RequestRef<'a> {
    Whole(&'a Request, &'a Entities),
    Prepared(&'a PreparedRequest<'a>, &'a Bound),
}

impl<'a> RequestRef<'a> {
    /// Returns the request and its entities; of a prepared request they are built now.
    ///
    /// # Errors
    ///
    /// [`DecideError`] if they cannot be built.
    pub(crate) fn whole(self) -> Result<(&'a Request, &'a Entities), DecideError> {
        match self {
            Self::Whole(request, entities) => Ok((request, entities)),
            Self::Prepared(asked, _) => asked.whole(),
        }
    }
}

/// A request, its entities, and their numbers in one engine's numbering.
pub(crate) struct EvalContext<'a> {
    pub(crate) asked: RequestRef<'a>,
    pub(crate) symbols: &'a Symbols,
    /// The schema's actions as Cedar's entities.
    pub(crate) actions: &'a FastMap<EntityUid, Arc<ast::Entity>>,
    /// What is not known of the request: it then stands for many.
    pub(crate) unknown: Option<&'a Unknown>,
    /// Paths at which there surely is something; none where parts of the request are not known.
    pub(crate) there: PathSet,
    principal: Option<&'a Node>,
    /// None where the resource was given by slots.
    resource: Option<&'a Node>,
    principal_ids: Ids<'a>,
    action_ids: Ids<'a>,
    resource_ids: Ids<'a>,
    found: RefCell<SmallVec<[(PathNumber, Lookup<'a>); 16]>>,
}

/// An entity's numbers, wherever they are kept.
pub(crate) enum Ids<'a> {
    /// Known since loading (an action's) or preparing.
    Known(&'a EntitySymbols),
    /// Known from an earlier decision: a principal's, say.
    Kept(Guard<Option<Arc<EntitySymbols>>>),
    New(EntitySymbols),
}

impl<'a> Ids<'a> {
    fn of(symbols: &Symbols, uid: &EntityUid, node: Option<&Node>) -> Self {
        let Some(node) = node else {
            return Self::New(EntitySymbols::new(symbols, uid, std::iter::empty()));
        };
        let kept = node.interned.load();
        if kept.as_ref().is_some_and(|known| known.numbering == symbols.numbering) {
            return Self::Kept(kept);
        }
        let new = EntitySymbols::new(symbols, uid, node.ancestors.iter().map(AsRef::as_ref));
        if node.ancestors.len() <= FEW_ANCESTORS {
            return Self::New(new);
        }
        node.interned.store(Some(Arc::new(new)));
        Self::of(symbols, uid, Some(node))
    }

    pub(crate) fn get(&self) -> Option<&EntitySymbols> {
        match self {
            Self::Known(interned) => Some(interned),
            Self::Kept(kept) => kept.as_ref().map(AsRef::as_ref),
            Self::New(interned) => Some(interned),
        }
    }

    pub(crate) fn contains(&self, uid: EntityNumber) -> bool {
        self.get().is_some_and(|i| i.contains(uid))
    }

    pub(crate) fn type_(&self) -> Option<TypeNumber> {
        self.get().and_then(|i| i.type_)
    }
}

/// With so few ancestors numbers are looked up rather than kept.
const FEW_ANCESTORS: usize = 4;

impl<'a> EvalContext<'a> {
    /// Returns the view of a request.
    ///
    /// `action` is what the schema tells of the action, `actions` are the schema's as Cedar's
    /// entities.
    pub(crate) fn new(
        request: &'a Request,
        entities: &'a Entities,
        symbols: &'a Symbols,
        action: Option<&'a EntitySymbols>,
        actions: &'a FastMap<EntityUid, Arc<ast::Entity>>,
    ) -> Self {
        let principal = entities.node(&request.principal);
        let resource = entities.node(&request.resource);
        let action_ids = action.map_or_else(
            || Ids::of(symbols, &request.action, entities.node(&request.action)),
            Ids::Known,
        );
        Self {
            asked: RequestRef::Whole(request, entities),
            principal_ids: Ids::of(symbols, &request.principal, principal),
            action_ids,
            resource_ids: Ids::of(symbols, &request.resource, resource),
            principal,
            resource,
            symbols,
            actions,
            unknown: None,
            there: PathSet::default(),
            found: RefCell::new(SmallVec::new()),
        }
    }

    /// Returns the view of a prepared request that suits the engine.
    #[inline]
    pub(crate) fn prepared(
        asked: &'a PreparedRequest<'a>,
        bound: &'a Bound,
        symbols: &'a Symbols,
        actions: &'a FastMap<EntityUid, Arc<ast::Entity>>,
    ) -> Self {
        let PreparedRequest { principal, action, .. } = asked;
        let action_ids = match &action.interned {
            Some(interned) => Ids::Known(interned),
            None => Ids::of(symbols, &action.uid, principal.entities.node(&action.uid)),
        };
        let (resource_ids, resource) = match (&asked.resource, &bound.resource) {
            (PreparedResource::Stored(stored), _) => {
                (Ids::Known(&stored.facts().interned), stored.node())
            }
            (PreparedResource::Slots(_), Some(interned)) => (Ids::Known(interned), None),
            (PreparedResource::Slots(slots), None) => (Ids::New(slots.interned(symbols)), None),
        };
        Self {
            asked: RequestRef::Prepared(asked, bound),
            principal_ids: Ids::Known(principal.interned()),
            action_ids,
            resource_ids,
            principal: principal.node(),
            resource,
            symbols,
            actions,
            unknown: None,
            there: asked.there(),
            found: RefCell::new(SmallVec::new()),
        }
    }

    /// As [`RequestRef::whole`].
    ///
    /// # Errors
    ///
    /// [`DecideError`] if they cannot be built.
    pub(crate) fn whole(&self) -> Result<(&'a Request, &'a Entities), DecideError> {
        self.asked.whole()
    }

    /// Returns the context; `None` where a request cannot be built whose context is in slots.
    pub(crate) fn context(&self) -> Option<&'a Record> {
        match self.asked {
            RequestRef::Whole(request, _) => Some(&request.context),
            RequestRef::Prepared(asked, _) => match &asked.context {
                PreparedContext::Record(record) => Some(record),
                PreparedContext::Slots(_) => {
                    asked.whole().ok().map(|(request, _)| &request.context)
                }
            },
        }
    }

    /// Returns the entity with this id, if it is there; `None` where that cannot be told.
    pub(crate) fn node(&self, uid: &EntityUid) -> Option<Option<&'a Node>> {
        if let Some(node) = self.own_node(uid) {
            return Some(node);
        }
        match self.asked {
            // Of the resource's type a prepared request has no entity but the resource, unless that is
            // in the store.
            RequestRef::Prepared(asked, _)
                if match &asked.resource {
                    PreparedResource::Slots(resource) => uid.type_name() != resource.type_name(),
                    PreparedResource::Stored(_) => true,
                } =>
            {
                Some(asked.principal.entities.node(uid))
            }
            _ => self.whole().ok().map(|(_, entities)| entities.node(uid)),
        }
    }

    /// As [`node`](Self::node), for `principal` and `resource` where handles hold their entities: no id is
    /// looked up, nor are two compared.
    #[inline]
    fn own_node(&self, uid: &EntityUid) -> Option<Option<&'a Node>> {
        let RequestRef::Prepared(asked, _) = self.asked else { return None };
        if ptr::eq(uid, &asked.principal.uid) {
            return Some(asked.principal.node());
        }
        match &asked.resource {
            PreparedResource::Stored(stored) if ptr::eq(uid, &stored.uid) => Some(stored.node()),
            PreparedResource::Stored(_) | PreparedResource::Slots(_) => None,
        }
    }

    pub(crate) fn ids(&self, var: Var) -> Option<&Ids<'a>> {
        match var {
            Var::Principal => Some(&self.principal_ids),
            Var::Action => Some(&self.action_ids),
            Var::Resource => Some(&self.resource_ids),
            Var::Context => None,
        }
    }

    pub(crate) fn type_(&self, var: Var) -> Option<TypeNumber> {
        self.ids(var).and_then(Ids::type_)
    }

    /// Returns whether it is not known what stands at a path.
    pub(crate) fn is_open(&self, path: PathNumber) -> bool {
        self.unknown
            .is_some_and(|unknown| self.symbols.path(path).is_none_or(|path| unknown.is_open(path)))
    }

    /// Returns whether it is not known which entity a variable stands for.
    pub(crate) fn is_unknown(&self, var: Var) -> bool {
        self.unknown.is_some_and(|unknown| !unknown.of(var).is_all())
    }

    /// Returns what stands at a path, looked up once a request.
    pub(crate) fn found(&self, path: PathNumber) -> Lookup<'a> {
        if let Some(found) = self.prepared_found(path) {
            return found;
        }
        if let Some((_, found)) = self.found.borrow().iter().find(|(p, _)| *p == path) {
            return *found;
        }
        let found = self.symbols.path(path).map_or(Lookup::Broken, |path| self.resolve(path));
        self.found.borrow_mut().push((path, found));
        found
    }

    /// As [`found`](Self::found), where a prepared request tells at once.
    fn prepared_found(&self, path: PathNumber) -> Option<Lookup<'a>> {
        let RequestRef::Prepared(asked, _) = self.asked else { return None };
        match self.symbols.ordinal(path)? {
            (Var::Principal, ordinal) => {
                known(asked.principal.facts().value(ordinal), &asked.principal.uid)
            }
            (Var::Resource, ordinal) => match &asked.resource {
                PreparedResource::Stored(stored) => {
                    known(stored.facts().value(ordinal), &stored.uid)
                }
                PreparedResource::Slots(resource) => {
                    slotted(resource.place_at(ordinal)?, |slot| resource.value(slot))
                }
            },
            (Var::Context, ordinal) => match &asked.context {
                PreparedContext::Record(_) => None,
                PreparedContext::Slots(context) => {
                    slotted(context.place_at(ordinal)?, |slot| context.value(slot))
                }
            },
            (Var::Action, _) => None,
        }
    }

    pub(crate) fn resolve(&self, path: &Path) -> Lookup<'a> {
        let mut steps = path.steps.iter();
        let Some(first) = steps.next() else { return self.variable(path.var) };
        let mut found = match path.var {
            Var::Principal => step_into(self.principal, first),
            Var::Resource => match self.asked {
                RequestRef::Whole(..) => step_into(self.resource, first),
                RequestRef::Prepared(asked, _) => match &asked.resource {
                    PreparedResource::Stored(_) => step_into(self.resource, first),
                    PreparedResource::Slots(resource) => {
                        resource.step(first).map_or(Lookup::Missing, Lookup::Value)
                    }
                },
            },
            Var::Action => match self.variable(Var::Action) {
                Lookup::Value(ValueRef::Entity(uid)) => self.step_from(uid, first),
                _ => Lookup::Broken,
            },
            Var::Context => match first {
                Step::Attribute(name) => match self.asked {
                    RequestRef::Prepared(
                        PreparedRequest { context: PreparedContext::Slots(context), .. },
                        _,
                    ) => context.step(first).map_or(Lookup::Missing, Lookup::Value),
                    _ => self.context().map_or(Lookup::Broken, |context| field(context, name)),
                },
                Step::Tag(_) => Lookup::Broken,
            },
        };
        for step in steps {
            found = match (found, step) {
                (Lookup::Value(ValueRef::Entity(uid)), step) => self.step_from(uid, step),
                (Lookup::Value(ValueRef::Value(Value::Record(fields))), Step::Attribute(name)) => {
                    field(fields, name)
                }
                _ => Lookup::Broken,
            };
        }
        found
    }

    pub(crate) fn variable(&self, var: Var) -> Lookup<'a> {
        let uid = match (self.asked, var) {
            (_, Var::Context) => None,
            (RequestRef::Prepared(asked, _), Var::Principal) => Some(&asked.principal.uid),
            (RequestRef::Prepared(asked, _), Var::Action) => Some(&asked.action.uid),
            (
                RequestRef::Prepared(
                    PreparedRequest { resource: PreparedResource::Stored(stored), .. },
                    _,
                ),
                Var::Resource,
            ) => Some(&stored.uid),
            _ => self.whole().ok().map(|(request, _)| match var {
                Var::Principal => &request.principal,
                Var::Action => &request.action,
                Var::Resource | Var::Context => &request.resource,
            }),
        };
        uid.map_or(Lookup::Broken, |uid| Lookup::Value(ValueRef::Entity(uid)))
    }

    fn step_from(&self, uid: &EntityUid, step: &Step) -> Lookup<'a> {
        self.node(uid).map_or(Lookup::Broken, |node| step_into(node, step))
    }

    /// Returns the literal at a path, `Some(None)` where it equals none that policies mention.
    pub(crate) fn key(&self, path: PathNumber) -> Option<Option<Key>> {
        if let RequestRef::Prepared(asked, bound) = self.asked {
            match self.prepared_key(asked, bound, path) {
                PathKey::There(key) => return Some(key),
                PathKey::Missing => return None,
                PathKey::Unknown => {}
            }
        }
        self.found_key(path)
    }

    #[inline(never)]
    fn found_key(&self, path: PathNumber) -> Option<Option<Key>> {
        match self.found(path) {
            Lookup::Value(value) => Some(self.symbols.key(value)),
            Lookup::Missing | Lookup::Broken => None,
        }
    }

    /// Returns the literal at a path, where a prepared request tells at once.
    #[inline]
    fn prepared_key(
        &self,
        asked: &PreparedRequest<'_>,
        bound: &Bound,
        path: PathNumber,
    ) -> PathKey {
        let Some((var, ordinal)) = self.symbols.ordinal(path) else { return PathKey::Missing };
        match var {
            Var::Principal => asked.principal.facts().key(ordinal),
            Var::Resource => match &asked.resource {
                PreparedResource::Stored(stored) => stored.facts().key(ordinal),
                PreparedResource::Slots(resource) => match resource.place_at(ordinal) {
                    Some(PathTarget::Slot(slot)) => {
                        self.kept(bound.of_resource(slot), || resource.raw_value(slot))
                    }
                    Some(PathTarget::NoSlot) => PathKey::Missing,
                    Some(PathTarget::Itself) => {
                        let own = self.resource_ids.get().and_then(|ids| ids.own);
                        PathKey::There(own.map(Key::uid))
                    }
                    Some(PathTarget::Elsewhere) | None => PathKey::Unknown,
                },
            },
            Var::Context => match &asked.context {
                PreparedContext::Slots(context) => match context.place_at(ordinal) {
                    Some(PathTarget::Slot(slot)) => {
                        let kept = bound.of_context(asked.resource.len(), slot);
                        self.kept(kept, || context.raw_value(slot))
                    }
                    Some(PathTarget::NoSlot) => PathKey::Missing,
                    Some(PathTarget::Itself | PathTarget::Elsewhere) | None => PathKey::Unknown,
                },
                PreparedContext::Record(_) => PathKey::Unknown,
            },
            Var::Action => PathKey::Unknown,
        }
    }

    /// Returns the literal that is kept of a slot; the value is looked at only where none is.
    #[inline]
    fn kept<'v>(
        &self,
        kept: Option<&Cell<PathKey>>,
        value: impl FnOnce() -> Option<ValueRef<'v>>,
    ) -> PathKey {
        match kept.map(Cell::get) {
            Some(PathKey::Unknown) | None => self.look_up(kept, value()),
            Some(key) => key,
        }
    }

    /// Returns the literal that a slot's value equals, and keeps it.
    #[inline(never)]
    fn look_up(&self, kept: Option<&Cell<PathKey>>, value: Option<ValueRef<'_>>) -> PathKey {
        let key = match value.map(ValueRef::normal) {
            Some(value) => PathKey::There(self.symbols.key(value)),
            None => PathKey::Missing,
        };
        if let Some(kept) = kept {
            kept.set(key);
        }
        key
    }

    /// Returns the elements of the set at a path.
    pub(crate) fn elements(&self, path: PathNumber) -> Option<&'a [Value]> {
        match self.found(path) {
            Lookup::Value(ValueRef::Value(Value::Set(items))) => Some(items),
            _ => None,
        }
    }
}

#[inline]
fn known<'v>(value: &'v PathValue, itself: &'v EntityUid) -> Option<Lookup<'v>> {
    match value {
        PathValue::Unknown => None,
        PathValue::Missing => Some(Lookup::Missing),
        PathValue::Itself => Some(Lookup::Value(ValueRef::Entity(itself))),
        PathValue::There(value) => Some(Lookup::Value(value.into())),
    }
}

/// Returns what is in a slot, where the path leads to one.
#[inline]
fn slotted<'a>(
    target: PathTarget,
    value: impl FnOnce(usize) -> Option<ValueRef<'a>>,
) -> Option<Lookup<'a>> {
    match target {
        PathTarget::Slot(slot) => Some(value(slot).map_or(Lookup::Missing, Lookup::Value)),
        PathTarget::NoSlot => Some(Lookup::Missing),
        PathTarget::Itself | PathTarget::Elsewhere => None,
    }
}
