//! The demo: its decisions are held here, so that nobody shows wrong ones.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::run::stagedoor;

/// Who, what, the decision, and the policies that determined it.
const EXPECTED: [(&str, &str, &str, &[&str]); 18] = [
    ("bob", "catalog.entity.read component:payments-api", "allow", &["everyone-reads"]),
    ("bob", "catalog.entity.read resource:payments-db", "deny", &["hidden-is-for-owners"]),
    ("alice", "catalog.entity.read resource:payments-db", "allow", &["everyone-reads"]),
    ("alice", "catalog.entity.delete component:payout-worker", "allow", &["owners-manage"]),
    ("dana", "catalog.entity.delete component:payout-worker", "deny", &[]),
    ("alice", "catalog.entity.delete component:payments-api", "deny", &["production-stays"]),
    ("petra", "catalog.entity.delete component:payments-api", "allow", &["platform-admins"]),
    ("omar", "kubernetes.proxy", "allow", &["on-call-proxy"]),
    (
        "alice",
        "patch deployments.apps ledger in payments",
        "allow",
        &["payments-owns-its-namespace"],
    ),
    ("alice", "patch deployments.apps cart in checkout", "deny", &[]),
    ("alice", "create pods/exec ledger-0 in payments", "allow", &["payments-debugs-its-pods"]),
    ("vera", "get pods/log ledger-0 in payments", "allow", &["viewers-read"]),
    ("vera", "list secrets in payments", "deny", &["secrets-are-not-read-by-accident"]),
    ("petra", "list secrets in payments", "deny", &["secrets-are-not-read-by-accident"]),
    ("bella", "list secrets in payments", "allow", &["break-glass-reads-secrets"]),
    ("omar", "delete pods ledger-0 in payments", "allow", &["on-call-deletes-pods"]),
    (
        "payments/ledger",
        "get configmaps ledger in payments",
        "allow",
        &["workloads-read-their-namespace-config"],
    ),
    ("anonymous", "get /livez", "allow", &["probes-reach-health-endpoints"]),
];

#[test]
fn the_demo_decides_as_it_should() -> Result<()> {
    let run = stagedoor(Path::new("/"), ["demo", "--format", "json"], b"")?;
    assert_eq!((run.exit, run.stderr.as_str()), (0, ""));
    let rows = run.stdout.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    let mut seen = Vec::new();
    for row in &rows {
        let text = |key: &str| row.get(key).and_then(Value::as_str).context("a text");
        let reasons = row.get("reasons").and_then(Value::as_array).context("reasons")?;
        let reasons: Vec<&str> = reasons.iter().filter_map(Value::as_str).collect();
        seen.push((text("who")?, text("wants")?, text("decision")?, reasons));
    }
    let expected: Vec<_> =
        EXPECTED.iter().map(|(who, what, is, by)| (*who, *what, *is, by.to_vec())).collect();
    assert_eq!(seen, expected);
    Ok(())
}

#[test]
fn the_table_says_the_same_in_words() -> Result<()> {
    let run = stagedoor(Path::new("/"), ["demo"], b"")?;
    assert_eq!(run.exit, 0);
    for (who, what, decision, reasons) in EXPECTED {
        let line = run.stdout.lines().find(|line| {
            line.trim_start().starts_with(who)
                && line.contains(what)
                && line.contains(decision)
                && reasons.iter().all(|reason| line.contains(reason))
        });
        let line = line.with_context(|| format!("no line says `{who} {what} {decision}`"))?;
        assert_eq!(line.contains("nothing permits it"), reasons.is_empty(), "{line}");
    }
    let widest = run.stdout.lines().map(|line| line.chars().count()).max().unwrap_or_default();
    assert!(widest <= 120, "a line of {widest} characters");
    Ok(())
}
