//! Which requests a schema allows: principal type, action, resource type.

use std::collections::BTreeSet;
use std::sync::Arc;

use cedar_policy::{EntityUid, Schema};
use cedar_policy_core::ast::{EntityType, Policy};
use stagedoor_analysis::{ActionScope, Environment, SchemaView, Scope, ScopeConstraint};

/// The requests that conform to a schema, by their types.
pub(crate) struct RequestTypes {
    pub(crate) all: Vec<RequestType>,
    /// The same as the analysis has them.
    environments: Vec<Arc<Environment>>,
    schema: SchemaView,
}

/// Requests of one action by one type of principal about one type of resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RequestType {
    pub(crate) principal: String,
    pub(crate) action: EntityUid,
    pub(crate) resource: String,
}

/// Whether a part of a scope holds for requests of one type.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ScopeMatch {
    Always,
    Sometimes,
    Never,
}

impl RequestTypes {
    pub(crate) fn of(schema: Option<&Schema>) -> Self {
        let schema = schema.map(SchemaView::of).unwrap_or_default();
        let of = |env: &Environment| RequestType {
            principal: env.principal.to_string(),
            action: env.action.clone().into(),
            resource: env.resource.to_string(),
        };
        let mut environments = schema.environments.clone();
        environments.sort_by_cached_key(|env| of(env));
        Self { all: environments.iter().map(|env| of(env)).collect(), environments, schema }
    }

    /// Returns the actions that are asked about, each with the types of principals.
    pub(crate) fn actions_and_principals(&self) -> BTreeSet<(&EntityUid, &str)> {
        self.all.iter().map(|of| (&of.action, of.principal.as_str())).collect()
    }

    /// Returns those that a policy's scope may match.
    pub(crate) fn matching(&self, policy: &Policy) -> impl Iterator<Item = &RequestType> {
        let scope = Scope::of(policy);
        let all = self.all.iter().zip(&self.environments);
        all.filter(move |(_, env)| scope.may_match(env, &self.schema)).map(|(of, _)| of)
    }

    /// Returns, for principal, action and resource, whether the scope's constraint holds for
    /// every request that the other two may match: no test can make it false alone.
    pub(crate) fn fixed(&self, policy: &Policy) -> [bool; 3] {
        let mut fixed = [!self.all.is_empty(); 3];
        let scope = Scope::of(policy);
        for env in &self.environments {
            let holds = [
                self.entity(&scope.principal, &env.principal),
                action(&scope.action, env),
                self.entity(&scope.resource, &env.resource),
            ];
            for (number, fixed) in fixed.iter_mut().enumerate() {
                let alone = (0..3).zip(holds).all(|(n, h)| n == number || h != ScopeMatch::Never);
                let own = holds.into_iter().nth(number);
                *fixed &= !alone || own == Some(ScopeMatch::Always);
            }
        }
        fixed
    }

    fn entity(&self, constraint: &ScopeConstraint, of_type: &EntityType) -> ScopeMatch {
        match (constraint.may_match(of_type, &self.schema), &constraint.entity) {
            (false, _) => ScopeMatch::Never,
            (true, None) => ScopeMatch::Always,
            (true, Some(_)) => ScopeMatch::Sometimes,
        }
    }
}

fn action(scope: &ActionScope, env: &Environment) -> ScopeMatch {
    match scope {
        ActionScope::Unknown => ScopeMatch::Sometimes,
        _ if scope.may_match(env) => ScopeMatch::Always,
        _ => ScopeMatch::Never,
    }
}
