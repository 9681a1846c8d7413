//! Backstage's permission policy in JSON.

use std::str::FromStr as _;

use cedar_policy::{EntityTypeName, ParseErrors};
use serde::{Deserialize, Serialize};
use stagedoor_backstage::{AskedPermission, EntityRef, PolicyDecision, PolicyEngine, Principal};
use stagedoor_core::Entity;

use crate::answer::Problem;
use crate::failure::{Failure, Result};

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
        // A reference that cannot be read might be one that a forbid is about.
        Err(reason) => Answered {
            decision: PolicyDecision::Deny,
            reasons: Vec::new(),
            errors: vec![reason.clone()],
            findings: Vec::new(),
            revision: policy.revision().to_owned(),
        },
    };
    asked.iter().map(answer).collect()
}

fn answered(policy: &PolicyEngine, asked: &Asked, principal: Option<&Principal>) -> Answered {
    let asked = AskedPermission {
        name: &asked.name,
        action: asked.attributes.action.as_deref(),
        resource_type: asked.resource_type.as_deref(),
    };
    let answer = policy.decide(&asked, principal);
    Answered {
        decision: answer.decision().clone(),
        reasons: answer.reasons().map(str::to_owned).collect(),
        errors: answer.errors().to_vec(),
        findings: answer.findings().iter().map(Problem::from).collect(),
        revision: answer.revision().to_owned(),
    }
}

fn principal(user: User) -> std::result::Result<Principal, String> {
    let Some(reference) = user.user_entity_ref else {
        let subject = user.service.ok_or("there is neither a user nor a service")?;
        return Ok(Principal::Service(subject));
    };
    let read = |text: &String| EntityRef::from_str(text).map_err(|e| format!("{e}: denied"));
    let owned = user.ownership_entity_refs.iter().map(read);
    let owned = owned.collect::<std::result::Result<Vec<_>, _>>()?;
    Ok(stagedoor_backstage::User::new(read(&reference)?).with_ownership(owned).into())
}

/// Returns groups in Cedar's words.
pub(crate) fn group_entities(groups: Vec<Group>) -> Result<Vec<Entity>> {
    let failed = |message: String| Failure::new("argument::group", message);
    let of_type: EntityTypeName =
        "Backstage::Group".parse().map_err(|e: ParseErrors| failed(e.to_string()))?;
    let uid = |reference: &str| match EntityRef::from_str(reference) {
        Ok(reference) => Ok(reference.uid(of_type.clone())),
        Err(error) => Err(failed(error.to_string())),
    };
    let entity = |group: Group| {
        let entity = Entity::new(uid(&group.entity_ref)?);
        group.parents.iter().try_fold(entity, |entity, above| Ok(entity.with_parent(uid(above)?)))
    };
    groups.into_iter().map(entity).collect()
}
