//! Every way of asking an engine must give the answer of its plain `decide`.
//!
//! A prepared request takes a short way where its resource's type stands apart from the
//! principal's entities, and the long way elsewhere, so both are asked for.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use stagedoor_core::{
    Action, ContextValues, DecideError, Engine, Entities, Entity, EntityTypeName, PreparedRequest,
    Request, Ruling, ValueRef,
};

use crate::conformance::Answer;

/// Holds rulings and prepared requests to what `decide` says; returns how many answers were
/// compared.
///
/// # Errors
///
/// If one differs.
pub fn agree(engine: &Engine, request: &Request, entities: &[Entity]) -> Result<usize> {
    let is_resource = |entity: &&Entity| entity.uid == request.resource;
    let store = Entities::from_entities(entities.iter().cloned())?;
    let decided = engine.decide(request, &store).map(|outcome| Answer::from(&outcome));
    same_ruling("ruling", &engine.ruling(request, &store), &decided)?;
    let mut compared = 1 + stored(engine, request, &store, &decided)?;
    let Some(resource) = entities.iter().find(is_resource) else { return Ok(compared) };

    let rest = entities.iter().filter(|entity| !is_resource(entity)).cloned();
    compared += prepared(engine, request, resource, rest.collect(), "whole")?;
    let type_ = request.resource.type_name();
    let is_apart = |entity: &&Entity| {
        entity.uid.type_name() != type_ && entity.parents.iter().all(|p| p.type_name() != type_)
    };
    let apart: Vec<Entity> = entities.iter().filter(is_apart).cloned().collect();
    compared += prepared(engine, request, resource, apart, "apart")?;
    // Parents that are only named do not keep the resource from standing apart.
    let parents: BTreeSet<String> =
        resource.parents.iter().map(|p| p.type_name().to_string()).collect();
    let is_beside = |entity: &&Entity| {
        is_apart(entity)
            && !parents.contains(&entity.uid.type_name().to_string())
            && entity.parents.iter().all(|p| !parents.contains(&p.type_name().to_string()))
    };
    let beside = entities.iter().filter(is_beside).cloned().collect();
    Ok(compared + prepared(engine, request, resource, beside, "beside")?)
}

fn prepared(
    engine: &Engine,
    request: &Request,
    resource: &Entity,
    others: Vec<Entity>,
    how: &str,
) -> Result<usize> {
    let store = Entities::from_entities(others)?;
    let expected = store
        .with([resource.clone()])
        .map_err(DecideError::from)
        .and_then(|entities| engine.decide(request, &entities))
        .map(|outcome| Answer::from(&outcome));
    let attributes: Vec<&str> = resource.attributes.keys().map(|name| name.as_str()).collect();
    let tags: Vec<&str> = resource.tags.keys().map(|name| name.as_str()).collect();
    let values = resource.attributes.values().chain(resource.tags.values());
    let values: Vec<Option<ValueRef<'_>>> = values.map(|value| Some(value.into())).collect();
    let parents = resource.parents.iter().map(|p| (p.type_name(), p.id().unescaped()));
    let parents: Vec<(&EntityTypeName, &str)> = parents.collect();

    let handles = || -> Result<_, DecideError> {
        Ok((
            engine.principal(&request.principal, &store)?,
            engine.action(&request.action)?,
            engine.resource_type(request.resource.type_name(), &attributes, &tags)?,
        ))
    };
    let (principal, action, type_) = match handles() {
        Ok(handles) => handles,
        Err(error) => {
            ensure!(expected.is_err(), "{how}: no handle: {error}, but {expected:?}");
            return Ok(1);
        }
    };
    let id = request.resource.id().unescaped();
    let asked = || {
        let resource = type_.resource(id, &values).with_parents(&parents);
        PreparedRequest::new(&principal, &action, resource)
    };
    both_contexts(engine, request, &action, asked, &expected, how)
}

/// As [`prepared`], of a resource that is in the store.
fn stored(
    engine: &Engine,
    request: &Request,
    store: &Entities,
    expected: &Result<Answer, DecideError>,
) -> Result<usize> {
    // Of a store that is not the principal's nothing but the id counts.
    let other = Entities::from_entities(store.iter().take(1).cloned())?;
    let mut compared = 0;
    for (how, found_in) in [("stored", store), ("stored elsewhere", &other)] {
        let handles = || -> Result<_, DecideError> {
            Ok((
                engine.principal(&request.principal, store)?,
                engine.action(&request.action)?,
                engine.stored_resource(&request.resource, found_in)?,
            ))
        };
        let Ok((principal, action, resource)) = handles() else {
            ensure!(expected.is_err(), "{how}: no handle, but {expected:?}");
            return Ok(compared + 1);
        };
        let asked = || PreparedRequest::stored(&principal, &action, &resource);
        compared += both_contexts(engine, request, &action, asked, expected, how)?;
    }
    Ok(compared)
}

/// Asks with the context as a record and in slots.
fn both_contexts<'a>(
    engine: &Engine,
    request: &'a Request,
    action: &Action,
    asked: impl Fn() -> PreparedRequest<'a>,
    expected: &Result<Answer, DecideError>,
    how: &str,
) -> Result<usize> {
    same(engine, &asked().with_context(&request.context), expected, how)?;
    // Fields in another order than the schema's, and one that is not there.
    let names: Vec<&str> = request.context.keys().rev().map(|name| name.as_str()).collect();
    let values = request.context.values().rev();
    let values: Vec<Option<ValueRef<'_>>> = values.map(|value| Some(value.into())).collect();
    match engine.context_type(action, &names) {
        Ok(contexts) => {
            let asked = asked();
            slots(engine, asked, contexts.context(&values), expected, how)?;
        }
        Err(error) => ensure!(expected.is_err(), "{how}: no context: {error}, but {expected:?}"),
    }
    Ok(4)
}

fn slots<'s>(
    engine: &Engine,
    asked: PreparedRequest<'s>,
    context: ContextValues<'s>,
    expected: &Result<Answer, DecideError>,
    how: &str,
) -> Result<()> {
    same(engine, &asked.with_context_values(context), expected, &format!("{how}, context in slots"))
}

fn same(
    engine: &Engine,
    asked: &PreparedRequest<'_>,
    expected: &Result<Answer, DecideError>,
    how: &str,
) -> Result<()> {
    let given = engine.decide_prepared(asked).map(|outcome| Answer::from(&outcome));
    match (&given, expected) {
        (Ok(given), Ok(expected)) => {
            ensure!(given == expected, "{how}: {given:?}, not {expected:?}");
        }
        (Err(_), Err(_)) => {}
        _ => anyhow::bail!("{how}: {given:?}, not {expected:?}"),
    }
    same_ruling(how, &engine.ruling_prepared(asked), expected)
}

fn same_ruling(
    how: &str,
    ruling: &Result<Ruling<'_>, DecideError>,
    expected: &Result<Answer, DecideError>,
) -> Result<()> {
    match (ruling, expected) {
        (Ok(ruling), Ok(expected)) => {
            ensure!(ruling.decision() == expected.decision, "{how}: {ruling:?}, not {expected:?}");
            let is_reason = match ruling.policy() {
                Some(policy) => expected.reasons.contains(policy.id()),
                None => expected.reasons.is_empty(),
            };
            ensure!(is_reason, "{how}: {ruling:?} for {expected:?}");
        }
        (Err(_), Err(_)) => {}
        _ => anyhow::bail!("{how}: {ruling:?}, not {expected:?}"),
    }
    Ok(())
}
