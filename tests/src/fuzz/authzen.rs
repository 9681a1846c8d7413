//! The fuzz target for bodies of AuthZEN.

use std::sync::LazyLock;

use serde_json::{Value, json};
use stagedoor_authzen::{Mapping, Operation, Recording, World, answer};
use stagedoor_core::{Engine, Entities};

const SCHEMA: &str = include_str!(
    "../../../crates/stagedoor-authzen/tests/worlds/certification/certification.cedarschema"
);
const POLICIES: &str = include_str!(
    "../../../crates/stagedoor-authzen/tests/worlds/certification/certification.cedar"
);
const ENTITIES: &str =
    include_str!("../../../crates/stagedoor-authzen/tests/worlds/certification/entities.json");

static WORLD: LazyLock<Option<World>> = LazyLock::new(|| {
    let engine = Engine::builder().schema("a.cedarschema", SCHEMA).policies("a.cedar", POLICIES);
    let engine = engine.build().ok()?;
    let entities = Entities::from_json_str(ENTITIES, engine.schema()).ok()?;
    World::new(engine, entities, &Mapping::default()).ok()
});

/// Answers a body as each operation. A batch of one is what is asked alone, and what is listed is
/// what single questions say yes to.
pub fn authzen(bytes: &[u8]) {
    assert!(WORLD.is_some(), "the world does not load");
    let (Some(world), Ok(text)) = (WORLD.as_ref(), std::str::from_utf8(bytes)) else { return };
    for operation in Operation::ALL {
        let Ok(reply) = answer(world, operation, text, Recording::default()) else { continue };
        let replied: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        assert!(replied.is_object(), "{operation:?}: {text:?}");
        // A name that comes twice was refused, so that this reads the same.
        let asked: Value = serde_json::from_str(text).unwrap_or_default();
        if operation == Operation::Evaluation {
            let mut batch = asked.clone();
            set(&mut batch, "evaluations", json!([{}]));
            let told = evaluate(world, Operation::Evaluations, &batch);
            let told = told.as_ref().and_then(|told| told.pointer("/evaluations/0/decision"));
            // Options of batches are wrong in ways that a single question does not look at.
            if let Some(told) = told {
                assert_eq!(Some(told), replied.get("decision"), "{text:?}");
            }
        }
        for result in replied.get("results").and_then(Value::as_array).into_iter().flatten() {
            let mut single = asked.clone();
            let sought = match operation {
                Operation::SearchSubject => "subject",
                Operation::SearchResource => "resource",
                _ => "action",
            };
            set(&mut single, sought, result.clone());
            let told = evaluate(world, Operation::Evaluation, &single);
            let told = told.as_ref().and_then(|told| told.get("decision"));
            assert_eq!(told, Some(&Value::Bool(true)), "{result} of {text:?}");
        }
        if operation.is_search() && asked.get("page").is_none_or(Value::is_null) {
            complete(world, operation, &asked, &replied);
        }
    }
}

/// What is stored and single questions say yes to is in the list.
fn complete(world: &World, operation: Operation, asked: &Value, replied: &Value) {
    let stored = |kind: &str, ids: [&str; 2]| ids.map(|id| json!({"type": kind, "id": id}));
    let named = |names: [&str; 3]| names.map(|name| json!({ "name": name }));
    let (sought, given, candidates) = match operation {
        Operation::SearchSubject => {
            ("subject", "resource", stored("user", ["alice", "bob"]).to_vec())
        }
        Operation::SearchResource => {
            ("resource", "subject", stored("record", ["record-1", "record-2"]).to_vec())
        }
        _ => ("action", "", named(["read", "write", "delete"]).to_vec()),
    };
    // For whom or what is given and not stored nothing is listed.
    let is_stored = |part: &str| {
        let id = asked.pointer(&format!("/{part}/id")).and_then(Value::as_str);
        id.is_some_and(|id| ["alice", "bob", "record-1", "record-2"].contains(&id))
    };
    let given = if given.is_empty() { vec!["subject", "resource"] } else { vec![given] };
    if !given.into_iter().all(is_stored) {
        return;
    }
    let results = replied.get("results").and_then(Value::as_array);
    for candidate in candidates {
        let kind = asked.pointer(&format!("/{sought}/type"));
        if candidate.get("type").is_some_and(|own| Some(own) != kind) {
            continue;
        }
        let mut single = asked.clone();
        set(&mut single, sought, candidate.clone());
        let told = evaluate(world, Operation::Evaluation, &single);
        if told.as_ref().and_then(|told| told.get("decision")) == Some(&Value::Bool(true)) {
            let is_listed = results.is_some_and(|results| results.contains(&candidate));
            assert!(is_listed, "{operation:?} lacks {candidate}: {asked}");
        }
    }
}

fn set(body: &mut Value, name: &str, value: Value) {
    if let Some(members) = body.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
}

fn evaluate(world: &World, operation: Operation, body: &Value) -> Option<Value> {
    let reply = answer(world, operation, &body.to_string(), Recording::default()).ok()?;
    serde_json::from_slice(&reply.body).ok()
}
