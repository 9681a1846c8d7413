//! Policies that edits added, each by the key that the fewest others have.
//!
//! A tree of questions is made of many policies at once. Here one is added or taken out at a time,
//! in little time, and copies share what they have in common. What is handed over is evaluated:
//! keys that are not looked at are only clauses that may turn out not to hold.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::Candidate;
use super::keys::{Feature, FeatureKeys, PolicyKeys};
use super::tree::{Visitor, is_open, key};
use crate::context::{EvalContext, Ids};
use crate::number::PolicyNumber;
use crate::symbols::{Key, PersistentKeyMap, Var};

/// Under so many keys a policy stands at the most.
const COPIES: usize = 64;
/// So many policies under one key are worth no question more for each request.
const FEW: usize = 4;

/// The added policies of one effect.
#[derive(Debug, Clone, Default)]
pub(super) struct Recent {
    features: Vec<(Feature, PersistentKeyMap<Numbers>)>,
    /// Policies without a key.
    rest: Numbers,
}

/// Numbers of policies; copied whole, four bytes each.
type Numbers = Arc<[PolicyNumber]>;

impl Recent {
    pub(super) fn add(&mut self, number: PolicyNumber, keys: &PolicyKeys) {
        // INVARIANT: one sound key is enough: a policy that is found by too few questions is
        // evaluated, one that stood under two features would be found twice.
        let best = usable(keys).min_by_key(|keys| self.crowd(keys));
        let Some(FeatureKeys { feature, keys, .. }) = best else {
            self.rest = with(&self.rest, number);
            return;
        };
        let at = self.features.iter().position(|(known, _)| known == feature);
        let at = at.unwrap_or_else(|| {
            self.features.push((*feature, PersistentKeyMap::default()));
            self.features.len() - 1
        });
        let Some((_, children)) = self.features.get_mut(at) else { return };
        for key in keys {
            let numbers = children.get(key).cloned().unwrap_or_default();
            children.insert(*key, with(&numbers, number));
        }
    }

    /// Takes out a policy that was added with the same keys.
    pub(super) fn remove(&mut self, number: PolicyNumber, keys: &PolicyKeys) {
        for FeatureKeys { feature, keys, .. } in usable(keys) {
            let children = self.features.iter_mut().find(|(known, _)| known == feature);
            let Some((_, children)) = children else { continue };
            for key in keys {
                let Some(numbers) = children.get(key) else { continue };
                match without(numbers, number) {
                    Some(left) if left.is_empty() => drop(children.remove(key)),
                    Some(left) => drop(children.insert(*key, left)),
                    None => {}
                }
            }
        }
        self.features.retain(|(_, children)| !children.is_empty());
        if let Some(left) = without(&self.rest, number) {
            self.rest = left;
        }
    }

    /// Returns how many policies there would be to look at beside this one.
    fn crowd(&self, FeatureKeys { feature, keys, .. }: &FeatureKeys) -> usize {
        let Some((_, children)) = self.features.iter().find(|(known, _)| known == feature) else {
            return FEW;
        };
        keys.iter().filter_map(|key| children.get(key)).map(|n| n.len()).max().unwrap_or_default()
    }

    /// Hands over the policies whose key the request has, until `take` breaks off. One may come
    /// more than once.
    pub(super) fn walk(&self, view: &EvalContext<'_>, take: &mut impl Visitor) -> ControlFlow<()> {
        offer(&self.rest, take)?;
        self.features.iter().try_for_each(|(feature, children)| {
            if is_open(*feature, view) {
                return children.values().try_for_each(|numbers| offer(numbers, take));
            }
            let mut child = |key: Key| match children.get(&key) {
                Some(numbers) => offer(numbers, take),
                None => ControlFlow::Continue(()),
            };
            match feature {
                Feature::Principal => ids(view, Var::Principal).try_for_each(child),
                Feature::Action => ids(view, Var::Action).try_for_each(child),
                Feature::Resource => ids(view, Var::Resource).try_for_each(child),
                Feature::Elements(path) => {
                    let mut items = view.elements(*path).unwrap_or_default().iter();
                    items.try_for_each(|item| match view.symbols.key(item.into()) {
                        Some(key) => child(key),
                        None => ControlFlow::Continue(()),
                    })
                }
                Feature::PrincipalType | Feature::ResourceType | Feature::Path(_) => {
                    key(*feature, view).map_or(ControlFlow::Continue(()), child)
                }
                // Nothing is shared with policies that come later.
                Feature::Test(_) => children.values().try_for_each(|numbers| offer(numbers, take)),
            }
        })
    }
}

/// Returns the keys of which one will do to find the policy: they are sound for every request.
fn usable(keys: &PolicyKeys) -> impl Iterator<Item = &FeatureKeys> {
    keys.safe.iter().filter(|keys| keys.keys.len() <= COPIES)
}

/// Returns the keys of an entity and what it is a member of.
fn ids<'v>(view: &'v EvalContext<'_>, var: Var) -> impl Iterator<Item = Key> + 'v {
    let ids = view.ids(var).and_then(Ids::get);
    ids.into_iter().flat_map(|interned| interned.ids.iter().copied().map(Key::uid))
}

fn offer(numbers: &[PolicyNumber], take: &mut impl Visitor) -> ControlFlow<()> {
    numbers.iter().try_for_each(|number| take(Candidate::new(*number, false)))
}

fn with(numbers: &[PolicyNumber], number: PolicyNumber) -> Numbers {
    numbers.iter().copied().chain([number]).collect()
}

/// Returns the numbers without one that is among them; `None` where it is not.
fn without(numbers: &[PolicyNumber], number: PolicyNumber) -> Option<Numbers> {
    let at = numbers.iter().position(|other| *other == number)?;
    let (before, after) = numbers.split_at(at);
    Some(before.iter().chain(after.get(1..).unwrap_or_default()).copied().collect())
}
