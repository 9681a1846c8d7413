//! Kinds of dangerous grants, as data: what an audit finds of each, and how bad.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use stagedoor_kubernetes::KubernetesVersion;
use stagedoor_kubernetes::rbac::{AuditReport, AuditSeverity, BuiltIns, RbacObjects};

use crate::cluster::{Binding, Cluster, Role, Rule, Subject};

const GRANTS: &str = include_str!("data/dangerous-grants.yaml");
/// What two public scanners say, and what an audit says of the same.
const PUBLISHED: &str = include_str!("data/published-findings.yaml");

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

/// A finding of another scanner.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PublishedFinding {
    finding: String,
    says: String,
    #[serde(default, rename = "in")]
    namespace: Option<String>,
    rule: Option<[String; 3]>,
    #[serde(default)]
    with: Vec<[String; 3]>,
    /// A built-in role that is bound, instead of rules.
    role: Option<String>,
    check: String,
    severity: String,
    /// Why an audit says less.
    less: Option<String>,
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
fn cluster<'r>(
    namespace: Option<&String>,
    rules: impl Iterator<Item = &'r [String; 3]>,
) -> Cluster {
    let mut cluster = Cluster::default();
    for (number, rules) in rules.enumerate() {
        let name = format!("r{number}");
        cluster.roles.push(Role {
            name: name.clone(),
            rules: vec![rule(rules)],
            ..Role::default()
        });
        cluster.bindings.push(Binding {
            namespace: namespace.cloned(),
            name: format!("b{number}"),
            subjects: vec![Subject { kind: "User", name: "ann".to_owned(), ..Subject::default() }],
            role_kind: "ClusterRole",
            role_name: name,
        });
    }
    cluster
}

/// Returns what is found about grants.
fn found(cluster: &Cluster) -> Result<Vec<(&'static str, AuditSeverity)>> {
    let mut objects = RbacObjects::default();
    objects.read("cluster.json", &cluster.to_json())?;
    objects.add_built_ins(KubernetesVersion::NEWEST, BuiltIns::Roles)?;
    let report = AuditReport::of(&objects.resolve()?);
    let about_grants = report.findings().iter().filter(|finding| finding.subject.is_some());
    Ok(about_grants.map(|finding| (finding.check.id(), finding.severity)).collect())
}

/// Returns the findings of other scanners, by their names.
fn published() -> Result<BTreeMap<String, Vec<PublishedFinding>>> {
    Ok(serde_saphyr::from_str(PUBLISHED)?)
}

#[test]
fn what_other_scanners_find_an_audit_finds_too() -> Result<()> {
    const SEVERITIES: [&str; 5] = ["info", "low", "medium", "high", "critical"];
    let rank = |severity: &str| SEVERITIES.iter().position(|name| *name == severity);
    let (mut compared, mut less, mut wrong) = (0, 0, Vec::new());
    for (scanner, rows) in published()? {
        for row in rows {
            let place = format!("{scanner} {}: {row:?}", row.finding);
            let rules = row.rule.iter().chain(&row.with);
            let mut cluster = cluster(row.namespace.as_ref(), rules);
            if let Some(role) = &row.role {
                let subject =
                    Subject { kind: "User", name: "ann".to_owned(), ..Subject::default() };
                cluster.bindings.push(Binding {
                    namespace: row.namespace.clone(),
                    name: "own".to_owned(),
                    subjects: vec![subject],
                    role_kind: "ClusterRole",
                    role_name: role.clone(),
                });
            }
            let found = found(&cluster)?;
            let of_check = found.iter().filter(|(check, _)| *check == row.check);
            let worst = of_check.map(|(_, severity)| severity.as_str()).max_by_key(|s| rank(s));
            if worst != Some(row.severity.as_str()) {
                wrong.push(format!("{place}\n{found:?}"));
            }
            let says_less = rank(&row.severity).context("a severity")?
                < rank(&row.says).context("a severity")?;
            if says_less != row.less.is_some() {
                wrong.push(format!("{place}: say why, where it says less"));
            }
            compared += 1;
            less += usize::from(says_less);
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{compared} published findings, all found, {less} with a lower severity");
    ensure!(compared >= 70);
    Ok(())
}

#[test]
fn each_kind_of_dangerous_grant_is_found() -> Result<()> {
    let rows: Vec<Row> = serde_saphyr::from_str(GRANTS)?;
    ensure!(rows.len() >= 60, "only {}", rows.len());
    for row in &rows {
        let rules = std::iter::once(&row.rule).chain(&row.with);
        let found = found(&cluster(row.namespace.as_ref(), rules))?;
        let about_grants: Vec<_> = found.iter().map(|(id, s)| (*id, s.as_str())).collect();
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
    let own: Vec<String> = self::published()?
        .into_iter()
        .flat_map(|(scanner, rows)| {
            rows.into_iter().map(move |row| format!("{scanner} {}", row.finding))
        })
        .collect();
    for grant in published["grants"].as_array().context("grants")? {
        let id = grant["id"].as_str().context("an id")?;
        for scanner in ["rbac-police", "kubesplaining"] {
            for name in finding_names(grant["severity"][scanner].as_str().unwrap_or_default()) {
                let is_it = |row: &&String| row.starts_with(scanner) && row.ends_with(name);
                ensure!(own.iter().any(|row| is_it(&row)), "{scanner} `{name}` is missing");
            }
        }
        ensure!(
            about_subjects.contains(&id) || rows.iter().any(|row| row.id == id),
            "`{id}` is missing"
        );
    }
    Ok(())
}

/// Returns the names in a text such as `HIGH 001, 031 (proposed)` or `Critical bind_roles`.
fn finding_names(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'));
    words.filter(|word| {
        let is_number = word.len() == 3 && word.chars().all(|c| c.is_ascii_digit());
        is_number || word.contains('_') || word.ends_with("-001")
    })
}
