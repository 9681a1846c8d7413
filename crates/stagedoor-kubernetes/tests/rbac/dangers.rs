//! Kinds of dangerous grants, as data: what an audit finds of each, and how bad.

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use stagedoor_kubernetes::rbac::{AuditReport, AuditSeverity, RbacObjects};

use crate::cluster::{Binding, Cluster, Role, Rule, Subject};

const GRANTS: &str = include_str!("data/dangerous-grants.yaml");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    id: String,
    #[serde(default, rename = "in")]
    namespace: Option<String>,
    rule: [String; 3],
    #[serde(default)]
    with: Vec<[String; 3]>,
    finds: Option<String>,
    #[serde(default)]
    severity: Option<String>,
}

fn rule([verbs, groups, resources]: &[String; 3]) -> Rule {
    let list = |text: &String| text.split(',').map(str::to_owned).collect();
    Rule {
        verbs: list(verbs),
        api_groups: list(groups),
        resources: list(resources),
        ..Rule::default()
    }
}

/// Grants the rules by roles and bindings of their own: what is held together counts.
fn cluster(row: &Row) -> Cluster {
    let mut cluster = Cluster::default();
    for (number, rules) in std::iter::once(&row.rule).chain(&row.with).enumerate() {
        let name = format!("r{number}");
        cluster.roles.push(Role { namespace: None, name: name.clone(), rules: vec![rule(rules)] });
        cluster.bindings.push(Binding {
            namespace: row.namespace.clone(),
            name: format!("b{number}"),
            subjects: vec![Subject { kind: "User", name: "ann".to_owned(), ..Subject::default() }],
            role_kind: "ClusterRole",
            role_name: name,
        });
    }
    cluster
}

#[test]
fn each_kind_of_dangerous_grant_is_found() -> Result<()> {
    let rows: Vec<Row> = serde_saphyr::from_str(GRANTS)?;
    ensure!(rows.len() >= 60, "only {}", rows.len());
    for row in &rows {
        let mut objects = RbacObjects::default();
        objects.read("cluster.json", &cluster(row).to_json())?;
        let report = AuditReport::of(&objects.resolve()?);
        let about_grants: Vec<_> = report
            .findings()
            .iter()
            .filter(|finding| finding.subject.is_some())
            .map(|finding| (finding.check.id(), finding.severity.as_str()))
            .collect();
        match (&row.finds, &row.severity) {
            (Some(check), Some(severity)) => ensure!(
                about_grants.contains(&(check.as_str(), severity.as_str())),
                "`{}`: {about_grants:?}",
                row.id
            ),
            (None, None) => ensure!(about_grants.is_empty(), "`{}`: {about_grants:?}", row.id),
            _ => ensure!(false, "`{}` says half of what it expects", row.id),
        }
    }
    println!("{} kinds of grants", rows.len());
    Ok(())
}

/// Severities are ordered, and every check has a page that says more.
#[test]
fn every_check_says_where_one_reads_more() {
    for check in stagedoor_kubernetes::rbac::AuditCheck::ALL {
        assert!(check.reference().starts_with("https://"), "{check:?}");
        assert!(check.description().ends_with('.'), "{check:?}");
    }
    assert!(AuditSeverity::Critical > AuditSeverity::High);
}

/// With the conformance data of upstream where it is there: no kind of it is missing here.
#[test]
fn no_published_kind_is_missing() -> Result<()> {
    let Some(path) = std::env::var_os("STAGEDOOR_DANGEROUS_GRANTS") else {
        println!("skipped: STAGEDOOR_DANGEROUS_GRANTS names no file");
        return Ok(());
    };
    let published: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    let rows: Vec<Row> = serde_saphyr::from_str(GRANTS)?;
    // These are about whom something is bound to, not about a rule.
    let about_subjects =
        ["bound-cluster-admin", "system-masters", "bound-unauthenticated", "bound-authenticated"];
    for grant in published["grants"].as_array().context("grants")? {
        let id = grant["id"].as_str().context("an id")?;
        ensure!(
            about_subjects.contains(&id) || rows.iter().any(|row| row.id == id),
            "`{id}` is missing"
        );
    }
    Ok(())
}
