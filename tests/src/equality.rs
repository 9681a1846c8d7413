//! Compiled decisions against Cedar's authorizer: one generated trial, every way of asking.
//!
//! Of each request Cedar's answer is compared with the engine's `decide`, and that with the
//! ruling and both answers to the request made of handles; once with all entities, and once
//! with those beside which such a request is decided without building Cedar's or its own
//! entities.

use std::cell::Cell;
use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use cedar_policy::{PolicySet, Schema, Validator};
use stagedoor_core::{Engine, Entities, Entity, Request};

use crate::conformance::{Answer, Renaming};
use crate::faces;
use crate::trial::{Seeds, Trial, cedar_request};
use crate::typed;

/// What strict trials are held to, made once.
#[derive(Debug)]
pub struct TypedTrials {
    schema: Schema,
    validator: Validator,
}

impl TypedTrials {
    /// Returns the schema of the typed trials and its validator.
    ///
    /// # Errors
    ///
    /// If Cedar refuses the schema, which is a fault of the generator.
    pub fn new() -> Result<Self> {
        let schema = typed::schema()?;
        Ok(Self { validator: Validator::new(schema.clone()), schema })
    }
}

/// How many answers were compared, by kind.
#[derive(Debug, Default)]
pub struct Comparisons {
    /// All of them.
    pub answers: Cell<usize>,
    /// Those that allow.
    pub allowed: Cell<usize>,
    /// Those with an error.
    pub erring: Cell<usize>,
}

impl Comparisons {
    fn note(&self, answer: &Answer, count: usize) {
        let add = |cell: &Cell<usize>, held: bool| cell.set(cell.get() + count * usize::from(held));
        add(&self.answers, true);
        add(&self.allowed, answer.decision == stagedoor_core::Decision::Allow);
        add(&self.erring, !answer.errors.is_empty());
    }
}

/// Compares the answers to a trial without a schema and to one with a schema.
///
/// # Errors
///
/// If two answers differ.
pub fn holds(seeds: &Seeds, typed: &TypedTrials, compared: &Comparisons) -> Result<()> {
    let trial = Trial::loose(seeds)?;
    let engine = trial.builder().exact_cedar().build()?;
    let policies = trial.policy_set()?;
    agree(&engine, &trial, &policies, None, compared)?;

    let trial = Trial::typed(seeds, &typed.validator)?;
    let builder = trial.builder().schema("typed.cedarschema", typed::SCHEMA);
    let policies = trial.policy_set()?;
    agree(&builder.build()?, &trial, &policies, Some(&typed.schema), compared)
}

fn agree(
    engine: &Engine,
    trial: &Trial,
    policies: &PolicySet,
    schema: Option<&Schema>,
    compared: &Comparisons,
) -> Result<()> {
    let names = schema.map(|_| Renaming::new(engine));
    for request in &trial.requests {
        for entities in [trial.entities.clone(), beside(request, &trial.entities)] {
            let part = Trial { entities, ..trial.clone() };
            let told = || part.describe(request);
            let cedar = cedar_request(request, schema)?;
            let expected = Answer::of_cedar(&cedar, policies, &part.cedar_entities(schema)?);
            let store = Entities::from_entities(part.entities.clone())?;
            let given = Answer::from(&engine.decide(request, &store).with_context(told)?);
            let (given, expected) = match &names {
                Some(names) => (names.positional(given), expected.failing_closed(policies)),
                None => (given, expected),
            };
            ensure!(given == expected, "{given:?}\nCedar: {expected:?}\n{}", told());
            faces::agree(engine, request, &part.entities).with_context(told)?;
            // `decide` and the ruling, and both of the request of handles if it has a resource.
            let has_resource = part.entities.iter().any(|entity| entity.uid == request.resource);
            compared.note(&expected, if has_resource { 4 } else { 2 });
        }
    }
    Ok(())
}

/// Returns the resource and those entities that are not, and do not name, any of its type or of
/// its parents' types.
fn beside(request: &Request, entities: &[Entity]) -> Vec<Entity> {
    let resource = entities.iter().find(|entity| entity.uid == request.resource);
    let parents = resource.into_iter().flat_map(|resource| &resource.parents);
    let types: BTreeSet<String> =
        parents.chain([&request.resource]).map(|uid| uid.type_name().to_string()).collect();
    let is_apart = |entity: &&Entity| {
        let uids = entity.parents.iter().chain([&entity.uid]);
        uids.into_iter().all(|uid| !types.contains(&uid.type_name().to_string()))
    };
    resource.into_iter().chain(entities.iter().filter(is_apart)).cloned().collect()
}
