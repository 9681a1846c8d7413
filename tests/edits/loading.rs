//! Entities that are loaded for a decision: as if all had been there, and as Cedar loads them.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

use anyhow::{Result, ensure};
use cedar_policy::{EntityUid, TestEntityLoader, ValidationMode, Validator};
use stagedoor_core::{DecideError, Engine, Entities, EntitiesError, Entity, EntityLoader};
use stagedoor_tests::conformance::Answer;
use stagedoor_tests::runner::holds;
use stagedoor_tests::trial::{Trial, cedar_request, seeds};
use stagedoor_tests::typed;

/// Gives the entities of a trial, and remembers what it was asked.
struct Store {
    entities: BTreeMap<EntityUid, Entity>,
    asked: RefCell<Vec<EntityUid>>,
    calls: Cell<usize>,
}

impl Store {
    fn new(entities: &[Entity]) -> Self {
        let entities = entities.iter().map(|entity| (entity.uid.clone(), entity.clone()));
        Self { entities: entities.collect(), asked: RefCell::default(), calls: Cell::new(0) }
    }
}

impl EntityLoader for Store {
    fn load(&self, uids: &[EntityUid]) -> Result<Vec<Entity>, Box<dyn Error + Send + Sync>> {
        self.calls.set(self.calls.get() + 1);
        self.asked.borrow_mut().extend(uids.iter().cloned());
        Ok(uids.iter().filter_map(|uid| self.entities.get(uid).cloned()).collect())
    }
}

#[test]
fn what_is_loaded_decides_as_if_all_had_been_there() -> Result<()> {
    let schema = typed::schema()?;
    let validator = Validator::new(schema.clone());
    let (decided, by_cedar, calls) = (Cell::new(0), Cell::new(0), Cell::new(0));
    holds(60, seeds(5..30), |seeds| {
        let trial = Trial::typed(seeds, &validator)?;
        let engine = trial.builder().schema("typed.cedarschema", typed::SCHEMA).build()?;
        let policies = trial.policy_set()?;
        ensure!(validator.validate(&policies, ValidationMode::Strict).validation_passed());
        let all = Entities::from_entities(trial.entities.clone())?;
        let whole = trial.cedar_entities(Some(&schema))?;
        for (number, request) in trial.requests.iter().enumerate() {
            let store = Store::new(&trial.entities);
            // Some come with the request.
            let beside: Vec<Entity> = match number % 3 {
                0 => Vec::new(),
                _ => trial.entities.iter().step_by(number % 3 + 1).cloned().collect(),
            };
            let beside = Entities::from_entities(beside)?;
            let expected = engine.decide(request, &all)?;
            let given = engine.decide_with_loader(request, &beside, &store)?;
            let told = || trial.describe(request);
            ensure!(given.errors() == expected.errors(), "{given:?}, not {expected:?}\n{}", told());
            let (given, expected) = (Answer::from(&given), Answer::from(&expected));
            ensure!(given == expected, "{given:?}, not {expected:?}\n{}", told());
            let asked = store.asked.take();
            let once: BTreeSet<_> = asked.iter().collect();
            ensure!(once.len() == asked.len(), "asked twice: {asked:?}");
            ensure!(asked.iter().all(|uid| beside.get(uid).is_none()), "asked for what is there");
            calls.set(calls.get() + store.calls.get());
            decided.set(decided.get() + 1);
            // Cedar tells no reasons here, and gives up where it has not come to an end.
            let cedar = cedar_request(request, Some(&schema))?;
            let mut store = TestEntityLoader::new(&whole);
            if let Ok(decision) = policies.is_authorized_batched(&cedar, &schema, &mut store, 20) {
                let strict = !expected.errors.is_empty();
                ensure!(strict || decision == expected.decision, "{decision:?}\n{}", told());
                by_cedar.set(by_cedar.get() + 1);
            }
        }
        Ok(())
    })?;
    let [decided, by_cedar, calls] = [decided.get(), by_cedar.get(), calls.get()];
    eprintln!("{decided} decisions, {by_cedar} by Cedar as well, {calls} calls");
    ensure!(decided > 200 && by_cedar > 150 && calls < decided * 12);
    Ok(())
}

type LoadResult = Result<Vec<Entity>, Box<dyn Error + Send + Sync>>;

/// Does what it must not.
struct Odd(fn(&[EntityUid]) -> LoadResult);

impl EntityLoader for Odd {
    fn load(&self, uids: &[EntityUid]) -> LoadResult {
        (self.0)(uids)
    }
}

#[test]
fn a_loader_that_fails_allows_nothing() -> Result<()> {
    let mut limits = stagedoor_core::Limits::default();
    limits.ancestors = 100;
    let engine = Engine::builder()
        .limits(limits)
        .schema(
            "s",
            "entity Team in [Team]; entity User in [Team]; entity Doc;
             action view appliesTo { principal: User, resource: Doc };",
        )
        .policies("p", "permit(principal, action, resource);")
        .build()?;
    let request = stagedoor_core::Request::new(
        "User::\"ana\"".parse()?,
        "Action::\"view\"".parse()?,
        "Doc::\"1\"".parse()?,
    );
    let decide = |loader: &Odd| engine.decide_with_loader(&request, &Entities::empty(), loader);
    let down = decide(&Odd(|_| Err("the database is down".into())));
    let Err(DecideError::Entities(error @ EntitiesError::Loading { .. })) = down else {
        anyhow::bail!("{down:?}")
    };
    ensure!(error.to_string() == "entities were not loaded: the database is down");
    ensure!(error.code() == "entities::loading");
    let source = error.source().map(ToString::to_string);
    ensure!(source.as_deref() == Some("the database is down"), "{source:?}");
    let unasked = decide(&Odd(|_| Ok(vec![Entity::new("User::\"root\"".parse()?)])));
    ensure!(unasked.is_err_and(|e| e.to_string().contains("`User::\"root\"` was given")));
    let twice = decide(&Odd(|uids| {
        Ok(uids.iter().chain(uids).map(|uid| Entity::new(uid.clone())).collect())
    }));
    ensure!(matches!(twice, Err(DecideError::Entities(EntitiesError::Duplicate(_)))));
    // Groups without an end are refused, not followed.
    let endless = decide(&Odd(|uids| {
        uids.iter()
            .map(|uid| {
                let parent = format!("Team::\"{}x\"", uid.id().unescaped()).parse()?;
                Ok(Entity::new(uid.clone()).with_parent(parent))
            })
            .collect()
    }));
    ensure!(
        matches!(endless, Err(DecideError::Entities(EntitiesError::TooManyAncestors { .. }))),
        "{endless:?}"
    );
    let cycle = decide(&Odd(|uids| {
        let team: EntityUid = "Team::\"a\"".parse()?;
        Ok(uids.iter().map(|uid| Entity::new(uid.clone()).with_parent(team.clone())).collect())
    }));
    ensure!(matches!(cycle, Err(DecideError::Entities(EntitiesError::Cycle(_)))), "{cycle:?}");
    Ok(())
}
