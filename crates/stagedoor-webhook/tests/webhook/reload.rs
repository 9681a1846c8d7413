//! Policies that change while requests are decided.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::support::{Client, Files, POLICIES, Running, eventually, review};
use anyhow::Result;
use http::StatusCode;
use serde_json::json;
use stagedoor_core::{
    Entities, Guard, GuardAnswer, GuardFailure, GuardInputs, GuardRefusal, Request, RuleEvaluator,
};
use stagedoor_webhook::{PolicySource, RuleSource};
use tokio::task::JoinHandle;

const NOBODY: &str = r#"@id("nobody") forbid(principal, action, resource);"#;

#[tokio::test]
async fn a_change_is_taken_up_and_a_broken_one_is_not() -> Result<()> {
    let files = Files::new()?;
    let running = Running::start(&files, files.config()).await?;
    let mut client = Client::connect(running.address, files.client(None)?).await?;
    assert_eq!(client.review(review("list", "pods")).await?["allowed"], json!(true));

    files.write_policies(NOBODY)?;
    eventually("the change is in force", async || {
        Ok(client.review(review("list", "pods")).await?["denied"] == json!(true))
    })
    .await?;
    let (_, revision_before) = client.get("/metrics").await?;
    assert!(
        revision_before.contains(r#"stagedoor_reloads_total{result="success",what="policies"} 1"#)
    );

    files.write_policies("permit(principal, action, resource);\npermit(principal, oops")?;
    eventually("the failure shows", async || {
        let (code, page) = client.get("/readyz?verbose").await?;
        assert_eq!(code, StatusCode::OK, "{page}");
        Ok(page.contains("[!]policy-reload failed"))
    })
    .await?;
    let (_, page) = client.get("/readyz?verbose").await?;
    assert!(page.contains("test.cedar:2:"), "{page}");
    let (_, metrics) = client.get("/metrics").await?;
    assert!(metrics.contains(r#"stagedoor_reload_failed{what="policies"} 1"#), "{metrics}");
    assert!(metrics.contains(r#"result="failure",what="policies"} 1"#), "{metrics}");
    let info = |text: &str| {
        text.lines().find(|line| line.starts_with("stagedoor_policy_info")).map(str::to_owned)
    };
    assert_eq!(info(&metrics), info(&revision_before));
    assert_eq!(client.review(review("list", "pods")).await?["denied"], json!(true));

    // Back to what is in force: nothing is replaced, and the failure is over.
    files.write_policies(NOBODY)?;
    eventually("the failure is over", async || {
        let (_, page) = client.get("/readyz?verbose").await?;
        Ok(page.contains("[+]policy-reload ok"))
    })
    .await?;
    let (_, metrics) = client.get("/metrics").await?;
    assert!(metrics.contains(r#"stagedoor_reload_failed{what="policies"} 0"#), "{metrics}");
    let replaced_once = r#"stagedoor_reloads_total{result="success",what="policies"} 1"#;
    assert!(metrics.contains(replaced_once), "{metrics}");

    // Policies that are gone do not leave an empty set behind.
    std::fs::remove_file(files.policies().join("test.cedar"))?;
    eventually("missing policies show", async || {
        Ok(client.get("/readyz?verbose").await?.1.contains("directory::empty"))
    })
    .await?;
    assert_eq!(client.review(review("list", "pods")).await?["denied"], json!(true));
    running.stop().await
}

#[tokio::test]
async fn no_request_fails_while_policies_and_certificates_change() -> Result<()> {
    let files = Arc::new(Files::new()?);
    let running = Running::start(&files, files.config()).await?;
    let done = Arc::new(AtomicBool::new(false));
    // How often was denied, how often allowed.
    let answers = Arc::new([AtomicU32::new(0), AtomicU32::new(0)]);
    let mut clients = Vec::new();
    for n in 0..4 {
        let (address, tls) = (running.address, files.client(None)?);
        let (done, answers) = (Arc::clone(&done), Arc::clone(&answers));
        clients.push(tokio::spawn(async move {
            let mut client = match n % 2 {
                0 => Client::connect(address, tls.clone()).await?,
                _ => Client::connect_http2(address, tls.clone()).await?,
            };
            let mut asked = 0;
            while !done.load(Ordering::Relaxed) {
                let status = client.review(review("list", "pods")).await?;
                let allowed = status["allowed"] == json!(true);
                // Each answer is of one set or the other, never of a mixture.
                anyhow::ensure!(allowed != (status["denied"] == json!(true)), "{status}");
                answers[usize::from(allowed)].fetch_add(1, Ordering::Relaxed);
                asked += 1;
                if asked % 50 == 0 {
                    client = Client::connect(address, tls.clone()).await?;
                }
            }
            anyhow::Ok(())
        }));
    }
    for n in 0..8 {
        let given = &answers[n % 2];
        let before = given.load(Ordering::Relaxed);
        files.write_policies(if n % 2 == 0 { NOBODY } else { POLICIES })?;
        files.write_certificate("localhost")?;
        eventually("the new set answers", async || {
            Ok(given.load(Ordering::Relaxed) > before
                || clients.iter().any(JoinHandle::is_finished))
        })
        .await?;
    }
    done.store(true, Ordering::Relaxed);
    for client in clients {
        client.await??;
    }
    assert!(answers.iter().all(|n| n.load(Ordering::Relaxed) > 0), "{answers:?}");
    running.stop().await
}

#[tokio::test]
async fn policies_that_do_not_load_at_the_start_end_the_server() -> Result<()> {
    let files = Files::new()?;
    files.write_policies("permit(principal, action, resource) when { principal.colour == 1 };")?;
    let running = Running::start_unready(files.config()).await?;
    let error = running.ended().await.map_err(|e| e.to_string());
    let text = error.err().unwrap_or_default();
    assert!(text.contains("test.cedar:1:"), "{text}");
    Ok(())
}

/// A rule that says what stands in a file.
#[derive(Debug)]
struct FileRule(PathBuf);

#[derive(Debug)]
struct Says(String);

impl RuleSource for FileRule {
    fn load(&self) -> Result<Option<Arc<dyn RuleEvaluator>>, String> {
        match std::fs::read_to_string(&self.0) {
            Ok(text) if text == "broken" => Err("the rule is broken".to_owned()),
            Ok(text) => Ok(Some(Arc::new(Says(text)))),
            Err(error) => Err(error.to_string()),
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        vec![self.0.clone()]
    }
}

impl RuleEvaluator for Says {
    fn guard(&self, _: &str, _: &str) -> Result<Arc<dyn Guard>, GuardRefusal> {
        Ok(Arc::new(Says(self.0.clone())))
    }
}

impl Guard for Says {
    fn inputs(&self) -> GuardInputs {
        GuardInputs::default()
    }

    fn digest(&self) -> &str {
        "the same"
    }

    fn evaluate(&self, _: &Request, _: &Entities) -> Result<GuardAnswer, GuardFailure> {
        Ok(GuardAnswer { holds: self.0 == "yes", reason: None })
    }
}

#[tokio::test]
async fn rules_are_reloaded_and_broken_ones_are_not() -> Result<()> {
    let files = Files::new()?;
    files.write_policies(r#"@id("p") @guard("says") permit(principal, action, resource);"#)?;
    let rule = files.policies().join("rule.txt");
    std::fs::write(&rule, "yes")?;
    let mut config = files.config();
    let source = PolicySource::new([files.policies()]);
    config.policies = source.with_rules(Arc::new(FileRule(rule.clone())));
    let running = Running::start(&files, config).await?;
    let mut client = Client::connect(running.address, files.client(None)?).await?;
    assert_eq!(client.review(review("list", "pods")).await?["allowed"], json!(true));
    std::fs::write(&rule, "no")?;
    eventually("the other rule is in force", async || {
        Ok(client.review(review("list", "pods")).await?["allowed"] == json!(false))
    })
    .await?;
    std::fs::write(&rule, "broken")?;
    eventually("the failure shows", async || {
        let (_, page) = client.get("/readyz?verbose").await?;
        Ok(page.contains("[!]policy-reload failed")
            && page.contains("the rules that guard policies do not load"))
    })
    .await?;
    assert_eq!(client.review(review("list", "pods")).await?["allowed"], json!(false));
    std::fs::write(&rule, "yes")?;
    eventually("the rule is in force again", async || {
        Ok(client.review(review("list", "pods")).await?["allowed"] == json!(true))
    })
    .await?;
    running.stop().await
}
