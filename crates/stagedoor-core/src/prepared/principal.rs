//! A principal whose groups and attributes are looked up once.

use std::fmt;
use std::sync::Arc;

use cedar_policy::EntityUid;

use crate::engine::Engine;
use crate::entities::Entities;
use crate::error::{DecideError, RequestError};
use crate::node::{Interned, Node};
use crate::symbols::{Key, Path, Symbols, Var};
use crate::value::Value;
use crate::view::{Found, step_into};

/// Beyond so many places at which policies look, values are not looked up beforehand.
const MANY_PATHS: usize = 256;

/// A principal with its entities, ready for many requests and threads.
///
/// Made for one engine. After a reload it still decides rightly with the new one, only not
/// as fast: make it anew with [`Engine::principal`] then. It keeps no engine in memory.
#[derive(Clone)]
pub struct Principal {
    pub(crate) uid: EntityUid,
    pub(crate) entities: Entities,
    pub(crate) numbering: u64,
    pub(crate) interned: Arc<Interned>,
    node: Option<Arc<Node>>,
    /// For each path of the principal, in order, what is there; `None` where that is not known
    /// beforehand.
    known: Arc<[Option<Known>]>,
    /// Types of which the entities hold, or name as a parent, at least one.
    types: Arc<[u32]>,
}

/// What is at a path.
#[derive(Debug)]
struct Known {
    value: Option<Value>,
    /// As [`View::key`](crate::view::View::key) tells it.
    key: Option<Option<Key>>,
}

impl Engine {
    /// Returns a handle for a principal, whose groups and other entities are among `entities`.
    ///
    /// # Errors
    ///
    /// [`DecideError`] if the entities do not conform to the schema, or the id is too long.
    pub fn principal(
        &self,
        uid: &EntityUid,
        entities: &Entities,
    ) -> Result<Principal, DecideError> {
        let (given, limit) = (uid.id().unescaped().len(), self.0.limits.string_bytes);
        if given > limit {
            return Err(RequestError::StringTooLong { given, limit }.into());
        }
        self.check_entities(entities)?;
        let symbols = &self.0.symbols;
        let node = entities.shared_node(uid).cloned();
        let ancestors = node.iter().flat_map(|node| node.ancestors.iter().map(AsRef::as_ref));
        let interned = Interned::new(symbols, uid, ancestors);
        let is_few = symbols.paths_of(Var::Principal).nth(MANY_PATHS).is_none();
        let paths = symbols.paths_of(Var::Principal).filter(|_| is_few);
        let known = paths.map(|path| known(path, uid, node.as_deref(), symbols)).collect();
        let types = entities.types().filter_map(|name| symbols.type_(name)).collect();
        Ok(Principal {
            uid: uid.clone(),
            entities: entities.clone(),
            numbering: symbols.numbering,
            interned: Arc::new(interned),
            node,
            known,
            types,
        })
    }
}

impl Principal {
    /// Returns the principal's id.
    #[must_use]
    pub fn uid(&self) -> &EntityUid {
        &self.uid
    }

    /// Returns the entities that the principal was given with.
    #[must_use]
    pub fn entities(&self) -> &Entities {
        &self.entities
    }

    /// Returns whether the handle was made for this engine, and is as fast as can be.
    #[must_use]
    pub fn is_of(&self, engine: &Engine) -> bool {
        self.numbering == engine.0.symbols.numbering
    }

    pub(crate) fn node(&self) -> Option<&Node> {
        self.node.as_deref()
    }

    /// Returns the literal at the principal's path with this number, where it is known.
    pub(crate) fn key(&self, ordinal: usize) -> Option<Option<Option<Key>>> {
        self.known.get(ordinal)?.as_ref().map(|known| known.key)
    }

    /// Returns what is at the principal's path with this number, where it is known.
    pub(crate) fn found(&self, ordinal: usize) -> Option<Found<'_>> {
        let value = self.known.get(ordinal)?.as_ref()?.value.as_ref();
        Some(value.map_or(Found::Missing, |value| Found::Value(value.into())))
    }

    /// Returns whether nothing among the principal's entities is, or names, one of this type.
    pub(super) fn is_apart_from(&self, type_: u32) -> bool {
        self.interned.type_ != Some(type_) && !self.types.contains(&type_)
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Principal").field("uid", &self.uid).finish_non_exhaustive()
    }
}

fn known(path: &Path, uid: &EntityUid, node: Option<&Node>, symbols: &Symbols) -> Option<Known> {
    let value = match path.steps.as_slice() {
        [] => Some(Value::Entity(uid.clone())),
        [step] => match step_into(node, step) {
            Found::Value(value) => Some(value.to_value()),
            Found::Missing | Found::Broken => None,
        },
        // What is reached through other entities is looked up when it is asked for.
        _ => return None,
    };
    let key = value.as_ref().map(|value| symbols.key(value.into()));
    Some(Known { value, key })
}
