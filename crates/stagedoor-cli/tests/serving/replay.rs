//! `stagedoor replay`: own records come out as they went in, and audit logs as policies say.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::serving::{Serving, shared};

/// Runs the command; returns exit code and what it printed.
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

fn name(path: &Path) -> Result<&str> {
    path.to_str().context("a path")
}

#[test]
fn a_record_replays_to_the_same_decision() -> Result<()> {
    let world = shared("worlds/certification");
    let world = name(&world)?;
    let serving = Serving::start(&["--policies", world, "--entities", world])?;
    let evaluation = |user: &str, action: Value, properties: Value| {
        serving.decision(&json!({
            "subject": {"type": "user", "id": user, "properties": properties}, "action": action,
            "resource": {"type": "record", "id": "record-1"}, "context": {"ip": "::1", "other": 1},
        }))
    };
    let mut asked = 0;
    for user in ["alice", "bob", "carol"] {
        for action in ["read", "write", "delete", "fly"] {
            evaluation(user, json!({"name": action, "properties": {"soft": true}}), json!({}))?;
            evaluation(user, json!({"name": action}), json!({"role": 1}))?;
            asked += 2;
        }
    }
    let (records, _) = serving.end()?;
    let directory = tempfile::tempdir()?;
    let log = directory.path().join("records.log");
    let lines: Vec<String> = records.iter().map(Value::to_string).collect();
    std::fs::write(&log, lines.join("\n"))?;
    let log = name(&log)?;
    let (exit, report) = replay(&["--policies", world, "--entities", world, log])?;
    assert_eq!(exit, Some(0), "{report}");
    assert_eq!((&report["replayed"], &report["same"]), (&json!(asked), &json!(asked)));
    assert_eq!(report["skipped"], json!({"no single yes or no": 1}), "the reload at the start");

    let other = directory.path().join("other");
    std::fs::create_dir(&other)?;
    let schema = shared("worlds/certification/certification.cedarschema");
    std::fs::copy(schema, other.join("certification.cedarschema"))?;
    std::fs::write(
        other.join("bob.cedar"),
        r#"@id("bob-does-all") permit (principal == user::"bob", action, resource);"#,
    )?;
    let other = name(&other)?;
    let (exit, report) = replay(&["--policies", other, "--entities", world, log])?;
    assert_eq!(exit, Some(1), "{report}");
    // Of alice: read and write, and delete softly. Of bob: write and delete.
    assert_eq!(
        (&report["newlyDenied"], &report["newlyAllowed"]),
        (&json!(3), &json!(2)),
        "{report}"
    );
    let witness = report["witnesses"].as_array().context("witnesses")?;
    assert!(witness.iter().any(|w| w["request"] == "bob: write record/record-1"
        && w["before"] == "denied"
        && w["now"] == "allowed"
        && w["reason"] == "by `bob-does-all`"));
    Ok(())
}

#[test]
fn audit_logs_are_held_against_policies() -> Result<()> {
    let logs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/audit");
    let directory = tempfile::tempdir()?;
    let policies = directory.path().join("policies");
    std::fs::create_dir(&policies)?;
    std::fs::write(
        policies.join("reader.cedar"),
        r#"@id("reader-reads")
        permit (principal in k8s::UserName::"system:serviceaccount:default:reader",
                action == k8s::Action::"get", resource is k8s::Resource)
        when { resource.resource == "secrets" };"#,
    )?;
    let policies = name(&policies)?;
    let cases = [
        ("kubesplaining/minimal-risky-audit.log", 0, [3, 3, 0]),
        ("kubesplaining/minimal-risky-eks-audit.json", 1, [6, 4, 2]),
        ("audit2rbac/demo.log", 1, [37, 11, 26]),
    ];
    for (log, expected, counts) in cases {
        let log = logs.join(log);
        let (exit, report) = replay(&["--policies", policies, name(&log)?])?;
        assert_eq!(exit, Some(expected), "{report}");
        let found = [&report["replayed"], &report["same"], &report["newlyDenied"]];
        assert_eq!(found, [&json!(counts[0]), &json!(counts[1]), &json!(counts[2])], "{report}");
        assert_eq!(report["newlyAllowed"], json!(0));
        assert_eq!(report["skipped"], json!({}));
    }
    // What nothing can be made of is no clean bill of health.
    let empty = directory.path().join("empty.log");
    std::fs::write(&empty, "{\"hello\": 1}\nnot json\n")?;
    let (exit, report) = replay(&["--policies", policies, name(&empty)?])?;
    assert_eq!(exit, Some(2), "{report}");
    let (exit, failure) = replay(&["--policies", policies, "nowhere.log"])?;
    assert_eq!(exit, Some(2), "{failure}");
    Ok(())
}
