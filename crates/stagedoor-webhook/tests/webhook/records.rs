//! Records of what the webhooks decide.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use stagedoor_audit::{DecisionLog, DecisionSink, Form, LogOptions};

use crate::support::{Client, Files, Running, review};

#[derive(Clone, Default)]
struct Lines {
    lines: Arc<Mutex<Vec<String>>>,
    is_full: Arc<Mutex<bool>>,
}

impl DecisionSink for Lines {
    fn write(&mut self, records: &[String]) -> std::io::Result<()> {
        if *self.is_full.lock().unwrap_or_else(PoisonError::into_inner) {
            return Err(std::io::Error::other("no room"));
        }
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(records);
        Ok(())
    }
}

impl Lines {
    fn records(&self) -> Result<Vec<Value>> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(lines.iter().map(|line| serde_json::from_str(line)).collect::<Result<_, _>>()?)
    }
}

#[tokio::test]
async fn everything_that_was_asked_is_in_the_record() -> Result<()> {
    let files = Files::new()?;
    let lines = Lines::default();
    let log = DecisionLog::new(LogOptions::default(), Form::Own, Box::new(lines.clone()));
    let log = Arc::new(log);
    let mut config = files.config();
    config.log = Some(Arc::clone(&log));
    let running = Running::start(&files, config).await?;
    let mut client = Client::connect(running.address, files.client(None)?).await?;
    let asked = json!({
        "kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
        "spec": {
            "user": "ann", "uid": "u1", "groups": ["devs"], "extra": {"k": ["v"]},
            "resourceAttributes": {
                "namespace": "t", "verb": "delete", "version": "v1", "resource": "pods",
                "subresource": "eviction", "name": "p",
            },
        },
    });
    client.review(asked.to_string()).await?;
    // Allowed, and only reads: not among denials and changes.
    assert_eq!(client.review(review("list", "pods")).await?["allowed"], json!(true));
    let path = json!({
        "kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
        "spec": {"user": "ann", "nonResourceAttributes": {"verb": "get", "path": "/metrics"}},
    });
    client.review(path.to_string()).await?;
    client.review(review("get", "secrets")).await?;
    running.stop().await?;

    let records = lines.records()?;
    let decided: Vec<&Value> = records.iter().filter(|r| r["endpoint"] == "authorize").collect();
    assert_eq!(decided.len(), 3, "{records:?}");
    assert_eq!(records[0]["outcome"], "changed", "the policies that were loaded");
    let first = decided.first().context("a record")?;
    assert_eq!(
        first["request"],
        json!({
            "user": "ann", "uid": "u1", "groups": ["devs"], "extra": {"k": ["v"]},
            "verb": "delete", "apiGroup": "", "apiVersion": "v1", "resource": "pods",
            "subresource": "eviction", "namespace": "t", "name": "p",
        })
    );
    assert_eq!(first["outcome"], "no-opinion");
    assert_eq!(first["policies"], json!([]));
    assert_eq!(first["revision"], records[0]["revision"]);
    assert!(first["requestId"].as_str().is_some_and(|id| !id.is_empty()));
    assert_eq!(decided[1]["request"]["path"], "/metrics");
    assert_eq!(decided[2]["outcome"], "denied");
    assert_eq!(decided[2]["policies"], json!([{"id": "no-secrets", "effect": "forbid"}]));
    let counts = log.counts();
    assert_eq!((counts.written, counts.dropped), (records.len() as u64, 0));
    Ok(())
}

#[tokio::test]
async fn nothing_is_allowed_that_must_be_recorded_and_is_not() -> Result<()> {
    let files = Files::new()?;
    let lines = Lines::default();
    let mut options = LogOptions::default();
    options.required = true;
    options.rules.decisions = stagedoor_audit::Decisions::All;
    let log = DecisionLog::new(options, Form::Own, Box::new(lines.clone()));
    let mut config = files.config();
    config.log = Some(Arc::new(log));
    let running = Running::start(&files, config).await?;
    let mut client = Client::connect(running.address, files.client(None)?).await?;
    assert_eq!(client.review(review("list", "pods")).await?["allowed"], json!(true));
    *lines.is_full.lock().unwrap_or_else(PoisonError::into_inner) = true;
    let status = client.review(review("list", "pods")).await?;
    assert_eq!((&status["allowed"], &status["denied"]), (&json!(false), &json!(true)), "{status}");
    *lines.is_full.lock().unwrap_or_else(PoisonError::into_inner) = false;
    assert_eq!(client.review(review("list", "pods")).await?["allowed"], json!(true));
    running.stop().await
}

#[tokio::test]
async fn a_long_name_is_not_repeated() -> Result<()> {
    let files = Files::new()?;
    let running = Running::start(&files, files.config()).await?;
    let mut client = Client::connect(running.address, files.client(None)?).await?;
    let asked = json!({
        "kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
        "spec": {"user": "x".repeat(1_000_000), "resourceAttributes": {"verb": "get", "resource": "pods"}},
    });
    let status = client.review(asked.to_string()).await?;
    assert_eq!(status["denied"], json!(true));
    assert!(status["evaluationError"].as_str().is_some_and(|e| e.len() < 1_100));
    running.stop().await
}
