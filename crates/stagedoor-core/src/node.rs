//! One entity with what decisions need of it, worked out once.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use cedar_policy::EntityUid;
use cedar_policy_core::ast;
use smallvec::SmallVec;

use crate::entity::Entity;
use crate::error::EntitiesError;
use crate::hash::FastSet;
use crate::number::{EntityNumber, TypeNumber};
use crate::symbols::Symbols;

/// An entity's numbers in one engine's numbering.
#[derive(Debug)]
pub(crate) struct EntitySymbols {
    /// The numbering they belong to.
    pub(crate) numbering: u64,
    pub(crate) own: Option<EntityNumber>,
    pub(crate) type_: Option<TypeNumber>,
    /// Its own and its ancestors', sorted; those that no policy names are left out.
    pub(crate) ids: SmallVec<[EntityNumber; 8]>,
    /// Bits of `ids`, by their last eight bits: most numbers are told apart by these.
    filter: IdFilter,
}

impl EntitySymbols {
    pub(crate) fn new<'u>(
        symbols: &Symbols,
        uid: &EntityUid,
        ancestors: impl Iterator<Item = &'u EntityUid>,
    ) -> Self {
        let own = symbols.uid(uid);
        let ancestors = ancestors.filter_map(|uid| symbols.uid(uid));
        Self::of(symbols, own, symbols.type_(uid.type_name()), ancestors)
    }

    pub(crate) fn of(
        symbols: &Symbols,
        own: Option<EntityNumber>,
        type_: Option<TypeNumber>,
        ancestors: impl Iterator<Item = EntityNumber>,
    ) -> Self {
        Self::of_ids(symbols, own, type_, own.into_iter().chain(ancestors).collect())
    }

    /// `ids` are its own and its ancestors'.
    pub(crate) fn of_ids(
        symbols: &Symbols,
        own: Option<EntityNumber>,
        type_: Option<TypeNumber>,
        mut ids: SmallVec<[EntityNumber; 8]>,
    ) -> Self {
        if ids.len() > 1 {
            ids.sort_unstable();
            ids.dedup();
        }
        let mut filter = IdFilter::default();
        ids.iter().for_each(|id| filter.add(id.get() as u8));
        Self { numbering: symbols.numbering, own, type_, ids, filter }
    }

    /// Returns whether `id` is its own or an ancestor's.
    pub(crate) fn contains(&self, id: EntityNumber) -> bool {
        self.filter.may_have(id.get() as u8) && self.ids.binary_search(&id).is_ok()
    }
}

/// Which of 256 marks some ids have: one that is not there is told by one word.
#[derive(Debug, Clone, Copy, Default)]
struct IdFilter([u64; 4]);

impl IdFilter {
    fn add(&mut self, mark: u8) {
        if let Some(word) = self.0.get_mut(usize::from(mark >> 6)) {
            *word |= 1 << (mark & 63);
        }
    }

    #[inline]
    fn may_have(&self, mark: u8) -> bool {
        self.0.get(usize::from(mark >> 6)).is_some_and(|word| word & 1 << (mark & 63) != 0)
    }
}

/// Returns a mark of an id: equal ids have one. It is made of how the id and its type end, where most
/// that are not equal differ.
fn mark(uid: &EntityUid) -> u8 {
    let (id, type_name) = (uid.id().unescaped().as_bytes(), uid.type_name().basename().as_bytes());
    let end = match id.last_chunk() {
        Some(last) => u32::from_le_bytes(*last),
        None => id.iter().fold(id.len() as u32, |end, byte| end << 8 | u32::from(*byte)),
    };
    let of_type = type_name.last().map_or(0, |last| u32::from(*last) << 8) + type_name.len() as u32;
    let mixed = end.wrapping_add(of_type.wrapping_mul(0x0101_0001)).wrapping_mul(0x9E37_79B1);
    (mixed >> 24) as u8
}

/// Returns whether two ids are the same. Most that differ do so in the id, while of types there are
/// few, with longer names.
#[inline]
pub(crate) fn same_uid(one: &EntityUid, other: &EntityUid) -> bool {
    one.id() == other.id() && one.type_name() == other.type_name()
}

/// Up to so many ancestors are compared one by one.
const FEW_ANCESTORS: usize = 8;

/// One entity with what decisions need of it.
pub(crate) struct Node {
    pub(crate) entity: Entity,
    /// Whether it is an action, whose groups a schema tells.
    pub(crate) is_action: bool,
    /// Every entity this one is a member of, directly or not.
    pub(crate) ancestors: Box<[Arc<EntityUid>]>,
    /// The marks of the ancestors.
    filter: IdFilter,
    /// The last numbering's ids, so that a principal is looked up once.
    pub(crate) interned: ArcSwapOption<EntitySymbols>,
    cedar: OnceLock<Arc<ast::Entity>>,
    /// The ancestors once more, where there are many and one was asked for.
    ancestor_set: OnceLock<FastSet<Arc<EntityUid>>>,
    /// The schema, by number, that the entity is known to conform to; 0 for none.
    conforms: AtomicU64,
}

impl Node {
    pub(crate) fn new(entity: Entity, ancestors: Box<[Arc<EntityUid>]>) -> Arc<Self> {
        let mut filter = IdFilter::default();
        ancestors.iter().for_each(|ancestor| filter.add(mark(ancestor)));
        Arc::new(Self {
            filter,
            is_action: entity.uid.type_name().basename() == "Action",
            entity,
            ancestors,
            interned: ArcSwapOption::empty(),
            cedar: OnceLock::new(),
            ancestor_set: OnceLock::new(),
            conforms: AtomicU64::new(0),
        })
    }

    /// Returns whether the entity is a member of `group`, directly or not.
    pub(crate) fn has_ancestor(&self, group: &EntityUid) -> bool {
        if !self.filter.may_have(mark(group)) {
            return false;
        }
        if self.ancestors.len() <= FEW_ANCESTORS {
            return self.ancestors.iter().any(|ancestor| same_uid(ancestor, group));
        }
        self.ancestor_set.get_or_init(|| self.ancestors.iter().cloned().collect()).contains(group)
    }

    pub(crate) fn conforms(&self, schema: u64) -> bool {
        self.conforms.load(Ordering::Relaxed) == schema
    }

    pub(crate) fn set_conforms(&self, schema: u64) {
        self.conforms.store(schema, Ordering::Relaxed);
    }

    /// Returns the entity as Cedar's, built at the first call.
    pub(crate) fn cedar(&self) -> Result<Arc<ast::Entity>, EntitiesError> {
        if let Some(built) = self.cedar.get() {
            return Ok(Arc::clone(built));
        }
        let mut cedar: ast::Entity = self.entity.to_cedar()?.as_ref().clone();
        let parents: HashSet<&EntityUid> = self.entity.parents.iter().collect();
        for ancestor in self.ancestors.iter().filter(|a| !parents.contains(a.as_ref())) {
            cedar.add_indirect_ancestor(AsRef::<ast::EntityUID>::as_ref(ancestor.as_ref()).clone());
        }
        Ok(Arc::clone(self.cedar.get_or_init(|| Arc::new(cedar))))
    }
}
