//! Whether one policy applies to a request, as Cedar's own authorizer says.

use std::collections::{HashMap, HashSet};

use cedar_policy::{Authorizer, Context, Decision, PolicySet, RestrictedExpression, Schema};
use stagedoor_core::{Entity, Record};

use crate::witness::Witness;

/// Returns whether the only policy of a set, a permit, applies to a witness.
///
/// # Errors
///
/// Cedar's reason, if it does not take the request or its entities.
pub(crate) fn applies(
    policies: &PolicySet,
    schema: &Schema,
    witness: &Witness,
) -> Result<bool, String> {
    let request = &witness.request;
    let context = Context::from_pairs(pairs(&request.context)?).map_err(|e| e.to_string())?;
    let (principal, action) = (request.principal.clone(), request.action.clone());
    let resource = request.resource.clone();
    let asked = cedar_policy::Request::new(principal, action, resource, context, Some(schema))
        .map_err(|e| e.to_string())?;
    let entities = witness.entities.iter().map(of_entity).collect::<Result<Vec<_>, String>>()?;
    let entities =
        cedar_policy::Entities::from_entities(entities, Some(schema)).map_err(|e| e.to_string())?;
    let response = Authorizer::new().is_authorized(&asked, policies, &entities);
    Ok(response.decision() == Decision::Allow)
}

fn of_entity(entity: &Entity) -> Result<cedar_policy::Entity, String> {
    let attributes: HashMap<_, _> = pairs(&entity.attributes)?.into_iter().collect();
    let parents: HashSet<_> = entity.parents.iter().cloned().collect();
    cedar_policy::Entity::new_with_tags(
        entity.uid.clone(),
        attributes,
        parents,
        pairs(&entity.tags)?,
    )
    .map_err(|e| e.to_string())
}

fn pairs(record: &Record) -> Result<Vec<(String, RestrictedExpression)>, String> {
    let pair = |(name, value): (&smol_str::SmolStr, &stagedoor_core::Value)| {
        Ok((name.to_string(), value.to_cedar().map_err(|e| e.to_string())?))
    };
    record.iter().map(pair).collect()
}
