//! Policies to ask, and what they answer as JSON.

use stagedoor_backstage::{
    PermissionAction, PermissionQuery, Permissions, PolicyAnswer, PolicyDecision, PolicyEngine,
    Principal, SCHEMA, User,
};
use stagedoor_core::Engine;

/// Returns a policy made of Cedar text.
pub(crate) fn policy(text: &str) -> anyhow::Result<PolicyEngine> {
    with_permissions(text, Permissions::known()?)
}

/// Returns a policy about permissions that are not all known.
pub(crate) fn with_permissions(
    text: &str,
    permissions: Permissions,
) -> anyhow::Result<PolicyEngine> {
    let mut builder = Engine::builder().schema("s", SCHEMA).policies("p.cedar", text);
    if let Some(fragment) = permissions.schema_fragment() {
        builder = builder.schema("added", fragment);
    }
    Ok(PolicyEngine::new(builder.build()?, permissions))
}

/// Alice, in two groups.
pub(crate) fn alice() -> anyhow::Result<Principal> {
    user("user:default/alice", &["group:default/a", "group:default/b"])
}

pub(crate) fn user(reference: &str, groups: &[&str]) -> anyhow::Result<Principal> {
    let groups: Result<Vec<_>, _> = groups.iter().map(|group| group.parse()).collect();
    Ok(User::new(reference.parse()?).with_ownership(groups?).into())
}

/// Asks as Backstage does, which states the permission as its plugin defines it.
pub(crate) fn ask(
    policy: &PolicyEngine,
    permission: &str,
    principal: &Principal,
) -> anyhow::Result<PolicyAnswer> {
    let known = policy.permissions().get(permission)?;
    let asked = PermissionQuery {
        name: permission,
        action: known.action().map(PermissionAction::as_str),
        resource_type: known.resource_type(),
    };
    Ok(policy.decide(&asked, Some(principal)))
}

/// Returns the conditions that a condition of a permit (or a forbid) gives for Alice, as
/// JSON without the resource type, or `ALLOW` or `DENY`.
pub(crate) fn conditions(permission: &str, policies: &str) -> anyhow::Result<String> {
    let answer = ask(&policy(policies)?, permission, &alice()?)?;
    anyhow::ensure!(answer.errors().is_empty(), "{:?}", answer.errors());
    said(&answer)
}

pub(crate) fn said(answer: &PolicyAnswer) -> anyhow::Result<String> {
    Ok(match answer.decision() {
        PolicyDecision::Allow => "ALLOW".to_owned(),
        PolicyDecision::Deny => "DENY".to_owned(),
        PolicyDecision::Conditional { resource_type, conditions, .. } => {
            let resource_type = format!(r#""resourceType":"{resource_type}","#);
            serde_json::to_string(conditions)?.replace(&resource_type, "")
        }
    })
}

/// Returns a permit for everybody to read catalog entities of which this is true.
pub(crate) fn readers(condition: &str) -> String {
    format!(
        r#"@id("readers") permit (principal is Backstage::User,
             action == Backstage::Action::"catalog.entity.read", resource)
           when {{ {condition} }};"#
    )
}
