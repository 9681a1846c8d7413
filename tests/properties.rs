//! Generated policies, hierarchies and requests: the indexed engine against Cedar's authorizer.

use std::cell::Cell;

use anyhow::{Context as _, Result, ensure};
use cedar_policy::Validator;
use proptest::prelude::{Strategy as _, any};
use stagedoor_core::{Engine, Entities, NearPermit, PolicyStatus};
use stagedoor_tests::conformance::{Answer, Renaming};
use stagedoor_tests::runner::holds;
use stagedoor_tests::trial::{Seeds, Trial, seeds};
use stagedoor_tests::typed;

/// How often generated policies did something, so that a weak generator is noticed.
#[derive(Default)]
struct Seen {
    requests: Cell<usize>,
    allowed: Cell<usize>,
    forbidden: Cell<usize>,
    erring: Cell<usize>,
    erring_and_reason: Cell<usize>,
}

impl Seen {
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

fn same(engine: &Engine, entities: &Entities, trial: &Trial, expected: &[Answer]) -> Result<()> {
    for (request, expected) in trial.requests.iter().zip(expected) {
        let given = Answer::from(&engine.decide(request, entities)?);
        let told = || trial.describe(request);
        ensure!(given == *expected, "{given:?}\nCedar: {expected:?}\n{}", told());
    }
    Ok(())
}

#[test]
fn indexed_engine_agrees_with_cedar() -> Result<()> {
    let seen = Seen::default();
    holds(1_200, seeds(10..120), |seeds| {
        let trial = Trial::loose(seeds)?;
        let expected = trial.expected(None)?;
        expected.iter().for_each(|answer| seen.note(answer));
        let entities = Entities::from_entities(trial.entities.clone())?;
        same(&trial.builder().exact_cedar().build()?, &entities, &trial, &expected)
    })?;
    seen.varied()
}

#[test]
fn strict_engine_is_cedar_but_for_erring_forbids() -> Result<()> {
    let schema = typed::schema()?;
    let validator = Validator::new(schema.clone());
    let seen = Seen::default();
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
        }
        Ok(())
    })?;
    eprintln!("{} policies", policies_loaded.get());
    seen.varied()
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
            outcome?;
        }
        let entities = store.with(above)?.with(further)?;
        for request in &trial.requests {
            engine.decide(request, &entities)?;
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
