//! The turns of [`Scenario`]s: from handles made beforehand, from words, and as whole requests.

use std::collections::HashMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use cedar_policy::{Authorizer, PolicySet};
use foldhash::fast::RandomState;
use stagedoor_benches::scenarios::{Scenario, Words};
use stagedoor_core::{
    Action, ContextType, Decision, Engine, Entities, PreparedRequest, Principal, Request,
    ResourceType, StoredResource, ValueRef, uid,
};

use crate::cpu;

/// How long one turn lasts at least.
const TURN: Duration = Duration::from_millis(30);
/// Of so many policies Cedar's authorizer decides all requests; of more the first few.
const FEW: usize = 2_000;

/// Values by an id, hashed as the engine hashes names.
type ById<'s, V> = HashMap<&'s str, V, RandomState>;

/// Handles of everything that requests name, by its id.
struct Handles<'s> {
    principals: ById<'s, Principal>,
    actions: Vec<(&'static str, Action, ContextType)>,
    /// Of each type.
    stored: Vec<(&'static str, ById<'s, StoredResource>)>,
    types: Vec<(&'static str, ResourceType)>,
}

/// So many slots resources and contexts have at the most.
const SLOTS: usize = 4;

/// Values in slots.
type Slots<'w> = [Option<ValueRef<'w>>; SLOTS];

impl<'s> Handles<'s> {
    fn new(engine: &Engine, scenario: &'s Scenario, store: &Entities) -> Result<Self> {
        let mut handles = Self {
            principals: ById::default(),
            actions: Vec::new(),
            stored: Vec::new(),
            types: Vec::new(),
        };
        for words in &scenario.requests {
            let (type_, id) = (words.principal.0, words.principal.1.as_str());
            if !handles.principals.contains_key(id) {
                handles.principals.insert(id, engine.principal(&uid(type_, id)?, store)?);
            }
            if !handles.actions.iter().any(|(name, ..)| *name == words.action) {
                let action = engine.action(&uid("Action", words.action)?)?;
                let context = engine.context_type(&action, scenario.context_fields)?;
                handles.actions.push((words.action, action, context));
            }
            let (type_, id) = (words.resource.0, words.resource.1.as_str());
            if !handles.types.iter().any(|(name, _)| *name == type_) {
                let names = scenario.resource_attributes;
                handles.types.push((type_, engine.resource_type(&type_.parse()?, names, &[])?));
            }
            if scenario.resource_attributes.is_empty() {
                let stored = engine.stored_resource(&uid(type_, id)?, store)?;
                match handles.stored.iter_mut().find(|(name, _)| *name == type_) {
                    Some((_, known)) => known.insert(id, stored),
                    None => {
                        handles.stored.push((type_, ById::default()));
                        handles.stored.last_mut().and_then(|(_, new)| new.insert(id, stored))
                    }
                };
            }
        }
        Ok(handles)
    }

    fn request<'w>(
        &'w self,
        words: &'w Words,
        attributes: &'w Slots<'w>,
        context: &'w Slots<'w>,
    ) -> Result<PreparedRequest<'w>> {
        let attributes = attributes.get(..words.attributes.len()).context("slots")?;
        let context = context.get(..words.context.len()).context("slots")?;
        let principal = self.principals.get(words.principal.1.as_str()).context("a principal")?;
        let action = self.actions.iter().find(|(name, ..)| *name == words.action);
        let (_, action, contexts) = action.context("an action")?;
        let (type_, id) = (words.resource.0, words.resource.1.as_str());
        let request = if attributes.is_empty() {
            let stored = self.stored.iter().find(|(name, _)| *name == type_);
            let stored = stored.and_then(|(_, stored)| stored.get(id)).context("a resource")?;
            PreparedRequest::stored(principal, action, stored)
        } else {
            let types = self.types.iter().find(|(name, _)| *name == type_);
            let (_, resources) = types.context("a type")?;
            PreparedRequest::new(principal, action, resources.resource(id, attributes))
        };
        Ok(match context.is_empty() {
            true => request,
            false => request.with_context_values(contexts.context(context)),
        })
    }

    /// Decides a request from its words: finds its handles and puts its values into slots.
    fn ruling(&self, engine: &Engine, words: &Words) -> Result<Decision> {
        let (attributes, context) = (slots(&words.attributes), slots(&words.context));
        let request = self.request(words, &attributes, &context)?;
        Ok(engine.ruling_prepared(&request)?.decision())
    }
}

/// Values that were read, in slots.
fn slots(values: &[stagedoor_core::Value]) -> Slots<'_> {
    let mut slots = [None; SLOTS];
    slots.iter_mut().zip(values).for_each(|(slot, value)| *slot = Some(value.into()));
    slots
}

/// Times all scenarios whose names begin so, and prints a table.
pub(crate) fn measure(rounds: usize, begins: &str) -> Result<()> {
    println!(
        "{:<48}{:>9}{:>10}{:>10}{:>10}{:>10}{:>10}",
        "", "policies", "load", "handles", "words", "median", "whole"
    );
    for scenario in Scenario::all().iter().filter(|each| each.name.starts_with(begins)) {
        let start = Instant::now();
        let engine = scenario.engine()?;
        let loaded = start.elapsed();
        let store = scenario.store()?;
        let whole = scenario.requests.iter().map(|words| {
            let (request, own) = scenario.request(words)?;
            Ok((request, store.with(own)?))
        });
        let whole = whole.collect::<Result<Vec<(Request, Entities)>>>()?;
        let handles = Handles::new(&engine, scenario, &store)?;
        let values: Vec<(Slots<'_>, Slots<'_>)> = scenario
            .requests
            .iter()
            .map(|words| (slots(&words.attributes), slots(&words.context)))
            .collect();
        let prepared = scenario.requests.iter().zip(&values);
        let prepared = prepared
            .map(|(words, (attributes, context))| handles.request(words, attributes, context))
            .collect::<Result<Vec<_>>>()?;
        check(scenario, &engine, &whole, &prepared)?;

        let by_handles = turns(rounds, prepared.len(), || rule_prepared(&engine, &prepared))?;
        let by_words =
            turns(rounds, prepared.len(), || rule_words(&engine, &handles, &scenario.requests))?;
        let mut each = Vec::new();
        for words in &scenario.requests {
            let mut took = Vec::new();
            for _ in 0..9 {
                let start = Instant::now();
                let _ = black_box(handles.ruling(&engine, words)?);
                took.push(start.elapsed().as_nanos() as f64);
            }
            each.push(cpu::median(took));
        }
        let by_request = turns(rounds, whole.len(), || {
            for (request, entities) in &whole {
                let _ = black_box(engine.ruling(request, entities)?);
            }
            Ok(())
        })?;
        println!(
            "{:<48}{:>9}{:>7.0} ms{:>7.0} ns{:>7.0} ns{:>7.0} ns{:>7.0} ns",
            scenario.name,
            engine.policies().len(),
            loaded.as_secs_f64() * 1e3,
            by_handles,
            by_words,
            cpu::median(each),
            by_request
        );
    }
    Ok(())
}

/// Decides all requests; not inlined, so that a profiler finds it.
#[inline(never)]
fn rule_prepared(engine: &Engine, prepared: &[PreparedRequest<'_>]) -> Result<()> {
    for request in prepared {
        let _ = black_box(engine.ruling_prepared(request)?);
    }
    Ok(())
}

/// Decides all requests from words; not inlined, so that a profiler finds it.
#[inline(never)]
fn rule_words(engine: &Engine, handles: &Handles<'_>, requests: &[Words]) -> Result<()> {
    for words in requests {
        let _ = black_box(handles.ruling(engine, words)?);
    }
    Ok(())
}

/// Returns the middle one of so many turns: nanoseconds of processor time for one of `count`.
fn turns(rounds: usize, count: usize, mut all: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut figures = Vec::new();
    all()?;
    for _ in 0..rounds {
        let start = cpu::used();
        let mut times = 0_usize;
        while cpu::used() - start < TURN {
            all()?;
            times += 1;
        }
        let took = cpu::used() - start;
        figures.push(took.as_nanos() as f64 / (times * count) as f64);
    }
    Ok(cpu::median(figures))
}

/// Holds all ways of asking to each other and to Cedar.
fn check(
    scenario: &Scenario,
    engine: &Engine,
    whole: &[(Request, Entities)],
    prepared: &[PreparedRequest<'_>],
) -> Result<()> {
    let (schema, _) = cedar_policy::Schema::from_cedarschema_str(&scenario.schema)?;
    let policies: PolicySet = scenario.policies.parse()?;
    let cedar = scenario.entities.iter().map(cedar_policy::Entity::try_from);
    let cedar = cedar.collect::<Result<Vec<_>, _>>()?;
    let cedar = cedar_policy::Entities::from_entities(cedar, Some(&schema))?;
    let asked_of_cedar = if engine.policies().len() > FEW { 5 } else { usize::MAX };
    let mut allowed = 0;
    for (number, ((request, entities), prepared)) in whole.iter().zip(prepared).enumerate() {
        let decided = engine.decide(request, entities)?.decision();
        allowed += usize::from(decided == Decision::Allow);
        let told = || format!("{}: {request:?}", scenario.name);
        ensure!(engine.ruling(request, entities)?.decision() == decided, told());
        ensure!(engine.ruling_prepared(prepared)?.decision() == decided, told());
        if number >= asked_of_cedar {
            continue;
        }
        let context = cedar_policy::Context::from_pairs(
            request
                .context
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_cedar()))
                .map(|(name, value)| Ok((name, value?)))
                .collect::<Result<Vec<_>>>()?,
        )?;
        let own = entities.get(&request.resource).map(cedar_policy::Entity::try_from);
        let mut all = cedar.clone();
        if let Some(own) = own.filter(|_| !scenario.resource_attributes.is_empty()) {
            all = all.add_entities([own?], Some(&schema))?;
        }
        let (principal, action) = (request.principal.clone(), request.action.clone());
        let asked = cedar_policy::Request::new(
            principal,
            action,
            request.resource.clone(),
            context,
            Some(&schema),
        )?;
        let answer = Authorizer::new().is_authorized(&asked, &policies, &all);
        // A forbid that errs denies here and not with Cedar; none of these does.
        ensure!(answer.decision() == decided, "{}\nCedar: {answer:?}", told());
    }
    ensure!(
        allowed > 0 && allowed < whole.len() || scenario.name.starts_with("no key"),
        "{}: {allowed} of {} are allowed",
        scenario.name,
        whole.len()
    );
    Ok(())
}
