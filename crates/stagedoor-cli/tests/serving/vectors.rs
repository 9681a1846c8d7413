//! The public vectors, each asked of the command as its runner does.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::serving::{Serving, shared};

fn read(path: &str) -> Result<Value> {
    Ok(serde_json::from_str(&std::fs::read_to_string(shared(path))?)?)
}

fn list<'v>(value: &'v Value, what: &str) -> Result<&'v Vec<Value>> {
    value.as_array().with_context(|| what.to_owned())
}

/// Serves a world with these entities.
fn serve(world: &str, entities: &Value) -> Result<(Serving, tempfile::TempDir)> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("entities.json");
    std::fs::write(&file, entities.to_string())?;
    let policies = shared(&format!("worlds/{world}"));
    let policies = policies.to_str().context("a path")?;
    let file = file.to_str().context("a path")?.to_owned();
    Ok((Serving::start(&["--policies", policies, "--entities", &file])?, directory))
}

fn people(type_: &str, with_email: bool) -> Result<Value> {
    let users = read("data/todo/users.json")?;
    let entity = |user: &Value| {
        let mut attributes = json!({"roles": user["roles"]});
        if with_email {
            attributes["email"] = user["email"].clone();
        }
        json!({"uid": {"type": type_, "id": user["id"]}, "attrs": attributes, "parents": []})
    };
    Ok(list(&users, "users")?.iter().map(entity).collect())
}

/// Asks every evaluation and batch of a file; returns how many there were.
fn evaluations(serving: &Serving, path: &str) -> Result<usize> {
    let vectors = read(path)?;
    let mut asked = 0;
    for vector in list(&vectors["evaluation"], path)? {
        let answer = serving.ask("/access/v1/evaluation", &vector["request"])?;
        assert_eq!(answer, json!({"decision": vector["expected"]}), "{}", vector["request"]);
        asked += 1;
    }
    for vector in vectors["evaluations"].as_array().into_iter().flatten() {
        let answer = serving.ask("/access/v1/evaluations", &vector["request"])?;
        assert_eq!(answer, json!({"evaluations": vector["expected"]}), "{}", vector["request"]);
        asked += 1;
    }
    Ok(asked)
}

#[test]
fn todo_in_both_forms() -> Result<()> {
    let (serving, _directory) = serve("todo", &people("user", true)?)?;
    let asked = evaluations(&serving, "data/todo/decisions-authorization-api-1_0-01.json")?
        + evaluations(&serving, "data/todo/decisions-authorization-api-1_0-02.json")?;
    assert_eq!(asked, 83);
    // Who owns it and is a viewer does not update it, whatever the text of the scenario says.
    let users = read("data/todo/users.json")?;
    let viewer = &users[3];
    assert!(!serving.decision(&json!({
        "subject": {"type": "user", "id": viewer["id"]}, "action": {"name": "can_update_todo"},
        "resource": {"type": "todo", "id": "1", "properties": {"ownerID": viewer["email"]}},
    }))?);
    serving.end()?;
    Ok(())
}

#[test]
fn gateway() -> Result<()> {
    let (serving, _directory) = serve("gateway", &people("identity", false)?)?;
    assert_eq!(evaluations(&serving, "data/gateway/decisions.json")?, 25);
    serving.end()?;
    Ok(())
}

/// Sorts results as the runners do.
fn sorted(answer: &Value) -> Result<Vec<String>> {
    let mut results: Vec<String> =
        list(&answer["results"], "results")?.iter().map(Value::to_string).collect();
    results.sort();
    Ok(results)
}

#[test]
fn searches() -> Result<()> {
    let entity = |type_: &str, value: &Value, names: &[&str]| {
        let id = value["id"].as_str().map_or_else(|| value["id"].to_string(), str::to_owned);
        let attribute = |name: &&str| {
            (
                (*name).to_owned(),
                match *name {
                    "owner" => json!({"type": "user", "id": value["owner"]}),
                    name => value[name].clone(),
                },
            )
        };
        let attributes: serde_json::Map<_, _> = names.iter().map(attribute).collect();
        json!({"uid": {"type": type_, "id": id}, "attrs": attributes, "parents": []})
    };
    let (users, records) = (read("data/search/users.json")?, read("data/search/records.json")?);
    let users = list(&users, "users")?.iter().map(|u| entity("user", u, &["role", "department"]));
    let names = ["title", "department", "owner"];
    let records = list(&records, "records")?.iter().map(|r| entity("record", r, &names));
    let (serving, _directory) = serve("search", &users.chain(records).collect())?;

    let actions = read("data/search/action-results.json")?;
    let mut asked = 0;
    for vector in list(&actions["evaluation"], "actions")? {
        let answer = serving.ask("/access/v1/search/action", &vector["request"])?;
        assert_eq!(sorted(&answer)?, sorted(&vector["expected"])?, "{}", vector["request"]);
        assert!(answer.get("page").is_none(), "{answer}");
        asked += 1;
    }
    assert_eq!(asked, 120);
    let resources = read("data/idp/results.json")?;
    for vector in list(&resources["search"], "resources")? {
        let answer = serving.ask("/access/v1/search/resource", &vector["request"])?;
        assert_eq!(sorted(&answer)?, sorted(&vector["expected"])?, "{}", vector["request"]);
        asked += 1;
    }
    assert_eq!(asked, 126);

    // The other direction, held against single evaluations; and in pages of every size.
    for n in 101..=120 {
        let request = json!({
            "subject": {"type": "user", "id": "ignored"}, "action": {"name": "edit"},
            "resource": {"type": "record", "id": n.to_string()},
        });
        let answered = serving.post("/access/v1/search/subject", &request.to_string(), &[])?;
        // Runners compare as text.
        ensure!(!answered.text.contains(r#"{"id""#), "{}", answered.text);
        let answer = answered.json()?;
        let mut expected = Vec::new();
        for user in ["alice", "bob", "carol", "dan", "erin", "felix"] {
            let mut question = request.clone();
            question["subject"]["id"] = json!(user);
            if serving.decision(&question)? {
                expected.push(json!({"type": "user", "id": user}));
            }
        }
        assert_eq!(answer["results"], json!(expected), "{request}");
    }
    let everything = json!({
        "subject": {"type": "user", "id": "alice"}, "action": {"name": "view"},
        "resource": {"type": "record"},
    });
    let all = serving.ask("/access/v1/search/resource", &everything)?;
    assert_eq!(list(&all["results"], "results")?.len(), 20);
    for limit in [1, 3, 19, 20, 21] {
        let mut results = Vec::new();
        let mut request = everything.clone();
        request["page"] = json!({"limit": limit});
        loop {
            let answer = serving.ask("/access/v1/search/resource", &request)?;
            let page = list(&answer["results"], "results")?;
            assert!(page.len() <= limit, "{answer}");
            results.extend(page.iter().cloned());
            let token = answer["page"]["next_token"].as_str().context("a token")?.to_owned();
            if token.is_empty() {
                break;
            }
            // With the limit or without it.
            request["page"] = match results.len() % 2 {
                0 => json!({"token": token}),
                _ => json!({"token": token, "limit": limit}),
            };
        }
        assert_eq!(json!(results), all["results"], "in pages of {limit}");
    }
    serving.end()?;
    Ok(())
}

#[test]
fn what_certification_decides_and_lists() -> Result<()> {
    let policies = shared("worlds/certification");
    let policies = policies.to_str().context("a path")?;
    let serving = Serving::start(&["--policies", policies, "--entities", policies])?;
    let record =
        |properties: Value| json!({"type": "record", "id": "record-1", "properties": properties});
    let plain = json!({"type": "record", "id": "record-1"});
    let cases = [
        ("alice", json!({}), json!({"name": "read"}), plain.clone(), true),
        ("alice", json!({}), json!({"name": "write"}), plain.clone(), true),
        ("bob", json!({}), json!({"name": "read"}), plain.clone(), true),
        ("bob", json!({}), json!({"name": "write"}), plain.clone(), false),
        (
            "alice",
            json!({}),
            json!({"name": "write"}),
            record(json!({"status": "archived"})),
            false,
        ),
        (
            "alice",
            json!({"role": "admin"}),
            json!({"name": "write"}),
            record(json!({"status": "archived"})),
            true,
        ),
        (
            "alice",
            json!({}),
            json!({"name": "delete", "properties": {"soft": true}}),
            plain.clone(),
            true,
        ),
        (
            "alice",
            json!({}),
            json!({"name": "delete", "properties": {"soft": false}}),
            plain,
            false,
        ),
    ];
    for (n, (user, properties, action, resource, expected)) in cases.into_iter().enumerate() {
        for context in [json!(null), json!({"time": "2025-06-27T18:03-07:00", "ip": "192.168.1.1"})]
        {
            let decision = serving.decision(&json!({
                "subject": {"type": "user", "id": user, "properties": properties},
                "action": action, "resource": resource, "context": context, "foo": 1,
            }))?;
            assert_eq!(decision, expected, "decision {}", n + 1);
        }
    }
    let archived =
        json!({"type": "record", "id": "record-2", "properties": {"status": "archived"}});
    let bob = json!({"type": "user", "id": "bob", "properties": {"role": "admin"}});
    let (user, any) = (json!({"type": "user"}), json!({"type": "record"}));
    let searches = [
        (
            "subject",
            json!({"subject": user, "action": {"name": "read"}, "resource": {"type": "record", "id": "record-1"}}),
            vec!["alice", "bob"],
        ),
        (
            "resource",
            json!({"subject": {"type": "user", "id": "alice"}, "action": {"name": "read"}, "resource": any}),
            vec!["record-1"],
        ),
        (
            "action",
            json!({"subject": {"type": "user", "id": "alice"}, "resource": {"type": "record", "id": "record-1"}}),
            vec!["read", "write"],
        ),
        (
            "subject",
            json!({"subject": user, "action": {"name": "write"}, "resource": archived}),
            vec!["bob"],
        ),
        (
            "resource",
            json!({"subject": bob, "action": {"name": "write"}, "resource": any}),
            vec!["record-2"],
        ),
        ("action", json!({"subject": bob, "resource": archived}), vec!["write"]),
        (
            "subject",
            json!({"subject": user, "action": {"name": "read"}, "resource": {"type": "record", "id": "nothing"}}),
            vec![],
        ),
        (
            "resource",
            json!({"subject": {"type": "user", "id": "nonexistent-user"}, "action": {"name": "read"}, "resource": any}),
            vec![],
        ),
        (
            "resource",
            json!({"subject": {"type": "user", "id": "alice"}, "action": {"name": "read"}, "resource": {"type": "spaceship"}}),
            vec![],
        ),
        (
            "action",
            json!({"subject": {"type": "spaceship", "id": "x"}, "resource": {"type": "record", "id": "record-1"}}),
            vec![],
        ),
    ];
    for (n, (what, request, expected)) in searches.into_iter().enumerate() {
        let answer = serving.ask(&format!("/access/v1/search/{what}"), &request)?;
        let key = if what == "action" { "name" } else { "id" };
        let names: Vec<&str> =
            list(&answer["results"], "results")?.iter().filter_map(|r| r[key].as_str()).collect();
        assert_eq!(names, expected, "search {}", n + 1);
    }
    serving.end()?;
    Ok(())
}
