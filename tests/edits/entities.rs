//! Random edits of entities against a fresh set and Cedar's own.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use proptest::collection::vec;
use proptest::prelude::any;
use stagedoor_core::{Engine, Entities, EntitiesError, Entity, EntityUid};
use stagedoor_tests::bytes::Choices;
use stagedoor_tests::conformance::Answer;
use stagedoor_tests::runner::holds;
use stagedoor_tests::trial::{cedar_entity, cedar_request};
use stagedoor_tests::{typed, world};

use crate::{for_each_script, random_bytes};

const POLICIES: &str = r#"
    @id("members") permit(principal in Group::"g1", action, resource);
    @id("above") permit(principal, action, resource in Folder::"f2") when { context.flag };
    @id("owners") permit(principal, action, resource) when { principal == resource.owner };
    @id("far") forbid(principal, action, resource) when { resource.owner in Group::"g3" };
    @id("deep") forbid(principal, action, resource)
        when { resource.owner.owner.ns == "n1" && principal in Group::"g0" };"#;

/// Returns an entity of the world, with whatever parents: cycles among them.
fn entity(choices: &mut Choices<'_>) -> Result<Option<Entity>> {
    let bytes: Vec<u8> = (0..64).map(|_| choices.below(256) as u8).collect();
    let all = typed::entities(&mut Choices::new(&bytes))?;
    let Some(mut entity) = all.get(choices.below(all.len())).cloned() else { return Ok(None) };
    let above: &[_] = match entity.uid.type_name().basename() {
        "Doc" | "Folder" => &[("Folder", "f0"), ("Folder", "f1"), ("Folder", "f2")],
        _ => &[("Group", "g0"), ("Group", "g1"), ("Group", "g2"), ("Group", "g3")],
    };
    entity.parents.clear();
    for _ in 0..choices.below(3) {
        entity = entity.with_parent(world::uid(choices.pick(above))?);
    }
    if choices.chance(20) {
        entity = typed::damage_entity(entity, choices)?;
    }
    Ok(Some(entity))
}

/// What the ancestors of each entity are.
fn hierarchy(entities: &Entities) -> BTreeMap<String, BTreeSet<String>> {
    let above = |uid: &EntityUid| entities.ancestors(uid).map(ToString::to_string).collect();
    entities.iter().map(|entity| (entity.uid.to_string(), above(&entity.uid))).collect()
}

#[derive(Default)]
struct Tally {
    made: Cell<usize>,
    cycles: Cell<usize>,
    decided: Cell<usize>,
    unfit: Cell<usize>,
}

fn script(bytes: &[u8], steps: usize, engine: &Engine, seen: &Tally) -> Result<()> {
    let mut choices = Choices::new(bytes);
    let count = |cell: &Cell<usize>| cell.set(cell.get() + 1);
    let start = typed::entities(&mut choices)?;
    let mut model: BTreeMap<EntityUid, Entity> =
        start.iter().map(|entity| (entity.uid.clone(), entity.clone())).collect();
    let mut entities = Entities::from_entities(start)?;
    let cedar_policies = POLICIES.parse()?;
    let schema = typed::schema()?;
    for number in 0..steps {
        let before = (entities.clone(), hierarchy(&entities));
        if choices.chance(80) {
            let known: Vec<EntityUid> = model.keys().cloned().collect();
            let Some(uid) = known.get(choices.below(known.len())) else { continue };
            entities = entities.remove(uid)?;
            model.remove(uid);
            count(&seen.made);
        } else {
            let Some(entity) = entity(&mut choices)? else { continue };
            let told = format!("{entity:?}");
            let mut next = model.clone();
            next.insert(entity.uid.clone(), entity.clone());
            match (entities.upsert(entity), Entities::from_entities(next.values().cloned())) {
                (Ok(edited), Ok(_)) => {
                    (entities, model) = (edited, next);
                    count(&seen.made);
                }
                (Err(EntitiesError::Cycle(_)), Err(EntitiesError::Cycle(_))) => {
                    count(&seen.cycles);
                }
                (given, expected) => anyhow::bail!("{told}: {given:?}, not {expected:?}"),
            }
        }
        ensure!(hierarchy(&before.0) == before.1, "an edit changed what it was made of");
        let fresh = Entities::from_entities(model.values().cloned())?;
        let told = || format!("step {number}: {:#?}", model.values());
        ensure!(entities.len() == fresh.len() && entities.len() == model.len(), "{}", told());
        ensure!(hierarchy(&entities) == hierarchy(&fresh), "{}", told());
        ensure!(model.iter().all(|(uid, entity)| entities.get(uid) == Some(entity)), "{}", told());
        if choices.chance(128) {
            // Not each edit is followed by a decision.
            continue;
        }
        let request = typed::request(&mut choices)?;
        let decide = |entities: &Entities| engine.decide(&request, entities);
        match (decide(&entities), decide(&fresh)) {
            (Ok(given), Ok(expected)) => {
                let (given, expected) = (Answer::from(&given), Answer::from(&expected));
                ensure!(given == expected, "{given:?}, not {expected:?}: {}", told());
                let cedar = model.values().map(cedar_entity).collect::<Result<Vec<_>>>()?;
                let cedar = cedar_policy::Entities::from_entities(cedar, Some(&schema))?;
                let asked = cedar_request(&request, Some(&schema))?;
                let cedar = Answer::of_cedar(&asked, &cedar_policies, &cedar);
                let cedar = cedar.failing_closed(&cedar_policies);
                // Cedar calls them by their positions.
                ensure!(given.decision == cedar.decision, "{given:?}, not {cedar:?}: {}", told());
                ensure!(given.reasons.len() == cedar.reasons.len(), "{given:?}: {}", told());
                count(&seen.decided);
            }
            (Err(_), Err(_)) => count(&seen.unfit),
            (given, expected) => anyhow::bail!("{given:?}, not {expected:?}: {}", told()),
        }
        // What is laid over an edited set for one request is seen as well.
        if let Some(more) = entity(&mut choices)?
            && entities.get(&more.uid).is_none()
        {
            let with = |set: &Entities| set.with([more.clone()]).map(|set| hierarchy(&set));
            match (with(&entities), with(&fresh)) {
                (Ok(given), Ok(expected)) => ensure!(given == expected, "with: {}", told()),
                (Err(_), Err(_)) => {}
                (given, expected) => anyhow::bail!("with: {given:?}, not {expected:?}"),
            }
        }
    }
    Ok(())
}

fn engine() -> Result<Engine> {
    let builder = Engine::builder().schema("typed.cedarschema", typed::SCHEMA);
    Ok(builder.policies("p.cedar", POLICIES).unshadowed().build()?)
}

#[test]
fn entities_that_are_edited_are_as_fresh_ones() -> Result<()> {
    let (engine, seen) = (engine()?, Tally::default());
    holds(40, vec(any::<u8>(), 2_000..6_000), |bytes| script(bytes, 30, &engine, &seen))?;
    told(seen)
}

/// As those of policies, by the same variables.
#[test]
fn scripts_as_long_as_is_asked_for() -> Result<()> {
    let (engine, seen) = (engine()?, Tally::default());
    for_each_script(|number, steps| script(&random_bytes(number, steps), steps, &engine, &seen))?;
    told(seen)
}

/// Says what scripts did; it must not have been too little.
fn told(seen: Tally) -> Result<()> {
    let Tally { made, cycles, decided, unfit } = seen;
    let [made, cycles] = [made.get(), cycles.get()];
    let [decided, unfit] = [decided.get(), unfit.get()];
    eprintln!("{made} edits, {cycles} cycles; {decided} decisions, {unfit} refused");
    ensure!(
        made > 150 && cycles > 5 && decided > 50 && unfit > 10,
        "{made}, {cycles}, {decided}, {unfit}"
    );
    Ok(())
}

#[test]
fn a_member_that_is_laid_over_an_absent_group_is_not_worked_out_with_all_others() -> Result<()> {
    let group = |n: usize| format!("Group::\"g{n}\"").parse::<EntityUid>();
    let people = (0..2_000).map(|n| -> Result<Entity> {
        Ok(Entity::new(format!("User::\"u{n}\"").parse()?).with_parent(group(n % 40)?))
    });
    let people = Entities::from_entities(people.collect::<Result<Vec<_>>>()?)?;
    let given = people.with([Entity::new(group(7)?).with_parent(group(99)?)])?;
    let member = "User::\"u7\"".parse()?;
    let above: Vec<String> = given.ancestors(&member).map(ToString::to_string).collect();
    ensure!(above.contains(&"Group::\"g99\"".to_owned()), "{above:?}");
    ensure!(given.len() == 2_001);
    let refused = given.upsert(Entity::new(group(99)?).with_parent(member));
    ensure!(
        matches!(&refused, Err(EntitiesError::Cycle(uid)) if uid.contains("g99")),
        "{refused:?}"
    );
    Ok(())
}
