//! Requests that are not quite, or not at all, what they should be; batches, ids, metadata,
//! reloads and records.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::serving::{Serving, eventually, shared};

const EVALUATION: &str = "/access/v1/evaluation";
const EVALUATIONS: &str = "/access/v1/evaluations";

fn certification() -> Result<Serving> {
    let world = shared("worlds/certification");
    let world = world.to_str().context("a path")?;
    Serving::start(&["--policies", world, "--entities", world, "--max-body", "64"])
}

fn question() -> Value {
    json!({
        "subject": {"type": "user", "id": "alice"}, "action": {"name": "read"},
        "resource": {"type": "record", "id": "record-1"},
    })
}

#[test]
fn bad_requests_are_told_so_and_none_makes_a_server_error() -> Result<()> {
    let serving = certification()?;
    let without = |path: &[&str]| {
        let mut body = question();
        match path {
            [a] => drop(body.as_object_mut().and_then(|o| o.remove(*a))),
            [a, b] => drop(body[*a].as_object_mut().and_then(|o| o.remove(*b))),
            _ => {}
        }
        body.to_string()
    };
    let with = |path: &[&str], value: Value| {
        let mut body = question();
        match path {
            [a] => body[*a] = value,
            [a, b] => body[*a][*b] = value,
            _ => {}
        }
        body.to_string()
    };
    let bad = [
        without(&["subject"]),
        without(&["action"]),
        without(&["resource"]),
        without(&["subject", "type"]),
        without(&["subject", "id"]),
        without(&["action", "name"]),
        without(&["resource", "type"]),
        without(&["resource", "id"]),
        with(&["subject"], json!("alice")),
        with(&["subject"], json!(null)),
        with(&["subject", "id"], json!(1)),
        with(&["action", "name"], json!(1)),
        with(&["subject", "properties"], json!([])),
        with(&["context"], json!("x")),
        String::new(),
        "{".to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
        "\u{feff}{}".to_owned(),
        r#"{"subject":{"type":"user","id":"alice","id":"bob"},"action":{"name":"read"},"resource":{"type":"record","id":"record-1"}}"#.to_owned(),
        r#"{"subject":{"type":"user","id":"alice"},"action":{"name":"read"},"resource":{"type":"record","id":"record-1"},"context":{"a":{"b":1,"b":1}}}"#.to_owned(),
        r#"{"subject":{"type":"user","id":"\ud800"},"action":{"name":"read"},"resource":{"type":"record","id":"x"}}"#.to_owned(),
        "[".repeat(10_000),
        format!(r#"{{"a":{}1{}}}"#, "[".repeat(5_000), "]".repeat(5_000)),
    ];
    for body in &bad {
        for path in [EVALUATION, EVALUATIONS] {
            let answered = serving.post(path, body, &[("x-request-id", "q-1")])?;
            let start: String = body.chars().take(120).collect();
            assert_eq!(answered.code, 400, "{path} {start}: {}", answered.text);
            assert!(answered.json()?.is_string(), "{}", answered.text);
            assert_eq!(answered.headers["x-request-id"], "q-1");
        }
    }
    for (search, missing) in [
        ("subject", vec!["action", "subject", "resource"]),
        ("resource", vec!["action", "subject", "resource"]),
        ("action", vec!["subject", "resource"]),
    ] {
        for name in missing {
            let answered =
                serving.post(&format!("/access/v1/search/{search}"), &without(&[name]), &[])?;
            assert_eq!(answered.code, 400, "{search} without {name}");
        }
    }
    for type_ in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""] {
        let answered =
            serving.post(EVALUATION, &question().to_string(), &[("content-type", type_)])?;
        assert_eq!(answered.code, 400, "{type_}");
    }
    let good =
        [("content-type", "Application/JSON; charset=utf-8"), ("authorization", "undefined")];
    assert_eq!(serving.post(EVALUATION, &question().to_string(), &good)?.code, 200);
    let large = with(&["context"], json!({"x": "y".repeat(70_000)}));
    assert_eq!(serving.post(EVALUATION, &large, &[])?.code, 413);
    let fits = with(&["context"], json!({"x": "y".repeat(60_000)}));
    assert_eq!(serving.post(EVALUATION, &fits, &[])?.code, 200);
    assert_eq!(serving.get(EVALUATION)?.code, 405);
    assert_eq!(serving.get(EVALUATION)?.headers["allow"], "POST");
    assert_eq!(serving.get("/access/v1/nothing")?.code, 404);
    let metrics = serving.get("/metrics")?.text;
    assert!(metrics.contains(r#"stagedoor_refusals_total{code="400"}"#), "{metrics}");
    assert!(!metrics.contains(r#"code="5"#), "{metrics}");
    serving.end()?;
    Ok(())
}

#[test]
fn what_is_not_declared_is_left_out_and_what_is_wrong_is_denied() -> Result<()> {
    let serving = certification()?;
    let with = |part: &str, properties: Value| {
        let mut body = question();
        body[part]["properties"] = properties;
        body
    };
    assert!(serving.decision(&with("subject", json!({"department": "x", "a": {"b": [1, null]}})))?);
    assert!(serving.decision(&with("action", json!({"method": "GET"})))?);
    assert!(serving.decision(&with("resource", json!({"owner": "x", "status": null})))?);
    assert!(!serving.decision(&with("resource", json!({"status": 1})))?);
    assert!(!serving.decision(&with("subject", json!({"role": ["admin"]})))?);
    let mut unknown = question();
    unknown["subject"]["type"] = json!("spaceship");
    assert!(!serving.decision(&unknown)?);
    unknown = question();
    unknown["action"]["name"] = json!("fly");
    assert!(!serving.decision(&unknown)?);
    // The key of an action's properties is not the context's to set.
    let mut forged = question();
    forged["action"]["name"] = json!("delete");
    forged["context"] = json!({"action": {"soft": true}});
    assert!(!serving.decision(&forged)?);
    let (records, _) = serving.end()?;
    let pruned: Vec<&Value> =
        records.iter().map(|r| &r["pruned"]).filter(|p| p.is_array()).collect();
    assert!(
        pruned.contains(&&json!(["subject.properties.a", "subject.properties.department"])),
        "{pruned:?}"
    );
    assert!(pruned.contains(&&json!(["context.action"])), "{pruned:?}");
    Ok(())
}

#[test]
fn several_evaluations_have_defaults_orders_and_ends() -> Result<()> {
    let serving = certification()?;
    let ask = |body: Value| serving.ask(EVALUATIONS, &body);
    let read = |id: &str| json!({"resource": {"type": "record", "id": id}});
    let (yes, no) = (json!({"decision": true}), json!({"decision": false}));
    let batch = |items: Value, options: Value| {
        json!({"subject": {"type": "user", "id": "alice"}, "action": {"name": "read"},
               "evaluations": items, "options": options})
    };
    let items = json!([read("record-1"), read("record-2"), {}, read("record-1")]);
    // The third lacks a resource: an error, which denies it.
    let all = json!([yes, no, no, yes]);
    for options in
        [json!(null), json!({}), json!({"evaluations_semantic": "execute_all", "other": 1})]
    {
        assert_eq!(ask(batch(items.clone(), options))?, json!({"evaluations": all}));
    }
    let semantic = |name: &str| json!({"evaluations_semantic": name});
    let first_deny = batch(items.clone(), semantic("deny_on_first_deny"));
    assert_eq!(ask(first_deny)?, json!({"evaluations": [yes, no]}));
    let first_permit = batch(items.clone(), semantic("permit_on_first_permit"));
    assert_eq!(ask(first_permit)?, json!({"evaluations": [yes]}));
    let error_first = json!([{}, 7, read("record-1"), read("record-1")]);
    let denied = batch(error_first.clone(), semantic("deny_on_first_deny"));
    assert_eq!(ask(denied)?, json!({"evaluations": [no]}));
    let permitted = batch(error_first, semantic("permit_on_first_permit"));
    assert_eq!(ask(permitted)?, json!({"evaluations": [no, no, yes]}));
    assert_eq!(
        serving.post(EVALUATIONS, &batch(items, semantic("maybe")).to_string(), &[])?.code,
        400
    );
    assert_eq!(serving.post(EVALUATIONS, &batch(json!({}), json!({})).to_string(), &[])?.code, 400);

    // Without items it is a single evaluation; a default that is not used is not looked at.
    let mut single = question();
    assert_eq!(ask(single.clone())?, yes);
    single["evaluations"] = json!([]);
    assert_eq!(ask(single.clone())?, yes);
    single["evaluations"] = json!([{}, {"action": {"name": "delete"}}]);
    assert_eq!(ask(single.clone())?, json!({"evaluations": [yes, no]}));
    let unused = json!({"resource": {}, "context": 7, "evaluations": [
        {"subject": {"type": "user", "id": "bob"}, "action": {"name": "read"},
         "resource": {"type": "record", "id": "record-1"}, "context": {}},
    ]});
    assert_eq!(ask(unused)?, json!({"evaluations": [yes]}));

    // Reasons, where they are asked for.
    single["options"] = json!({"explain": true});
    let explained = ask(single)?;
    assert_eq!(
        explained["evaluations"][0]["context"]["reasons"][0]["policy"],
        json!("alice-reads-and-writes")
    );
    assert_eq!(explained["evaluations"][1]["context"]["reasons"], json!([]));
    let mut one = question();
    one["options"] = json!({"explain": true});
    let one = serving.ask(EVALUATION, &one)?;
    assert_eq!(one["context"]["reasons"][0]["effect"], json!("permit"), "{one}");
    serving.end()?;
    Ok(())
}

#[test]
fn the_metadata_is_that_of_the_public_url() -> Result<()> {
    let world = shared("worlds/certification");
    let world = world.to_str().context("a path")?;
    let serving =
        Serving::start(&["--policies", world, "--public-url", "https://pdp.example.com/t1/"])?;
    let answered = serving.get("/.well-known/authzen-configuration/t1")?;
    assert_eq!(answered.code, 200);
    assert_eq!(answered.headers["content-type"], "application/json");
    let base = "https://pdp.example.com/t1";
    assert_eq!(
        answered.json()?,
        json!({
            "policy_decision_point": base,
            "access_evaluation_endpoint": format!("{base}/access/v1/evaluation"),
            "access_evaluations_endpoint": format!("{base}/access/v1/evaluations"),
            "search_subject_endpoint": format!("{base}/access/v1/search/subject"),
            "search_resource_endpoint": format!("{base}/access/v1/search/resource"),
            "search_action_endpoint": format!("{base}/access/v1/search/action"),
        })
    );
    assert_eq!(serving.get("/.well-known/authzen-configuration")?.code, 404);
    for path in ["/t1/access/v1/evaluation", "/access/v1/evaluation"] {
        assert_eq!(serving.post(path, &question().to_string(), &[])?.code, 200);
    }
    serving.end()?;
    let serving = certification()?;
    let metadata = serving.get("/.well-known/authzen-configuration")?.json()?;
    assert_eq!(metadata["policy_decision_point"], json!(serving.base));
    serving.end()?;
    Ok(())
}

fn write(directory: &Path, name: &str, text: &str) -> Result<()> {
    // As editors and ConfigMaps do it: in one step.
    let new = directory.join(format!(".{name}.new"));
    std::fs::write(&new, text)?;
    Ok(std::fs::rename(new, directory.join(name))?)
}

#[test]
fn policies_and_entities_are_reloaded_and_what_does_not_load_changes_nothing() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path();
    let world = shared("worlds/certification");
    for name in ["certification.cedar", "certification.cedarschema", "entities.json"] {
        std::fs::copy(world.join(name), path.join(name))?;
    }
    let place = path.to_str().context("a path")?;
    let serving = Serving::start(&["--policies", place, "--entities", place])?;
    assert!(serving.decision(&question())?);
    let entities = std::fs::read_to_string(path.join("entities.json"))?;
    write(path, "entities.json", &entities.replace("active", "locked"))?;
    eventually("the entities are in force", || Ok(!serving.decision(&question())?))?;

    write(path, "entities.json", "[{\"uid\": 1}]")?;
    serving.signal("-HUP")?;
    serving.signal("-USR1")?;
    serving.signal("-USR2")?;
    eventually("the failure shows", || {
        Ok(serving.get("/readyz?verbose")?.text.contains("[!]policy-reload failed"))
    })?;
    assert!(!serving.decision(&question())?, "those before stay in force");
    let all = "@id(\"all\") permit (principal, action, resource);";
    write(path, "certification.cedar", all)?;
    write(path, "entities.json", &entities)?;
    serving.signal("-HUP")?;
    eventually("the policies are in force", || serving.decision(&question()))?;
    let (records, log) = serving.end()?;
    assert!(log.contains("stay in force"), "{log}");
    let reloads: Vec<&str> = records
        .iter()
        .filter(|record| record["endpoint"] == "reload")
        .filter_map(|record| record["outcome"].as_str())
        .collect();
    assert!(reloads.starts_with(&["changed", "changed", "failed"]), "{reloads:?}");
    assert_eq!(reloads.last(), Some(&"changed"));
    Ok(())
}

#[test]
fn nobody_listens_to_the_world_without_saying_so() -> Result<()> {
    let world = shared("worlds/certification");
    let world = world.to_str().context("a path")?;
    let refused: [(&[&str], &str); 5] = [
        (&["--listen", "0.0.0.0:0"], "TLS"),
        (&["--listen", "0.0.0.0:0", "--tls-cert", "a", "--tls-key", "b"], "prove who they are"),
        (&["--public-url", "http://pdp.example.com"], "https://"),
        (&["--public-url", "https://pdp.example.com/?a=b"], "query"),
        (&["--jwks", "keys.json"], "--audience"),
    ];
    for (args, expected) in refused {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_stagedoor"))
            .args(["serve", "authzen", "--policies", world])
            .args(args)
            .output()?;
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {text}");
        assert!(text.contains(expected), "{args:?}: {text}");
    }
    Ok(())
}
