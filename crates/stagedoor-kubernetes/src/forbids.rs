//! What the forbids of an engine are about, as far as a decision has to know it beforehand.

use stagedoor_analysis::expr::walk;
use stagedoor_analysis::{ActionScope, EntityType, EntityUID, ExprKind, Literal, ParsedPolicy};
use stagedoor_core::{Effect, Engine, PolicyInfo};

use crate::impersonation;
use crate::names::NAMES;

/// What forbids are about.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Forbids {
    /// One that is enforced may be about impersonation.
    pub(crate) impersonation: bool,
    /// One names a principal by its entity id, enforced or not.
    pub(crate) principals_by_id: bool,
}

impl Forbids {
    /// Looks at the forbids of an engine, and at those of its policies that are enforced.
    pub(crate) fn of(engine: &Engine, enforced: &Engine) -> Self {
        let any = |engine: &Engine, is: fn(PolicyInfo<'_>) -> bool| {
            engine.policies().any(|policy| policy.effect() == Effect::Forbid && is(policy))
        };
        Self {
            impersonation: any(enforced, is_about_impersonation),
            principals_by_id: any(engine, names_principals),
        }
    }
}

/// Whether a policy may be about impersonation; what cannot be read may.
fn is_about_impersonation(policy: PolicyInfo<'_>) -> bool {
    let Ok(policy) = ParsedPolicy::of(policy) else { return true };
    let is = |uid: &EntityUID| AsRef::<str>::as_ref(uid.eid()) == impersonation::ACTION;
    match &policy.scope.action {
        ActionScope::Is(uid) => is(uid),
        ActionScope::In(uids) => uids.iter().any(is),
        _ => true,
    }
}

/// Whether a policy names a principal by its entity id; what cannot be read may.
pub(crate) fn names_principals(policy: PolicyInfo<'_>) -> bool {
    let Ok(policy) = ParsedPolicy::of(policy) else { return true };
    let is_principal = |uid: &EntityUID| {
        let types = [&NAMES.user, &NAMES.service_account, &NAMES.node];
        types.into_iter().any(|name| uid.entity_type() == AsRef::<EntityType>::as_ref(name))
    };
    let (principal, resource) = (&policy.scope.principal, &policy.scope.resource);
    let mut names = principal.entity.iter().chain(&resource.entity).any(is_principal);
    if let Some(condition) = &policy.condition {
        walk(condition, |part| {
            names |= matches!(part.expr_kind(), ExprKind::Lit(Literal::EntityUID(uid)) if is_principal(uid));
        });
    }
    names
}
