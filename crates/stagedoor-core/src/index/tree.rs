//! A decision tree over policies, in few tables: each branch asks one feature of the request,
//! and in a leaf every policy is checked by what of its keys is left.

use std::ops::ControlFlow;
use std::sync::Arc;

use smallvec::SmallVec;

use super::Candidate;
use super::keys::Feature;
use crate::context::{EvalContext, Ids};
use crate::ir::Predicate;
use crate::node::EntitySymbols;
use crate::number::{CheckListNumber, EntityNumber, NodeNumber, TestNumber};
use crate::symbols::{Key, Var};

/// Takes candidates until it breaks off.
pub(crate) trait Visitor: FnMut(Candidate) -> ControlFlow<()> {}

impl<F: FnMut(Candidate) -> ControlFlow<()>> Visitor for F {}

/// Nodes refer to each other and to what they hold by number: a request reads few and short
/// pieces of memory, however many policies there are.
#[derive(Debug)]
pub(super) struct Tree {
    /// None where there is no policy.
    pub(super) root: Option<NodeNumber>,
    pub(super) nodes: Box<[Node]>,
    pub(super) slots: Box<[Slot]>,
    pub(super) words: Box<[u64]>,
    pub(super) places: Box<[LeafEntry]>,
    pub(super) members: Box<[Member]>,
    pub(super) lists: Box<[Span]>,
    pub(super) checks: Box<[Check]>,
    pub(super) keys: Box<[Key]>,
    /// The shared tests, by number.
    pub(super) tests: Arc<[Predicate]>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Node {
    Leaf {
        /// Policies for whoever comes here.
        all: Span,
        /// A principal or group, and a policy for it; sorted.
        members: Span,
    },
    Branch {
        feature: Feature,
        table: Table,
        /// Policies that this feature says nothing about.
        rest: Option<NodeNumber>,
    },
}

/// The children of a branch by key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table {
    /// As many as a power of two, of which half are free.
    pub(super) slots: Span,
    /// Bits of the keys' numbers, so that most others are not searched for; none for few keys.
    pub(super) filter: Span,
    pub(super) count: u32,
}

/// A place in a table; free without a key.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Slot {
    pub(super) key: Option<Key>,
    pub(super) child: NodeNumber,
}

/// A policy, and by number the list of checks that must hold for it to matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LeafEntry {
    /// Settled, if all that is left of the policy are the checks.
    pub(super) candidate: Candidate,
    pub(super) checks: CheckListNumber,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Member {
    pub(super) uid: EntityNumber,
    pub(super) place: LeafEntry,
}

/// Of a feature one of these keys, which are sorted, must be the request's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Check {
    pub(super) feature: Feature,
    pub(super) keys: Span,
}

/// Consecutive items of a table.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Span {
    start: u32,
    len: u32,
}

impl Span {
    /// Adds items to a table. Limits keep every table far below 2³² items.
    pub(super) fn append<T>(table: &mut Vec<T>, items: impl IntoIterator<Item = T>) -> Self {
        let start = table.len();
        table.extend(items);
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self { start: number(start), len: number(table.len() - start) }
    }

    #[inline]
    fn of<T>(self, table: &[T]) -> &[T] {
        let start = self.start as usize;
        table.get(start..start + self.len as usize).unwrap_or_default()
    }
}

impl Slot {
    /// Returns where in a table of so many slots the search for a key begins.
    #[inline]
    pub(super) fn first(key: Key, slots: usize) -> usize {
        (key.hash() >> 32) as usize & slots.wrapping_sub(1)
    }
}

impl Table {
    /// Returns the word and bit for an entity in a filter of so many words.
    #[inline]
    pub(super) fn place(uid: EntityNumber, words: usize) -> (usize, u64) {
        ((uid.get() >> 6) as usize & words.wrapping_sub(1), 1 << (uid.get() & 63))
    }
}

impl Tree {
    /// Hands over the policies whose keys the request has, until `take` breaks off. One may come
    /// more than once.
    #[inline]
    pub(super) fn walk(&self, view: &EvalContext<'_>, take: &mut impl Visitor) -> ControlFlow<()> {
        self.walk_from(self.root, view, take)
    }

    fn walk_from(
        &self,
        mut next: Option<NodeNumber>,
        view: &EvalContext<'_>,
        take: &mut impl Visitor,
    ) -> ControlFlow<()> {
        while let Some(node) = next.and_then(|number| self.nodes.get(number.index())) {
            match *node {
                Node::Leaf { all, members } => {
                    let mut all = all.of(&self.places).iter();
                    all.try_for_each(|place| self.offer(*place, view, take))?;
                    return self.walk_members(members, view, take);
                }
                Node::Branch { feature, table, rest } => {
                    self.walk_branch(feature, table, view, take)?;
                    next = rest;
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn walk_branch(
        &self,
        feature: Feature,
        table: Table,
        view: &EvalContext<'_>,
        take: &mut impl Visitor,
    ) -> ControlFlow<()> {
        if is_open(feature, view) {
            let mut slots = table.slots.of(&self.slots).iter().filter(|slot| slot.key.is_some());
            return slots.try_for_each(|slot| self.walk_from(Some(slot.child), view, take));
        }
        match feature {
            Feature::Principal => self.walk_ids(table, view.ids(Var::Principal), view, take),
            Feature::Action => self.walk_ids(table, view.ids(Var::Action), view, take),
            Feature::Resource => self.walk_ids(table, view.ids(Var::Resource), view, take),
            Feature::Elements(path) => {
                let items = view.elements(path).unwrap_or_default().iter();
                let mut keys: SmallVec<[Key; 8]> =
                    items.filter_map(|item| view.symbols.key(item.into())).collect();
                keys.sort_unstable();
                keys.dedup();
                let mut children = keys.into_iter().map(|key| self.child(table, key));
                children.try_for_each(|child| self.walk_from(child, view, take))
            }
            Feature::PrincipalType | Feature::ResourceType | Feature::Path(_) => {
                let child = key(feature, view).and_then(|key| self.child(table, key));
                self.walk_from(child, view, take)
            }
            Feature::Test(number) if self.passes(number, view) => {
                self.walk_from(self.child(table, Key::bool(true)), view, take)
            }
            Feature::Test(_) => ControlFlow::Continue(()),
        }
    }

    /// Walks the children for an entity and its ancestors.
    fn walk_ids(
        &self,
        table: Table,
        ids: Option<&Ids<'_>>,
        view: &EvalContext<'_>,
        take: &mut impl Visitor,
    ) -> ControlFlow<()> {
        let Some(ids) = ids.and_then(Ids::get) else { return ControlFlow::Continue(()) };
        if (table.count as usize) < ids.ids.len() {
            let slots = table.slots.of(&self.slots).iter();
            let mut own = slots
                .filter(|slot| slot.key.and_then(Key::as_uid).is_some_and(|uid| ids.contains(uid)));
            return own.try_for_each(|slot| self.walk_from(Some(slot.child), view, take));
        }
        let words = table.filter.of(&self.words);
        let is_known = |uid: EntityNumber| {
            let (word, bit) = Table::place(uid, words.len());
            words.get(word).is_none_or(|word| word & bit != 0)
        };
        let mut known = ids.ids.iter().filter(|uid| is_known(**uid));
        known.try_for_each(|uid| self.walk_from(self.child(table, Key::uid(*uid)), view, take))
    }

    /// Returns whether policies with a shared test can matter.
    ///
    /// INVARIANT: a policy is left out only where the test is known to be false. Without an answer it
    /// may err, and may as well hold: Cedar tells, of the policy.
    fn passes(&self, number: TestNumber, view: &EvalContext<'_>) -> bool {
        self.tests.get(number.index()).and_then(|test| view.eval(test)) != Some(false)
    }

    fn child(&self, table: Table, key: Key) -> Option<NodeNumber> {
        let slots = table.slots.of(&self.slots);
        let mut at = Slot::first(key, slots.len());
        // INVARIANT: some slots are free, so that this ends.
        loop {
            let slot = slots.get(at)?;
            match slot.key {
                Some(known) if known == key => return Some(slot.child),
                Some(_) => at = (at + 1) & slots.len().wrapping_sub(1),
                None => return None,
            }
        }
    }

    /// Hands over the policies for the principal and its groups.
    fn walk_members(
        &self,
        members: Span,
        view: &EvalContext<'_>,
        take: &mut impl Visitor,
    ) -> ControlFlow<()> {
        if view.is_unknown(Var::Principal) {
            let mut all = members.of(&self.members).iter();
            return all.try_for_each(|member| self.offer(member.place, view, take));
        }
        let Some(ids) = view.ids(Var::Principal).and_then(Ids::get) else {
            return ControlFlow::Continue(());
        };
        let mut own = members.of(&self.members).iter().filter(|member| ids.contains(member.uid));
        own.try_for_each(|member| self.offer(member.place, view, take))
    }

    /// Hands over a policy, unless a check says that it does not matter.
    #[inline]
    fn offer(
        &self,
        place: LeafEntry,
        view: &EvalContext<'_>,
        take: &mut impl Visitor,
    ) -> ControlFlow<()> {
        let candidate = place.candidate;
        let unsatisfied = Candidate::new(candidate.policy(), false);
        // INVARIANT: the list is there. Were it not, the policy itself would have to be asked.
        let Some(list) = self.lists.get(place.checks.index()) else { return take(unsatisfied) };
        if !list.of(&self.checks).iter().all(|check| self.holds(*check, view)) {
            return ControlFlow::Continue(());
        }
        // Of what is not known not everything holds that led here.
        take(if view.unknown.is_some() { unsatisfied } else { candidate })
    }

    /// Decides a check; it holds where the request has every value of the feature.
    #[inline]
    fn holds(&self, check: Check, view: &EvalContext<'_>) -> bool {
        if is_open(check.feature, view) {
            return true;
        }
        let keys = check.keys.of(&self.keys);
        let any_of = |var: Var| {
            let contains = |ids: &EntitySymbols| {
                keys.iter().any(|k| k.as_uid().is_some_and(|uid| ids.contains(uid)))
            };
            view.ids(var).and_then(Ids::get).is_some_and(contains)
        };
        let is_one = |key: Key| match keys {
            [only] => *only == key,
            _ => keys.binary_search(&key).is_ok(),
        };
        match check.feature {
            Feature::Principal => any_of(Var::Principal),
            Feature::Action => any_of(Var::Action),
            Feature::Resource => any_of(Var::Resource),
            Feature::Elements(path) => {
                let mut items = view.elements(path).unwrap_or_default().iter();
                items.any(|item| view.symbols.key(item.into()).is_some_and(is_one))
            }
            Feature::Test(number) => self.passes(number, view),
            feature => key(feature, view).is_some_and(is_one),
        }
    }
}

/// Returns the only key that a request has of a feature.
#[inline]
pub(super) fn key(feature: Feature, view: &EvalContext<'_>) -> Option<Key> {
    match feature {
        Feature::PrincipalType => view.type_(Var::Principal).map(Key::type_),
        Feature::ResourceType => view.type_(Var::Resource).map(Key::type_),
        Feature::Path(path) => view.key(path).flatten(),
        Feature::Principal
        | Feature::Action
        | Feature::Resource
        | Feature::Elements(_)
        | Feature::Test(_) => None,
    }
}

/// Returns whether the request has every value of the feature, since it is not known which.
#[inline]
pub(super) fn is_open(feature: Feature, view: &EvalContext<'_>) -> bool {
    view.unknown.is_some()
        && match feature {
            Feature::Principal => view.is_unknown(Var::Principal),
            Feature::Resource => view.is_unknown(Var::Resource),
            Feature::Path(path) | Feature::Elements(path) => view.is_open(path),
            // It may read anything.
            Feature::Test(_) => true,
            // Actions are known, and so are the types.
            Feature::Action | Feature::PrincipalType | Feature::ResourceType => false,
        }
}
