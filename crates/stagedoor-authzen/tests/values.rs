//! Values of JSON in the schema's terms, names by a mapping, and whose properties count.
#![expect(clippy::indexing_slicing, reason = "a field that is not there reads as `null`")]

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use stagedoor_authzen::{Mapping, Operation, Recording, World, answer};
use stagedoor_core::{Engine, Entities};

const SCHEMA: &str = "
    namespace App {
        entity Group;
        entity User in [Group] = {
            age?: Long, ok?: Bool, name?: String, tags?: Set<String>, ip?: ipaddr,
            price?: decimal, born?: datetime, wait?: duration, boss?: User,
            address?: { city: String, zip?: String }, level?: Long,
        };
        entity Doc;
        action read, \"can-write\" appliesTo { principal: User, resource: Doc, context: { mfa: Bool } };
    }
    namespace Other {
        action read appliesTo { principal: App::User, resource: App::Doc };
    }";

const POLICIES: &str = r#"
    @id("mfa") permit (principal, action == App::Action::"read", resource) when { context.mfa };
    @id("age") permit (principal, action, resource) when { principal has age && principal.age == 5 };
    @id("tags") permit (principal, action, resource) when { principal has tags && principal.tags.contains("a") };
    @id("ip") permit (principal, action, resource) when { principal has ip && principal.ip.isInRange(ip("10.0.0.0/8")) };
    @id("price") permit (principal, action, resource) when { principal has price && principal.price.lessThan(decimal("2.0")) };
    @id("born") permit (principal, action, resource) when { principal has born && principal.born < datetime("2000-01-01") };
    @id("wait") permit (principal, action, resource) when { principal has wait && principal.wait > duration("1h") };
    @id("boss") permit (principal, action, resource) when { principal has boss && principal.boss == App::User::"bob" };
    @id("city") permit (principal, action, resource) when { principal has address && principal.address.city == "Bern" };
    @id("group") permit (principal in App::Group::"ops", action, resource);
    @id("level") permit (principal, action == App::Action::"can-write", resource) when { principal has level && principal.level > 3 };
    @id("eve") forbid (principal, action, resource) when { principal has name && principal.name == "eve" };
"#;

fn world(mapping: &str) -> Result<World> {
    let engine = Engine::builder()
        .schema("app.cedarschema", SCHEMA)
        .policies("app.cedar", POLICIES)
        .build()?;
    let entities = json!([
        {"uid": {"type": "App::User", "id": "ann"}, "attrs": {"level": 2}, "parents": [{"type": "App::Group", "id": "ops"}]},
        {"uid": {"type": "App::User", "id": "bob"}, "attrs": {"level": 5}, "parents": []},
        {"uid": {"type": "App::Doc", "id": "1"}, "attrs": {}, "parents": []},
    ]);
    let entities = Entities::from_json_str(&entities.to_string(), engine.schema())?;
    Ok(World::new(engine, entities, &Mapping::from_yaml(mapping)?)?)
}

fn ask(world: &World, body: &Value) -> Result<Value> {
    let reply = answer(world, Operation::Evaluation, &body.to_string(), Recording::default())?;
    Ok(serde_json::from_slice(&reply.body)?)
}

fn question(user: &str, properties: Value, action: &str) -> Value {
    json!({
        "subject": {"type": "App::User", "id": user, "properties": properties},
        "action": {"name": action}, "resource": {"type": "App::Doc", "id": "1"},
        "context": {"mfa": false}, "options": {"explain": true},
    })
}

#[test]
fn every_kind_of_value_is_read_as_it_is_declared() -> Result<()> {
    let world = world("namespace: App")?;
    let right = [
        (json!({"age": 5}), "age"),
        (json!({"tags": ["b", "a", "a"]}), "tags"),
        (json!({"ip": "10.1.2.3"}), "ip"),
        (json!({"ip": {"__extn": {"fn": "ip", "arg": "10.1.2.3"}}}), "ip"),
        (json!({"price": "1.50"}), "price"),
        (json!({"born": "1999-12-31"}), "born"),
        (json!({"born": "1999-12-30T18:03-07:00"}), "born"),
        (json!({"born": "1999-12-31T18:03:00.123456Z"}), "born"),
        (json!({"wait": "1h30m"}), "wait"),
        (json!({"boss": {"type": "User", "id": "bob"}}), "boss"),
        (json!({"boss": {"__entity": {"type": "App::User", "id": "bob"}}}), "boss"),
        (json!({"address": {"city": "Bern", "country": "CH", "zip": null}}), "city"),
    ];
    for (properties, policy) in right {
        let answer = ask(&world, &question("zoe", properties.clone(), "read"))?;
        assert_eq!(answer["decision"], json!(true), "{properties}: {answer}");
        assert_eq!(answer["context"]["reasons"][0]["policy"], json!(policy), "{properties}");
    }
    let wrong = [
        json!({"age": 5.0}),
        json!({"age": "5"}),
        json!({"age": 9_223_372_036_854_775_808_u64}),
        json!({"ok": 1}),
        json!({"name": 7}),
        json!({"tags": "a"}),
        json!({"tags": ["a", 1]}),
        json!({"tags": ["a", null]}),
        json!({"ip": "10.1.2"}),
        json!({"ip": "x\") && true || ip(\"10.0.0.1"}),
        json!({"ip": {"__extn": {"fn": "decimal", "arg": "1.0"}}}),
        json!({"price": 1.5}),
        json!({"price": "1.23456"}),
        json!({"born": "yesterday"}),
        json!({"born": "1999-12-31T18:03:00"}),
        json!({"wait": "soon"}),
        json!({"boss": "bob"}),
        json!({"boss": {"type": "Nobody", "id": "bob"}}),
        json!({"boss": {"type": "App::Doc", "id": "1"}}),
        json!({"boss": {"__expr": "App::User::\"bob\""}}),
        json!({"address": {"zip": "3000"}}),
        json!({"address": "Bern"}),
    ];
    for properties in wrong {
        let mut question = question("zoe", properties.clone(), "read");
        question["context"]["mfa"] = json!(true);
        let answer = ask(&world, &question)?;
        assert_eq!(answer["decision"], json!(false), "{properties}: {answer}");
        assert!(answer["context"]["error"]["code"].is_string(), "{properties}: {answer}");
    }
    for context in [json!({}), json!({"mfa": "yes"}), json!(null)] {
        let mut question = question("zoe", json!({"age": 5}), "read");
        question["context"] = context;
        assert_eq!(ask(&world, &question)?["decision"], json!(false));
    }
    Ok(())
}

#[test]
fn names_are_those_of_the_schema_or_of_the_mapping() -> Result<()> {
    let plain = world("")?;
    // Two namespaces have this action: which one is not guessed.
    let refused = ask(&plain, &question("ann", json!({}), "read"))?;
    assert_eq!(refused["decision"], json!(false));
    assert_eq!(refused["context"]["error"]["code"], json!("authzen::ambiguous-action"));
    assert_eq!(plain.ambiguities().count(), 1);
    assert_eq!(ask(&plain, &question("ann", json!({}), "can-write"))?["decision"], json!(true));
    let mut short = question("ann", json!({}), "can-write");
    short["subject"]["type"] = json!("User");
    assert_eq!(ask(&plain, &short)?["context"]["error"]["code"], json!("authzen::unknown-type"));

    let mapped = world(
        "{namespace: App, types: {api-client: 'App::User'}, actions: {get: 'App::Action::\"read\"'}}",
    )?;
    assert_eq!(ask(&mapped, &short)?["decision"], json!(true));
    let mut client = question("ann", json!({}), "get");
    client["subject"]["type"] = json!("api-client");
    assert_eq!(ask(&mapped, &client)?["decision"], json!(true));
    let search = json!({
        "subject": {"type": "api-client", "id": "ann"}, "resource": {"type": "Doc", "id": "1"},
        "context": {"mfa": true},
    });
    let reply =
        answer(&mapped, Operation::SearchAction, &search.to_string(), Recording::default())?;
    let listed: Value = serde_json::from_slice(&reply.body)?;
    // Once each, by the mapping's name.
    assert_eq!(listed["results"], json!([{"name": "can-write"}, {"name": "get"}]));

    for wrong in [
        "{types: {a: 'App::Nothing'}}",
        "{actions: {a: 'App::Action::\"fly\"'}}",
        "{actions: {a: 'read'}}",
        "{namespace: Nowhere}",
    ] {
        assert!(world(wrong).is_err(), "{wrong}");
    }
    assert!(Mapping::from_yaml("{tpyes: {}}").is_err());
    Ok(())
}

#[test]
fn the_mapping_that_the_readme_shows_is_one() -> Result<()> {
    let readme = include_str!("../README.md");
    let (_, block) = readme.split_once("```yaml\n").context("a mapping")?;
    let (text, _) = block.split_once("```").context("its end")?;
    let mapping = Mapping::from_yaml(text)?;
    assert_eq!(mapping.actions.len(), 1);
    for word in ["sent", "stored"] {
        assert!(readme.contains(&format!("`{word}`")) || text.contains(word), "{word}");
        Mapping::from_yaml(&format!("properties: {word}"))?;
    }
    Ok(())
}

#[test]
fn what_is_sent_wins_unless_what_is_stored_does() -> Result<()> {
    let ask = |mapping: &str, user: &str, level: i64| -> Result<Value> {
        let body = question(user, json!({"level": level, "name": "x"}), "can-write");
        let answer = ask(&world(mapping)?, &body)?;
        Ok(answer.get("decision").context("a decision")?.clone())
    };
    assert_eq!(ask("", "bob", 1)?, json!(false));
    assert_eq!(ask("", "bob", 9)?, json!(true));
    assert_eq!(ask("properties: sent", "bob", 1)?, json!(false));
    assert_eq!(ask("properties: stored", "bob", 1)?, json!(true));
    // Nothing is stored of this one.
    assert_eq!(ask("properties: stored", "zoe", 9)?, json!(true));
    // Groups stay those of the store.
    assert_eq!(ask("", "ann", 1)?, json!(true));
    Ok(())
}

#[test]
fn one_entity_as_subject_and_resource_may_not_contradict_itself() -> Result<()> {
    let engine = Engine::builder()
        .schema(
            "s.cedarschema",
            "entity user = { a?: Long, b?: Long }; action see appliesTo { principal: user, resource: user };",
        )
        .policies("p.cedar", r#"@id("p") permit (principal, action, resource) when { principal has a && principal has b && resource has a };"#)
        .build()?;
    let world = World::new(engine, Entities::empty(), &Mapping::default())?;
    let body = |one: Value, other: Value| {
        json!({"subject": {"type": "user", "id": "x", "properties": one}, "action": {"name": "see"},
               "resource": {"type": "user", "id": "x", "properties": other}})
    };
    assert_eq!(ask(&world, &body(json!({"a": 1}), json!({"b": 2})))?, json!({"decision": true}));
    assert_eq!(
        ask(&world, &body(json!({"a": 1, "b": 2}), json!({"b": 2})))?,
        json!({"decision": true})
    );
    assert_eq!(
        ask(&world, &body(json!({"a": 1, "b": 2}), json!({"b": 3})))?,
        json!({"decision": false})
    );
    Ok(())
}
