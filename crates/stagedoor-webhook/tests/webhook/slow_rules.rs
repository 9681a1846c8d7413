//! A rule that takes its time, and everybody else.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use anyhow::Result;
use http::StatusCode;
use serde_json::json;
use stagedoor_core::{
    Entities, Guard, GuardAnswer, GuardFailure, GuardInputs, GuardRefusal, Request, RuleEvaluator,
};
use stagedoor_webhook::{PolicySource, RuleSource};

use crate::support::{Client, Files, Running, eventually, review};

/// A rule that answers when it is let go.
#[derive(Debug, Clone, Default)]
struct Waits(Arc<(Mutex<State>, Condvar)>);

#[derive(Debug, Default)]
struct State {
    asked: usize,
    is_let_go: bool,
}

impl Waits {
    fn asked(&self) -> usize {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).asked
    }

    fn let_go(&self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).is_let_go = true;
        self.0.1.notify_all();
    }
}

impl RuleSource for Waits {
    fn load(&self) -> Result<Option<Arc<dyn RuleEvaluator>>, String> {
        Ok(Some(Arc::new(self.clone())))
    }

    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }
}

impl RuleEvaluator for Waits {
    fn guard(&self, _: &str, _: &str) -> Result<Arc<dyn Guard>, GuardRefusal> {
        Ok(Arc::new(self.clone()))
    }
}

impl Guard for Waits {
    fn inputs(&self) -> GuardInputs {
        GuardInputs::default()
    }

    fn digest(&self) -> &str {
        "waits"
    }

    fn evaluate(&self, _: &Request, _: &Entities) -> Result<GuardAnswer, GuardFailure> {
        let mut state = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.asked += 1;
        while !state.is_let_go {
            state = self.0.1.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(GuardAnswer { holds: true, reason: None })
    }
}

const POLICIES: &str = r#"
    @id("open") permit(principal, action == k8s::Action::"list", resource);
    @id("slow") @guard("waits") permit(principal, action == k8s::Action::"get", resource);"#;

/// More requests wait for the rule than the runtime has workers; those without it, probes and
/// reloads go on. Without threads of their own for guards this never ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_that_takes_its_time_holds_up_nobody_else() -> Result<()> {
    let files = Files::new()?;
    files.write_policies(POLICIES)?;
    let rule = Waits::default();
    let mut config = files.config();
    config.policies = PolicySource::new([files.policies()]).with_rules(Arc::new(rule.clone()));
    let running = Running::start(&files, config).await?;
    let mut slow = Vec::new();
    for _ in 0..48 {
        let mut client = Client::connect(running.address, files.client(None)?).await?;
        slow.push(tokio::spawn(async move { client.review(review("get", "pods")).await }));
    }
    eventually("all of them are asked", async || Ok(rule.asked() == 48)).await?;

    let mut client = Client::connect(running.address, files.client(None)?).await?;
    assert_eq!(client.review(review("list", "pods")).await?["allowed"], json!(true));
    let (code, page) = client.get("/livez").await?;
    assert_eq!(code, StatusCode::OK, "{page}");
    files
        .write_policies(&format!("{POLICIES} @id(\"no\") forbid(principal, action, resource);"))?;
    eventually("the change is in force", async || {
        Ok(client.review(review("list", "pods")).await?["denied"] == json!(true))
    })
    .await?;
    assert!(slow.iter().all(|request| !request.is_finished()));

    rule.let_go();
    for request in slow {
        assert_eq!(request.await??["allowed"], json!(true));
    }
    running.stop().await
}
