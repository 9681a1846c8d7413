//! `/policysets`: whoever serves says what has to hold of a set before it is written.

use std::sync::Arc;

use anyhow::{Result, ensure};
use http::StatusCode;
use serde_json::{Value, json};
use stagedoor_webhook::PolicySetReviewer;

use crate::support::{Client, Files, Running};

/// Admits what says that it is good, and no step back.
#[derive(Debug)]
struct Reviewer;

impl PolicySetReviewer for Reviewer {
    fn review(&self, object: &Value, old: Option<&Value>) -> Result<(), String> {
        let number = |object: &Value| object["release"].as_u64().unwrap_or_default();
        if old.is_some_and(|old| number(old) > number(object)) {
            return Err("it is older".to_owned());
        }
        if object["good"] == true { Ok(()) } else { Err("p.cedar:3:1: it is not good".to_owned()) }
    }
}

fn review(operation: &str, object: &Value, old: &Value) -> String {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5",
            "kind": {"group": "stagedoor.dev", "version": "v1alpha1", "kind": "PolicySet"},
            "resource": {"group": "stagedoor.dev", "version": "v1alpha1", "resource": "policysets"},
            "name": "payments--production",
            "namespace": "gate",
            "operation": operation,
            "userInfo": {"username": "alice", "groups": []},
            "object": object,
            "oldObject": old,
        },
    })
    .to_string()
}

#[tokio::test]
async fn what_is_not_good_is_not_written() -> Result<()> {
    let files = Files::new()?;
    let mut config = files.config();
    config.policy_sets = Some(Arc::new(Reviewer));
    let running = Running::start(&files, config).await?;
    let mut client = Client::connect(running.address, files.client(None)?).await?;
    let good = |release: u64| json!({"good": true, "release": release});
    let bad = json!({"good": false});
    for (operation, object, old, expected) in [
        ("CREATE", good(1), Value::Null, Ok(())),
        ("UPDATE", good(2), good(1), Ok(())),
        ("UPDATE", good(1), good(2), Err("it is older")),
        ("CREATE", bad, Value::Null, Err("p.cedar:3:1: it is not good")),
        // What it was not asked about in the manifest that ships is not let through.
        ("DELETE", Value::Null, good(1), Err("`DELETE`")),
        ("CREATE", Value::Null, Value::Null, Err("not reviewed")),
        ("CONNECT", good(1), Value::Null, Err("`CONNECT`")),
    ] {
        let (code, body) = client.post("/policysets", review(operation, &object, &old)).await?;
        ensure!(code == StatusCode::OK, "{code}: {body}");
        let answer: Value = serde_json::from_str(&body)?;
        ensure!(answer["kind"] == "AdmissionReview" && answer["response"]["uid"] == "705ab4f5");
        let response = &answer["response"];
        let said = response["status"]["message"].as_str().unwrap_or_default();
        match expected {
            Ok(()) => ensure!(response["allowed"] == true, "{operation} {object}: {body}"),
            Err(reason) => {
                ensure!(
                    response["allowed"] == false && said.contains(reason),
                    "{operation}: {body}"
                )
            }
        }
    }
    // What is no review is refused as such.
    for body in ["", "{", "[]", "{}", r#"{"kind":"AdmissionReview"}"#] {
        let (code, answer) = client.post("/policysets", body.to_owned()).await?;
        ensure!(code == StatusCode::BAD_REQUEST, "`{body}`: {code} {answer}");
    }
    running.stop().await
}

#[tokio::test]
async fn nobody_reviews_where_nobody_was_told_to() -> Result<()> {
    let files = Files::new()?;
    let running = Running::start(&files, files.config()).await?;
    let mut client = Client::connect(running.address, files.client(None)?).await?;
    let asked = review("CREATE", &json!({"good": true}), &Value::Null);
    let (code, body) = client.post("/policysets", asked).await?;
    ensure!(code == StatusCode::NOT_FOUND, "{code}: {body}");
    running.stop().await
}
