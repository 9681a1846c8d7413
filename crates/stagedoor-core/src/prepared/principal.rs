//! A principal whose groups and attributes are looked up once.

use std::fmt;
use std::sync::Arc;

use cedar_policy::EntityUid;
use smallvec::SmallVec;

use crate::entities::Entities;
use crate::lookup::{Lookup, PathKey, PathValue, step_into};
use crate::node::{EntitySymbols, Node};
use crate::number::TypeNumber;
use crate::symbols::{Path, Symbols, Var};
use crate::value::Value;

/// Beyond so many places at which policies look, values are not looked up beforehand.
const MANY_PATHS: usize = 256;

/// A principal with its entities, ready for many requests and threads.
///
/// Made for one engine. After a reload it still decides rightly with the new one, only not
/// as fast: make it anew with [`Engine::principal`](crate::Engine::principal) then. It keeps no engine in memory.
#[derive(Clone)]
pub struct Principal {
    pub(crate) uid: EntityUid,
    pub(crate) entities: Entities,
    pub(crate) numbering: u64,
    node: Option<Arc<Node>>,
    known: Arc<PrincipalFacts>,
}

/// What decisions look up of a principal, side by side in memory.
struct PrincipalFacts {
    interned: EntitySymbols,
    /// Types of which the entities hold, or name as a parent, at least one.
    types: Types,
    /// For each path of the principal, in order, the literal there.
    keys: SmallVec<[PathKey; 4]>,
    /// For each path of the principal, in order, what is there.
    values: Box<[PathValue]>,
}

/// Types by their numbers.
struct Types {
    /// The bits of numbers below 64.
    low: u64,
    high: Box<[TypeNumber]>,
}

impl Principal {
    pub(crate) fn new(uid: &EntityUid, entities: &Entities, symbols: &Symbols) -> Self {
        let node = entities.shared_node(uid).cloned();
        let ancestors = node.iter().flat_map(|node| node.ancestors.iter().map(AsRef::as_ref));
        let interned = EntitySymbols::new(symbols, uid, ancestors);
        let is_few = symbols.paths_of(Var::Principal).nth(MANY_PATHS).is_none();
        let paths = symbols.paths_of(Var::Principal).filter(|_| is_few);
        let values: Box<[_]> = paths.map(|path| known(path, uid, node.as_deref())).collect();
        let key = |value: &PathValue| match value {
            PathValue::Unknown => PathKey::Unknown,
            PathValue::Missing => PathKey::Missing,
            PathValue::There(value) => PathKey::There(symbols.key(value.into())),
        };
        let keys = values.iter().map(key).collect();
        let types = Types::of(entities.types().filter_map(|name| symbols.type_(name)));
        Self {
            uid: uid.clone(),
            entities: entities.clone(),
            numbering: symbols.numbering,
            node,
            known: Arc::new(PrincipalFacts { interned, types, keys, values }),
        }
    }

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

    pub(crate) fn node(&self) -> Option<&Node> {
        self.node.as_deref()
    }

    pub(crate) fn interned(&self) -> &EntitySymbols {
        &self.known.interned
    }

    /// Returns the literal at the principal's path with this number, where it is known.
    pub(crate) fn key(&self, ordinal: usize) -> PathKey {
        self.known.keys.get(ordinal).copied().unwrap_or(PathKey::Unknown)
    }

    /// Returns what is at the principal's path with this number, where it is known.
    pub(crate) fn value(&self, ordinal: usize) -> &PathValue {
        self.known.values.get(ordinal).unwrap_or(&PathValue::Unknown)
    }

    /// Returns whether nothing among the principal's entities is, or names, one of this type.
    pub(super) fn is_apart_from(&self, type_: TypeNumber) -> bool {
        self.known.interned.type_ != Some(type_) && !self.known.types.contains(type_)
    }
}

impl Types {
    fn of(numbers: impl Iterator<Item = TypeNumber>) -> Self {
        let (mut low, mut high) = (0_u64, Vec::new());
        for number in numbers {
            match 1_u64.checked_shl(number.get()) {
                Some(bit) => low |= bit,
                None => high.push(number),
            }
        }
        high.sort_unstable();
        high.dedup();
        Self { low, high: high.into_boxed_slice() }
    }

    fn contains(&self, number: TypeNumber) -> bool {
        match 1_u64.checked_shl(number.get()) {
            Some(bit) => self.low & bit != 0,
            None => self.high.binary_search(&number).is_ok(),
        }
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Principal").field("uid", &self.uid).finish_non_exhaustive()
    }
}

/// Returns what is at a path.
fn known(path: &Path, uid: &EntityUid, node: Option<&Node>) -> PathValue {
    match path.steps.as_slice() {
        [] => PathValue::There(Value::Entity(uid.clone())),
        [step] => match step_into(node, step) {
            Lookup::Value(value) => PathValue::There(value.to_value()),
            Lookup::Missing | Lookup::Broken => PathValue::Missing,
        },
        // What is reached through other entities may be a resource.
        _ => PathValue::Unknown,
    }
}
