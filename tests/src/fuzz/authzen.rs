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
