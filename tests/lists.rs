//! Lists and residuals are single decisions: of generated policies, entities and requests, what is
//! listed is what is allowed, and what is left of policies decides as they do.
//!
//! A run asks a slice of the questions, the same ones each time. `STAGEDOOR_SEED` (a number) asks
//! others, `STAGEDOOR_QUESTIONS` more:
//!
//! ```sh
//! STAGEDOOR_QUESTIONS=100000 cargo test --workspace --test lists -- --nocapture
//! ```

use std::cell::Cell;
use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use cedar_policy::{Context, PolicySet, Schema, Validator};
use stagedoor_core::{
    Decision, Effect, Engine, Entities, EntityUid, ListPage, Page, PartialContext, Party, Query,
    QueryAnswer, QueryCondition, Record, Request,
};
use stagedoor_tests::runner::{holds_from, number};
use stagedoor_tests::trial::{Trial, seeds};
use stagedoor_tests::typed;

/// How many questions are asked unless more are wanted.
const QUESTIONS: usize = 3_000;
/// So many trials have one seed.
const TRIALS: u32 = 20;

#[derive(Debug, Default)]
struct Tally {
    questions: Cell<usize>,
    listed: Cell<usize>,
    conditional: Cell<usize>,
    residuals: Cell<usize>,
    /// Lists that were held against Cedar's own, and entities that Cedar decides otherwise since
    /// it passes over forbids that err.
    by_cedar: Cell<usize>,
    closed: Cell<usize>,
}

impl Tally {
    fn add(cell: &Cell<usize>, count: usize) {
        cell.set(cell.get() + count);
    }
}

#[test]
fn what_is_listed_is_what_is_allowed() -> Result<()> {
    let wanted = number("STAGEDOOR_QUESTIONS").map_or(QUESTIONS, |n| n as usize);
    let first = number("STAGEDOOR_SEED").unwrap_or(0);
    let schema = typed::schema()?;
    let validator = Validator::new(schema.clone());
    let asked = Tally::default();
    let mut seed = first;
    while asked.questions.get() < wanted {
        holds_from(seed, TRIALS, seeds(5..40), |seeds| {
            let trial = Trial::loose(seeds)?;
            let engine = trial.builder().exact_cedar().build()?;
            lists(&engine, &trial, None, &asked)?;
            let trial = Trial::typed(seeds, &validator)?;
            let builder = trial.builder().schema("typed.cedarschema", typed::SCHEMA);
            let engine = builder.build()?;
            lists(&engine, &trial, Some(&schema), &asked)?;
            residuals(&engine, &trial, &asked)
        })?;
        seed = seed.wrapping_add(1);
    }
    eprintln!("{asked:?}, seeds {first} to {}: 0 differ", seed.wrapping_sub(1));
    ensure!(asked.listed.get() > asked.questions.get() / 10, "hardly anything is listed");
    ensure!(asked.conditional.get() > 0, "nothing is conditional");
    ensure!(asked.by_cedar.get() > asked.questions.get() / 10, "Cedar is hardly asked");
    Ok(())
}

/// Holds lists of resources, principals and actions against single decisions.
fn lists(engine: &Engine, trial: &Trial, schema: Option<&Schema>, asked: &Tally) -> Result<()> {
    let store = Entities::from_entities(trial.entities.clone())?;
    let policies = schema.map(|_| trial.policy_set()).transpose()?;
    for (number, request) in trial.requests.iter().enumerate() {
        let told = || trial.describe(request);
        let Request { principal, action, resource, context, .. } = request;
        let of_resources = Query::new(principal.clone(), Party::Any(resource.type_name().clone()));
        let of_principals = Query::new(Party::Any(principal.type_name().clone()), resource.clone());
        for (of_principals, query) in [(false, of_resources), (true, of_principals)] {
            let query = query.with_action(action.clone()).with_context(context.clone());
            let with = |uid: &EntityUid| {
                let mut with = request.clone();
                let place = if of_principals { &mut with.principal } else { &mut with.resource };
                place.clone_from(uid);
                with
            };
            let type_ = if of_principals { principal.type_name() } else { resource.type_name() };
            let mut expected: Vec<EntityUid> = Vec::new();
            for entity in store.iter().filter(|entity| entity.uid.type_name() == type_) {
                let outcome = engine.decide(&with(&entity.uid), &store).with_context(told)?;
                if outcome.decision() == Decision::Allow {
                    expected.push(entity.uid.clone());
                }
            }
            expected.sort_unstable_by(|a, b| a.id().unescaped().cmp(b.id().unescaped()));
            let listed = pages(engine, &query, &store, number % 3).with_context(told)?;
            ensure!(listed == expected, "{listed:?}\none by one: {expected:?}\n{}", told());
            Tally::add(&asked.questions, 1);
            Tally::add(&asked.listed, listed.len());
            if let (Some(schema), Some(policies)) = (schema, &policies) {
                let cedar = by_cedar(policies, schema, trial, request, of_principals)?;
                let own: BTreeSet<&EntityUid> = listed.iter().collect();
                for uid in cedar.symmetric_difference(&own.into_iter().cloned().collect()) {
                    let outcome = engine.decide(&with(uid), &store)?;
                    let errs = !outcome.errors().is_empty();
                    ensure!(errs && cedar.contains(uid), "Cedar: {cedar:?}\n{}", told());
                    Tally::add(&asked.closed, 1);
                }
                Tally::add(&asked.by_cedar, 1);
            }
        }
        if schema.is_some() {
            actions(engine, request, &store, asked).with_context(told)?;
            open_contexts(engine, request, &store, asked).with_context(told)?;
        }
    }
    Ok(())
}

/// Returns all pages of a list: with 0, it is one.
fn pages(engine: &Engine, query: &Query, store: &Entities, limit: usize) -> Result<Vec<EntityUid>> {
    let mut all = Vec::new();
    let mut page = Page::all();
    if limit > 0 {
        page = page.with_limit(limit);
    }
    loop {
        let ListPage { entries, next, refused, .. } = engine.list(query, store, &page)?;
        ensure!(refused.is_empty(), "{refused:?}");
        ensure!(limit == 0 || entries.len() <= limit, "a page is too long");
        all.extend(entries.into_iter().map(|entry| entry.uid));
        match next {
            Some(next) => page = page.after(next),
            None => return Ok(all),
        }
    }
}

/// Asks Cedar's own queries.
fn by_cedar(
    policies: &PolicySet,
    schema: &Schema,
    trial: &Trial,
    request: &Request,
    of_principals: bool,
) -> Result<BTreeSet<EntityUid>> {
    let pairs =
        request.context.iter().map(|(name, value)| Ok((name.to_string(), value.to_cedar()?)));
    let context = Context::from_pairs(pairs.collect::<Result<Vec<_>>>()?)?;
    let entities = trial.cedar_entities(Some(schema))?;
    let Request { principal, action, resource, .. } = request.clone();
    Ok(if of_principals {
        let type_ = principal.type_name().clone();
        let asked =
            cedar_policy::PrincipalQueryRequest::new(type_, action, resource, context, schema)?;
        policies.query_principal(&asked, &entities, schema)?.collect()
    } else {
        let type_ = resource.type_name().clone();
        let asked =
            cedar_policy::ResourceQueryRequest::new(principal, action, type_, context, schema)?;
        policies.query_resource(&asked, &entities, schema)?.collect()
    })
}

fn actions(engine: &Engine, request: &Request, store: &Entities, asked: &Tally) -> Result<()> {
    let Request { principal, resource, context, .. } = request.clone();
    let query = Query::new(principal, resource).with_context(context);
    let listed = engine.list(&query, store, &Page::all())?;
    let listed: Vec<EntityUid> = listed.entries.into_iter().map(|entry| entry.uid).collect();
    let mut expected = Vec::new();
    for answer in engine.query(&query, store)? {
        let mut with = request.clone();
        with.action = answer.action().clone();
        if engine.decide(&with, store)?.decision() == Decision::Allow {
            expected.push(with.action);
        }
    }
    ensure!(listed == expected, "{listed:?}\none by one: {expected:?}");
    Tally::add(&asked.questions, 1);
    Ok(())
}

/// Where the context is not known, what is listed without a condition is allowed in this one, and
/// what is not listed is denied.
fn open_contexts(
    engine: &Engine,
    request: &Request,
    store: &Entities,
    asked: &Tally,
) -> Result<()> {
    let Request { principal, action, resource, context, .. } = request.clone();
    let half: Record = context.iter().take(3).map(|(k, v)| (k.clone(), v.clone())).collect();
    for open in [PartialContext::Unknown, PartialContext::Partly(half)] {
        let query = Query::new(principal.clone(), Party::Any(resource.type_name().clone()))
            .with_action(action.clone())
            .with_context(open);
        let listed = engine.list(&query, store, &Page::all())?;
        for entity in store.iter().filter(|e| e.uid.type_name() == resource.type_name()) {
            let mut with = request.clone();
            with.resource = entity.uid.clone();
            let decision = engine.decide(&with, store)?.decision();
            let entry = listed.entries.iter().find(|entry| entry.uid == entity.uid);
            match entry.map(|entry| &entry.condition) {
                None => ensure!(decision == Decision::Deny, "{} is not listed", entity.uid),
                Some(None) => ensure!(decision == Decision::Allow, "{} is listed", entity.uid),
                Some(Some(answer)) => {
                    ensure!(decided(answer, &with, store)? == decision, "{}", answer.when());
                    Tally::add(&asked.conditional, 1);
                }
            }
        }
        Tally::add(&asked.questions, 1);
    }
    Ok(())
}

/// Holds what is left of policies against decisions, with whatever may be unknown unknown.
fn residuals(engine: &Engine, trial: &Trial, asked: &Tally) -> Result<()> {
    let store = Entities::from_entities(trial.entities.clone())?;
    for (number, request) in trial.requests.iter().enumerate() {
        let Request { principal, action, resource, context, .. } = request.clone();
        let party = |uid: &EntityUid, kind: usize| match (kind, store.get(uid)) {
            (0, _) => Party::Known(uid.clone()),
            (1, Some(entity)) => {
                let known = entity.attributes.iter().take(2);
                let known = known.map(|(name, value)| (name.clone(), value.clone())).collect();
                Party::Partly(uid.type_name().clone(), known)
            }
            _ => Party::Any(uid.type_name().clone()),
        };
        let half: Record = context.iter().take(3).map(|(k, v)| (k.clone(), v.clone())).collect();
        let context = match number % 4 {
            0 => PartialContext::Unknown,
            1 => PartialContext::Partly(half),
            _ => PartialContext::Known(context),
        };
        let query = Query::new(party(&principal, number % 3), party(&resource, number / 3 % 3))
            .with_action(action)
            .with_context(context);
        let told = || format!("{query:?}\n{}", trial.describe(request));
        for answer in engine.query(&query, &store).with_context(told)? {
            let expected = engine.decide(request, &store)?.decision();
            let found = decided(&answer, request, &store).with_context(told)?;
            ensure!(found == expected, "{}: {found:?}\n{}", answer.when(), told());
            if let Some(sure) = answer.decision() {
                ensure!(sure == expected, "{sure:?} is not sure\n{}", told());
            }
            Tally::add(&asked.residuals, answer.residuals().len());
        }
    }
    Ok(())
}

/// Decides a request by what is left of policies, as the engine does: what errs counts against
/// whoever asks.
fn decided(answer: &QueryAnswer<'_>, request: &Request, store: &Entities) -> Result<Decision> {
    let mut text = String::new();
    for residual in answer.residuals() {
        let effect = match residual.policy.effect() {
            Effect::Permit => "permit",
            Effect::Forbid => "forbid",
        };
        let condition = match &residual.condition {
            QueryCondition::Failed(_) => "error()".to_owned(),
            other => other.to_string(),
        };
        // What fails in any case has no words in Cedar.
        let condition = condition.replace("error()", "(1 + \"\" == 1)");
        text.push_str(&format!("{effect}(principal, action, resource) when {{ {condition} }};\n"));
    }
    let engine = Engine::builder().policies("left.cedar", text.as_str()).exact_cedar().build();
    let outcome = engine.with_context(|| text.clone())?.decide(request, store)?;
    let errs = |residual: usize| {
        let id = format!("policy{residual}");
        outcome.errors().iter().any(|error| error.policy() == id)
    };
    let denies = answer
        .residuals()
        .iter()
        .enumerate()
        .any(|(n, residual)| residual.policy.effect() == Effect::Forbid && errs(n));
    Ok(if denies { Decision::Deny } else { outcome.decision() })
}
