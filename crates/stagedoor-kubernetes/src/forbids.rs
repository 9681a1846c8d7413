//! What the forbids of an engine are about, as far as a decision has to know it beforehand.

use cedar_policy::pst::ActionConstraint;
use stagedoor_core::{Effect, Engine, PolicyInfo};

use crate::impersonation;

/// The types of principals, as a literal of one begins.
const PRINCIPALS: [&str; 3] = ["k8s::User::\"", "k8s::ServiceAccount::\"", "k8s::Node::\""];

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
    let Ok(template) = policy.written() else { return true };
    let is = |id: &str| id == impersonation::ACTION;
    match &template.action {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(uid) => is(&uid.eid),
        ActionConstraint::In(uids) => uids.iter().any(|uid| is(&uid.eid)),
    }
}

/// Whether a policy names a principal by its entity id; what cannot be read may.
pub(crate) fn names_principals(policy: PolicyInfo<'_>) -> bool {
    let is_principal = |uid: &cedar_policy::EntityUid| {
        let text = uid.to_string();
        PRINCIPALS.iter().any(|start| text.starts_with(start))
    };
    if policy.link().is_some_and(|(principal, _)| principal.is_some_and(is_principal)) {
        return true;
    }
    // As the parser writes it, so that blanks and comments make no difference.
    policy.written().map_or(true, |template| {
        let text = template.to_string();
        PRINCIPALS.iter().any(|start| text.contains(start))
    })
}
