//! `stagedoor serve authzen --shadow`: what other policies would decide otherwise is counted and
//! logged, and nothing of it is enforced or recorded.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::serving::{Serving, eventually, shared};

fn name(path: &Path) -> Result<&str> {
    path.to_str().context("a path")
}

fn question(user: &str, action: &str, resource: &str) -> Value {
    json!({
        "subject": {"type": "user", "id": user}, "action": {"name": action},
        "resource": {"type": "record", "id": resource},
    })
}

/// Returns the comparisons so far: same, different, failed and skipped.
fn comparisons(serving: &Serving) -> Result<[u64; 4]> {
    let status = serving.get("/status")?.json()?;
    let counts = &status["shadow"]["comparisons"];
    Ok(["same", "different", "failed", "skipped"].map(|n| counts[n].as_u64().unwrap_or(u64::MAX)))
}

fn compares(serving: &Serving) -> Result<()> {
    eventually("the shadow policies are compared", || {
        Ok(serving.get("/readyz?verbose")?.text.contains("[+]shadow-policies ok"))
    })
}

/// Writes policies of their own, with the schema of the certification's world.
fn write(directory: &Path, policies: &str) -> Result<()> {
    let schema = shared("worlds/certification/certification.cedarschema");
    std::fs::copy(schema, directory.join("s.cedarschema"))?;
    std::fs::write(directory.join(".new"), policies)?;
    Ok(std::fs::rename(directory.join(".new"), directory.join("p.cedar"))?)
}

/// Bob may do everything, and alice reads.
const OTHER: &str = r#"@id("bob") permit (principal == user::"bob", action, resource);
    @id("alice-reads") permit (principal == user::"alice", action == Action::"read", resource);"#;

fn start(shadow: &Path, more: &[&str]) -> Result<Serving> {
    let world = shared("worlds/certification");
    let world = name(&world)?;
    let args = ["--policies", world, "--entities", world, "--shadow", name(shadow)?];
    Serving::start(&[args.as_slice(), more].concat())
}

#[test]
fn what_differs_is_counted_and_logged_and_nothing_of_it_is_enforced() -> Result<()> {
    let directory = tempfile::tempdir()?;
    write(directory.path(), OTHER)?;
    let serving = start(directory.path(), &[])?;
    compares(&serving)?;
    let read = question("alice", "read", "record-1");
    assert!(serving.decision(&read)?);
    // Each is said no to, three times the same; the shadow policies say yes.
    for _ in 0..3 {
        assert!(!serving.decision(&question("bob", "write", "record-1"))?);
    }
    // Allowed here, and not there.
    assert!(serving.decision(&question("alice", "write", "record-1"))?);
    // A batch counts by its evaluations, as far as both go.
    let mut batch = question("bob", "read", "record-1");
    batch["evaluations"] = json!([{}, {"action": {"name": "write"}}, {"action": {"name": "fly"}}]);
    let answer = serving.ask("/access/v1/evaluations", &batch)?;
    assert_eq!(
        answer["evaluations"],
        json!([{"decision": true}, {"decision": false}, {"decision": false}])
    );
    batch["options"] = json!({"evaluations_semantic": "deny_on_first_deny"});
    let answer = serving.ask("/access/v1/evaluations", &batch)?;
    assert_eq!(answer["evaluations"], json!([{"decision": true}, {"decision": false}]));
    // What is refused is no decision, and lists are not compared.
    assert_eq!(serving.post("/access/v1/evaluation", "{}", &[])?.code, 400);
    let search = json!({"subject": {"type": "user", "id": "bob"}, "resource": {"type": "record", "id": "record-1"}});
    let listed = serving.ask("/access/v1/search/action", &search)?;
    assert_eq!(listed["results"], json!([{"name": "read"}]), "by the policies in force");
    eventually("all are compared", || Ok(comparisons(&serving)? == [4, 6, 0, 0]))?;
    let metrics = serving.get("/metrics")?.text;
    for line in [
        r#"stagedoor_shadow_comparisons_total{endpoint="evaluation",result="same"} 1"#,
        r#"stagedoor_shadow_comparisons_total{endpoint="evaluation",result="different"} 4"#,
        r#"stagedoor_shadow_comparisons_total{endpoint="evaluations",result="different"} 2"#,
        r#"stagedoor_shadow_differences_total{endpoint="evaluation",enforced="denied",shadow="allowed"} 3"#,
        r#"stagedoor_shadow_differences_total{endpoint="evaluation",enforced="allowed",shadow="denied"} 1"#,
        "stagedoor_shadow_policies 2",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    assert!(!metrics.contains("endpoint=\"search-action\",result"), "{metrics}");
    let (records, log) = serving.end()?;
    let differences: Vec<Value> = log
        .lines()
        .filter(|line| line.contains("would decide otherwise"))
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let told: Vec<String> = differences
        .iter()
        .map(|line| {
            let part = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
            let parts = ["endpoint", "asked", "enforced", "shadow", "shadow_reason"].map(part);
            parts.join("|")
        })
        .collect();
    assert_eq!(
        told,
        [
            "evaluation|user bob: write of record record-1|denied|allowed|allowed by `bob`",
            "evaluation|user alice: write of record record-1|allowed|denied|no policy permits this",
            "evaluations|user bob: write of record record-1|denied|allowed|allowed by `bob`",
        ],
        "each once: {log}"
    );
    // Of each decision one record, by the policies in force.
    let decided = records.iter().filter(|r| r["endpoint"] == "evaluation").count();
    assert_eq!(decided, 5);
    let batches = records.iter().filter(|r| r["endpoint"] == "evaluations").count();
    assert_eq!(batches, 5);
    let bobs = r#"{"effect":"permit","id":"bob"}"#;
    assert!(!records.iter().any(|record| record["policies"].to_string().contains(bobs)));
    Ok(())
}

#[test]
fn a_shadow_that_does_not_load_disturbs_nothing_and_is_reloaded() -> Result<()> {
    let directory = tempfile::tempdir()?;
    write(directory.path(), "permit(principal, oops")?;
    let serving = start(directory.path(), &[])?;
    eventually("its problem shows", || {
        let page = serving.get("/readyz?verbose")?;
        assert_eq!(page.code, 200, "{}", page.text);
        Ok(page.text.contains("[!]shadow-policy-reload failed"))
    })?;
    assert!(serving.decision(&question("alice", "read", "record-1"))?);
    assert_eq!(comparisons(&serving)?, [0, 0, 0, 0]);
    write(directory.path(), OTHER)?;
    compares(&serving)?;
    assert!(!serving.decision(&question("bob", "write", "record-1"))?);
    eventually("it is compared", || Ok(comparisons(&serving)? == [0, 1, 0, 0]))?;
    write(directory.path(), r#"@id("no") forbid (principal, action, resource);"#)?;
    serving.signal("-HUP")?;
    eventually("the change is compared", || {
        assert!(serving.decision(&question("alice", "read", "record-1"))?, "nothing is enforced");
        Ok(comparisons(&serving)?[1] > 1)
    })?;
    serving.end()?;
    Ok(())
}
