//! Values made in every way, hostile texts included: what the index, the compiled conditions and
//! Cedar's own evaluator make of them is one and the same.

use anyhow::{Context as _, Result, ensure};
use cedar_policy::{PolicySet, Schema};
use stagedoor_core::{
    Engine, Entities, Entity, EntityUid, Extension, ExtensionType, Record, Request, Value,
};
use stagedoor_tests::conformance::Answer;
use stagedoor_tests::faces;
use stagedoor_tests::trial::{cedar_entity, cedar_request};

/// Texts that are, or pretend to be, something else than what they are given as.
const TEXTS: [&str; 38] = [
    "exe",
    "\"exe\"",
    "1",
    "true",
    "User::\"alice\"",
    "[\"exe\"]",
    "[]",
    "{}",
    "{\"a\": 1}",
    "",
    " ",
    "10.0.0.1",
    "10.0.0.0/8",
    "10.0.0.1 ",
    "::1",
    "0:0:0:0:0:0:0:1",
    "::ffff:10.0.0.1",
    "1.5",
    "1.50",
    "1.50000",
    "-0.0",
    "0.0",
    "922337203685477.5808",
    "2026-01-01",
    "2026-01-01T00:00:00Z",
    "2026-01-01T01:00:00+0100",
    "2026-02-30",
    "1d",
    "24h",
    "-86400000ms",
    "1d1d",
    "ip(\"10.0.0.1\")",
    "ip(\"10.0.0.1\").isLoopback()",
    "decimal(\"1.5\").lessThan(decimal(\"2.0\"))",
    "datetime(\"2026-01-01\").offset(duration(\"1d\"))",
    "datetime(\"2026-01-02\").offset(duration(\"-1d\"))",
    "\") || true || ip(\"::1",
    "\\u{65}xe",
];

const FUNCTIONS: [&str; 7] =
    ["ip", "decimal", "datetime", "duration", "offset", "isLoopback", "unknown"];

/// What conditions compare a value with.
const OTHERS: [&str; 14] = [
    "\"exe\"",
    "\"\\\"exe\\\"\"",
    "\"10.0.0.1\"",
    "1",
    "true",
    "User::\"alice\"",
    "[\"exe\"]",
    "{a: 1}",
    "ip(\"10.0.0.1\")",
    "ip(\"::1\")",
    "decimal(\"1.5\")",
    "datetime(\"2026-01-01\")",
    "duration(\"1d\")",
    "datetime(\"2025-12-31\").offset(duration(\"1d\"))",
];

/// Returns every value that some public way makes of a text, with the name of the way.
fn made(text: &str) -> Vec<(String, Value)> {
    let mut made: Vec<(String, Value)> = vec![
        ("a string".to_owned(), text.into()),
        ("a set".to_owned(), Value::from_iter([text])),
        ("a record".to_owned(), Record::from([("a".into(), Value::from(text))]).into()),
    ];
    let mut add =
        |way: String, value: Result<Value, String>| made.extend(value.ok().map(|v| (way, v)));
    let own = |value: Result<Extension, stagedoor_core::ValueError>| {
        value.map(Value::from).map_err(|e| e.to_string())
    };
    add("decimal".into(), own(Extension::decimal(text)));
    add("datetime".into(), own(Extension::datetime(text)));
    add("duration".into(), own(Extension::duration(text)));
    add("ip".into(), own(Extension::ip(text)));
    add("parse".into(), own(text.parse()));
    for function in FUNCTIONS {
        add(format!("new {function}"), own(Extension::new(function, text)));
        add(format!("parse {function}"), own(format!("{function}({text:?})").parse()));
        let json = serde_json::json!({"__extn": {"fn": function, "arg": text}});
        add(format!("JSON {function}"), from_json(&json));
        let call = serde_json::json!({"__extn": {"fn": "datetime", "arg": "2026-01-01"}});
        let json = serde_json::json!({"__extn": {"fn": function, "args": [call, text]}});
        add(format!("JSON {function} of two"), from_json(&json));
    }
    let day = serde_json::json!({"__extn": {"fn": "datetime", "arg": text}});
    let span = serde_json::json!({"__extn": {"fn": "duration", "arg": "1d"}});
    let offset = serde_json::json!({"__extn": {"fn": "offset", "args": [day, span]}});
    add("JSON of nested calls".into(), from_json(&offset));
    add("JSON expression".into(), from_json(&serde_json::json!({"__expr": text})));
    if let Ok(json) = serde_json::from_str(text) {
        add("JSON".into(), from_json(&json));
    }
    made
}

/// Reads a value as part of a context and of an entity, which must come to the same.
fn from_json(json: &serde_json::Value) -> Result<Value, String> {
    let request = serde_json::json!({
        "principal": "User::\"a\"", "action": "Action::\"a\"", "resource": "File::\"f\"",
        "context": {"v": json},
    });
    let entities = serde_json::json!([
        {"uid": {"type": "File", "id": "f"}, "attrs": {"v": json}, "parents": []}
    ]);
    let of_entity = Entities::from_json_str(&entities.to_string(), None)
        .map_err(|e| e.to_string())
        .and_then(|entities| {
            let file = entities.iter().next().and_then(|file| file.attributes.get("v").cloned());
            file.ok_or_else(|| "no attribute".to_owned())
        });
    let of_context = Request::from_json_str(&request.to_string(), None)
        .map_err(|e| e.to_string())
        .and_then(|request| request.context.get("v").cloned().ok_or("no field".to_owned()));
    match (of_context, of_entity) {
        (Ok(one), Ok(other)) if one == other => Ok(one),
        (Err(one), Err(_)) => Err(one),
        (one, other) => Err(format!("{one:?} is not {other:?}")),
    }
}

/// Returns policies that look at `context.v` and `resource.v` in every way.
fn policies() -> String {
    let mut text = String::from("permit(principal, action, resource);\n");
    let mut forbid = |condition: String| {
        text.push_str(&format!("forbid(principal, action, resource) when {{ {condition} }};\n"));
    };
    for at in ["context.v", "resource.v"] {
        for other in OTHERS {
            forbid(format!("{at} == {other}"));
            forbid(format!("[{other}, 7].contains({at})"));
            forbid(format!("[{at}].containsAny([{other}, \"no\"])"));
            forbid(format!("[[{at}]] == [[{other}]]"));
        }
        for relation in [
            "like \"*exe*\"",
            "< 2",
            "< datetime(\"2026-01-02\")",
            ">= duration(\"1h\")",
            ".isIpv4()",
            ".isInRange(ip(\"10.0.0.0/8\"))",
            ".lessThan(decimal(\"2.0\"))",
            ".toDate() == datetime(\"2026-01-01\")",
            ".contains(\"exe\")",
            ".isEmpty()",
            "has a",
            "is User",
            "in User::\"alice\"",
            ".a == 1",
        ] {
            forbid(format!("{at} {relation}"));
        }
        forbid(at.to_owned());
        forbid(format!("{at} == [{at}]"));
    }
    forbid("context.v == resource.v".to_owned());
    forbid("resource.getTag(\"v\") == context.v && [context.v] == [resource.v]".to_owned());
    text
}

fn uid(text: &str) -> Result<EntityUid> {
    Ok(text.parse()?)
}

fn request(value: &Value) -> Result<Request> {
    let request = Request::new(uid("User::\"a\"")?, uid("Action::\"a\"")?, uid("File::\"f\"")?);
    Ok(request.with_context("v", value.clone()))
}

#[test]
fn whatever_makes_a_value_all_evaluators_see_the_same() -> Result<()> {
    let text = policies();
    let exact = || Engine::builder().policies("p.cedar", text.as_str()).exact_cedar();
    let indexed = exact().build()?;
    let walked = exact().index(false).build()?;
    let interpreted = exact().compiled(false).build()?;
    let set: PolicySet = text.parse()?;
    let mut compared = 0;
    for (text, (way, value)) in
        TEXTS.iter().flat_map(|text| made(text).into_iter().map(move |value| (text, value)))
    {
        let told = || format!("{value} made of {text:?} by {way}");
        // An address is never a string, whatever it is made of.
        if let Value::Extension(extension) = &value {
            let again: Extension = extension.to_string().parse().with_context(told)?;
            ensure!(again == *extension, "{}: {again}", told());
            let json = serde_json::to_value(&value)?;
            let again = from_json(&json).map_err(anyhow::Error::msg).with_context(told)?;
            ensure!(again == value, "{} as {json}: {again}", told());
        }
        let request = request(&value)?;
        let file = Entity::new(uid("File::\"f\"")?).with_attribute("v", value.clone());
        let file = file.with_tag("v", value.clone());
        let entities = Entities::from_entities([file.clone()])?;
        let cedar = cedar_policy::Entities::from_entities([cedar_entity(&file)?], None)?;
        let expected = Answer::of_cedar(&cedar_request(&request, None)?, &set, &cedar);
        for (how, engine) in
            [("indexed", &indexed), ("walked", &walked), ("interpreted", &interpreted)]
        {
            let given = Answer::from(&engine.decide(&request, &entities)?);
            ensure!(given == expected, "{how}: {}: {given:?}, not {expected:?}", told());
        }
        compared += faces::agree(&indexed, &request, &[file]).with_context(told)?;
    }
    eprintln!("{compared} answers compared");
    ensure!(compared > 500, "only {compared}");
    Ok(())
}

#[test]
fn a_value_fits_a_schema_where_cedar_says_so() -> Result<()> {
    for (type_, expected) in [
        ("String", None),
        ("Long", None),
        ("Bool", None),
        ("User", None),
        ("Set<String>", None),
        ("{ a: String }", None),
        ("ipaddr", Some(ExtensionType::Ipaddr)),
        ("decimal", Some(ExtensionType::Decimal)),
        ("datetime", Some(ExtensionType::Datetime)),
        ("duration", Some(ExtensionType::Duration)),
    ] {
        let text = format!(
            "entity User; entity File {{ v: {type_} }} tags {type_};
             action a appliesTo {{ principal: User, resource: File, context: {{ v: {type_} }} }};"
        );
        let (schema, _) = Schema::from_cedarschema_str(&text)?;
        let engine = Engine::builder()
            .schema("s.cedarschema", text.as_str())
            .policies("p.cedar", "permit(principal, action, resource);")
            .build()?;
        for (way, value) in TEXTS.iter().flat_map(|text| made(text)) {
            let request = request(&value)?;
            let entities = Entities::from_entities([
                Entity::new(uid("File::\"f\"")?).with_attribute("v", value.clone())
            ])?;
            let cedar = cedar_request(&request, Some(&schema));
            let given = engine.decide(&request, &entities);
            ensure!(given.is_ok() == cedar.is_ok(), "{value} by {way} as {type_}: {given:?}");
            if let Value::Extension(extension) = &value {
                let fits = Some(extension.extension_type()) == expected;
                ensure!(given.is_ok() == fits, "{value} by {way} as {type_}: {given:?}");
            }
        }
    }
    Ok(())
}

/// A forbid once was walked around by an extension value whose text was a string's.
#[test]
fn no_text_makes_an_extension_value_that_passes_for_another() {
    for text in TEXTS {
        for (way, value) in made(text) {
            let is_extension = matches!(value, Value::Extension(_));
            let expected = ["decimal", "datetime", "duration", "ip", "parse", "new", "JSON"];
            assert!(
                !is_extension || expected.iter().any(|e| way.starts_with(e)),
                "{way}: {value:?}"
            );
        }
    }
    for text in ["\"exe\"", "1", "true", "User::\"alice\"", "[\"exe\"]", "{}"] {
        assert!(text.parse::<Extension>().is_err(), "{text}");
        for function in FUNCTIONS {
            assert!(Extension::new(function, text).is_err(), "{function}({text})");
        }
    }
}
