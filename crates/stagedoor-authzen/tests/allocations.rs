//! What decisions, their records and first searches cost, in allocations: they do not depend on how
//! busy the machine is.

use std::alloc::System;
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use stagedoor_audit::{DecisionLog, Decisions, Form, LogOptions, Writer};
use stagedoor_authzen::{Mapping, Operation, Recording, World, answer};
use stagedoor_core::{Engine, Entities, Entity};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

/// Counts what all threads allocate.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Held by the one test that counts.
static COUNTING: Mutex<()> = Mutex::new(());

/// Returns how often memory was asked for, whether new or more of it.
fn allocations(work: impl FnOnce() -> Result<()>) -> Result<usize> {
    let region = Region::new(ALLOCATOR);
    work()?;
    let change = region.change();
    Ok(change.allocations + change.reallocations)
}

const DECISIONS: usize = 500;

/// The parts of a record are its id, its time and the list of its policies. All else is borrowed from
/// the request, or from the policies.
const ALLOCATIONS_OF_A_RECORD: usize = 3;

#[test]
fn a_record_allocates_next_to_nothing() -> Result<()> {
    let _counting = COUNTING.lock().unwrap_or_else(PoisonError::into_inner);
    let (schema, policies, entities) = (
        include_str!("worlds/certification/certification.cedarschema"),
        include_str!("worlds/certification/certification.cedar"),
        include_str!("worlds/certification/entities.json"),
    );
    let engine = Engine::builder().unshadowed();
    let engine = engine.schema("a.cedarschema", schema).policies("a.cedar", policies).build()?;
    let entities = Entities::from_json_str(entities, engine.schema())?;
    let world = World::new(engine, entities, &Mapping::default())?;
    let question = json!({
        "subject": {"type": "user", "id": "alice"}, "action": {"name": "read"},
        "resource": {"type": "record", "id": "record-1"},
        "context": {"time": "2025-06-27T18:03:07Z", "ip": "192.0.2.7"},
    })
    .to_string();
    let mut options = LogOptions::default();
    options.rules.decisions = Decisions::All;
    let log = DecisionLog::new(options, Form::Own, Box::new(Writer::new(std::io::sink())));
    let decide = |log: Option<&DecisionLog>| {
        let recording = Recording { log, request_id: "q-1", ..Recording::default() };
        for _ in 0..DECISIONS {
            let reply = answer(&world, Operation::Evaluation, &question, recording)?;
            ensure!(reply.decisions == [true]);
        }
        if let Some(log) = log {
            log.flush();
        }
        Ok(())
    };
    // What is made once is made.
    decide(Some(&log))?;
    let without = allocations(|| decide(None))?;
    let with = allocations(|| decide(Some(&log)))?;
    let of_records = with.saturating_sub(without);
    // The writer, which may come to rest and begin again, needs some room now and then.
    let most = DECISIONS * ALLOCATIONS_OF_A_RECORD + DECISIONS / 10;
    eprintln!("{of_records} allocations for {DECISIONS} records");
    assert!(of_records <= most, "{of_records} allocations for {DECISIONS} records, not {most}");
    let counts = log.counts();
    assert_eq!((counts.written, counts.dropped), (2 * DECISIONS as u64, 0));
    Ok(())
}

const SCHEMA: &str = "
    entity Team;
    entity User in [Team] = { department: String, level: Long };
    entity Doc = { department: String, owner: User, public: Bool };
    action read, edit, share appliesTo { principal: User, resource: Doc };";

const POLICIES: &str = r#"
    @id("public") permit (principal, action == Action::"read", resource) when { resource.public };
    @id("department") permit (principal, action == Action::"read", resource)
        when { principal.department == resource.department };
    @id("owner") permit (principal, action, resource) when { resource.owner == principal };
    @id("leads") permit (principal in Team::"leads", action == Action::"edit", resource)
        when { principal.level > 3 && principal.department == resource.department };"#;

const ENTITIES: usize = 20_000;

/// Half of them users, half of them documents.
fn entities() -> Result<Entities> {
    let uid = |kind: &str, n: usize| stagedoor_core::uid(kind, n.to_string());
    let mut all = Vec::with_capacity(ENTITIES);
    for n in 0..ENTITIES / 2 {
        let department = format!("d{}", n % 50);
        let mut user = Entity::new(uid("User", n)?)
            .with_attribute("department", department.as_str())
            .with_attribute("level", i64::try_from(n % 7)?);
        if n % 11 == 0 {
            user = user.with_parent(stagedoor_core::uid("Team", "leads")?);
        }
        all.push(user);
        all.push(
            Entity::new(uid("Doc", n)?)
                .with_attribute("department", department.as_str())
                .with_attribute("owner", uid("User", n * 7 % (ENTITIES / 2))?)
                .with_attribute("public", n % 13 == 0),
        );
    }
    Ok(Entities::from_entities(all)?)
}

#[test]
fn the_first_search_costs_what_later_ones_do() -> Result<()> {
    let _counting = COUNTING.lock().unwrap_or_else(PoisonError::into_inner);
    let engine = Engine::builder().unshadowed();
    let engine = engine.schema("s.cedarschema", SCHEMA).policies("p.cedar", POLICIES).build()?;
    let world = World::new(engine, entities()?, &Mapping::default())?;
    let index = world.index_entities()?;
    assert!(index.columns >= 5 && index.left_out == 0, "{index:?}");
    // Some of it is for each row: 4 bytes in each list that has it, 8 for its place.
    assert!(index.bytes < 64 * ENTITIES, "{index:?}");
    let (user, doc) = (json!({"type": "User", "id": "9"}), json!({"type": "Doc", "id": "5"}));
    let page = json!({"limit": 100});
    let mut searches = Vec::new();
    for action in ["read", "edit", "share"] {
        let action = json!({"name": action});
        let of_users =
            json!({"subject": {"type": "User"}, "action": action, "resource": doc, "page": page});
        let of_docs =
            json!({"subject": user, "action": action, "resource": {"type": "Doc"}, "page": page});
        searches.push((Operation::SearchSubject, of_users));
        searches.push((Operation::SearchResource, of_docs));
    }
    searches.push((Operation::SearchAction, json!({"subject": user, "resource": doc})));
    for (operation, body) in searches {
        let text = body.to_string();
        let search = |expected: &mut Option<Value>| {
            let reply = answer(&world, operation, &text, Recording::default())?;
            let reply = serde_json::from_slice(&reply.body)?;
            ensure!(expected.is_none() || *expected == Some(Value::clone(&reply)), "{reply}");
            *expected = Some(reply);
            Ok(())
        };
        let mut found = None;
        let first = allocations(|| search(&mut found))?;
        let later = allocations(|| search(&mut found))?;
        // The first looks up, for the rows that it comes to, which of their names policies know.
        let most = later * 2 + 4_096;
        assert!(first <= most, "{body}: {first} allocations at first, {later} later");
    }
    Ok(())
}
