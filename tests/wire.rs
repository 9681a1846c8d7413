//! The form that programs read and write: its corpus through the library, and what is generated
//! of it. With `UPDATE_CASES=1` and `UPDATE_GENERATED=1` they are written anew.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use stagedoor_core::{Engine, Entities, Entity, Request};
use stagedoor_tests::wire::WireSuite;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Compares a file with what it must be, or writes it where that is asked for.
fn up_to_date(path: &Path, text: &str, variable: &str) -> Result<()> {
    if std::env::var_os(variable).is_some() {
        std::fs::write(path, text)?;
    }
    let there = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let first = there.lines().zip(text.lines()).find(|(there, text)| there != text);
    ensure!(there == text, "{} is out of date: set {variable}=1: {first:#?}", path.display());
    Ok(())
}

#[test]
fn every_case_is_answered_as_it_is_written() -> Result<()> {
    let mut cases = 0;
    for entry in std::fs::read_dir(root().join("tests/cases/wire"))? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let suite: WireSuite = serde_json::from_str(&std::fs::read_to_string(&path)?)
            .with_context(|| path.display().to_string())?;
        let answers = suite.answers().with_context(|| path.display().to_string())?;
        up_to_date(&path.with_extension("jsonl"), &(answers.join("\n") + "\n"), "UPDATE_CASES")?;
        cases += answers.len();
    }
    ensure!(cases > 40, "only {cases} cases");
    Ok(())
}

#[test]
fn the_schema_and_the_types_are_up_to_date() -> Result<()> {
    let schema = serde_json::to_string_pretty(&stagedoor_wire::schema::json_schema())? + "\n";
    let types = stagedoor_wire::schema::typescript();
    for (path, text) in [
        ("crates/stagedoor-wire/wire.schema.json", &schema),
        ("bindings/node/wire.d.ts", &types),
        ("bindings/wasm/src/wire.ts", &types),
    ] {
        up_to_date(&root().join(path), text, "UPDATE_GENERATED")?;
    }
    // Every key that the answers of the corpus have is one of the schema's.
    for key in ["held-back", "not-satisfied", "unreported", "mayKeep", "interpreted"] {
        ensure!(schema.contains(key) && types.contains(key), "{key}");
    }
    Ok(())
}

/// What the core writes by itself is the form that `stagedoor-wire` has types for.
#[test]
fn the_core_writes_the_same_form() -> Result<()> {
    let schema = "
        entity Team; entity User in [Team] { level: Long };
        entity File { kind: String, size: Long, owner?: User };
        action open, close appliesTo { principal: User, resource: File, context: { mfa?: Bool } };";
    let policies = r#"
        @id("owners") @doc("Owners open what is theirs.")
        permit(principal, action == Action::"open", resource)
        when { resource has owner && resource.owner == principal };
        @id("team") permit(principal in Team::"ops", action, resource) when { context.mfa };
        @id("programs") forbid(principal, action, resource)
        when { resource.kind == "exe" || resource.size > 1000 };
        @id("low") forbid(principal, action == Action::"close", resource)
        when { principal.level + 9223372036854775807 > 3 };"#;
    let policies =
        policies.replace("when { context.mfa }", "when { context has mfa && context.mfa }");
    let engine = Engine::builder().schema("s.cedarschema", schema).policies("p.cedar", policies);
    let engine = engine.build()?;
    let user = |id: &str, level: i64| -> Result<Entity> {
        Ok(Entity::new(format!("User::{id:?}").parse()?).with_attribute("level", level))
    };
    let file = |id: &str, kind: &str, size: i64| -> Result<Entity> {
        let file = Entity::new(format!("File::{id:?}").parse()?);
        Ok(file.with_attribute("kind", kind).with_attribute("size", size))
    };
    let ana = user("ana", 3)?.with_parent("Team::\"ops\"".parse()?);
    let own = file("own", "txt", 1)?.with_attribute("owner", ana.uid.clone());
    let all = [ana, user("bo", 0)?, own, file("exe", "exe", 2000)?, file("txt", "txt", 1)?];
    let entities = Entities::from_entities(all.clone())?;
    let (mut held, mut turned, mut erred) = (0, 0, 0);
    for principal in ["ana", "bo"] {
        for action in ["open", "close"] {
            for (resource, mfa) in [("own", None), ("exe", Some(true)), ("txt", Some(false))] {
                let mut request = Request::new(
                    format!("User::{principal:?}").parse()?,
                    format!("Action::{action:?}").parse()?,
                    format!("File::{resource:?}").parse()?,
                );
                if let Some(mfa) = mfa {
                    request = request.with_context("mfa", mfa);
                }
                let json = serde_json::to_string(&request)?;
                ensure!(serde_json::from_str::<Request>(&json)? == request, "{json}");
                let explanation = engine.explain(&request, &entities)?;
                let typed = stagedoor_wire::Explanation::of(&explanation, &engine);
                held += typed.policies.iter().map(|policy| policy.held.len()).sum::<usize>();
                turned += typed.counterfactuals.len();
                erred += typed.decision.errors.len();
                let (own, typed) =
                    (serde_json::to_value(&explanation)?, serde_json::to_value(&typed)?);
                ensure!(own == typed, "{own:#}\nof the wire: {typed:#}");
                let outcome = explanation.outcome();
                let typed = stagedoor_wire::Decision::from(outcome);
                ensure!(serde_json::to_value(outcome)? == serde_json::to_value(typed)?);
                let ruling = serde_json::to_value(engine.ruling(&request, &entities)?)?;
                ensure!(ruling.get("decision") == own.get("decision"), "{ruling}");
            }
        }
    }
    ensure!(held > 3 && turned > 3 && erred > 2, "{held} held, {turned} turned, {erred} erred");

    // Entities come back as they were, and equal sets are written alike.
    let json = serde_json::to_string(&entities)?;
    let read: Entities = serde_json::from_str(&json)?;
    ensure!(serde_json::to_string(&read)? == json && read.len() == all.len(), "{json}");
    for entity in &all {
        ensure!(read.get(&entity.uid) == Some(entity), "{entity:?}");
        let alone: Entity = serde_json::from_str(&serde_json::to_string(entity)?)?;
        ensure!(alone == *entity, "{alone:?}");
    }
    let broken = Engine::builder().schema("s", schema).policies("p", "permit(oops);").build();
    let error = broken.err().context("policies that do not load")?;
    let typed: Vec<_> = error.problems().iter().map(stagedoor_wire::Problem::from).collect();
    let own = serde_json::to_value(&error)?;
    ensure!(own.get("problems") == Some(&serde_json::to_value(typed)?), "{own:#}");
    Ok(())
}

#[test]
fn values_are_read_as_they_were_written() -> Result<()> {
    use stagedoor_core::{Extension, Record, Value};

    let far =
        Extension::datetime("1970-01-01")?.offset(&Extension::duration("9000000000000000ms")?)?;
    let record = Record::from([("a b".into(), Value::from("\"\\\u{7f}")), ("n".into(), 1.into())]);
    let values = [
        Value::from(true),
        Value::from(i64::MIN),
        Value::from("o'brien"),
        Value::Entity("User::\"o\\'brien\"".parse()?),
        Value::from_iter([Value::from(1), Value::Set(Vec::new())]),
        Value::Record(record),
        Extension::ip("10.0.0.0/8")?.into(),
        Extension::decimal("-1.50")?.into(),
        far.into(),
    ];
    for value in values {
        let json = serde_json::to_string(&value)?;
        ensure!(serde_json::from_str::<Value>(&json)? == value, "{json}");
        let text = value.to_string();
        ensure!(text.parse::<Value>()? == value, "{text}");
    }
    for json in ["null", "1.5", r#"{"__entity": {"typ": "U", "id": "a"}}"#, r#"{"a": 1, "a": 2}"#] {
        ensure!(serde_json::from_str::<Value>(json).is_err(), "{json}");
    }
    for text in ["principal", "1 +", "User::ana", "if true then 1 else 2", "ip(\"x\")", ""] {
        ensure!(text.parse::<Value>().is_err(), "{text}");
    }
    Ok(())
}
