//! How much strict validation may take.
//!
//! Cedar checks a policy once for every combination of principal type, action and resource type
//! that the schema has, so that a short schema and a few policies multiply to minutes. What that
//! comes to is counted before, policy by policy, and what is too much is refused.

use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use cedar_policy::Schema;
use cedar_policy_core::ast::{self, ActionConstraint, PrincipalOrResourceConstraint};
use cedar_policy_core::validator::ValidatorSchema;
use foldhash::fast::RandomState;

use super::fingerprint::Fingerprint;
use crate::hash::{FastMap, FastSet};
use crate::limits::raise;
use crate::problem::Problem;

/// Counts the steps that validation takes, up to a limit.
pub(super) struct Effort {
    actions: Arc<FastMap<ast::EntityUID, AppliesTo>>,
    /// Combinations of principal type, action and resource type in the schema.
    combinations: usize,
    limit: usize,
    steps: AtomicUsize,
    policies: AtomicUsize,
    is_told: AtomicBool,
    /// Hashes of the shapes that were counted: a shape is checked once, wherever it comes first.
    counted: Mutex<FastSet<u64>>,
    hasher: RandomState,
}

/// What an action applies to, and the groups that it is in.
struct AppliesTo {
    principals: FastSet<ast::EntityType>,
    resources: FastSet<ast::EntityType>,
    groups: FastSet<ast::EntityUID>,
}

impl Effort {
    pub(super) fn new(schema: &Schema, limit: usize) -> Self {
        let core: &ValidatorSchema = schema.as_ref();
        let mut actions = FastMap::default();
        // A schema that was read has actions without cycles, so this does not fail.
        for entity in schema.action_entities().into_iter().flatten() {
            let entity: &ast::Entity = entity.as_ref();
            let Some(action) = core.get_action_id(entity.uid()) else { continue };
            let applies = AppliesTo {
                principals: action.principals().cloned().collect(),
                resources: action.resources().cloned().collect(),
                groups: entity.ancestors().cloned().collect(),
            };
            actions.insert(entity.uid().clone(), applies);
        }
        let combinations = actions.values().fold(0, |sum: usize, applies| {
            sum.saturating_add(applies.principals.len().saturating_mul(applies.resources.len()))
        });
        Self::counting(Arc::new(actions), combinations, limit)
    }

    /// Returns the same with nothing counted.
    pub(super) fn anew(&self) -> Self {
        Self::counting(Arc::clone(&self.actions), self.combinations, self.limit)
    }

    fn counting(
        actions: Arc<FastMap<ast::EntityUID, AppliesTo>>,
        combinations: usize,
        limit: usize,
    ) -> Self {
        Self {
            actions,
            combinations,
            limit,
            steps: AtomicUsize::new(0),
            policies: AtomicUsize::new(0),
            is_told: AtomicBool::new(false),
            counted: Mutex::default(),
            hasher: RandomState::default(),
        }
    }

    /// Counts a policy. Returns whether it may be validated.
    pub(super) fn take(&self, tree: &ast::Template, shape: Option<&Fingerprint>) -> bool {
        if let Some(shape) = shape
            && let Ok(mut counted) = self.counted.lock()
            && !counted.insert(self.hasher.hash_one(shape))
        {
            return !self.is_spent();
        }
        self.policies.fetch_add(1, Ordering::Relaxed);
        let parts = tree.non_scope_constraints().map_or(0, |expr| expr.subexpressions().count());
        let steps = self
            .combinations
            .saturating_add(self.matching(tree).saturating_mul(parts.saturating_add(SCOPE_PARTS)));
        // Saturates as well: what is too much stays so.
        let before = self.steps.fetch_add(steps.min(usize::MAX / 4), Ordering::Relaxed);
        before.saturating_add(steps) <= self.limit
    }

    fn is_spent(&self) -> bool {
        self.steps.load(Ordering::Relaxed) > self.limit
    }

    /// Returns the problem, once.
    pub(super) fn problem(&self) -> Option<Problem> {
        if self.is_told.swap(true, Ordering::Relaxed) {
            return None;
        }
        let (limit, combinations) = (self.limit, self.combinations);
        let policies = self.policies.load(Ordering::Relaxed);
        let message = format!(
            "validating {policies} policies for the schema's {combinations} combinations of \
             principal type, action and resource type takes more than the limit of {limit} steps"
        );
        let help = format!(
            "name the action and the types of principal and resource in each policy's scope, \
             split the schema, or {}",
            raise("validationSteps")
        );
        Some(Problem::error("limit::validation-steps", message).with_help(help))
    }

    /// Returns how many combinations a policy's scope may match.
    fn matching(&self, tree: &ast::Template) -> usize {
        let principal = named_type(tree.principal_constraint().as_inner());
        let resource = named_type(tree.resource_constraint().as_inner());
        let count = |types: &FastSet<ast::EntityType>, named: Option<&ast::EntityType>| match named
        {
            Some(named) => usize::from(types.contains(named)),
            None => types.len(),
        };
        let of = |applies: &AppliesTo| {
            count(&applies.principals, principal)
                .saturating_mul(count(&applies.resources, resource))
        };
        match tree.action_constraint() {
            ActionConstraint::Any => self.actions.values().map(of).fold(0, usize::saturating_add),
            ActionConstraint::Eq(action) => self.actions.get(action.as_ref()).map_or(0, of),
            ActionConstraint::In(actions) => self
                .actions
                .iter()
                .filter(|(uid, applies)| {
                    actions.iter().any(|a| **a == **uid || applies.groups.contains(a.as_ref()))
                })
                .map(|(_, applies)| of(applies))
                .fold(0, usize::saturating_add),
        }
    }
}

/// A scope has about so many parts.
const SCOPE_PARTS: usize = 8;

/// Returns the only type that a scope constraint lets through, if it says so.
fn named_type(constraint: &PrincipalOrResourceConstraint) -> Option<&ast::EntityType> {
    match constraint {
        PrincipalOrResourceConstraint::Is(type_)
        | PrincipalOrResourceConstraint::IsIn(type_, _) => Some(type_),
        PrincipalOrResourceConstraint::Eq(ast::EntityReference::EUID(uid)) => {
            Some(uid.entity_type())
        }
        _ => None,
    }
}
