//! Every answer has its record, whatever goes on meanwhile; and records of all kinds decide again.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, anyhow};
use serde_json::{Value, json};

use crate::serving::{Serving, eventually, shared};

const CLIENTS: usize = 4;
const QUESTIONS: usize = 150;

fn name(path: &std::path::Path) -> Result<&str> {
    path.to_str().context("a path")
}

#[test]
fn every_answer_has_one_record_or_is_counted_under_load_with_reloads() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path();
    let world = shared("worlds/certification");
    for file in ["certification.cedar", "certification.cedarschema", "entities.json"] {
        std::fs::copy(world.join(file), path.join(file))?;
    }
    let log = path.join("records.log");
    let place = name(path)?;
    // Files that are turned over all the time, and never gone.
    let args = ["--policies", place, "--entities", place, "--audit-log", name(&log)?];
    let serving = Serving::start(&[args.as_slice(), &["--audit-log-max-files", "100"]].concat())?;
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| -> Result<()> {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let serving = &serving;
                scope.spawn(move || -> Result<()> {
                    for n in 0..QUESTIONS {
                        let id = format!("q-{client}-{n}");
                        let resource = format!("record-{}", n % 3);
                        let mut body = json!({
                            "subject": {"type": "user", "id": "alice"}, "action": {"name": "read"},
                            "resource": {"type": "record", "id": resource},
                        });
                        let path = match n % 3 {
                            0 => "/access/v1/evaluation",
                            1 => {
                                body["evaluations"] = json!([{}, {"action": {"name": "write"}}]);
                                "/access/v1/evaluations"
                            }
                            // Not a question: no record.
                            _ => {
                                body["subject"] = json!("alice");
                                "/access/v1/evaluation"
                            }
                        };
                        let answered =
                            serving.post(path, &body.to_string(), &[("x-request-id", &id)])?;
                        assert_eq!(answered.code, if n % 3 == 2 { 400 } else { 200 });
                    }
                    Ok(())
                })
            })
            .collect();
        let reloads = scope.spawn(|| -> Result<()> {
            let policies = std::fs::read_to_string(path.join("certification.cedar"))?;
            let revision = || -> Result<String> {
                let metrics = serving.get("/metrics")?.text;
                let line = metrics.lines().find(|line| line.starts_with("stagedoor_policy_info{"));
                Ok(line.context("a revision")?.to_owned())
            };
            let mut n = 0_u64;
            while !is_over.load(Ordering::Acquire) {
                let before = revision()?;
                let text = format!(
                    "{policies}\n@id(\"n{n}\") permit (principal == user::\"n\", action, resource);"
                );
                std::fs::write(path.join(".new"), text)?;
                std::fs::rename(path.join(".new"), path.join("certification.cedar"))?;
                serving.signal("-HUP")?;
                eventually("the change is in force", || Ok(revision()? != before))?;
                n += 1;
            }
            Ok(())
        });
        let mut asked = Ok(());
        for client in clients {
            let own = client.join().map_err(|_| anyhow!("a client panicked")).and_then(|own| own);
            asked = asked.and(own);
        }
        is_over.store(true, Ordering::Release);
        reloads.join().map_err(|_| anyhow!("the reloads panicked"))??;
        asked
    })?;
    let metrics = serving.get("/metrics")?.text;
    let dropped = metrics
        .lines()
        .find_map(|line| line.strip_prefix("stagedoor_decision_records_total{result=\"dropped\"} "))
        .context("a counter")?
        .to_owned();
    serving.end()?;
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    let mut revisions = std::collections::BTreeSet::new();
    for line in std::fs::read_to_string(&log)?.lines() {
        let record: Value = serde_json::from_str(line)?;
        if record["endpoint"] == "reload" {
            continue;
        }
        revisions.insert(record["revision"].to_string());
        *found.entry(record["requestId"].as_str().context("an id")?.to_owned()).or_default() += 1;
    }
    assert_eq!(dropped, "0");
    assert!(revisions.len() > 1, "nothing was reloaded meanwhile");
    let mut expected = BTreeMap::new();
    for client in 0..CLIENTS {
        for n in (0..QUESTIONS).filter(|n| n % 3 != 2) {
            expected.insert(format!("q-{client}-{n}"), 1 + n % 3);
        }
    }
    assert_eq!(found, expected);
    Ok(())
}

/// Decides again; returns exit code and what was printed.
fn replay(args: &[&str]) -> Result<(Option<i32>, Value)> {
    let output = Command::new(env!("CARGO_BIN_EXE_stagedoor"))
        .args(["replay", "--format", "json"])
        .args(args)
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let printed = serde_json::from_str(text.lines().next().unwrap_or_default());
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok((output.status.code(), printed.with_context(|| format!("{text}{stderr}"))?))
}

#[test]
fn backstages_events_are_decided_again() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path();
    std::fs::create_dir(path.join("policies"))?;
    let write = |policies: &str| std::fs::write(path.join("policies/p.cedar"), policies);
    write(
        r#"@id("owners-delete")
        permit (principal is Backstage::User, action == Backstage::Action::"catalog.entity.delete", resource)
        when { resource is Backstage::CatalogEntity && resource.owners.containsAny(principal.claims) };
        @id("all-read")
        permit (principal, action == Backstage::Action::"catalog.entity.read", resource);"#,
    )?;
    let policies = path.join("policies");
    let check = |permission: &str, group: &str| -> Result<Value> {
        let output = Command::new(env!("CARGO_BIN_EXE_stagedoor"))
            .args(["check", "backstage", "--format", "json", "--policies", name(&policies)?])
            .args(["--user", "user:default/ana", "--group", group, "--permission", permission])
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        serde_json::from_str(&text)
            .with_context(|| format!("{text}{}", String::from_utf8_lossy(&output.stderr)))
    };
    let mut lines = Vec::new();
    for (permission, action) in [
        ("catalog.entity.delete", "delete"),
        ("catalog.entity.read", "read"),
        ("catalog.entity.refresh", "update"),
    ] {
        let decision = check(permission, "group:default/web")?;
        for status in ["initiated", "succeeded"] {
            lines.push(json!({
                "isAuditEvent": true, "plugin": "permission", "eventId": "permission-decision",
                "message": "permission.permission-decision", "status": status,
                "severityLevel": "medium", "timestamp": "2026-11-30T00:00:00.000Z",
                "meta": {
                    "user": "user:default/ana", "ownershipEntityRefs": ["user:default/ana", "group:default/web"],
                    "permission": permission, "action": action, "resourceType": "catalog-entity",
                    "result": decision["result"], "conditions": decision["conditions"],
                },
            }));
        }
    }
    let log = path.join("backstage.log");
    let text: Vec<String> = lines.iter().map(Value::to_string).collect();
    std::fs::write(&log, text.join("\n"))?;
    let args = ["--policies", name(&policies)?, name(&log)?];
    let (exit, report) = replay(&args)?;
    assert_eq!(exit, Some(0), "{report}");
    assert_eq!((&report["replayed"], &report["same"]), (&json!(3), &json!(3)), "{report}");
    assert_eq!(report["skipped"], json!({"another event of the same request": 3}));

    write(
        r#"@id("users-delete")
        permit (principal is Backstage::User, action == Backstage::Action::"catalog.entity.delete", resource);
        @id("users-refresh")
        permit (principal is Backstage::User, action == Backstage::Action::"catalog.entity.refresh", resource);"#,
    )?;
    let (exit, report) = replay(&args)?;
    assert_eq!(exit, Some(1), "{report}");
    assert_eq!(report["newlyAllowed"], 1, "{report}");
    assert_eq!(report["newlyDenied"], 1, "{report}");
    assert_eq!(report["otherConditions"], 1, "{report}");
    let witnesses = report["witnesses"].as_array().context("witnesses")?;
    let refreshed =
        witnesses.iter().find(|w| w["request"] == "user:default/ana: catalog.entity.refresh");
    assert_eq!(refreshed.context("a witness")?["reason"], "by `users-refresh`");
    Ok(())
}

#[test]
fn records_of_admission_are_decided_again_where_they_have_the_objects() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path();
    let policies = path.join("p.cedar");
    std::fs::write(
        &policies,
        r#"@id("all") permit (principal, action, resource);
        @id("no-host-network") forbid (principal, action, resource is k8s::admission::Resource)
        when { resource has object && resource.object.hasTag("/spec/hostNetwork") };"#,
    )?;
    let record = |uid: &str, outcome: &str, object: Option<Value>, masked: Value| {
        let mut record = json!({
            "version": 1, "id": uid, "platform": "kubernetes", "endpoint": "admit", "outcome": outcome,
            "masked": masked, "request": {
                "uid": uid, "user": "ann", "groups": ["devs"], "userUid": "", "extra": {},
                "operation": "CREATE", "apiGroup": "", "apiVersion": "v1", "resource": "pods",
                "subresource": "", "kind": "Pod", "kindGroup": "", "kindVersion": "v1",
                "namespace": "n", "name": "x", "dryRun": false,
            },
        });
        if let Some(object) = object {
            record["request"]["object"] = object;
        }
        record.to_string()
    };
    let log = path.join("records.log");
    std::fs::write(
        &log,
        [
            record("a", "denied", Some(json!({"spec": {"hostNetwork": true}})), json!([])),
            record("b", "allowed", Some(json!({"spec": {}})), json!([])),
            record("c", "denied", Some(json!({"spec": {}})), json!([])),
            record("d", "denied", None, json!([])),
            record(
                "e",
                "allowed",
                Some(json!({"data": "(masked)"})),
                json!(["/request/object/data"]),
            ),
        ]
        .join("\n"),
    )?;
    let (exit, report) = replay(&["--policies", name(&policies)?, name(&log)?])?;
    assert_eq!(exit, Some(1), "{report}");
    assert_eq!((&report["same"], &report["newlyAllowed"]), (&json!(2), &json!(1)), "{report}");
    assert_eq!(report["witnesses"][0]["request"], "ann: CREATE pods/x in n");
    assert_eq!(
        report["skipped"],
        json!({"the object is not in the entry": 1, "parts of the request are masked": 1})
    );
    Ok(())
}
