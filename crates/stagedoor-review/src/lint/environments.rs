//! The combinations of principal type, action and resource type that a schema allows.

use std::collections::HashMap;
use std::sync::Arc;

use cedar_policy::{EntityTypeName, EntityUid, RequestEnv, Schema};
use stagedoor_core::pst::{ActionConstraint, EntityUID};

/// A set of combinations, by their numbers.
pub(crate) type Combinations = Arc<[u64]>;

/// All combinations of a schema.
pub(crate) struct Environments {
    all: Vec<(EntityTypeName, EntityUid, EntityTypeName)>,
    /// For the text of each action and action group, the actions in it.
    members: HashMap<String, Vec<EntityUid>>,
    known: HashMap<Key, Combinations>,
}

type Key = (Option<String>, Option<Vec<String>>, Option<String>);

impl Environments {
    pub(crate) fn of(schema: &Schema) -> Self {
        let parts = |env: RequestEnv| {
            (env.principal().clone(), env.action().clone(), env.resource().clone())
        };
        let mut members: HashMap<String, Vec<EntityUid>> = HashMap::new();
        for entity in schema.action_entities().into_iter().flatten() {
            members.entry(entity.uid().to_string()).or_default().push(entity.uid());
            for group in entity.as_ref().ancestors() {
                members.entry(group.to_string()).or_default().push(entity.uid());
            }
        }
        Self { all: schema.request_envs().map(parts).collect(), members, known: HashMap::new() }
    }

    /// Returns the actions that some request may have.
    pub(crate) fn actions(&self) -> Vec<&EntityUid> {
        let mut actions: Vec<&EntityUid> = self.all.iter().map(|(_, action, _)| action).collect();
        actions.sort_unstable();
        actions.dedup();
        actions
    }

    /// Returns the actions of these combinations.
    pub(crate) fn actions_of<'a>(
        &'a self,
        combinations: &'a [u64],
    ) -> impl Iterator<Item = &'a EntityUid> {
        numbers(combinations).filter_map(|number| self.all.get(number)).map(|(_, action, _)| action)
    }

    /// Returns the resource types of these combinations.
    pub(crate) fn resources_of<'a>(
        &'a self,
        combinations: &'a [u64],
    ) -> impl Iterator<Item = &'a EntityTypeName> {
        numbers(combinations).filter_map(|number| self.all.get(number)).map(|(_, _, of)| of)
    }

    /// Returns the combinations that a scope with these types and actions matches.
    pub(crate) fn matching(
        &mut self,
        principal: Option<String>,
        action: &ActionConstraint,
        resource: Option<String>,
    ) -> Combinations {
        let actions: Option<Vec<String>> = match action {
            ActionConstraint::Any => None,
            ActionConstraint::Eq(uid) => Some(vec![uid.to_string()]),
            ActionConstraint::In(uids) => Some(uids.iter().map(EntityUID::to_string).collect()),
        };
        // `==` a group of actions matches none of its members.
        let exact = matches!(action, ActionConstraint::Eq(_));
        let key = (principal, actions, resource);
        if let Some(known) = self.known.get(&key) {
            return Arc::clone(known);
        }
        let (principal, actions, resource) = &key;
        let is_meant = |action: &EntityUid| match actions {
            None => true,
            Some(actions) if exact => actions.iter().any(|meant| *meant == action.to_string()),
            Some(actions) => actions
                .iter()
                .filter_map(|meant| self.members.get(meant))
                .any(|members| members.contains(action)),
        };
        let fits = |wanted: &Option<String>, of: &EntityTypeName| {
            wanted.as_ref().is_none_or(|wanted| *wanted == of.to_string())
        };
        let mut bits = vec![0_u64; self.all.len().div_ceil(64)];
        for (number, (of, action, on)) in self.all.iter().enumerate() {
            if fits(principal, of)
                && fits(resource, on)
                && is_meant(action)
                && let Some(word) = bits.get_mut(number / 64)
            {
                *word |= 1 << (number % 64);
            }
        }
        let found: Combinations = bits.into();
        self.known.insert(key, Arc::clone(&found));
        found
    }
}

/// Returns the numbers in a set.
pub(crate) fn numbers(combinations: &[u64]) -> impl Iterator<Item = usize> {
    combinations.iter().enumerate().flat_map(|(n, word)| {
        (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| n * 64 + bit)
    })
}

/// Returns whether all of `some` are in `others`.
pub(crate) fn is_within(some: &[u64], others: &[u64]) -> bool {
    some.iter().zip(others).all(|(some, others)| some & !others == 0)
}
