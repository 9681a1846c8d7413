//! The combinations of principal type, action and resource type that a schema allows.

use std::collections::HashMap;
use std::sync::Arc;

use stagedoor_analysis::{ActionScope, EntityType, SchemaView, Scope, ScopeConstraint};
use stagedoor_core::{EntityTypeName, EntityUid};

/// A set of combinations, by their numbers.
pub(crate) type Combinations = Arc<[u64]>;

/// All combinations of a schema.
pub(crate) struct Environments<'l> {
    schema: &'l SchemaView,
    /// The action and the type of the resource of each.
    all: Vec<(EntityUid, EntityTypeName)>,
    known: HashMap<TypesOfScope, Combinations>,
}

/// What of a scope tells which combinations it matches.
type TypesOfScope = (TypesOfConstraint, ActionScope, TypesOfConstraint);
type TypesOfConstraint = (Option<EntityType>, Option<EntityType>, bool);

impl<'l> Environments<'l> {
    pub(crate) fn of(schema: &'l SchemaView) -> Self {
        let all = schema.environments.iter();
        let all = all.map(|env| (env.action.clone().into(), env.resource.clone().into())).collect();
        Self { schema, all, known: HashMap::new() }
    }

    /// Returns the actions that some request may have.
    pub(crate) fn actions(&self) -> Vec<&EntityUid> {
        let mut actions: Vec<&EntityUid> = self.all.iter().map(|(action, _)| action).collect();
        actions.sort_unstable();
        actions.dedup();
        actions
    }

    /// Returns the actions of these combinations.
    pub(crate) fn actions_of<'a>(
        &'a self,
        combinations: &'a [u64],
    ) -> impl Iterator<Item = &'a EntityUid> {
        numbers(combinations).filter_map(|number| self.all.get(number)).map(|(action, _)| action)
    }

    /// Returns the resource types of these combinations.
    pub(crate) fn resources_of<'a>(
        &'a self,
        combinations: &'a [u64],
    ) -> impl Iterator<Item = &'a EntityTypeName> {
        numbers(combinations).filter_map(|number| self.all.get(number)).map(|(_, of)| of)
    }

    /// Returns the combinations that a scope matches.
    pub(crate) fn matching(&mut self, scope: &Scope) -> Combinations {
        let types = |of: &ScopeConstraint| {
            (of.is_type.clone(), of.entity.as_ref().map(|uid| uid.entity_type().clone()), of.exact)
        };
        let key = (types(&scope.principal), scope.action.clone(), types(&scope.resource));
        let found = self.known.entry(key).or_insert_with(|| {
            let mut bits = vec![0_u64; self.all.len().div_ceil(64)];
            for (number, env) in self.schema.environments.iter().enumerate() {
                if scope.may_match(env, self.schema)
                    && let Some(word) = bits.get_mut(number / 64)
                {
                    *word |= 1 << (number % 64);
                }
            }
            bits.into()
        });
        Arc::clone(found)
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
