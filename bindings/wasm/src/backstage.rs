//! Backstage's permission policy in JSON.

use std::str::FromStr as _;

use serde::{Deserialize, Serialize};
use stagedoor_backstage::{
    EntityRef, EntityRefError, PermissionQuery, PolicyAnswer, PolicyDecision, PolicyEngine,
    Principal, read_groups,
};
use stagedoor_core::Entity;

use crate::answer::Problem;

/// A permission, as Backstage states it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    name: String,
    #[serde(default)]
    attributes: Attributes,
    resource_type: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Attributes {
    action: Option<String>,
}

/// A signed-in user, or a service.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct User {
    user_entity_ref: Option<String>,
    #[serde(default)]
    ownership_entity_refs: Vec<String>,
    service: Option<String>,
}

/// A group, and those right above it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Group {
    entity_ref: String,
    parents: Vec<String>,
}

/// An answer for Backstage.
#[derive(Debug, Serialize)]
pub(crate) struct Answered {
    decision: PolicyDecision,
    reasons: Vec<String>,
    errors: Vec<String>,
    findings: Vec<Problem>,
    revision: String,
}

/// Answers permissions for one user. Whatever fails is denied.
pub(crate) fn answers(policy: &PolicyEngine, asked: &[Asked], user: Option<User>) -> Vec<Answered> {
    let principal = user.map(principal).transpose();
    let answer = |asked: &Asked| match &principal {
        Ok(principal) => answered(policy, asked, principal.as_ref()),
        Err(error) => described(&policy.refuse_user(error)),
    };
    asked.iter().map(answer).collect()
}

fn answered(policy: &PolicyEngine, asked: &Asked, principal: Option<&Principal>) -> Answered {
    let asked = PermissionQuery {
        name: &asked.name,
        action: asked.attributes.action.as_deref(),
        resource_type: asked.resource_type.as_deref(),
    };
    described(&policy.decide(&asked, principal))
}

fn described(answer: &PolicyAnswer) -> Answered {
    Answered {
        decision: answer.decision().clone(),
        reasons: answer.reasons().map(str::to_owned).collect(),
        errors: answer.errors().to_vec(),
        findings: answer.findings().iter().map(Problem::from).collect(),
        revision: answer.revision().to_owned(),
    }
}

/// Ownership references that cannot be read stop nothing but themselves.
fn principal(user: User) -> std::result::Result<Principal, EntityRefError> {
    match (user.user_entity_ref, user.service) {
        (None, Some(subject)) => Ok(Principal::Service(subject)),
        (reference, _) => {
            let reference = EntityRef::from_str(&reference.unwrap_or_default())?;
            let user_refs = user.ownership_entity_refs;
            Ok(stagedoor_backstage::User::new(reference).with_ownership_refs(user_refs).into())
        }
    }
}

/// Returns groups in Cedar's words. What is no reference is kept as it is written.
pub(crate) fn group_entities(groups: Vec<Group>) -> Vec<Entity> {
    read_groups(groups.into_iter().map(|group| (group.entity_ref, group.parents))).0
}
