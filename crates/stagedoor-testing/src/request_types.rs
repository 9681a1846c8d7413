//! Which requests a schema allows: principal type, action, resource type.

use std::collections::BTreeSet;

use cedar_policy::{Entities, EntityUid, Schema};
use cedar_policy_core::ast::{
    ActionConstraint, EntityReference, EntityUID, Policy, PrincipalOrResourceConstraint,
};

/// The requests that conform to a schema, by their types.
pub(crate) struct RequestTypes {
    pub(crate) all: Vec<RequestType>,
    actions: Entities,
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
        let Some(schema) = schema else {
            return Self { all: Vec::new(), actions: Entities::empty() };
        };
        let mut all: Vec<RequestType> = schema
            .request_envs()
            .map(|env| RequestType {
                principal: env.principal().to_string(),
                action: env.action().clone(),
                resource: env.resource().to_string(),
            })
            .collect();
        all.sort();
        // A schema that was loaded has a hierarchy of actions.
        Self { all, actions: schema.action_entities().unwrap_or_else(|_| Entities::empty()) }
    }

    /// Returns the actions that are asked about, each with the types of principals.
    pub(crate) fn actions_and_principals(&self) -> BTreeSet<(&EntityUid, &str)> {
        self.all.iter().map(|of| (&of.action, of.principal.as_str())).collect()
    }

    /// Returns those that a policy's scope may match.
    pub(crate) fn matching(&self, policy: &Policy) -> impl Iterator<Item = &RequestType> {
        let principal = policy.principal_constraint();
        let resource = policy.resource_constraint();
        let action = policy.action_constraint().clone();
        self.all.iter().filter(move |of| {
            entity(principal.as_inner(), &of.principal) != ScopeMatch::Never
                && entity(resource.as_inner(), &of.resource) != ScopeMatch::Never
                && self.action(&action, &of.action) != ScopeMatch::Never
        })
    }

    /// Returns, for principal, action and resource, whether the scope's constraint holds for
    /// every request that the other two may match: no test can make it false alone.
    pub(crate) fn fixed(&self, policy: &Policy) -> [bool; 3] {
        let mut fixed = [!self.all.is_empty(); 3];
        let (principal, resource) = (policy.principal_constraint(), policy.resource_constraint());
        for of in &self.all {
            let holds = [
                entity(principal.as_inner(), &of.principal),
                self.action(policy.action_constraint(), &of.action),
                entity(resource.as_inner(), &of.resource),
            ];
            for (number, fixed) in fixed.iter_mut().enumerate() {
                let alone = (0..3).zip(holds).all(|(n, h)| n == number || h != ScopeMatch::Never);
                let own = holds.into_iter().nth(number);
                *fixed &= !alone || own == Some(ScopeMatch::Always);
            }
        }
        fixed
    }

    fn action(&self, constraint: &ActionConstraint, action: &EntityUid) -> ScopeMatch {
        let is_in = |group: &EntityUID| {
            let group = EntityUid::from(group.clone());
            group == *action || self.actions.is_ancestor_of(&group, action)
        };
        let holds = match constraint {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(uid) => EntityUid::from(EntityUID::clone(uid)) == *action,
            ActionConstraint::In(uids) => uids.iter().any(|uid| is_in(uid)),
            #[expect(unreachable_patterns, reason = "variants that features of Cedar add")]
            _ => return ScopeMatch::Sometimes,
        };
        if holds { ScopeMatch::Always } else { ScopeMatch::Never }
    }
}

fn entity(constraint: &PrincipalOrResourceConstraint, of_type: &str) -> ScopeMatch {
    use PrincipalOrResourceConstraint as C;
    let is =
        |wanted: String| if wanted == of_type { ScopeMatch::Always } else { ScopeMatch::Never };
    match constraint {
        C::Any => ScopeMatch::Always,
        C::Is(wanted) => is(wanted.to_string()),
        C::IsIn(wanted, _) if is(wanted.to_string()) == ScopeMatch::Never => ScopeMatch::Never,
        C::Eq(EntityReference::EUID(uid))
            if is(uid.entity_type().to_string()) == ScopeMatch::Never =>
        {
            ScopeMatch::Never
        }
        C::Eq(_) | C::In(_) | C::IsIn(..) => ScopeMatch::Sometimes,
    }
}
