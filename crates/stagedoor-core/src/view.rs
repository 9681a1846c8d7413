//! One request as the index and the tests of conditions see it.

use std::cell::RefCell;
use std::sync::Arc;

use cedar_policy::EntityUid;
use smallvec::SmallVec;

use crate::entities::{Entities, Interned, Node};
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
    principal: Option<&'a Node>,
    resource: Option<&'a Node>,
    principal_ids: Ids,
    action_ids: Ids,
    resource_ids: Ids,
    types: [Option<u32>; 3],
    found: RefCell<SmallVec<[(u32, Found<'a>); 16]>>,
}

/// An entity's own number and its ancestors', sorted.
pub(crate) struct Ids {
    own: Option<u32>,
    all: Arc<Interned>,
}

impl Ids {
    /// Returns the numbers of `uid` and its `ancestors`.
    pub(crate) fn new<'u>(
        symbols: &Symbols,
        uid: &'u EntityUid,
        ancestors: impl Iterator<Item = &'u EntityUid>,
    ) -> Self {
        let own = symbols.uid(uid);
        Self { own, all: Arc::new(interned(symbols, own, ancestors)) }
    }

    fn of(symbols: &Symbols, uid: &EntityUid, node: Option<&Node>) -> Self {
        let Some(node) = node else {
            return Self::new(symbols, uid, std::iter::empty());
        };
        let own = symbols.uid(uid);
        if let Some(known) = node.interned.load_full()
            && known.numbering == symbols.numbering
        {
            return Self { own, all: known };
        }
        let all = Arc::new(interned(symbols, own, node.ancestors.iter()));
        node.interned.store(Some(Arc::clone(&all)));
        Self { own, all }
    }

    pub(crate) fn is(&self, uid: u32) -> bool {
        self.own == Some(uid)
    }

    pub(crate) fn contains(&self, uid: u32) -> bool {
        self.all.ids.binary_search(&uid).is_ok()
    }

    pub(crate) fn all(&self) -> &[u32] {
        &self.all.ids
    }
}

impl Clone for Ids {
    fn clone(&self) -> Self {
        Self { own: self.own, all: Arc::clone(&self.all) }
    }
}

fn interned<'u>(
    symbols: &Symbols,
    own: Option<u32>,
    ancestors: impl Iterator<Item = &'u EntityUid>,
) -> Interned {
    let mut ids: Vec<u32> = own.into_iter().collect();
    ids.extend(ancestors.filter_map(|uid| symbols.uid(uid)));
    ids.sort_unstable();
    ids.dedup();
    Interned { numbering: symbols.numbering, ids: ids.into_boxed_slice() }
}

impl<'a> View<'a> {
    /// Returns the view of a request. `action_ids` are known where a schema tells them.
    pub(crate) fn new(
        request: &'a Request,
        entities: &'a Entities,
        symbols: &'a Symbols,
        action_ids: Option<Ids>,
    ) -> Self {
        let principal = entities.node(&request.principal);
        let resource = entities.node(&request.resource);
        let action_ids = action_ids
            .unwrap_or_else(|| Ids::of(symbols, &request.action, entities.node(&request.action)));
        Self {
            principal_ids: Ids::of(symbols, &request.principal, principal),
            action_ids,
            resource_ids: Ids::of(symbols, &request.resource, resource),
            types: [&request.principal, &request.action, &request.resource]
                .map(|uid| symbols.type_(uid.type_name())),
            principal,
            resource,
            request,
            entities,
            symbols,
            found: RefCell::new(SmallVec::new()),
        }
    }

    pub(crate) fn ids(&self, var: Var) -> Option<&Ids> {
        match var {
            Var::Principal => Some(&self.principal_ids),
            Var::Action => Some(&self.action_ids),
            Var::Resource => Some(&self.resource_ids),
            Var::Context => None,
        }
    }

    pub(crate) fn type_(&self, var: Var) -> Option<u32> {
        match var {
            Var::Principal => self.types[0],
            Var::Action => self.types[1],
            Var::Resource => self.types[2],
            Var::Context => None,
        }
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
