//! `POST /conditions`: what conditions come to, now that the object is there.
//!
//! The policies are not asked, so that a change of theirs between the two calls does not
//! matter. A condition that cannot be evaluated, be it somebody else's, counts against the
//! request: one that denies holds, one that allows does not.

use cedar_policy::EntityUid;
use http::StatusCode;
use stagedoor_core::{Entities, Entity, OpenCondition};
use stagedoor_kubernetes::admission::{object, resource_uid};
use stagedoor_server::Outcome;

use super::review::{
    Condition, ConditionEffect, ConditionSet, ConditionsRequest, Response, ReviewReply, read,
};
use super::{ATTRIBUTES, CONDITION_BYTES, CONDITION_TYPE};
use crate::app::{self, Answered, App};
use crate::status::json;

/// How many errors an answer tells.
const ERRORS: usize = 8;

pub(crate) fn answer(app: &App, body: &str) -> Answered {
    let (api_version, request) = read(body)?;
    let mut response = respond(&request);
    if app.no_opinion_denies && !response.allowed {
        response.denied = true;
    }
    let outcome = match (response.allowed, response.denied) {
        (true, _) => Outcome::Allowed,
        (false, true) => Outcome::Denied,
        (false, false) => Outcome::NoOpinion,
    };
    tracing::debug!(
        outcome = outcome.as_str(),
        reason = response.reason,
        error = response.evaluation_error,
        "evaluated"
    );
    let erred = !response.evaluation_error.is_empty();
    let reply = json(StatusCode::OK, &ReviewReply::new(&api_version, response));
    Ok(app::answer(reply, outcome, erred))
}

/// The first set that has an opinion decides, as the first authorizer of a chain does.
fn respond(request: &ConditionsRequest<'_>) -> Response {
    let written = written(request);
    let mut errors = Vec::new();
    let mut response = Response::default();
    for set in &request.condition_sets {
        match verdict(set, written.as_ref(), &mut errors) {
            None => {}
            Some((effect, condition)) => {
                response.allowed = effect == ConditionEffect::Allow;
                response.denied = effect == ConditionEffect::Deny;
                let how = if response.allowed { "allowed" } else { "denied" };
                response.reason = format!("{how} by condition `{}`", condition.id);
                break;
            }
        }
    }
    if response.reason.is_empty() {
        response.reason = "no condition allows this".to_owned();
    }
    errors.truncate(ERRORS);
    response.evaluation_error = errors.join("; ");
    response
}

/// Returns what a set comes to, and by which condition; nothing for no opinion.
fn verdict<'s>(
    set: &'s ConditionSet,
    written: Result<&(EntityUid, Entities), &String>,
    errors: &mut Vec<String>,
) -> Option<(ConditionEffect, &'s Condition)> {
    let mut counts = |condition: &Condition| {
        holds(condition, written).unwrap_or_else(|error| {
            errors.push(format!("condition `{}`: {error}", condition.id));
            condition.effect != ConditionEffect::Allow
        })
    };
    for effect in [ConditionEffect::Deny, ConditionEffect::NoOpinion, ConditionEffect::Allow] {
        let mut of_effect = set.conditions.iter().filter(|c| c.effect == effect);
        if let Some(condition) = of_effect.find(|condition| counts(condition)) {
            return (effect != ConditionEffect::NoOpinion).then_some((effect, condition));
        }
    }
    None
}

fn holds(
    condition: &Condition,
    written: Result<&(EntityUid, Entities), &String>,
) -> Result<bool, String> {
    if condition.type_ != CONDITION_TYPE {
        return Err(format!("conditions of type `{}` are not known here", condition.type_));
    }
    if condition.condition.len() > CONDITION_BYTES {
        return Err(format!("it is longer than {CONDITION_BYTES} bytes"));
    }
    let (resource, entities) = written.map_err(Clone::clone)?;
    OpenCondition::parse(&condition.condition, ATTRIBUTES)
        .and_then(|condition| condition.holds(resource, entities))
        .map_err(|e| e.to_string())
}

/// Returns the resource that conditions are about, with the entities of its objects.
fn written(request: &ConditionsRequest<'_>) -> Result<(EntityUid, Entities), String> {
    let uid = resource_uid("written");
    let mut resource = Entity::new(uid.clone());
    let mut entities = Vec::new();
    let objects = [request.object, request.old_object, request.options];
    for (attribute, json) in ATTRIBUTES.into_iter().zip(objects) {
        let Some(json) = json else { continue };
        let object = object(attribute, json, &mut entities)
            .map_err(|reason| format!("`request.{attribute}`: {reason}"))?;
        resource = resource.with_attribute(attribute, object);
    }
    entities.push(resource);
    let entities = Entities::from_entities(entities).map_err(|e| e.to_string())?;
    Ok((uid, entities))
}
