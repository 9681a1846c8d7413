//! What must hold of a request for a policy to matter to it.
//!
//! Scope constraints never err, so each of them is a key. A clause of the condition
//! is one if no clause before it can err; where a clause reads a path that no `has`
//! has guarded, later clauses are keys only for requests in which that path is there.

use std::collections::BTreeSet;

use smallvec::SmallVec;

use crate::context::EvalContext;
use crate::hash::FastSet;
use crate::ir::{Clause, Operand, Predicate};
use crate::number::{EntityNumber, PathNumber, TestNumber};
use crate::path_set::PathSet;
use crate::policy::{ActionScope, EntityScope, StoredPolicy};
use crate::symbols::{Key, Symbols, Var};

use super::shared::SharedTests;

/// What of a request a key is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Feature {
    /// The principal and its ancestors.
    Principal,
    /// The action and its groups.
    Action,
    /// The resource and its ancestors.
    Resource,
    PrincipalType,
    ResourceType,
    /// The value at a path.
    Path(PathNumber),
    /// The elements of the set at a path.
    Elements(PathNumber),
    /// Whether a test that policies share may hold, by its number among the [`SharedTests`]: it is
    /// not known to be false.
    Test(TestNumber),
}

/// A feature and the keys of which one must be among the request's.
#[derive(Debug, Clone)]
pub(crate) struct FeatureKeys {
    pub(crate) feature: Feature,
    pub(crate) keys: Box<[Key]>,
    /// The parts of the policy that hold where one is.
    pub(crate) implied: Parts,
}

/// Parts of one policy: constraints of its scope and clauses of its condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Parts(u64);

impl Parts {
    pub(crate) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    fn last(count: u32) -> Self {
        Self(1_u64.checked_shl(count.saturating_sub(1)).unwrap_or_default())
    }
}

/// A path that must be there, for the keys that come later in the condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RequiredPath {
    path: PathNumber,
    /// It must also be a set.
    set: bool,
}

impl RequiredPath {
    /// Returns the path as a set; `None` where it is not enough that something is there.
    pub(super) fn as_set(self) -> Option<PathSet> {
        if self.set { None } else { PathSet::of(self.path) }
    }

    pub(crate) fn is_met(self, view: &EvalContext<'_>) -> bool {
        if view.is_open(self.path) {
            return false;
        }
        if self.set { view.elements(self.path).is_some() } else { view.key(self.path).is_some() }
    }
}

/// The alternatives of a clause `a || b`, each by itself: a request that has none of their keys does
/// not satisfy the clause.
#[derive(Debug, Clone)]
pub(crate) struct Alternatives {
    each: SmallVec<[FeatureKeys; 2]>,
    /// Sound where every required path is there, and not for every request.
    is_late: bool,
}

/// Under so many sets of keys a policy stands for its alternatives, at the most.
const ALTERNATIVES: usize = 16;

/// The keys of one policy.
#[derive(Debug, Default)]
pub(crate) struct PolicyKeys {
    /// Sound for every request.
    pub(crate) safe: SmallVec<[FeatureKeys; 4]>,
    /// Sound where every required path is there.
    pub(crate) late: SmallVec<[FeatureKeys; 4]>,
    pub(crate) alternatives: SmallVec<[Alternatives; 1]>,
    /// In the order of the condition.
    pub(crate) requires: SmallVec<[RequiredPath; 4]>,
    /// How many of those there were at the last key.
    needed: usize,
    /// How many parts the policy has that must hold.
    parts: u32,
    /// Rules are to be asked besides, or Cedar in any case.
    is_guarded: bool,
    /// Paths that clauses have found to be there, and those clauses.
    guards: SmallVec<[(PathNumber, Parts); 4]>,
}

/// What is known of all policies' names and data.
///
/// INVARIANT: a policy has the same keys whenever it is asked, or an edit would not find it: names
/// keep their numbers, and a schema its actions.
#[derive(Clone, Copy)]
pub(crate) struct IndexInput<'a> {
    pub(crate) symbols: &'a Symbols,
    /// Policies and data are well typed.
    pub(crate) validated: bool,
    /// Actions that have no members, where a schema tells.
    pub(crate) single_actions: &'a FastSet<EntityNumber>,
    /// There are so many policies that more of them are told apart at the price of paths that a
    /// request must have. Keys that are sound for every request do not depend on it.
    pub(crate) many: bool,
}

/// Returns the keys of a policy. Of clauses that no other key tells of, those count that are among
/// `shared`.
pub(crate) fn of(
    policy: &StoredPolicy,
    world: IndexInput<'_>,
    shared: Option<&SharedTests>,
) -> PolicyKeys {
    let IndexInput { many, single_actions, .. } = world;
    let is_guarded = !policy.body.guards.is_empty() || policy.body.exprs.is_some();
    let mut keys = PolicyKeys { is_guarded, ..PolicyKeys::default() };
    entity_scope(&policy.principal, Feature::Principal, Feature::PrincipalType, &mut keys);
    entity_scope(&policy.resource, Feature::Resource, Feature::ResourceType, &mut keys);
    match &policy.action {
        ActionScope::Any => {}
        // The keys of a feature are an entity's and its ancestors', which is more than `==`.
        ActionScope::Eq(uid) => {
            let key = Box::new([Key::uid(*uid)]);
            keys.add_part(Feature::Action, key, single_actions.contains(uid));
        }
        ActionScope::In(uids) => {
            keys.add_part(Feature::Action, uids.iter().copied().map(Key::uid).collect(), true);
        }
    }
    for (number, clause) in policy.body.clauses.iter().enumerate() {
        // Clauses that no key implies count as parts, too.
        keys.parts += 1;
        let rest = u32::try_from(policy.body.clauses.len() - number - 1).unwrap_or(u32::MAX);
        let Clause::Predicate(test) = clause else {
            keys.parts = keys.parts.saturating_add(rest);
            break;
        };
        let required = keys.requires.len();
        let is_split = match test {
            Predicate::Any(tests) => keys.add_alternatives(tests, world),
            _ => false,
        };
        if !require(test, world, &keys.guarded(&[]), &mut keys.requires) {
            if let Some(number) =
                shared.and_then(|shared| shared.number(test)).filter(|_| !is_split)
            {
                keys.requires.truncate(required);
                keys.add_test(number);
            }
            keys.parts = keys.parts.saturating_add(rest);
            break;
        }
        match test {
            Predicate::Has { path } => keys.guards.push((*path, Parts::last(keys.parts))),
            Predicate::OneOf { path, keys: values } => {
                keys.add(Feature::Path(*path), values.as_slice().into());
            }
            Predicate::True { path } => {
                keys.add(Feature::Path(*path), Box::new([Key::bool(true)]));
            }
            Predicate::Contains { path, keys: values, all } => {
                let one = values.iter().take(if *all { 1 } else { usize::MAX });
                let one: Box<[Key]> = one.copied().collect();
                if !(*all && one.is_empty()) {
                    let implied = one.len() == values.len();
                    keys.add_implying(Feature::Elements(*path), one, implied);
                }
            }
            Predicate::In { var, uids } => {
                let feature = match var {
                    Var::Principal => Feature::Principal,
                    Var::Action => Feature::Action,
                    Var::Resource => Feature::Resource,
                    Var::Context => continue,
                };
                keys.add(feature, uids.iter().copied().map(Key::uid).collect());
            }
            Predicate::Is { var, type_ } => {
                let feature = match var {
                    Var::Principal => Feature::PrincipalType,
                    Var::Resource => Feature::ResourceType,
                    Var::Action | Var::Context => continue,
                };
                keys.add(feature, Box::new([Key::type_(*type_)]));
            }
            Predicate::All(tests) if tests.is_empty() => keys.parts -= 1,
            Predicate::Not(negated) if matches!(**negated, Predicate::True { .. }) => {
                if let Some((feature, value)) = key(test) {
                    keys.add(feature, value);
                }
            }
            Predicate::Any(_) if is_split => {}
            _ => {
                if let Some(number) = shared.and_then(|shared| shared.number(test))
                    && (many || keys.requires.len() == required)
                {
                    keys.add_test(number);
                }
            }
        }
    }
    // No key depends on what is required after the last one.
    keys.requires.truncate(keys.needed);
    keys.requires.sort_unstable();
    keys
}

impl PolicyKeys {
    /// Returns the parts that must hold for the policy to be satisfied; `None` where they
    /// are too many to tell apart, or a rule is to be asked besides.
    pub(crate) fn all_parts(&self) -> Option<Parts> {
        match self.parts {
            _ if self.is_guarded => None,
            0 => Some(Parts::default()),
            count => u64::MAX.checked_shr(64_u32.checked_sub(count)?).map(Parts),
        }
    }

    /// Adds the keys of one more part.
    fn add_part(&mut self, feature: Feature, keys: Box<[Key]>, implied: bool) {
        self.parts += 1;
        self.add_implying(feature, keys, implied);
    }

    /// Adds a test that policies share, and that is the last part.
    ///
    /// INVARIANT: nothing is implied. A request also passes where the test errs, and where nothing but
    /// Cedar can tell (`context == "a"`): it is evaluated for the policy.
    fn add_test(&mut self, number: TestNumber) {
        let (feature, implied) = (Feature::Test(number), Parts::default());
        self.push(FeatureKeys { feature, keys: Box::new([Key::bool(true)]), implied });
    }

    /// Adds the alternatives of the part that comes next; `false` where they have no keys.
    fn add_alternatives(&mut self, tests: &[Predicate], world: IndexInput<'_>) -> bool {
        let required = self.requires.len();
        let found = self.alternatives(tests, world);
        let is_worth_it = world.many || self.requires.len() == required;
        let Some(mut each) = found.filter(|_| is_worth_it) else {
            self.requires.truncate(required);
            return false;
        };
        match each.pop() {
            Some(only) if each.is_empty() => self.push(only),
            Some(last) => {
                each.push(last);
                let is_late = !self.requires.is_empty();
                self.alternatives.push(Alternatives { each, is_late });
                self.needed = self.requires.len();
            }
            None => return false,
        }
        true
    }

    /// Returns the keys of alternatives, and notes the paths that these need.
    fn alternatives(
        &mut self,
        tests: &[Predicate],
        world: IndexInput<'_>,
    ) -> Option<SmallVec<[FeatureKeys; 2]>> {
        let mut each: SmallVec<[Alternative; 2]> = SmallVec::new();
        for test in tests {
            let next = self.alternative(test, world)?;
            match each.iter_mut().find(|other| other.feature == next.feature) {
                Some(other) => {
                    other.is_whole &= next.is_whole;
                    let both: BTreeSet<Key> =
                        other.keys.iter().chain(&next.keys).copied().collect();
                    other.keys = both.into_iter().collect();
                }
                None => each.push(next),
            }
        }
        let is_known = |feature: Feature| {
            let alternatives = self.alternatives.iter().flat_map(|others| &others.each);
            let mut known = self.safe.iter().chain(&self.late).chain(alternatives);
            known.any(|known| known.feature == feature)
        };
        let sets: usize = self.alternatives.iter().map(|others| others.each.len()).product();
        if sets * each.len() > ALTERNATIVES || each.iter().any(|one| is_known(one.feature)) {
            return None;
        }
        // INVARIANT: of `a && b || c` the first may err although the last holds.
        let is_whole = each.iter().all(|one| one.is_whole);
        let keys = |Alternative { feature, keys, .. }| {
            let implied = self.implied(feature, is_whole);
            FeatureKeys { feature, keys, implied }
        };
        Some(each.into_iter().map(keys).collect())
    }

    /// Returns what has to be met for an alternative to hold, and notes the paths that must be there
    /// for it not to err where that is not met.
    fn alternative(&mut self, test: &Predicate, world: IndexInput<'_>) -> Option<Alternative> {
        let Predicate::All(tests) = test else {
            let (feature, keys) = key(test)?;
            let guarded = self.guarded(&[]);
            let is_whole = require(test, world, &guarded, &mut self.requires);
            return is_whole.then_some(Alternative { feature, keys, is_whole });
        };
        let mut found: Option<Alternative> = None;
        let mut needed = self.requires.len();
        let mut own = Vec::new();
        for test in tests {
            let guarded = self.guarded(&own);
            if !require(test, world, &guarded, &mut self.requires) {
                break;
            }
            if let Predicate::Has { path } = test {
                own.push(*path);
            }
            let is_type =
                |feature| matches!(feature, Feature::PrincipalType | Feature::ResourceType);
            // A type tells little apart, and is better than nothing.
            if let Some((feature, keys)) = key(test)
                && found.as_ref().is_none_or(|found| is_type(found.feature) && !is_type(feature))
            {
                found = Some(Alternative { feature, keys, is_whole: false });
                needed = self.requires.len();
            }
        }
        self.requires.truncate(needed);
        found
    }

    /// Returns the paths that clauses have found to be there, and these.
    fn guarded(&self, own: &[PathNumber]) -> SmallVec<[PathNumber; 8]> {
        self.guards.iter().map(|(path, _)| *path).chain(own.iter().copied()).collect()
    }

    /// Returns the sets of keys of which a request has to have one: the keys of the policy with one
    /// of each clause's alternatives.
    pub(crate) fn sets(self) -> Vec<SmallVec<[FeatureKeys; 4]>> {
        let mut own = self.safe;
        own.extend(self.late);
        with_alternatives(own, self.alternatives.iter())
    }

    /// As [`sets`](Self::sets), of the keys that are sound for every request.
    pub(crate) fn safe_sets(&self) -> Vec<SmallVec<[FeatureKeys; 4]>> {
        let safe = self.alternatives.iter().filter(|others| !others.is_late);
        with_alternatives(self.safe.clone(), safe)
    }

    /// Adds keys that say the same as the last part.
    fn add(&mut self, feature: Feature, keys: Box<[Key]>) {
        self.add_implying(feature, keys, true);
    }

    /// Adds keys, sound for every request as long as nothing is required.
    fn add_implying(&mut self, feature: Feature, keys: Box<[Key]>, implied: bool) {
        let known = self.safe.iter().chain(&self.late);
        // The second of a feature would be sound as well; it stays a part that nothing implies.
        if known.into_iter().any(|known| known.feature == feature) {
            return;
        }
        let implied = self.implied(feature, implied);
        self.push(FeatureKeys { feature, keys, implied });
    }

    /// Returns the parts that hold where the last part's keys are met, which is one of them if
    /// `is_whole`.
    fn implied(&self, feature: Feature, is_whole: bool) -> Parts {
        let mut parts = if is_whole { Parts::last(self.parts) } else { Parts::default() };
        if let Feature::Path(path) | Feature::Elements(path) = feature {
            // What is found there is there.
            for (_, guard) in self.guards.iter().filter(|(guarded, _)| *guarded == path) {
                parts = parts.with(*guard);
            }
        }
        parts
    }

    fn push(&mut self, keys: FeatureKeys) {
        // INVARIANT: a key leaves a policy out only where no clause before it could have erred: Cedar
        // would have told of that error, and never come to the clause that the key is of.
        let list = if self.requires.is_empty() { &mut self.safe } else { &mut self.late };
        list.push(keys);
        self.needed = self.requires.len();
    }
}

fn with_alternatives<'a>(
    own: SmallVec<[FeatureKeys; 4]>,
    alternatives: impl Iterator<Item = &'a Alternatives>,
) -> Vec<SmallVec<[FeatureKeys; 4]>> {
    alternatives.fold(vec![own], |sets, Alternatives { each, .. }| {
        let with = |set: SmallVec<[FeatureKeys; 4]>| {
            each.iter().map(move |one| set.iter().chain([one]).cloned().collect())
        };
        sets.into_iter().flat_map(with).collect()
    })
}

/// What has to be met of one alternative.
struct Alternative {
    feature: Feature,
    keys: Box<[Key]>,
    /// It says no more than that.
    is_whole: bool,
}

/// Returns the key that a test is.
fn key(test: &Predicate) -> Option<(Feature, Box<[Key]>)> {
    Some(match test {
        Predicate::OneOf { path, keys } => (Feature::Path(*path), keys.as_slice().into()),
        Predicate::True { path } => (Feature::Path(*path), Box::new([Key::bool(true)])),
        Predicate::Not(test) => match **test {
            Predicate::True { path } => (Feature::Path(path), Box::new([Key::bool(false)])),
            _ => return None,
        },
        Predicate::Contains { path, keys, all: false } => {
            (Feature::Elements(*path), keys.as_slice().into())
        }
        Predicate::In { var, uids } => {
            let feature = match var {
                Var::Principal => Feature::Principal,
                Var::Action => Feature::Action,
                Var::Resource => Feature::Resource,
                Var::Context => return None,
            };
            (feature, uids.iter().copied().map(Key::uid).collect())
        }
        Predicate::Is { var: Var::Principal, type_ } => {
            (Feature::PrincipalType, Box::new([Key::type_(*type_)]))
        }
        Predicate::Is { var: Var::Resource, type_ } => {
            (Feature::ResourceType, Box::new([Key::type_(*type_)]))
        }
        _ => return None,
    })
}

/// Notes the paths that `test` needs to be decided without an error, but for `guarded` ones;
/// `false` if that does not do.
fn require(
    test: &Predicate,
    IndexInput { symbols, validated, .. }: IndexInput<'_>,
    guarded: &[PathNumber],
    requires: &mut SmallVec<[RequiredPath; 4]>,
) -> bool {
    let mut need = |path: PathNumber, set: bool| {
        let is_variable = symbols.path(path).is_some_and(|p| p.steps.is_empty());
        let is_there = is_variable || guarded.contains(&path);
        let required = RequiredPath { path, set: set && !validated };
        if (!is_there || required.set) && !requires.contains(&required) {
            requires.push(required);
        }
    };
    let mut open: SmallVec<[&Predicate; 8]> = SmallVec::from_iter([test]);
    let mut terms: SmallVec<[&Operand; 8]> = SmallVec::new();
    while let Some(test) = open.pop() {
        match test {
            Predicate::OneOf { path, .. } => need(*path, false),
            Predicate::Contains { path, .. } => need(*path, true),
            Predicate::Has { .. } | Predicate::In { .. } | Predicate::Is { .. } => {}
            Predicate::Not(test) => open.push(test),
            Predicate::All(tests) | Predicate::Any(tests) => open.extend(tests.iter()),
            Predicate::If(tests) => open.extend(tests.iter()),
            // Values of any type can be compared; the rest err on the wrong type, which
            // validation rules out.
            Predicate::Equal(pair) => terms.extend(pair.iter()),
            _ if !validated => return false,
            Predicate::True { path } => need(*path, false),
            Predicate::Less { terms: pair, .. }
            | Predicate::MemberOf(pair)
            | Predicate::HasTag(pair)
            | Predicate::Element(pair)
            | Predicate::Superset { terms: pair, .. } => terms.extend(pair.iter()),
            Predicate::Like { term, .. }
            | Predicate::OfType { term, .. }
            | Predicate::HasAttribute { term, .. }
            | Predicate::Empty(term)
            | Predicate::Value(term) => terms.push(term),
        }
        while let Some(term) = terms.pop() {
            match term {
                Operand::Path(path) => need(*path, false),
                Operand::Bool(_)
                | Operand::Long(_)
                | Operand::String(_)
                | Operand::Uid(_)
                | Operand::Extension(_) => {}
                Operand::Set(items) => terms.extend(items.iter()),
                Operand::Predicate(test) => open.push(test),
                // What is reached through another entity may not be there; integers and times
                // overflow.
                Operand::Attribute(..)
                | Operand::Tag(_)
                | Operand::Negative(_)
                | Operand::Arithmetic(..)
                | Operand::Call(..)
                | Operand::If(..) => return false,
            }
        }
    }
    true
}

fn entity_scope(scope: &EntityScope, entity: Feature, type_: Feature, keys: &mut PolicyKeys) {
    match scope {
        EntityScope::Any => {}
        EntityScope::Is(name) => keys.add_part(type_, Box::new([Key::type_(*name)]), true),
        EntityScope::Eq(uid) => keys.add_part(entity, Box::new([Key::uid(*uid)]), false),
        EntityScope::In(uid) => keys.add_part(entity, Box::new([Key::uid(*uid)]), true),
        EntityScope::IsIn(name, uid) => {
            keys.add_part(type_, Box::new([Key::type_(*name)]), true);
            keys.add_part(entity, Box::new([Key::uid(*uid)]), true);
        }
    }
}
