//! Generated policies, hierarchies and requests: the indexed engine against Cedar's authorizer.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, ensure};
use cedar_policy::{PolicySet, ValidationMode, Validator};
use proptest::prelude::{Strategy as _, any};
use stagedoor_core::{
    DifferenceSink, Engine, Entities, Limits, NearPermit, PolicyStatus, Request, Severity,
};
use stagedoor_tests::bytes::Choices;
use stagedoor_tests::conformance::{Answer, Renaming};
use stagedoor_tests::faces;
use stagedoor_tests::runner::holds;
use stagedoor_tests::trial::{Seeds, Trial, cedar_entity, cedar_request, seeds};
use stagedoor_tests::typed;

/// How often generated policies did something, so that a weak generator is noticed.
#[derive(Default)]
struct Tally {
    requests: Cell<usize>,
    allowed: Cell<usize>,
    forbidden: Cell<usize>,
    erring: Cell<usize>,
    erring_and_reason: Cell<usize>,
}

impl Tally {
    fn note(&self, answer: &Answer) {
        let add = |cell: &Cell<usize>, held: bool| cell.set(cell.get() + usize::from(held));
        let allowed = answer.decision == stagedoor_core::Decision::Allow;
        add(&self.requests, true);
        add(&self.allowed, allowed);
        add(&self.forbidden, !allowed && !answer.reasons.is_empty());
        add(&self.erring, !answer.errors.is_empty());
        add(&self.erring_and_reason, !answer.errors.is_empty() && !answer.reasons.is_empty());
    }

    /// Fails if some kind of answer was rare.
    fn varied(&self) -> Result<()> {
        let requests = self.requests.get();
        for (what, cell) in [
            ("allowed", &self.allowed),
            ("forbidden", &self.forbidden),
            ("erring", &self.erring),
            ("erring with a reason", &self.erring_and_reason),
        ] {
            eprintln!("{what}: {} of {requests}", cell.get());
            ensure!(cell.get() * 50 > requests, "only {} of {requests} {what}", cell.get());
        }
        Ok(())
    }
}

/// So many requests of a trial are also asked in every other way, which takes a while.
const FACES: usize = 2;

fn same(engine: &Engine, entities: &Entities, trial: &Trial, expected: &[Answer]) -> Result<()> {
    for (number, (request, expected)) in trial.requests.iter().zip(expected).enumerate() {
        let given = Answer::from(&engine.decide(request, entities)?);
        let told = || trial.describe(request);
        ensure!(given == *expected, "{given:?}\nCedar: {expected:?}\n{}", told());
        if number < FACES {
            faces::agree(engine, request, &trial.entities).with_context(told)?;
        }
    }
    Ok(())
}

#[test]
fn indexed_engine_agrees_with_cedar() -> Result<()> {
    let seen = Tally::default();
    holds(1_200, seeds(10..120), |seeds| {
        let trial = Trial::loose(seeds)?;
        let expected = trial.expected(None)?;
        expected.iter().for_each(|answer| seen.note(answer));
        let entities = Entities::from_entities(trial.entities.clone())?;
        same(&trial.builder().exact_cedar().build()?, &entities, &trial, &expected)
    })?;
    seen.varied()
}

/// Counts what it is told.
#[derive(Debug, Default)]
struct Differences(AtomicUsize);

impl DifferenceSink for Differences {
    fn differs(&self, _: &Request, policies: &[&str]) {
        self.0.fetch_add(policies.len().max(1), Ordering::Relaxed);
    }
}

#[test]
fn cedars_evaluator_alone_and_in_the_shadow_says_the_same() -> Result<()> {
    let (compared, worded) = (Cell::new(0), Cell::new(0));
    holds(200, seeds(1..60), |seeds| {
        let trial = Trial::loose(seeds)?;
        let expected = trial.expected(None)?;
        let entities = Entities::from_entities(trial.entities.clone())?;
        let interpreted = trial.builder().exact_cedar().compiled(false).build()?;
        ensure!(interpreted.statistics().interpreted == interpreted.policies().len());
        same(&interpreted, &entities, &trial, &expected)?;
        let compiled = trial.builder().exact_cedar().build()?;
        for request in &trial.requests {
            // Most errors are worded without Cedar, and none must be worded otherwise.
            let (own, cedar) =
                (compiled.decide(request, &entities)?, interpreted.decide(request, &entities)?);
            ensure!(own.errors() == cedar.errors(), "{own:?}\nCedar: {cedar:?}");
            worded.set(worded.get() + own.errors().len());
        }
        let sink = Arc::new(Differences::default());
        let shadowed = trial.builder().exact_cedar().shadow(NonZeroU32::MIN, sink.clone());
        let shadowed = shadowed.build()?;
        same(&shadowed, &entities, &trial, &expected)?;
        let figures = shadowed.statistics();
        ensure!(figures.differences == 0 && sink.0.load(Ordering::Relaxed) == 0, "{figures:?}");
        ensure!(figures.compared >= trial.requests.len() as u64, "{figures:?}");
        compared.set(compared.get() + figures.compared);
        Ok(())
    })?;
    eprintln!("{} decisions compared, {} errors", compared.get(), worded.get());
    ensure!(worded.get() > 100, "only {} errors", worded.get());
    Ok(())
}

#[test]
fn debug_builds_let_cedar_decide_some_requests_as_well() -> Result<()> {
    let builder = Engine::builder().policies("p", "permit (principal, action, resource);");
    let builder = builder.exact_cedar();
    let request =
        Request::new(r#"U::"u""#.parse()?, r#"Action::"a""#.parse()?, r#"R::"r""#.parse()?);
    let compared = |engine: Engine| -> Result<u64> {
        for _ in 0..65 {
            let _ = engine.ruling(&request, &Entities::empty())?;
        }
        Ok(engine.statistics().compared)
    };
    // The first one and the 65th.
    let by_itself = if cfg!(debug_assertions) { 2 } else { 0 };
    ensure!(compared(builder.clone().build()?)? == by_itself);
    ensure!(compared(builder.clone().unshadowed().build()?)? == 0);
    ensure!(compared(builder.compiled(false).build()?)? == 0);
    Ok(())
}

#[test]
fn strict_engine_is_cedar_but_for_erring_forbids() -> Result<()> {
    let schema = typed::schema()?;
    let validator = Validator::new(schema.clone());
    let seen = Tally::default();
    let policies_loaded = Cell::new(0);
    holds(700, seeds(10..120), |seeds| {
        let trial = Trial::typed(seeds, &validator)?;
        let engine = trial.builder().schema("typed.cedarschema", typed::SCHEMA).build()?;
        policies_loaded.set(policies_loaded.get() + engine.policies().len());
        let names = Renaming::new(&engine);
        let policies = trial.policy_set()?;
        let entities = Entities::from_entities(trial.entities.clone())?;
        for (request, expected) in trial.requests.iter().zip(trial.expected(Some(&schema))?) {
            seen.note(&expected);
            let expected = expected.failing_closed(&policies);
            let given = names.positional(Answer::from(&engine.decide(request, &entities)?));
            let told = || trial.describe(request);
            ensure!(given == expected, "{given:?}\nexpected: {expected:?}\n{}", told());
            faces::agree(&engine, request, &trial.entities).with_context(told)?;
        }
        Ok(())
    })?;
    eprintln!("{} policies", policies_loaded.get());
    seen.varied()
}

#[test]
fn strict_engine_loads_what_cedar_validates() -> Result<()> {
    let validator = Validator::new(typed::schema()?);
    let (valid, faulty) = (Cell::new(0), Cell::new(0));
    holds(150, seeds(20..250), |seeds| {
        let policies = seeds.careless_policies();
        let passes = |text: &String| -> Result<bool> {
            let set = PolicySet::from_str(text).with_context(|| text.clone())?;
            Ok(validator.validate(&set, ValidationMode::Strict).validation_passed())
        };
        let passes = policies.iter().map(passes).collect::<Result<Vec<bool>>>()?;
        let refused: BTreeSet<usize> =
            (1..).zip(&passes).filter(|(_, p)| !**p).map(|p| p.0).collect();
        faulty.set(faulty.get() + refused.len());
        valid.set(valid.get() + passes.len() - refused.len());
        let mut limits = Limits::default();
        limits.problems = 100_000;
        let loaded = Engine::builder()
            .schema("typed.cedarschema", typed::SCHEMA)
            .policies("careless.cedar", policies.join("\n"))
            .limits(limits)
            .build();
        let found: BTreeSet<usize> = match &loaded {
            Ok(_) => BTreeSet::new(),
            Err(error) => {
                let errors = error.problems().iter().filter(|p| p.severity() == Severity::Error);
                errors.filter_map(|p| p.line()).collect()
            }
        };
        ensure!(found == refused, "{found:?}, Cedar: {refused:?}\n{}", policies.join("\n"));
        Ok(())
    })?;
    let (valid, faulty) = (valid.get(), faulty.get());
    eprintln!("{valid} valid, {faulty} faulty");
    ensure!(valid > 1_000 && faulty > 1_000, "{valid} valid, {faulty} faulty");
    Ok(())
}

#[test]
fn strict_engine_takes_the_requests_and_entities_that_cedar_takes() -> Result<()> {
    let schema = typed::schema()?;
    let engine = Engine::builder().schema("typed.cedarschema", typed::SCHEMA).build()?;
    let (taken, refused) = (Cell::new(0), Cell::new(0));
    holds(4_000, seeds(1..2), |seeds| {
        let mut bytes = Choices::new(&seeds.entities);
        let damage = seeds.policies.iter().flat_map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>();
        let mut damage = Choices::new(&damage);
        let mut entities = typed::entities(&mut bytes)?;
        if damage.chance(128) && !entities.is_empty() {
            let damaged = entities.remove(damage.below(entities.len()));
            let damaged = typed::damage_entity(damaged, &mut damage)?;
            if !entities.iter().any(|entity| entity.uid == damaged.uid) {
                entities.push(damaged);
            }
        }
        let request = seeds.requests.first().map(Vec::as_slice).unwrap_or_default();
        let mut request = typed::request(&mut Choices::new(request))?;
        if damage.chance(128) {
            request = typed::damage_request(request, &mut damage)?;
        }
        let cedar = entities.iter().map(cedar_entity).collect::<Result<Vec<_>>>()?;
        let cedar_entities = cedar_policy::Entities::from_entities(cedar, Some(&schema));
        let cedar_takes = cedar_entities.is_ok() && cedar_request(&request, Some(&schema)).is_ok();
        let outcome = engine.decide(&request, &Entities::from_entities(entities.clone())?);
        let count = if cedar_takes { &taken } else { &refused };
        count.set(count.get() + 1);
        ensure!(
            outcome.is_ok() == cedar_takes,
            "{outcome:?}\nCedar: {:?}, {:?}\n{request:?}\n{entities:#?}",
            cedar_entities.err(),
            cedar_request(&request, Some(&schema)).err()
        );
        Ok(())
    })?;
    let (taken, refused) = (taken.get(), refused.get());
    eprintln!("{taken} taken, {refused} refused");
    ensure!(taken > 800 && refused > 800, "{taken} taken, {refused} refused");
    Ok(())
}

#[test]
fn large_sets_agree_with_cedar() -> Result<()> {
    holds(60, seeds(150..400), |seeds| {
        let trial = Trial::loose(seeds)?;
        let entities = Entities::from_entities(trial.entities.clone())?;
        let engine = trial.builder().exact_cedar().build()?;
        same(&engine, &entities, &trial, &trial.expected(None)?)
    })
}

/// So large that the index splits clauses `a || b`, and shares tests that have no key.
#[test]
fn large_sets_under_a_schema_agree_with_cedar() -> Result<()> {
    let schema = typed::schema()?;
    let validator = Validator::new(schema.clone());
    let loaded = Cell::new(0);
    holds(25, seeds(400..700), |seeds| {
        let trial = Trial::typed(seeds, &validator)?;
        let engine = trial.builder().schema("typed.cedarschema", typed::SCHEMA).build()?;
        loaded.set(loaded.get() + engine.policies().len());
        let names = Renaming::new(&engine);
        let policies = trial.policy_set()?;
        let entities = Entities::from_entities(trial.entities.clone())?;
        for (request, expected) in trial.requests.iter().zip(trial.expected(Some(&schema))?) {
            let expected = expected.failing_closed(&policies);
            let given = names.positional(Answer::from(&engine.decide(request, &entities)?));
            let told = || trial.describe(request);
            ensure!(given == expected, "{given:?}\nexpected: {expected:?}\n{}", told());
            faces::agree(&engine, request, &trial.entities).with_context(told)?;
        }
        Ok(())
    })?;
    ensure!(loaded.get() > 25 * 260, "only {} policies", loaded.get());
    Ok(())
}

#[test]
fn small_sets_agree_with_cedar_whatever_they_err_on() -> Result<()> {
    holds(3_000, seeds(1..12), |seeds| {
        let trial = Trial::loose(seeds)?;
        let entities = Entities::from_entities(trial.entities.clone())?;
        let expected = trial.expected(None)?;
        for index in [true, false] {
            let engine = trial.builder().exact_cedar().index(index).build()?;
            same(&engine, &entities, &trial, &expected)?;
        }
        Ok(())
    })
}

#[test]
fn json_says_the_same_as_text() -> Result<()> {
    holds(250, seeds(1..80), |seeds| {
        let trial = Trial::loose(seeds)?;
        let json = trial.policy_set()?.to_json()?.to_string();
        let engine = Engine::builder().policies_json("trial.json", json).exact_cedar().build()?;
        let entities_json = {
            let mut bytes = Vec::new();
            trial.cedar_entities(None)?.write_to_json(&mut bytes)?;
            String::from_utf8(bytes)?
        };
        let entities = Entities::from_json_str(&entities_json, None)?;
        same(&engine, &entities, &trial, &trial.expected(None)?)
    })
}

#[test]
fn order_of_policies_never_matters() -> Result<()> {
    let shuffled = seeds(5..80).prop_flat_map(|seeds| {
        let order: Vec<usize> = (0..seeds.policies.len()).collect();
        (proptest::strategy::Just(seeds), proptest::strategy::Just(order).prop_shuffle())
    });
    holds(250, shuffled, |(seeds, order): &(Seeds, Vec<usize>)| {
        let trial = Trial::loose(seeds)?;
        let mut other = trial.clone();
        let text = |old: &usize| trial.policies.get(*old).cloned().context("a policy");
        other.policies = order.iter().map(text).collect::<Result<_>>()?;
        let number = |id: &str| id.strip_prefix("policy").and_then(|n| n.parse::<usize>().ok());
        let new = |id: &str| {
            let old = number(id)?;
            Some(format!("policy{}", order.iter().position(|o| *o == old)?))
        };
        for link in &mut other.links {
            link.template = new(&link.template).context("a template")?;
        }
        let expected: Vec<Answer> = trial
            .expected(None)?
            .into_iter()
            .map(|answer| Answer {
                reasons: answer.reasons.iter().map(|id| new(id).unwrap_or(id.clone())).collect(),
                errors: answer.errors.iter().map(|id| new(id).unwrap_or(id.clone())).collect(),
                ..answer
            })
            .collect();
        let entities = Entities::from_entities(trial.entities.clone())?;
        same(&other.builder().exact_cedar().build()?, &entities, &other, &expected)
    })
}

#[test]
fn entities_may_come_in_layers_and_requests_in_batches() -> Result<()> {
    let layered = (seeds(1..60), proptest::collection::vec(any::<u8>(), 32));
    holds(400, layered, |(seeds, layers)| {
        let trial = Trial::loose(seeds)?;
        let engine = trial.builder().exact_cedar().build()?;
        let expected = trial.expected(None)?;
        let mut parts: [Vec<_>; 4] = Default::default();
        for (entity, layer) in trial.entities.iter().zip(layers.iter().chain(std::iter::repeat(&0)))
        {
            if let Some(part) = parts.get_mut(usize::from(layer % 4)) {
                part.push(entity.clone());
            }
        }
        let [store, above, further, last] = parts;
        let store = Entities::from_entities(store)?;
        // Deciding on the lower layers first must leave nothing behind that is wrong later.
        for outcome in engine.decide_batch(&trial.requests, &store) {
            let _ = outcome?;
        }
        let entities = store.with(above)?.with(further)?;
        for request in &trial.requests {
            let _ = engine.decide(request, &entities)?;
        }
        let entities = entities.with(last)?;
        let batch = engine.decide_batch(&trial.requests, &entities);
        ensure!(batch.len() == expected.len());
        for ((outcome, expected), request) in batch.into_iter().zip(&expected).zip(&trial.requests)
        {
            ensure!(Answer::from(&outcome?) == *expected, "{}", trial.describe(request));
        }
        same(&engine, &entities, &trial, &expected)
    })
}

#[test]
fn explanations_agree_with_decisions() -> Result<()> {
    holds(200, seeds(1..40), |seeds| {
        let trial = Trial::loose(seeds)?;
        let engine = trial.builder().exact_cedar().build()?;
        let entities = Entities::from_entities(trial.entities.clone())?;
        let expected = trial.expected(None)?;
        for (request, expected) in trial.requests.iter().zip(&expected) {
            let explanation = engine.explain(request, &entities)?;
            ensure!(
                Answer::from(explanation.outcome()) == *expected,
                "{}",
                trial.describe(request)
            );
            let mut satisfied = 0;
            for policy in explanation.policies() {
                let id = policy.policy();
                match policy.status() {
                    PolicyStatus::Satisfied => satisfied += 1,
                    PolicyStatus::Errored(_) => {
                        ensure!(
                            expected.errors.contains(id),
                            "{id} errs: {}",
                            trial.describe(request)
                        );
                    }
                    PolicyStatus::NotSatisfied(clause) => {
                        ensure!(
                            !expected.reasons.contains(id),
                            "{id}: {}",
                            trial.describe(request)
                        );
                        ensure!(!expected.errors.contains(id), "{id}: {}", trial.describe(request));
                        ensure!(!clause.text().is_empty(), "{id}: {}", trial.describe(request));
                    }
                    other => anyhow::bail!("{other:?}"),
                }
            }
            ensure!(satisfied >= expected.reasons.len(), "{}", trial.describe(request));
            let forbidden = !expected.reasons.is_empty();
            let near = |near: &NearPermit| forbidden || !near.failed().is_empty();
            ensure!(
                explanation.nearest().iter().all(near),
                "a near permit fails nowhere: {}",
                trial.describe(request)
            );
        }
        Ok(())
    })
}
