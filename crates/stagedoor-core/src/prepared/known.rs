//! What decisions look up of an entity that is in a store, found once.

use std::sync::Arc;

use cedar_policy::EntityUid;

use super::path_keys::PathKeys;
use crate::entities::Entities;
use crate::lookup::{Lookup, PathKey, PathValue, step_into};
use crate::node::{EntitySymbols, Node};
use crate::path_set::PathSet;
use crate::symbols::{Key, Path, Symbols, Var};

/// Beyond so many places at which policies look, values are not looked up beforehand.
const MANY_PATHS: usize = 256;

/// At no more places than these policies look in most sets.
const FEW_PATHS: usize = 4;

/// What decisions look up of an entity, side by side in memory.
pub(crate) struct EntityFacts {
    pub(crate) interned: EntitySymbols,
    /// For each path of the variable that the entity stands for, in order, the literal there.
    keys: PathKeys<PathKey, FEW_PATHS>,
    /// For each path, in order, what is there.
    values: Box<[PathValue]>,
    /// The paths at which there is something.
    pub(crate) there: PathSet,
}

impl EntityFacts {
    /// Returns what is known of an entity in the place of a variable, and the entity, if it is there.
    pub(super) fn of(
        var: Var,
        uid: &EntityUid,
        entities: &Entities,
        symbols: &Symbols,
    ) -> (Self, Option<Arc<Node>>) {
        let node = entities.shared_node(uid).cloned();
        let ancestors = node.iter().flat_map(|node| node.ancestors.iter().map(AsRef::as_ref));
        let interned = EntitySymbols::new(symbols, uid, ancestors);
        let is_few = symbols.paths_of(var).nth(MANY_PATHS).is_none();
        let paths = symbols.paths_of(var).filter(|_| is_few);
        let values: Box<[_]> = paths.map(|path| known(path, node.as_deref())).collect();
        let key = |value: &PathValue| match value {
            PathValue::Unknown => PathKey::Unknown,
            PathValue::Missing => PathKey::Missing,
            PathValue::Itself => PathKey::There(interned.own.map(Key::uid)),
            PathValue::There(value) => PathKey::There(symbols.key(value.into())),
        };
        let mut each = values.iter().map(key);
        let first = std::array::from_fn(|_| each.next().unwrap_or(PathKey::Unknown));
        let keys = PathKeys::new(first, each.collect());
        let is_there = |ordinal: usize, _: &Path| {
            matches!(values.get(ordinal), Some(PathValue::Itself | PathValue::There(_)))
        };
        let there = symbols.path_set(var, is_there);
        (Self { interned, keys, values, there }, node)
    }

    /// Returns the literal at the variable's path with this number, where it is known.
    #[inline]
    pub(crate) fn key(&self, ordinal: usize) -> PathKey {
        self.keys.get(ordinal).copied().unwrap_or(PathKey::Unknown)
    }

    /// Returns what is at the variable's path with this number, where it is known.
    #[inline]
    pub(crate) fn value(&self, ordinal: usize) -> &PathValue {
        self.values.get(ordinal).unwrap_or(&PathValue::Unknown)
    }
}

/// Returns what is at a path.
fn known(path: &Path, node: Option<&Node>) -> PathValue {
    match path.steps.as_slice() {
        [] => PathValue::Itself,
        [step] => match step_into(node, step) {
            Lookup::Value(value) => PathValue::There(value.to_value()),
            Lookup::Missing | Lookup::Broken => PathValue::Missing,
        },
        // What is reached through other entities may be a resource.
        _ => PathValue::Unknown,
    }
}
