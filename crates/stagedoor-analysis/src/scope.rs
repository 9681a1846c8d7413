//! What a policy's scope asks for.

use cedar_policy_core::ast::{
    ActionConstraint, EntityReference, EntityType, EntityUID, Expr, Policy,
    PrincipalOrResourceConstraint, Var,
};

use crate::fact::Fact;
use crate::schema::{Environment, SchemaView};

/// What a scope asks of principal or resource.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct ScopeConstraint {
    /// The type, where `is` names it.
    pub is_type: Option<EntityType>,
    /// The entity, where `==` or `in` names one.
    pub entity: Option<EntityUID>,
    /// Whether it must be that entity itself (`==`), not also a member of it (`in`).
    pub exact: bool,
}

/// What a scope asks of the action.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ActionScope {
    /// Nothing.
    Any,
    /// It is this action.
    Is(EntityUID),
    /// It is one of these actions, or in one of these groups.
    In(Vec<EntityUID>),
    /// Something that this version does not know.
    Unknown,
}

/// What a policy's scope asks for. Of a template's link, slots are filled.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Scope {
    /// Of the principal.
    pub principal: ScopeConstraint,
    /// Of the action.
    pub action: ActionScope,
    /// Of the resource.
    pub resource: ScopeConstraint,
}

impl Scope {
    /// Reads a policy's scope.
    #[must_use]
    pub fn of(policy: &Policy) -> Self {
        let action = match policy.action_constraint() {
            ActionConstraint::Any => ActionScope::Any,
            ActionConstraint::Eq(uid) => ActionScope::Is(uid.as_ref().clone()),
            ActionConstraint::In(uids) => {
                ActionScope::In(uids.iter().map(|uid| uid.as_ref().clone()).collect())
            }
            #[expect(unreachable_patterns, reason = "variants that features of Cedar add")]
            _ => ActionScope::Unknown,
        };
        Self {
            principal: ScopeConstraint::of(policy.principal_constraint().as_inner()),
            action,
            resource: ScopeConstraint::of(policy.resource_constraint().as_inner()),
        }
    }

    /// Returns whether some request of the environment may match.
    #[must_use]
    pub fn may_match(&self, env: &Environment, schema: &SchemaView) -> bool {
        self.action.may_match(env)
            && self.principal.may_match(&env.principal, schema)
            && self.resource.may_match(&env.resource, schema)
    }
}

impl ActionScope {
    /// Returns whether it may be the action of an environment that is asked for.
    #[must_use]
    pub fn may_match(&self, env: &Environment) -> bool {
        match self {
            Self::Any | Self::Unknown => true,
            Self::Is(uid) => *uid == env.action,
            Self::In(uids) => uids.iter().any(|uid| env.action_groups.contains(uid)),
        }
    }
}

impl ScopeConstraint {
    fn of(constraint: &PrincipalOrResourceConstraint) -> Self {
        use PrincipalOrResourceConstraint as C;
        let entity = |reference: &EntityReference| match reference {
            EntityReference::EUID(uid) => Some(uid.as_ref().clone()),
            EntityReference::Slot(_) => None,
        };
        match constraint {
            C::Any => Self::default(),
            C::Is(name) => Self { is_type: Some(name.as_ref().clone()), ..Self::default() },
            C::Eq(reference) => Self { entity: entity(reference), exact: true, is_type: None },
            C::In(reference) => Self { entity: entity(reference), exact: false, is_type: None },
            C::IsIn(name, reference) => Self {
                is_type: Some(name.as_ref().clone()),
                entity: entity(reference),
                exact: false,
            },
        }
    }

    /// Returns whether an entity of a type may match.
    #[must_use]
    pub fn may_match(&self, name: &EntityType, schema: &SchemaView) -> bool {
        self.is_type.as_ref().is_none_or(|wanted| wanted == name)
            && self.entity.as_ref().is_none_or(|uid| {
                uid.entity_type() == name
                    || !self.exact
                        && schema
                            .entity(name)
                            .is_some_and(|shape| shape.ancestors.contains(uid.entity_type()))
            })
    }

    /// Returns the constraint as conditions of a variable.
    #[must_use]
    pub fn clauses(&self, variable: Var) -> Vec<Expr> {
        let is = self.is_type.clone().map(|name| Expr::is_entity_type(Expr::var(variable), name));
        let entity = self.entity.clone().map(|uid| match self.exact {
            true => Expr::is_eq(Expr::var(variable), Expr::val(uid)),
            false => Expr::is_in(Expr::var(variable), Expr::val(uid)),
        });
        is.into_iter().chain(entity).collect()
    }

    /// Returns what the constraint says of the entity at a term, beyond its type.
    #[must_use]
    pub fn fact(&self, term: &str) -> Option<Fact> {
        let uid = self.entity.clone()?;
        Some(if self.exact { Fact::is_entity(term, uid) } else { Fact::in_entity(term, uid) })
    }

    /// Returns the constraint in words: `User::"ana"`, `members of Team::"a"`, `every User`;
    /// nothing where it asks for nothing.
    #[must_use]
    pub fn in_words(&self) -> Option<String> {
        match (&self.entity, &self.is_type) {
            (Some(uid), _) if self.exact => Some(uid.to_string()),
            (Some(uid), Some(name)) => Some(format!("every {name} in {uid}")),
            (Some(uid), None) => Some(format!("whatever is in {uid}")),
            (None, Some(name)) => Some(format!("every {name}")),
            (None, None) => None,
        }
    }
}
