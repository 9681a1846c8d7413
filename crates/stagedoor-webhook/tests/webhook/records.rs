//! Records of what the webhooks decide.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use stagedoor_audit::{DecisionLog, DecisionSink, Form, LogOptions};

use crate::support::{Client, Files, POLICIES, Running, eventually, review};

#[derive(Clone, Default)]
struct Lines {
    lines: Arc<Mutex<Vec<String>>>,
    is_full: Arc<Mutex<bool>>,
}

impl DecisionSink for Lines {
    fn write(&mut self, lines: &str) -> std::io::Result<()> {
        if *self.is_full.lock().unwrap_or_else(PoisonError::into_inner) {
            return Err(std::io::Error::other("no room"));
        }
        let lines = lines.lines().map(str::to_owned);
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).extend(lines);
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

/// Clients, who ask until so many sets of policies were in force.
const CLIENTS: usize = 4;
const RELOADS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_answer_has_one_record_under_load_with_reloads() -> Result<()> {
    let files = Files::new()?;
    let lines = Lines::default();
    let mut options = LogOptions::default();
    options.rules.decisions = stagedoor_audit::Decisions::All;
    let log = Arc::new(DecisionLog::new(options, Form::Own, Box::new(lines.clone())));
    let mut config = files.config();
    config.log = Some(Arc::clone(&log));
    let running = Running::start(&files, config).await?;
    let (address, tls) = (running.address, files.client(None)?);
    let is_over = Arc::new(AtomicBool::new(false));
    let asking: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (tls, is_over) = (tls.clone(), Arc::clone(&is_over));
            tokio::spawn(async move {
                let mut connection = match client % 2 {
                    0 => Client::connect(address, tls).await?,
                    _ => Client::connect_http2(address, tls).await?,
                };
                let mut n = 0;
                while !is_over.load(Ordering::Acquire) {
                    let (path, body) = match n % 3 {
                        0 => ("/authorize", review("list", "pods")),
                        1 => ("/authorize", review("get", "secrets")),
                        _ => ("/admit", admission(&format!("u-{client}-{n}"))),
                    };
                    let mut request =
                        connection.request(http::Method::POST, path, body.into_bytes().into())?;
                    let id = format!("q-{client}-{n}").parse()?;
                    request.headers_mut().insert("x-request-id", id);
                    let (code, body) = connection.send(request).await?;
                    anyhow::ensure!(code == http::StatusCode::OK, "{code}: {body}");
                    n += 1;
                }
                anyhow::Ok(n)
            })
        })
        .collect();
    let mut watching = Client::connect(address, tls).await?;
    for n in 0..RELOADS {
        files.write_policies(&format!(
            "{POLICIES} @id(\"n{n}\") permit(principal == k8s::User::\"nobody-{n}\", action, resource);"
        ))?;
        let reloaded =
            format!("stagedoor_reloads_total{{result=\"success\",what=\"policies\"}} {}\n", n + 1);
        eventually("the change is in force", async || {
            Ok(watching.get("/metrics").await?.1.contains(&reloaded))
        })
        .await?;
    }
    is_over.store(true, Ordering::Release);
    let mut expected = std::collections::BTreeMap::new();
    for (client, asking) in asking.into_iter().enumerate() {
        expected.extend((0..asking.await??).map(|n| (format!("q-{client}-{n}"), 1)));
    }
    running.stop().await?;
    let mut found = std::collections::BTreeMap::<String, usize>::new();
    let mut revisions = std::collections::BTreeSet::new();
    for record in lines.records()?.iter().filter(|record| record["endpoint"] != "reload") {
        let id = record["requestId"].as_str().context("an id")?;
        *found.entry(id.to_owned()).or_default() += 1;
        revisions.insert(record["revision"].as_str().context("a revision")?.to_owned());
    }
    assert_eq!(found, expected);
    assert!(revisions.len() > 1, "nothing was asked meanwhile");
    assert_eq!((log.counts().dropped, log.counts().failed), (0, 0));
    Ok(())
}

fn admission(uid: &str) -> String {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": uid, "kind": {"group": "", "version": "v1", "kind": "ConfigMap"},
            "resource": {"group": "", "version": "v1", "resource": "configmaps"},
            "name": "c", "namespace": "payments", "operation": "CREATE",
            "userInfo": {"username": "alice", "groups": ["system:authenticated"]},
            "object": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}},
        },
    })
    .to_string()
}
