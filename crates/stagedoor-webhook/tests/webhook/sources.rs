//! Where policies come from, how much they count, and what reloads have lost of them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, anyhow, ensure};
use serde_json::{Value, json};
use stagedoor_core::{Engine, Limits};
use stagedoor_kubernetes::{ModeCeiling, PolicyMode};
use stagedoor_source::{
    Admission, Fingerprint, HealthLevel, HealthLine, MANIFEST_NAME, Manifest, ManifestUse,
    NothingToLoad, OriginHealth, OriginSet, PolicyOrigin, PolicySources, RealFileSystem,
    SetRefusal, Vocabulary,
};
use stagedoor_webhook::PolicySource;

use crate::support::{Client, Files, POLICIES, Running, eventually, review};

const NOBODY: &str = r#"@id("nobody") forbid(principal, action, resource);"#;

/// Policies that are published, and may be refused by whoever publishes them.
#[derive(Debug, Default)]
struct Published {
    text: Mutex<String>,
    version: AtomicU64,
    keeps_back: AtomicBool,
    /// How often a set was admitted.
    admitted: AtomicU64,
}

impl Published {
    fn publish(&self, text: &str) {
        text.clone_into(&mut self.text.lock().unwrap_or_else(PoisonError::into_inner));
        self.version.fetch_add(1, Ordering::SeqCst);
    }
}

#[derive(Debug, Clone, Default)]
struct Origin(Arc<Published>);

impl PolicyOrigin for Origin {
    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::default().with_version(self.0.version.load(Ordering::SeqCst))
    }

    fn read(&self, _: &Limits) -> Result<OriginSet, NothingToLoad> {
        let text = self.0.text.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let sources = PolicySources::from_texts([("p.cedar", text)]);
        Ok(OriginSet { sources, admission: Some(Arc::new(self.clone())) })
    }

    fn health(&self) -> Option<OriginHealth> {
        let level = HealthLevel::Notable;
        let lines = vec![HealthLine { level, text: "release 7 of 8".to_owned() }];
        let details = json!({"release": 7});
        Some(OriginHealth { is_ready: true, lines, details, gauges: Vec::new() })
    }
}

impl Admission for Origin {
    fn check(&self, _: &Engine, _: Option<&Engine>) -> Result<(), String> {
        Ok(())
    }

    fn admit(&self) -> Result<(), String> {
        if self.0.keeps_back.load(Ordering::SeqCst) {
            return Err("it is kept back".to_owned());
        }
        self.0.admitted.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn refuse(&self, _: &SetRefusal<'_>) {}
}

#[tokio::test]
async fn policies_are_those_of_their_origin() -> Result<()> {
    let files = Files::new()?;
    let origin = Origin::default();
    origin.0.publish(NOBODY);
    let mut config = files.config();
    config.policies = PolicySource::of(Arc::new(origin.clone()));
    let running = Running::start(&files, config).await?;
    let mut client = Client::connect(running.address, files.client(None)?).await?;
    // Not those of the directory.
    assert_eq!(client.review(review("list", "pods")).await?["denied"], json!(true));
    assert_eq!(origin.0.admitted.load(Ordering::SeqCst), 1);
    let (_, page) = client.get("/readyz?verbose").await?;
    ensure!(page.contains("[!]release 7 of 8"), "{page}");
    ensure!(page.contains("[+]policies ok: 1 policy"), "{page}");
    let status: Value = serde_json::from_str(&client.get("/status").await?.1)?;
    let source = &status["sources"][0];
    assert_eq!((&source["name"], &source["policies"]), (&json!("policies"), &json!(1)));
    assert_eq!(source["origin"], json!({"release": 7}));

    // Its word is the last: what it keeps back is not in force.
    origin.0.keeps_back.store(true, Ordering::SeqCst);
    origin.0.publish(POLICIES);
    eventually("the failure shows", async || {
        Ok(client.get("/readyz?verbose").await?.1.contains("the set cannot be put in force"))
    })
    .await?;
    assert_eq!(client.review(review("list", "pods")).await?["denied"], json!(true));
    origin.0.keeps_back.store(false, Ordering::SeqCst);
    origin.0.publish(POLICIES);
    eventually("the set is in force", async || {
        Ok(client.review(review("list", "pods")).await?["allowed"] == json!(true))
    })
    .await?;
    // Whoever published the set says what it is meant to be: no forbid is lost by it.
    ensure!(client.get("/metrics").await?.1.contains("stagedoor_lost_forbids 0\n"));
    running.stop().await
}

#[tokio::test]
async fn forbids_that_are_lost_show_until_they_are_back_or_acknowledged() -> Result<()> {
    let files = Files::new()?;
    let running = Running::start(&files, files.config()).await?;
    let mut client = Client::connect(running.address, files.client(None)?).await?;
    let other = r#"@id("no-nodes") forbid(principal, action, resource is k8s::Resource)
        when { resource.resource == "nodes" };"#;
    let (permit, _) = POLICIES.split_once("@id(\"no-secrets\")").unwrap_or_default();
    for (policies, lost) in [
        // A permit that goes is no forbid that is lost, and one that comes is none that is back.
        (format!("{POLICIES} permit(principal, action, resource);"), 0),
        (format!("{POLICIES} {other}"), 0),
        (format!("{permit} {other}"), 1),
        // A permit of that name is not the forbid.
        (format!("{permit} @id(\"no-secrets\") permit(principal, action, resource);"), 2),
        (format!("{permit} @id(\"again\") permit(principal, action, resource); {other}"), 1),
        (POLICIES.to_owned(), 1),
        (format!("{POLICIES} {other}"), 0),
    ] {
        let (_, before) = client.get("/metrics").await?;
        let info = |metrics: &str| {
            let line = metrics.lines().find(|line| line.starts_with("stagedoor_policy_info"));
            line.map(str::to_owned)
        };
        files.write_policies(&policies)?;
        eventually("the set is in force", async || {
            Ok(info(&client.get("/metrics").await?.1) != info(&before))
        })
        .await?;
        let expected = format!("stagedoor_lost_forbids {lost}\n");
        eventually("what is lost shows", async || {
            Ok(client.get("/metrics").await?.1.contains(&expected))
        })
        .await?;
        let (_, page) = client.get("/readyz?verbose").await?;
        assert_eq!(page.contains("lost by reloads"), lost > 0, "{policies}: {page}");
    }
    running.stop().await
}

#[tokio::test]
async fn a_manifest_that_is_added_acknowledges_what_is_lost() -> Result<()> {
    let files = Files::new()?;
    let running = Running::start(&files, files.config()).await?;
    let mut client = Client::connect(running.address, files.client(None)?).await?;
    let (permit, _) = POLICIES.split_once("@id(\"no-secrets\")").unwrap_or_default();
    files.write_policies(permit)?;
    eventually("a forbid is lost", async || {
        Ok(client.get("/metrics").await?.1.contains("stagedoor_lost_forbids 1\n"))
    })
    .await?;
    write_manifest(&files)?;
    eventually("it is acknowledged", async || {
        Ok(client.get("/metrics").await?.1.contains("stagedoor_lost_forbids 0\n"))
    })
    .await?;
    running.stop().await
}

/// Writes the manifest of the policies as they are.
fn write_manifest(files: &Files) -> Result<()> {
    let directory = files.policies();
    let sources = PolicySources::read(&RealFileSystem, &[&directory], &Limits::default());
    let manifest = Manifest::of(&RealFileSystem, &directory, sources.files(), sources.rules());
    let manifest = manifest.map_err(|problem| anyhow!("{problem:?}"))?;
    let path = directory.join(MANIFEST_NAME);
    Ok(std::fs::write(path, manifest.to_json())?)
}

/// Returns why a set does not load.
fn refusal(source: &PolicySource) -> String {
    match source.builder().map(stagedoor_core::EngineBuilder::build) {
        Ok(Ok(_)) => String::new(),
        Ok(Err(error)) => format!("{error:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_manifest_that_is_required_is_held_to() -> Result<()> {
    let files = Files::new()?;
    let source = || PolicySource::new([files.policies()]).with_manifest(ManifestUse::Required);
    let text = refusal(&source());
    ensure!(text.contains("manifest"), "{text}");
    write_manifest(&files)?;
    assert_eq!(refusal(&source()), "");
    files.write_policies(NOBODY)?;
    let text = refusal(&source());
    ensure!(text.contains("manifest"), "{text}");
    assert_eq!(refusal(&PolicySource::new([files.policies()])), "");
    Ok(())
}

#[test]
fn limits_and_other_platforms_are_heard_of() -> Result<()> {
    let files = Files::new()?;
    let source = || PolicySource::new([files.policies()]);
    let mut limits = Limits::default();
    limits.policies = 1;
    let text = refusal(&source().with_limits(limits));
    ensure!(text.contains("policies"), "{text}");
    assert_eq!(refusal(&source()), "");

    // Another platform's policies beside them are none of Kubernetes', whatever their ids.
    let (own, other) = (files.policies().join("kubernetes"), files.policies().join("other"));
    std::fs::create_dir(&own)?;
    std::fs::rename(files.policies().join("test.cedar"), own.join("test.cedar"))?;
    std::fs::create_dir(&other)?;
    let theirs = "entity User; action see appliesTo { principal: User, resource: User };";
    std::fs::write(other.join("other.cedarschema"), format!("namespace Other {{ {theirs} }}"))?;
    std::fs::write(
        other.join("other.cedar"),
        "@id(\"readers-read\") permit(principal is Other::User, action, resource);",
    )?;
    let vocabulary = Vocabulary {
        name: "other",
        namespace: "Other",
        schemas: std::borrow::Cow::Borrowed(&[]),
        has_permission_files: false,
    };
    let engine = source().beside(vocabulary).builder()?.build()?;
    assert_eq!(engine.policies().len(), 2);
    ensure!(!refusal(&source()).is_empty(), "they were taken for Kubernetes'");
    Ok(())
}

#[tokio::test]
async fn policies_below_a_ceiling_count_no_more_than_it_says() -> Result<()> {
    let files = Files::new()?;
    let mut config = files.config();
    let ceiling = ModeCeiling::new(files.policies(), PolicyMode::Audit);
    config.policies = PolicySource::new([files.policies()]).with_ceilings([ceiling]);
    let running = Running::start(&files, config).await?;
    let mut client = Client::connect(running.address, files.client(None)?).await?;
    // The permit is not enforced either, so that nobody is allowed anything.
    let status = client.review(review("list", "secrets")).await?;
    assert_eq!((&status["allowed"], &status["denied"]), (&json!(false), &Value::Null), "{status}");
    running.stop().await
}
