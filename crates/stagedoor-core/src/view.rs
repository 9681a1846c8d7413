//! One request as the index and the tests of conditions see it.

use std::cell::RefCell;
use std::sync::Arc;

use arc_swap::Guard;
use cedar_policy::EntityUid;
use smallvec::SmallVec;

use crate::entities::Entities;
use crate::node::{Interned, Node};
use crate::request::Request;
use crate::symbols::{Key, Path, Step, Symbols, Var};
use crate::value::{Record, Value};

/// What stands at a path.
#[derive(Clone, Copy)]
pub(crate) enum Found<'a> {
    Uid(&'a EntityUid),
    Value(&'a Value),
    /// The last step is not there.
    Missing,
    /// An earlier step is not there or is not something to take a step from: Cedar errs.
    Broken,
}

/// A request, its entities, and their numbers in one engine's numbering.
pub(crate) struct View<'a> {
    pub(crate) request: &'a Request,
    pub(crate) entities: &'a Entities,
    pub(crate) symbols: &'a Symbols,
    /// The resource stands for all of its type: nothing but the type is known of it.
    pub(crate) any_resource: bool,
    principal: Option<&'a Node>,
    resource: Option<&'a Node>,
    principal_ids: Ids<'a>,
    action_ids: Ids<'a>,
    resource_ids: Ids<'a>,
    found: RefCell<SmallVec<[(u32, Found<'a>); 16]>>,
}

/// An entity's numbers, wherever they are kept.
pub(crate) enum Ids<'a> {
    /// Known since loading: an action's.
    Known(&'a Interned),
    /// Known from an earlier decision: a principal's, say.
    Kept(Guard<Option<Arc<Interned>>>),
    New(Interned),
}

impl<'a> Ids<'a> {
    fn of(symbols: &Symbols, uid: &EntityUid, node: Option<&Node>) -> Self {
        let Some(node) = node else {
            return Self::New(Interned::new(symbols, uid, std::iter::empty()));
        };
        let kept = node.interned.load();
        if kept.as_ref().is_some_and(|known| known.numbering == symbols.numbering) {
            return Self::Kept(kept);
        }
        let new = Interned::new(symbols, uid, node.ancestors.iter().map(AsRef::as_ref));
        if node.ancestors.len() <= FEW_ANCESTORS {
            return Self::New(new);
        }
        node.interned.store(Some(Arc::new(new)));
        Self::of(symbols, uid, Some(node))
    }

    fn get(&self) -> Option<&Interned> {
        match self {
            Self::Known(interned) => Some(interned),
            Self::Kept(kept) => kept.as_ref().map(AsRef::as_ref),
            Self::New(interned) => Some(interned),
        }
    }

    pub(crate) fn is(&self, uid: u32) -> bool {
        self.get().is_some_and(|i| i.own == Some(uid))
    }

    pub(crate) fn contains(&self, uid: u32) -> bool {
        self.all().binary_search(&uid).is_ok()
    }

    pub(crate) fn all(&self) -> &[u32] {
        self.get().map(|i| i.ids.as_slice()).unwrap_or_default()
    }

    pub(crate) fn type_(&self) -> Option<u32> {
        self.get().and_then(|i| i.type_)
    }
}

/// With so few ancestors numbers are looked up rather than kept.
const FEW_ANCESTORS: usize = 4;

impl<'a> View<'a> {
    /// Returns the view of a request. `action` is known where a schema tells it.
    pub(crate) fn new(
        request: &'a Request,
        entities: &'a Entities,
        symbols: &'a Symbols,
        action: Option<&'a Interned>,
    ) -> Self {
        let principal = entities.node(&request.principal);
        let resource = entities.node(&request.resource);
        let action_ids = action.map_or_else(
            || Ids::of(symbols, &request.action, entities.node(&request.action)),
            Ids::Known,
        );
        Self {
            principal_ids: Ids::of(symbols, &request.principal, principal),
            action_ids,
            resource_ids: Ids::of(symbols, &request.resource, resource),
            principal,
            resource,
            request,
            entities,
            symbols,
            any_resource: false,
            found: RefCell::new(SmallVec::new()),
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

    pub(crate) fn type_(&self, var: Var) -> Option<u32> {
        self.ids(var).and_then(Ids::type_)
    }

    /// Returns whether the path starts at a resource of which nothing is known.
    pub(crate) fn is_open(&self, path: u32) -> bool {
        self.any_resource && self.symbols.path(path).is_none_or(|path| path.var == Var::Resource)
    }

    /// Returns what stands at a path, looked up once a request.
    pub(crate) fn found(&self, path: u32) -> Found<'a> {
        if let Some((_, found)) = self.found.borrow().iter().find(|(p, _)| *p == path) {
            return *found;
        }
        let found = self.symbols.path(path).map_or(Found::Broken, |path| self.resolve(path));
        self.found.borrow_mut().push((path, found));
        found
    }

    fn resolve(&self, path: &Path) -> Found<'a> {
        let mut steps = path.steps.iter();
        let request: &'a Request = self.request;
        let mut found = match path.var {
            Var::Principal if path.steps.is_empty() => return Found::Uid(&request.principal),
            Var::Action if path.steps.is_empty() => return Found::Uid(&request.action),
            Var::Resource if path.steps.is_empty() => return Found::Uid(&request.resource),
            Var::Principal => steps.next().map(|s| step_into(self.principal, s)),
            Var::Resource => steps.next().map(|s| step_into(self.resource, s)),
            Var::Action => {
                let node = self.entities.node(&request.action);
                steps.next().map(|s| step_into(node, s))
            }
            Var::Context => steps.next().map(|s| match s {
                Step::Attribute(name) => field(&request.context, name),
                Step::Tag(_) => Found::Broken,
            }),
        }
        .unwrap_or(Found::Broken);
        for step in steps {
            found = match found {
                Found::Value(Value::Entity(uid)) => step_into(self.entities.node(uid), step),
                Found::Value(Value::Record(fields)) => match step {
                    Step::Attribute(name) => field(fields, name),
                    Step::Tag(_) => Found::Broken,
                },
                _ => Found::Broken,
            };
        }
        found
    }

    /// Returns the literal at a path, `Some(None)` where it equals none that policies mention.
    pub(crate) fn key(&self, path: u32) -> Option<Option<Key>> {
        match self.found(path) {
            Found::Uid(uid) => Some(self.symbols.uid(uid).map(Key::Uid)),
            Found::Value(value) => Some(self.symbols.key(value)),
            Found::Missing | Found::Broken => None,
        }
    }

    /// Returns the elements of the set at a path.
    pub(crate) fn elements(&self, path: u32) -> Option<&'a [Value]> {
        match self.found(path) {
            Found::Value(Value::Set(items)) => Some(items),
            _ => None,
        }
    }
}

pub(crate) fn field<'a>(fields: &'a Record, name: &str) -> Found<'a> {
    fields.get(name).map_or(Found::Missing, Found::Value)
}

/// An entity that is not there has neither attributes nor tags.
pub(crate) fn step_into<'a>(node: Option<&'a Node>, step: &Step) -> Found<'a> {
    let Some(node) = node else { return Found::Missing };
    match step {
        Step::Attribute(name) => field(&node.entity.attributes, name),
        Step::Tag(name) => field(&node.entity.tags, name),
    }
}
