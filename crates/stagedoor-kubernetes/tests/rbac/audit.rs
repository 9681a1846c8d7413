//! The audit: each check finds what it is for, and leaves alone what is beside it.

use anyhow::{Context as _, Result, ensure};
use stagedoor_kubernetes::KubernetesVersion;
use stagedoor_kubernetes::rbac::{
    AuditBaseline, AuditCheck, AuditFinding, AuditReport, AuditSeverity, RbacObjects,
};

use crate::cluster::{Binding, Cluster, Role, Rule, Subject};
use crate::default_roles::ROLES;

fn report(cluster: &Cluster) -> Result<AuditReport> {
    let mut objects = RbacObjects::default();
    objects.read("cluster.json", &cluster.to_json())?;
    Ok(AuditReport::of(&objects.resolve()?))
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::to_owned).collect()
}

fn rule(verbs: &str, groups: &str, resources: &str) -> Rule {
    Rule {
        verbs: list(verbs),
        api_groups: list(groups),
        resources: list(resources),
        ..Rule::default()
    }
}

/// A rule bound to somebody, in the cluster or a namespace.
fn bound(rule: Rule, namespace: Option<&str>, kind: &'static str, name: &str) -> Cluster {
    let subject = Subject { kind, name: name.to_owned(), namespace: "ci".to_owned() };
    Cluster {
        roles: vec![Role { name: "r".to_owned(), rules: vec![rule], ..Role::default() }],
        bindings: vec![Binding {
            namespace: namespace.map(str::to_owned),
            name: "b".to_owned(),
            subjects: vec![subject],
            role_kind: "ClusterRole",
            role_name: "r".to_owned(),
        }],
    }
}

fn found(report: &AuditReport, check: AuditCheck) -> Option<&AuditFinding> {
    report.findings().iter().find(|finding| finding.check == check)
}

#[test]
fn each_check_finds_what_it_is_for() -> Result<()> {
    use AuditCheck as Check;
    use AuditSeverity::{Critical, High, Low, Medium};
    let rbac = "rbac.authorization.k8s.io";
    // What is granted, what is found in the cluster, and what in a namespace.
    let cases = [
        (rule("*", "*", "*"), Check::ClusterAdmin, Some(Critical), Some(High)),
        (rule("*", "*", "pods"), Check::Wildcard, Some(High), Some(Low)),
        (rule("get", "*", "pods"), Check::Wildcard, Some(Medium), Some(Low)),
        (rule("get,list", "", "pods"), Check::Wildcard, None, None),
        (rule("list", "", "secrets"), Check::SecretsRead, Some(High), Some(Low)),
        (rule("get", "*", "*"), Check::SecretsRead, Some(High), None),
        (rule("create", "", "secrets"), Check::SecretsRead, None, None),
        (rule("get", "apps", "secrets"), Check::SecretsRead, None, None),
        (rule("get", "", "secrets/x"), Check::SecretsRead, None, None),
        (rule("escalate", rbac, "clusterroles"), Check::Escalate, Some(Critical), Some(High)),
        (rule("update", rbac, "clusterroles"), Check::Escalate, None, None),
        (rule("bind", rbac, "roles"), Check::Bind, Some(Critical), Some(High)),
        (rule("bind", "", "roles"), Check::Bind, None, None),
        (rule("impersonate", "", "users"), Check::Impersonate, Some(Critical), None),
        (
            rule("impersonate", "", "serviceaccounts"),
            Check::Impersonate,
            Some(Critical),
            Some(High),
        ),
        (rule("impersonate", "", "pods"), Check::Impersonate, None, None),
        (rule("create", "", "pods"), Check::PodsCreate, Some(High), Some(Medium)),
        (rule("create", "apps", "deployments"), Check::PodsCreate, Some(High), Some(Medium)),
        (rule("create", "", "pods/eviction"), Check::PodsCreate, None, None),
        (rule("create", "", "pods/exec"), Check::PodsExec, Some(High), Some(Medium)),
        (rule("get", "", "*/attach"), Check::PodsExec, Some(High), Some(Medium)),
        (rule("patch", "", "pods/ephemeralcontainers"), Check::PodsExec, Some(High), Some(Medium)),
        (rule("get", "", "pods/log"), Check::PodsExec, None, None),
        (rule("get", "", "nodes/proxy"), Check::NodesProxy, Some(Critical), None),
        (rule("get", "", "nodes"), Check::NodesProxy, None, None),
        (
            rule("create", "", "serviceaccounts/token"),
            Check::TokenCreate,
            Some(Critical),
            Some(High),
        ),
        (rule("create", "", "serviceaccounts"), Check::TokenCreate, None, None),
        (
            rule("patch", "admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
            Check::WebhookWrite,
            Some(High),
            None,
        ),
        (
            rule("get", "admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
            Check::WebhookWrite,
            None,
            None,
        ),
        (
            rule("update", "certificates.k8s.io", "certificatesigningrequests/approval"),
            Check::CertificateApproval,
            Some(High),
            None,
        ),
        (
            rule("approve", "certificates.k8s.io", "signers"),
            Check::CertificateApproval,
            Some(High),
            None,
        ),
        (
            rule("update", "certificates.k8s.io", "certificatesigningrequests"),
            Check::CertificateApproval,
            None,
            None,
        ),
    ];
    for (rule, check, in_cluster, in_namespace) in cases {
        for (namespace, expected) in [(None, in_cluster), (Some("n"), in_namespace)] {
            let report = report(&bound(rule.clone(), namespace, "Group", "devs"))?;
            let finding = found(&report, check);
            assert_eq!(finding.map(|f| f.severity), expected, "{check:?} {namespace:?} {rule:?}");
            if let Some(finding) = finding {
                assert_eq!(finding.subject.as_deref(), Some("Group/devs"));
                assert_eq!(finding.rule, Some(0));
                ensure!(!finding.reason.is_empty());
            }
        }
    }
    Ok(())
}

#[test]
fn grants_to_everybody_and_default_accounts_are_found() -> Result<()> {
    use AuditCheck::{DefaultServiceAccount, GrantedToEverybody};
    use AuditSeverity::{High, Low, Medium};
    let cases = [
        ("Group", "system:unauthenticated", GrantedToEverybody, Some(High)),
        ("User", "system:anonymous", GrantedToEverybody, Some(High)),
        ("Group", "system:authenticated", GrantedToEverybody, Some(Medium)),
        ("Group", "system:serviceaccounts", GrantedToEverybody, Some(Medium)),
        ("Group", "system:serviceaccounts:ci", GrantedToEverybody, Some(Low)),
        ("Group", "system:serviceaccountsx", GrantedToEverybody, None),
        ("ServiceAccount", "default", DefaultServiceAccount, Some(Medium)),
        ("ServiceAccount", "bot", DefaultServiceAccount, None),
    ];
    for (kind, name, check, expected) in cases {
        let report = report(&bound(rule("get", "", "pods"), Some("n"), kind, name))?;
        let finding = found(&report, check);
        assert_eq!(finding.map(|f| f.severity), expected, "{kind} {name}");
        let subject = if kind == "ServiceAccount" {
            format!("User/system:serviceaccount:ci:{name}")
        } else {
            format!("{kind}/{name}")
        };
        if let Some(AuditFinding { subject: told, binding, role, .. }) = finding {
            assert_eq!(told.as_deref(), Some(&*subject), "{kind} {name}");
            assert_eq!(binding.as_deref(), Some("RoleBinding/n/b"), "{kind} {name}");
            assert_eq!(role.as_deref(), Some("ClusterRole/r"), "{kind} {name}");
        }
    }
    Ok(())
}

#[test]
fn a_baseline_knows_what_it_says_and_nothing_else() -> Result<()> {
    let cluster = bound(rule("*", "*", "*"), None, "Group", "devs");
    let whole = report(&cluster)?;
    let lines: Vec<String> =
        whole.findings().iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
    ensure!(!lines.is_empty(), "{whole:?}");
    let baseline = AuditBaseline::read(&format!("\n{}\n\n", lines.join("\n")))?;
    let (new, known) = whole.without(&baseline);
    assert_eq!((new.findings().len(), known), (0, lines.len()));

    // Another value of any field makes another finding; the number of the rule does not.
    for field in ["check", "severity", "subject", "binding", "role", "reason", "rule"] {
        let mut first: serde_json::Value = serde_json::from_str(&lines[0])?;
        ensure!(!first[field].is_null(), "{field} is not in {first}");
        first[field] = if field == "rule" { 7.into() } else { "other".into() };
        let baseline = AuditBaseline::read(&first.to_string())?;
        let known = report(&cluster)?.without(&baseline).1;
        assert_eq!(known, usize::from(field == "rule"), "{field}");
    }
    for (text, line) in [("no json", 1), ("\n{}", 2), ("[]", 1)] {
        let error = AuditBaseline::read(text).map_err(|error| error.to_string()).err();
        let error = error.with_context(|| format!("{text:?} is taken"))?;
        ensure!(error.starts_with(&format!("line {line}: not a finding")), "{text:?}: {error}");
    }
    Ok(())
}

#[test]
fn what_is_not_bound_is_found() -> Result<()> {
    let mut cluster = bound(rule("get", "", "pods"), None, "User", "a");
    cluster.roles.push(Role {
        namespace: Some("n".into()),
        name: "idle".into(),
        ..Role::default()
    });
    cluster.bindings.push(Binding {
        namespace: Some("n".into()),
        name: "lost".into(),
        role_kind: "Role",
        role_name: "gone".into(),
        ..Binding::default()
    });
    let report = report(&cluster)?;
    let unbound = found(&report, AuditCheck::UnboundRole).context("unbound")?;
    assert_eq!(unbound.role.as_deref(), Some("Role/n/idle"));
    let missing = found(&report, AuditCheck::MissingRole).context("missing")?;
    assert_eq!(missing.binding.as_deref(), Some("RoleBinding/n/lost"));
    assert_eq!(missing.severity, AuditSeverity::Medium);
    assert_eq!(report.findings().iter().filter(|f| f.check == AuditCheck::UnboundRole).count(), 1);
    Ok(())
}

#[test]
fn the_clusters_own_roles_are_no_alarm_but_what_people_bind_is() -> Result<()> {
    let mut objects = RbacObjects::default();
    objects.read("default-roles.yaml", ROLES)?;
    let report = AuditReport::of(&objects.resolve()?);
    for finding in report.findings().iter().filter(|f| f.severity > AuditSeverity::Low) {
        let subject = finding.subject.as_deref().unwrap_or_default();
        ensure!(
            ["payments", "kubelet-client", "approvers", "deployer"]
                .iter()
                .any(|s| subject.contains(s)),
            "{finding:?}"
        );
        ensure!(finding.line > 1 && finding.file == "default-roles.yaml", "{finding:?}");
    }
    let worst = found(&report, AuditCheck::NodesProxy).context("the kubelet's API")?;
    assert_eq!(worst.severity, AuditSeverity::Critical);
    // Aggregated and bound roles are in use.
    let unbound: Vec<_> =
        report.findings().iter().filter(|f| f.check == AuditCheck::UnboundRole).collect();
    ensure!(unbound.iter().all(|f| !f.role.as_deref().is_some_and(|r| r.contains("aggregate"))));
    ensure!(unbound.iter().any(|f| f.role.as_deref() == Some("ClusterRole/system:auth-delegator")));
    Ok(())
}

#[test]
fn sarif_is_what_code_scanning_reads() -> Result<()> {
    let report = report(&bound(rule("*", "*", "*"), None, "Group", "de\"vs"))?;
    let log: serde_json::Value = serde_json::from_str(&report.to_sarif())?;
    let at = |path: &str| log.pointer(path).with_context(|| format!("no {path}"));
    assert_eq!(at("/version")?, "2.1.0");
    assert_eq!(at("/runs/0/tool/driver/name")?, "stagedoor");
    let result = at("/runs/0/results/0")?;
    assert_eq!(result["ruleId"], "cluster-admin");
    assert_eq!(result["level"], "error");
    let index = result["ruleIndex"].as_u64().context("an index")?;
    assert_eq!(at(&format!("/runs/0/tool/driver/rules/{index}/id"))?, "cluster-admin");
    let place = "/runs/0/results/0/locations/0/physicalLocation";
    assert_eq!(at(&format!("{place}/artifactLocation/uri"))?, "cluster.json");
    ensure!(at(&format!("{place}/region/startLine"))?.as_u64() >= Some(1));
    ensure!(result["message"]["text"].as_str().is_some_and(|text| text.contains("de\"vs")));
    let ids: std::collections::BTreeSet<&str> = AuditCheck::ALL.iter().map(|c| c.id()).collect();
    assert_eq!(ids.len(), AuditCheck::ALL.len());
    Ok(())
}

/// What every cluster has is nothing that somebody would have to do away with, also where all of a
/// cluster is given and so nothing is known to be built in; but one change of it is told.
#[test]
fn a_cluster_that_is_as_it_came_has_nothing_to_be_tidied_up() -> Result<()> {
    let lines = include_str!("../../data/built-in-roles.jsonl").lines();
    let objects = lines.map(serde_json::from_str).collect::<Result<Vec<serde_json::Value>, _>>()?;
    for version in KubernetesVersion::all() {
        let minor = serde_json::Value::from(version.minor());
        let minor = minor.as_u64().context("a number")?;
        let bound = |line: &serde_json::Value, key: &str| line.get(key).and_then(|n| n.as_u64());
        let has = |line: &&serde_json::Value| {
            bound(line, "since").is_some_and(|since| since <= minor)
                && bound(line, "until").is_some_and(|until| minor <= until)
        };
        let own = objects.iter().filter(has).filter_map(|line| line.get("object"));
        let text: String = own.map(|object| format!("{object}\n")).collect();
        let mut given = RbacObjects::default();
        given.read("cluster.json", &text)?;
        let report = AuditReport::of(&given.clone().resolve()?);
        ensure!(report.findings().len() > 50, "{version}: {}", report.findings().len());
        ensure!(
            report.worst() == Some(AuditSeverity::Info),
            "{version}: {:?}",
            report.findings().first()
        );
        given.read(
            "more.yaml",
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\n\
             metadata: { name: readers }\n\
             roleRef: { kind: ClusterRole, name: view }\n\
             subjects: [{ kind: Group, name: system:serviceaccounts }]",
        )?;
        let report = AuditReport::of(&given.resolve()?);
        ensure!(report.worst() >= Some(AuditSeverity::Medium), "{version}");
    }
    Ok(())
}
