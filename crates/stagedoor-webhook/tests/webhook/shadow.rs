//! Policies that are decided beside those in force.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use anyhow::{Result, ensure};
use http::StatusCode;
use serde_json::{Value, json};
use stagedoor_core::{
    Entities, Guard, GuardAnswer, GuardFailure, GuardInputs, GuardRefusal, Request, RuleEvaluator,
};
use stagedoor_webhook::{PolicySource, RuleSource, ServerConfig};

use crate::support::{Client, Files, POLICIES, Running, eventually, review};

const READERS_READ: &str = r#"
@id("readers-read")
permit(principal in k8s::Group::"readers", action in k8s::Action::"readOnly", resource is k8s::Resource);
"#;

fn write(files: &Files, text: &str) -> Result<PathBuf> {
    let directory = files.path("shadow");
    std::fs::create_dir_all(&directory)?;
    std::fs::write(directory.join("shadow.cedar"), text)?;
    Ok(directory)
}

fn with_shadow(files: &Files, text: &str) -> Result<ServerConfig> {
    let mut config = files.config();
    config.shadow = Some(PolicySource::new([write(files, text)?]));
    Ok(config)
}

/// Returns the comparisons so far: same, different, failed and skipped.
async fn comparisons(client: &mut Client) -> Result<[u64; 4]> {
    let (_, body) = client.get("/status").await?;
    let status: Value = serde_json::from_str(&body)?;
    let counts = &status["shadow"]["comparisons"];
    let count = |name: &str| counts[name].as_u64().unwrap_or(u64::MAX);
    Ok(["same", "different", "failed", "skipped"].map(count))
}

async fn compares(client: &mut Client) -> Result<()> {
    eventually("the shadow policies are compared", async || {
        Ok(client.get("/readyz?verbose").await?.1.contains("[+]shadow-policies ok"))
    })
    .await
}

async fn metric(client: &mut Client, name: &str) -> Result<Option<String>> {
    let (_, page) = client.get("/metrics").await?;
    let line = page.lines().find(|line| line.starts_with(name));
    Ok(line.and_then(|line| line.rsplit(' ').next()).map(str::to_owned))
}

fn admission(name: &str) -> String {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u", "kind": {"group": "", "version": "v1", "kind": "ConfigMap"},
            "resource": {"group": "", "version": "v1", "resource": "configmaps"},
            "name": name, "namespace": "payments", "operation": "CREATE",
            "userInfo": {"username": "alice", "groups": ["system:authenticated"]},
            "object": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}},
        },
    })
    .to_string()
}

#[tokio::test]
async fn what_differs_is_counted_and_nothing_of_it_is_enforced() -> Result<()> {
    let files = Files::new()?;
    files.write_policies(&format!(
        "{POLICIES} @id(\"all\") permit(principal, action, resource is k8s::admission::Resource);"
    ))?;
    let shadow = format!(
        "{READERS_READ} @id(\"few\") permit(principal, action, resource is k8s::admission::Resource)\
         unless {{ resource has name && resource.name == \"forbidden\" }};"
    );
    let running = Running::start(&files, with_shadow(&files, &shadow)?).await?;
    let mut client = Client::connect(running.address, files.client(None)?).await?;
    compares(&mut client).await?;

    // What the shadow policies lack is the forbid of secrets.
    assert_eq!(client.review(review("list", "pods")).await?["allowed"], json!(true));
    assert_eq!(client.review(review("delete", "pods")).await?["allowed"], json!(false));
    for _ in 0..3 {
        assert_eq!(client.review(review("get", "secrets")).await?["denied"], json!(true));
    }
    for name in ["fine", "forbidden"] {
        let (code, body) = client.post("/admit", admission(name)).await?;
        assert_eq!(code, StatusCode::OK);
        ensure!(body.contains(r#""allowed":true"#), "{body}");
    }
    // What is refused is no decision, and is not compared.
    assert_eq!(client.post("/authorize", "{}").await?.0, StatusCode::BAD_REQUEST);
    eventually("all are compared", async || Ok(comparisons(&mut client).await? == [3, 4, 0, 0]))
        .await?;
    for (name, count) in [
        (r#"stagedoor_shadow_comparisons_total{endpoint="authorize",result="same"}"#, "2"),
        (r#"stagedoor_shadow_comparisons_total{endpoint="authorize",result="different"}"#, "3"),
        (
            r#"stagedoor_shadow_differences_total{endpoint="authorize",enforced="denied",shadow="allowed"}"#,
            "3",
        ),
        (
            r#"stagedoor_shadow_differences_total{endpoint="admit",enforced="allowed",shadow="denied"}"#,
            "1",
        ),
        ("stagedoor_shadow_policies", "2"),
        // What is in force is told apart.
        ("stagedoor_policies", "3"),
    ] {
        assert_eq!(metric(&mut client, name).await?.as_deref(), Some(count), "{name}");
    }
    let (_, body) = client.get("/status").await?;
    let status: Value = serde_json::from_str(&body)?;
    let revision = &status["shadow"]["sources"][0]["revision"];
    ensure!(revision.is_string() && *revision != status["sources"][0]["revision"], "{status}");
    assert_eq!(status["sources"].as_array().map(Vec::len), Some(2), "policies and certificates");
    running.stop().await
}

#[tokio::test]
async fn a_shadow_that_does_not_load_disturbs_nothing() -> Result<()> {
    let files = Files::new()?;
    // It is ready, whatever the shadow policies are.
    let running = Running::start(&files, with_shadow(&files, "permit(principal, oops")?).await?;
    let mut client = Client::connect(running.address, files.client(None)?).await?;
    eventually("its problem shows", async || {
        let (code, page) = client.get("/readyz?verbose").await?;
        assert_eq!(code, StatusCode::OK, "{page}");
        Ok(page.contains("[!]shadow-policies not loaded yet")
            && page.contains("[!]shadow-policy-reload failed")
            && page.contains("shadow.cedar:1:"))
    })
    .await?;
    let failed = r#"stagedoor_reload_failed{what="shadow-policies"}"#;
    assert_eq!(metric(&mut client, failed).await?.as_deref(), Some("1"));
    let failed = r#"stagedoor_reload_failed{what="policies"}"#;
    assert_eq!(metric(&mut client, failed).await?.as_deref(), Some("0"));
    assert_eq!(client.review(review("list", "pods")).await?["allowed"], json!(true));
    assert_eq!(comparisons(&mut client).await?, [0, 0, 0, 0]);

    write(&files, READERS_READ)?;
    compares(&mut client).await?;
    assert_eq!(client.review(review("get", "secrets")).await?["denied"], json!(true));
    eventually("it is compared", async || Ok(comparisons(&mut client).await? == [0, 1, 0, 0]))
        .await?;

    // Those before are compared on while the files are broken.
    write(&files, "permit(principal, oops")?;
    eventually("its problem shows", async || {
        Ok(client.get("/readyz?verbose").await?.1.contains("[!]shadow-policy-reload failed"))
    })
    .await?;
    assert_eq!(client.review(review("list", "pods")).await?["allowed"], json!(true));
    eventually("it is compared", async || Ok(comparisons(&mut client).await? == [1, 1, 0, 0]))
        .await?;
    // Reloads of what is enforced go on.
    files.write_policies("@id(\"no\") forbid(principal, action, resource);")?;
    eventually("the change is in force", async || {
        Ok(client.review(review("list", "pods")).await?["denied"] == json!(true))
    })
    .await?;
    running.stop().await
}

/// A rule that waits until it is let go, or panics.
#[derive(Debug, Clone, Default)]
struct Bad(Arc<(Mutex<bool>, Condvar)>);

impl RuleSource for Bad {
    fn load(&self) -> Result<Option<Arc<dyn RuleEvaluator>>, String> {
        Ok(Some(Arc::new(self.clone())))
    }

    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }
}

impl RuleEvaluator for Bad {
    fn guard(&self, _: &str, _: &str) -> Result<Arc<dyn Guard>, GuardRefusal> {
        Ok(Arc::new(self.clone()))
    }
}

impl Guard for Bad {
    fn inputs(&self) -> GuardInputs {
        GuardInputs::default()
    }

    fn digest(&self) -> &str {
        "bad"
    }

    #[expect(clippy::panic, reason = "what is tried here")]
    fn evaluate(&self, _: &Request, _: &Entities) -> Result<GuardAnswer, GuardFailure> {
        let mut is_let_go = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !*is_let_go {
            is_let_go = self.0.1.wait(is_let_go).unwrap_or_else(PoisonError::into_inner);
        }
        drop(is_let_go);
        panic!("tried")
    }
}

/// The shadow's rule hangs, then panics; everybody is answered, and what there is no room for is
/// counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shadow_that_hangs_or_panics_disturbs_nothing() -> Result<()> {
    const ASKED: u64 = 1_200;
    let files = Files::new()?;
    let rule = Bad::default();
    let mut config = files.config();
    let text = r#"@id("slow") @guard("bad") permit(principal, action, resource);"#;
    let shadow = PolicySource::new([write(&files, text)?]).with_rules(Arc::new(rule.clone()));
    config.shadow = Some(shadow);
    // Whatever else the shadow might hold up would be refused at once.
    config.limits.turn = std::time::Duration::from_secs(2);
    let running = Running::start(&files, config).await?;
    let mut client = Client::connect(running.address, files.client(None)?).await?;
    compares(&mut client).await?;
    for _ in 0..ASKED {
        assert_eq!(client.review(review("list", "pods")).await?["allowed"], json!(true));
    }
    let [same, different, failed, skipped] = comparisons(&mut client).await?;
    assert_eq!((same, different, failed), (0, 0, 0));
    // One hangs, 1,024 wait.
    assert!((ASKED - 1_024 - 1..=ASKED - 1_024).contains(&skipped), "{skipped}");
    *rule.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
    rule.0.1.notify_all();
    eventually("the rest is tried", async || {
        let [same, different, failed, skipped] = comparisons(&mut client).await?;
        assert_eq!((same, different), (0, 0));
        Ok(failed + skipped == ASKED)
    })
    .await?;
    assert_eq!(client.review(review("list", "pods")).await?["allowed"], json!(true));
    running.stop().await
}
