//! What stands next to the cases of the specification and of the certification: methods, paths,
//! encodings, pages, and values that are nearly right.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::serving::{PATIENCE, Serving, shared};

const EVALUATION: &str = "/access/v1/evaluation";
const EVALUATIONS: &str = "/access/v1/evaluations";
const SUBJECTS: &str = "/access/v1/search/subject";
const RESOURCES: &str = "/access/v1/search/resource";
const ACTIONS: &str = "/access/v1/search/action";

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

fn with(pointer: &str, value: Value) -> Value {
    let mut body = question();
    let mut place = &mut body;
    for name in pointer.split('/') {
        place = &mut place[name];
    }
    *place = value;
    body
}

/// Sends bytes as they are; returns the whole answer.
fn raw(serving: &Serving, request: &[u8]) -> Result<String> {
    let address = serving.base.strip_prefix("http://").context("an address")?;
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[test]
fn other_methods_and_paths_are_answered_plainly() -> Result<()> {
    let serving = certification()?;
    let ask = |method: &str, path: &str| {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: a\r\nx-request-id: q-7\r\nconnection: close\r\n\r\n"
        );
        raw(&serving, head.as_bytes())
    };
    let metadata = "/.well-known/authzen-configuration";
    let cases = [
        ("HEAD", EVALUATION, "405", Some("POST")),
        ("OPTIONS", EVALUATION, "405", Some("POST")),
        ("PUT", EVALUATIONS, "405", Some("POST")),
        ("DELETE", SUBJECTS, "405", Some("POST")),
        ("GET", ACTIONS, "405", Some("POST")),
        ("BREW", EVALUATION, "405", Some("POST")),
        ("POST", metadata, "405", Some("GET, HEAD")),
        ("GET", metadata, "200", None),
        ("HEAD", metadata, "200", None),
        ("GET", "/.well-known/authzen-configuration?x=1", "200", None),
        ("POST", "/access/v1/evaluation/", "404", None),
        ("POST", "//access/v1/evaluation", "404", None),
        ("POST", "/access/v1/Evaluation", "404", None),
        ("POST", "/access/v1/search", "404", None),
        ("POST", "/access/v1/search/subject%2f", "404", None),
        ("GET", "/", "404", None),
    ];
    for (method, path, code, allow) in cases {
        let answer = ask(method, path)?.to_ascii_lowercase();
        assert!(answer.starts_with(&format!("http/1.1 {code} ")), "{method} {path}: {answer}");
        assert!(answer.contains("x-request-id: q-7\r\n"), "{method} {path}: {answer}");
        if let Some(allow) = allow {
            let header = format!("allow: {}\r\n", allow.to_ascii_lowercase());
            assert!(answer.contains(&header), "{method} {path}: {answer}");
        }
    }
    serving.end()?;
    Ok(())
}

#[test]
fn bodies_come_in_pieces_and_in_no_other_encoding() -> Result<()> {
    let serving = certification()?;
    let body = question().to_string();
    let head = "POST /access/v1/evaluation HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\
                content-type: application/json; charset=UTF-8\r\n";
    let (first, second) = body.split_at(7);
    let chunked = format!(
        "{head}transfer-encoding: chunked\r\n\r\n{:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n",
        first.len(),
        second.len()
    );
    let answer = raw(&serving, chunked.as_bytes())?;
    assert!(answer.contains(r#"{"decision":true}"#), "{answer}");
    // Of unknown length, and too long.
    let endless = format!(
        "{head}transfer-encoding: chunked\r\n\r\n{:x}\r\n{}\r\n0\r\n\r\n",
        70_000,
        " ".repeat(70_000)
    );
    let answer = raw(&serving, endless.as_bytes())?;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let broken = format!("{head}transfer-encoding: chunked\r\n\r\nzz\r\n");
    let answer = raw(&serving, broken.as_bytes())?;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    for encoding in ["gzip", "br", "deflate, gzip"] {
        let answered = serving.post(EVALUATION, &body, &[("content-encoding", encoding)])?;
        assert_eq!(answered.code, 400, "{encoding}");
        assert!(answered.text.contains("content-encoding"), "{}", answered.text);
    }
    assert_eq!(serving.post(EVALUATION, &body, &[("content-encoding", "identity")])?.code, 200);
    let without_type = format!(
        "POST /access/v1/evaluation HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    assert!(raw(&serving, without_type.as_bytes())?.starts_with("HTTP/1.1 400 "));
    // UTF-8 that is none, and a byte order mark.
    let mut bytes = format!("{head}content-length: 2\r\n\r\n").into_bytes();
    bytes.extend([0xc3, 0x28]);
    assert!(raw(&serving, &bytes)?.starts_with("HTTP/1.1 400 "));
    serving.end()?;
    Ok(())
}

#[test]
fn values_that_are_nearly_right_are_never_guessed() -> Result<()> {
    let serving = certification()?;
    let decides = [
        (with("subject/id", json!("Alice")), false),
        (with("subject/id", json!("alice ")), false),
        (with("subject/id", json!("a\u{301}lice")), false),
        (with("subject/id", json!("")), false),
        (with("subject/id", json!("👩‍🚀\u{0}\"\\")), false),
        (with("subject/type", json!("User")), false),
        (with("subject/type", json!("")), false),
        (with("subject/type", json!("user::x")), false),
        (with("action/name", json!("READ")), false),
        (with("action/name", json!("Action::\"read\"")), false),
        (with("subject/properties", json!({"role": null})), true),
        (with("subject/properties", json!({"role": 1})), false),
        (
            with("subject/properties", json!({"role": {"__extn": {"fn": "ip", "arg": "::1"}}})),
            false,
        ),
        (with("resource/properties", json!({"status": "ACTIVE"})), false),
        (with("resource/properties", json!({"status": "active", "status ": 1})), true),
        (with("context", json!({"time": 5})), false),
        (with("context", json!({"time": "x", "other": {"a": [1, 2.5, null, {"b": []}]}})), true),
        (with("context", json!({})), true),
        (with("context", json!(null)), true),
        (with("futureField", json!({"subject": {"id": "bob"}})), true),
        (with("options", json!("explain")), true),
        (with("options", json!({"explain": "true"})), true),
        (with("evaluations", json!([])), true),
    ];
    for (body, expected) in decides {
        assert_eq!(serving.ask(EVALUATION, &body)?, json!({ "decision": expected }), "{body}");
    }
    let batch = |items: Value, options: Value| {
        let mut body = question();
        body["evaluations"] = items;
        body["options"] = options;
        body.to_string()
    };
    for (items, options) in [
        (json!({}), json!({})),
        (json!("x"), json!({})),
        (json!([{}]), json!({"evaluations_semantic": "EXECUTE_ALL"})),
        (json!([{}]), json!({"evaluations_semantic": 1})),
        (json!([{}]), json!([])),
        (json!(vec![json!({}); 10_001]), json!({})),
    ] {
        let answered = serving.post(EVALUATIONS, &batch(items, options), &[])?;
        assert_eq!(answered.code, 400, "{}", answered.text);
    }
    let none = batch(json!([]), json!({"evaluations_semantic": "deny_on_first_deny"}));
    assert_eq!(serving.post(EVALUATIONS, &none, &[])?.text, r#"{"decision":true}"#);
    let null = batch(json!(null), json!(null));
    assert_eq!(serving.post(EVALUATIONS, &null, &[])?.text, r#"{"decision":true}"#);
    let mixed = json!([{"action": null}, {"action": {}}, {"action": {"name": "fly"}}, null, [], {"subject": "x"}]);
    let mixed = serving.post(EVALUATIONS, &batch(mixed, json!({})), &[])?.json()?;
    let decisions: Vec<&Value> =
        mixed["evaluations"].as_array().into_iter().flatten().map(|e| &e["decision"]).collect();
    assert_eq!(decisions, [true, false, false, false, false, false], "null is as if it was absent");
    serving.end()?;
    Ok(())
}

#[test]
fn pages_are_cut_by_limits_and_go_on_by_their_tokens() -> Result<()> {
    let serving = certification()?;
    let search = |page: Value| {
        json!({
            "subject": {"type": "user", "id": "ignored", "properties": {"role": 7}},
            "action": {"name": "read"},
            "resource": {"type": "record", "id": "record-1"}, "page": page,
        })
    };
    let all = serving.ask(SUBJECTS, &search(json!(null)))?;
    let both = json!([{"type": "user", "id": "alice"}, {"type": "user", "id": "bob"}]);
    assert_eq!(all, json!({ "results": both }));
    for limit in [2_u64, 3, 10_000, u64::from(u32::MAX), i64::MAX as u64] {
        let answer = serving.ask(SUBJECTS, &search(json!({ "limit": limit })))?;
        assert_eq!(answer["results"], both, "{limit}");
        assert_eq!(answer["page"]["next_token"], "", "{limit}");
    }
    let first = serving.ask(SUBJECTS, &search(json!({"limit": 1})))?;
    assert_eq!(first["results"], json!([{"type": "user", "id": "alice"}]));
    let token = first["page"]["next_token"].as_str().context("a token")?.to_owned();
    assert!(!token.is_empty());
    for page in [json!({ "token": token }), json!({"token": token, "limit": 1})] {
        let second = serving.ask(SUBJECTS, &search(page))?;
        assert_eq!(second["results"], json!([{"type": "user", "id": "bob"}]));
        assert_eq!(second["page"]["next_token"], "");
    }
    // Nothing on a page, and then everything.
    let nothing = serving.ask(SUBJECTS, &search(json!({"limit": 0})))?;
    assert_eq!(nothing["results"], json!([]));
    let after = nothing["page"]["next_token"].as_str().context("a token")?;
    assert_eq!(serving.ask(SUBJECTS, &search(json!({ "token": after })))?["results"], both);

    let mut tampered = token.clone().into_bytes();
    tampered.reverse();
    let wrong = [
        json!({"limit": -1}),
        json!({"limit": 1.5}),
        json!({"limit": "1"}),
        json!({"limit": true}),
        json!({"limit": 1e30}),
        json!({"token": 5}),
        json!({"token": "x"}),
        json!({"token": "ü"}),
        json!({"token": String::from_utf8(tampered)?}),
        json!({"token": format!("{token}A")}),
        json!({"token": token, "limit": 2}),
        json!([]),
        json!("x"),
    ];
    for page in wrong {
        let answered = serving.post(SUBJECTS, &search(page.clone()).to_string(), &[])?;
        assert_eq!(answered.code, 400, "{page}: {}", answered.text);
    }
    // The token of another search.
    let mut other = search(json!({ "token": token }));
    other["action"]["name"] = json!("write");
    assert_eq!(serving.post(SUBJECTS, &other.to_string(), &[])?.code, 400);
    assert_eq!(
        serving.post(RESOURCES, &search(json!({ "token": token })).to_string(), &[])?.code,
        400
    );

    // With and without an id, and with other properties, what is looked for is the same.
    let by = |resource: Value| json!({"subject": {"type": "user", "id": "alice"}, "action": {"name": "read"}, "resource": resource});
    let found = serving.ask(RESOURCES, &by(json!({"type": "record"})))?;
    assert_eq!(found["results"], json!([{"type": "record", "id": "record-1"}]));
    for resource in [
        json!({"type": "record", "id": "record-2"}),
        json!({"type": "record", "id": 7}),
        json!({"type": "record", "id": null}),
    ] {
        assert_eq!(serving.ask(RESOURCES, &by(resource))?, found);
    }
    let actions = json!({
        "subject": {"type": "user", "id": "alice"},
        "resource": {"type": "record", "id": "record-1"}, "page": {"limit": 1},
    });
    let first = serving.ask(ACTIONS, &actions)?;
    assert_eq!(first["results"], json!([{"name": "read"}]));
    let mut rest = actions;
    rest["page"] = json!({"token": first["page"]["next_token"]});
    let rest = serving.ask(ACTIONS, &rest)?;
    assert_eq!(
        (&rest["results"], &rest["page"]["next_token"]),
        (&json!([{"name": "write"}]), &json!(""))
    );
    serving.end()?;
    Ok(())
}
