//! Plain Cedar over the workload: its authorizer with all policies, as its guide shows.

use std::collections::{HashMap, HashSet};

use anyhow::{Context as _, Result, bail};
use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityUid, PolicySet, Request,
    RestrictedExpression, Schema, ValidationMode, Validator,
};

use crate::{Answer, SCHEMA, User, Workload, WorkloadRequest};

/// A policy set whose ids are the policies' `@id`.
///
/// # Errors
///
/// If Cedar refuses a policy.
pub fn policy_set(text: &str) -> Result<PolicySet> {
    let mut set = PolicySet::new();
    for policy in text.parse::<PolicySet>()?.policies() {
        let id = policy.annotation("id").context("a policy without `@id`")?.to_owned();
        set.add(policy.new_id(cedar_policy::PolicyId::new(id)))?;
    }
    Ok(set)
}

/// Returns the workload's schema.
///
/// # Errors
///
/// If Cedar refuses it.
pub fn schema() -> Result<Schema> {
    Ok(Schema::from_cedarschema_str(SCHEMA)?.0)
}

/// Parses and validates policies, as a program that uses Cedar does when it starts.
///
/// # Errors
///
/// If Cedar refuses one.
pub fn load(text: &str) -> Result<PolicySet> {
    let set: PolicySet = text.parse()?;
    let result = Validator::new(schema()?).validate(&set, ValidationMode::Strict);
    if !result.validation_passed() {
        bail!("{result}");
    }
    Ok(set)
}

/// Returns a request, validated, with just the entities that it is about.
///
/// # Errors
///
/// If Cedar refuses them.
pub fn prepare(
    workload: &Workload,
    schema: &Schema,
    asked: &WorkloadRequest,
) -> Result<(Request, Entities)> {
    let user = workload.users().get(asked.user).context("a user of the workload")?;
    let principal = principal(user)?;
    let resource = resource(asked)?;
    let action = uid("kube::Action", asked.verb)?;
    let request =
        Request::new(principal.uid(), action, resource.uid(), Context::empty(), Some(schema))?;
    Ok((request, Entities::from_entities([principal, resource], Some(schema))?))
}

/// Decides a request and returns the answer.
#[must_use]
pub fn answer(
    authorizer: &Authorizer,
    set: &PolicySet,
    request: &Request,
    entities: &Entities,
) -> Answer {
    let response = authorizer.is_authorized(request, set, entities);
    let reasons = response.diagnostics().reason().map(ToString::to_string);
    Answer::new(response.decision() == Decision::Allow, reasons)
}

fn principal(user: &User) -> Result<Entity> {
    let mut attributes = HashMap::from([("name".to_owned(), string(user.name()))]);
    if user.is_suspended() {
        attributes.insert("suspended".to_owned(), RestrictedExpression::new_bool(true));
    }
    let groups = user.groups().map(|group| uid("kube::Group", &group));
    let groups = groups.collect::<Result<HashSet<EntityUid>>>()?;
    Ok(Entity::new(uid("kube::User", user.name())?, attributes, groups)?)
}

fn resource(asked: &WorkloadRequest) -> Result<Entity> {
    let (api_group, resource) = asked.kind();
    let mut attributes = HashMap::from([
        ("apiGroup".to_owned(), string(api_group)),
        ("resource".to_owned(), string(resource)),
        ("name".to_owned(), string(asked.name())),
    ]);
    let mut parents = HashSet::new();
    if let Some(namespace) = asked.namespace() {
        attributes.insert("namespace".to_owned(), string(namespace));
        parents.insert(uid("kube::Namespace", namespace)?);
    }
    Ok(Entity::new(uid("kube::Resource", asked.object_id())?, attributes, parents)?)
}

fn string(text: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(text.to_owned())
}

fn uid(type_: &str, id: &str) -> Result<EntityUid> {
    Ok(EntityUid::from_type_name_and_id(type_.parse()?, cedar_policy::EntityId::new(id)))
}
