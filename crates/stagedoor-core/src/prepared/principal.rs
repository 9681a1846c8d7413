//! A principal whose groups and attributes are looked up once.

use std::fmt;
use std::sync::Arc;

use cedar_policy::EntityUid;

use super::known::EntityFacts;
use crate::entities::Entities;
use crate::node::{EntitySymbols, Node};
use crate::number::TypeNumber;
use crate::symbols::{Symbols, Var};

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
    known: Arc<EntityFacts>,
    types: Arc<EntityTypes>,
}

/// The types of a principal's entities.
struct EntityTypes {
    /// Of which they hold, or name as a parent, at least one.
    named: Types,
    /// Of which they hold at least one.
    given: Types,
}

/// Types by their numbers.
struct Types {
    /// The bits of numbers below 64.
    low: u64,
    high: Box<[TypeNumber]>,
}

impl Principal {
    pub(crate) fn new(uid: &EntityUid, entities: &Entities, symbols: &Symbols) -> Self {
        let (known, node) = EntityFacts::of(Var::Principal, uid, entities, symbols);
        let number = |(name, _)| symbols.type_(name);
        let named = Types::of(entities.types().filter_map(number));
        let given = Types::of(entities.types().filter(|(_, given)| *given).filter_map(number));
        let types = EntityTypes { named, given };
        Self {
            uid: uid.clone(),
            entities: entities.clone(),
            numbering: symbols.numbering,
            node,
            known: Arc::new(known),
            types: Arc::new(types),
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

    #[inline]
    pub(crate) fn facts(&self) -> &EntityFacts {
        &self.known
    }

    /// Returns whether nothing among the principal's entities is, or names, one of this type.
    #[inline]
    pub(super) fn is_apart_from(&self, type_: TypeNumber) -> bool {
        self.known.interned.type_ != Some(type_) && !self.types.named.contains(type_)
    }

    /// Returns whether none of the principal's entities is of this type: one that is named as a parent
    /// is a member of nothing then.
    #[inline]
    pub(super) fn holds_none(&self, type_: TypeNumber) -> bool {
        !self.types.given.contains(type_)
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
