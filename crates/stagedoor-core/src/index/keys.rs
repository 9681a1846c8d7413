//! What must hold of a request for a policy to matter to it.
//!
//! Scope constraints never err, so each of them is a key. A clause of the condition
//! is one if no clause before it can err; where a clause reads a path that no `has`
//! has guarded, later clauses are keys only for requests in which that path is there.

use smallvec::SmallVec;

use crate::condition::{Clause, Term, Test};
use crate::policy::{ActionScope, EntityScope, StoredPolicy};
use crate::symbols::{Key, Symbols, Var};
use crate::view::View;

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
    Path(u32),
    /// The elements of the set at a path.
    Elements(u32),
}

/// A feature and the keys of which one must be among the request's.
pub(crate) type FeatureKeys = (Feature, Box<[Key]>);

/// A path that must be there, for the keys that come later in the condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Required {
    path: u32,
    /// It must also be a set.
    set: bool,
}

impl Required {
    pub(crate) fn is_met(self, view: &View<'_>) -> bool {
        if view.is_open(self.path) {
            return false;
        }
        if self.set { view.elements(self.path).is_some() } else { view.key(self.path).is_some() }
    }
}

/// The keys of one policy.
#[derive(Debug, Default)]
pub(crate) struct PolicyKeys {
    /// Sound for every request.
    pub(crate) safe: SmallVec<[FeatureKeys; 4]>,
    /// Sound where every required path is there.
    pub(crate) late: SmallVec<[FeatureKeys; 4]>,
    /// In the order of the condition.
    pub(crate) requires: SmallVec<[Required; 4]>,
    /// How many of those there were at the last key.
    needed: usize,
}

pub(crate) fn of(policy: &StoredPolicy, symbols: &Symbols, validated: bool) -> PolicyKeys {
    let mut keys = PolicyKeys::default();
    entity_scope(&policy.principal, Feature::Principal, Feature::PrincipalType, &mut keys);
    entity_scope(&policy.resource, Feature::Resource, Feature::ResourceType, &mut keys);
    match &policy.action {
        ActionScope::Any => {}
        ActionScope::Eq(uid) => keys.add(Feature::Action, Box::new([Key::Uid(*uid)])),
        ActionScope::In(uids) => {
            keys.add(Feature::Action, uids.iter().copied().map(Key::Uid).collect());
        }
    }
    let mut guarded: SmallVec<[u32; 4]> = SmallVec::new();
    for clause in &policy.body.clauses {
        let Clause::Test(test) = clause else { break };
        if !require(test, symbols, validated, &guarded, &mut keys) {
            break;
        }
        match test {
            Test::Has { path } => guarded.push(*path),
            Test::OneOf { path, keys: values } => keys.add(Feature::Path(*path), values.clone()),
            Test::True { path } => {
                keys.add(Feature::Path(*path), Box::new([Key::Bool(true)]));
            }
            Test::Contains { path, keys: values, all } => {
                let one = values.iter().take(if *all { 1 } else { usize::MAX });
                let values: Box<[Key]> = one.copied().collect();
                if !(*all && values.is_empty()) {
                    keys.add(Feature::Elements(*path), values);
                }
            }
            Test::In { var, uids } => {
                let feature = match var {
                    Var::Principal => Feature::Principal,
                    Var::Action => Feature::Action,
                    Var::Resource => Feature::Resource,
                    Var::Context => continue,
                };
                keys.add(feature, uids.iter().copied().map(Key::Uid).collect());
            }
            Test::Is { var, type_ } => {
                let feature = match var {
                    Var::Principal => Feature::PrincipalType,
                    Var::Resource => Feature::ResourceType,
                    Var::Action | Var::Context => continue,
                };
                keys.add(feature, Box::new([Key::Type(*type_)]));
            }
            _ => {}
        }
    }
    // No key depends on what is required after the last one.
    keys.requires.truncate(keys.needed);
    keys.requires.sort_unstable();
    keys
}

impl PolicyKeys {
    /// Adds keys, sound for every request as long as nothing is required.
    fn add(&mut self, feature: Feature, keys: Box<[Key]>) {
        let known = self.safe.iter().chain(&self.late);
        if known.into_iter().any(|(f, _)| *f == feature) {
            return;
        }
        let list = if self.requires.is_empty() { &mut self.safe } else { &mut self.late };
        list.push((feature, keys));
        self.needed = self.requires.len();
    }
}

/// Notes the paths that `test` needs to be decided without an error; `false` if that
/// does not do.
fn require(
    test: &Test,
    symbols: &Symbols,
    validated: bool,
    guarded: &[u32],
    keys: &mut PolicyKeys,
) -> bool {
    let mut need = |path: u32, set: bool| {
        let is_variable = symbols.path(path).is_some_and(|p| p.steps.is_empty());
        let is_there = is_variable || guarded.contains(&path);
        let required = Required { path, set: set && !validated };
        if (!is_there || required.set) && !keys.requires.contains(&required) {
            keys.requires.push(required);
        }
    };
    let mut open: SmallVec<[&Test; 8]> = SmallVec::from_iter([test]);
    let mut terms: SmallVec<[&Term; 8]> = SmallVec::new();
    while let Some(test) = open.pop() {
        match test {
            Test::OneOf { path, .. } => need(*path, false),
            Test::Contains { path, .. } => need(*path, true),
            Test::Has { .. } | Test::In { .. } | Test::Is { .. } => {}
            Test::Not(test) => open.push(test),
            Test::All(tests) | Test::Any(tests) => open.extend(tests.iter()),
            Test::If(tests) => open.extend(tests.iter()),
            // Values of any type can be compared; the rest err on the wrong type, which
            // validation rules out.
            Test::Equal(pair) => terms.extend(pair.iter()),
            _ if !validated => return false,
            Test::True { path } => need(*path, false),
            Test::Less { terms: pair, .. }
            | Test::MemberOf(pair)
            | Test::HasTag(pair)
            | Test::Element(pair)
            | Test::Superset { terms: pair, .. } => terms.extend(pair.iter()),
            Test::Like { term, .. }
            | Test::OfType { term, .. }
            | Test::HasAttribute { term, .. }
            | Test::Empty(term)
            | Test::Value(term) => terms.push(term),
        }
        while let Some(term) = terms.pop() {
            match term {
                Term::Path(path) => need(*path, false),
                Term::Bool(_) | Term::Long(_) | Term::String(_) | Term::Uid(_) => {}
                Term::Set(items) => terms.extend(items.iter()),
                Term::Test(test) => open.push(test),
                // What is reached through another entity may not be there; integers overflow.
                Term::Attribute(..)
                | Term::Tag(_)
                | Term::Negative(_)
                | Term::Arithmetic(..)
                | Term::If(..) => return false,
            }
        }
    }
    true
}

fn entity_scope(scope: &EntityScope, entity: Feature, type_: Feature, keys: &mut PolicyKeys) {
    match scope {
        EntityScope::Any => {}
        EntityScope::Is(name) => keys.add(type_, Box::new([Key::Type(*name)])),
        EntityScope::Eq(uid) | EntityScope::In(uid) => {
            keys.add(entity, Box::new([Key::Uid(*uid)]));
        }
        EntityScope::IsIn(name, uid) => {
            keys.add(type_, Box::new([Key::Type(*name)]));
            keys.add(entity, Box::new([Key::Uid(*uid)]));
        }
    }
}
