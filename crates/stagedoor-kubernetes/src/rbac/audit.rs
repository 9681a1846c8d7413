//! What an auditor asks of roles and bindings: which grants are dangerous, and why.

mod check;
mod sarif;

use std::collections::HashSet;
use std::fmt;

use serde::Serialize;

use super::object::{Binding, Origin, Role, RoleKind};
use super::resolve::{Grant, Grantee, ResolvedRbac};
use super::warning::RbacWarning;

pub use check::AuditCheck;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditSeverity {
    /// To be known.
    Info,
    /// To be tidied up.
    Low,
    /// To be looked at.
    Medium,
    /// A way to much more than the grant says.
    High,
    /// The cluster is the grantee's.
    Critical,
}

impl AuditSeverity {
    /// Returns the name, in lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for AuditSeverity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One thing that an auditor should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct AuditFinding {
    /// Which check found it.
    pub check: AuditCheck,
    /// How bad it is.
    pub severity: AuditSeverity,
    /// Who is granted something, if it is about a grant: `Group/devs`.
    pub subject: Option<String>,
    /// The binding, such as `RoleBinding/payments/devs`.
    pub binding: Option<String>,
    /// The role, such as `ClusterRole/edit`.
    pub role: Option<String>,
    /// Which rule of the role, from 0.
    pub rule: Option<usize>,
    /// Why it is a finding.
    pub reason: String,
    /// The file of the object that grants.
    pub file: String,
    /// The line at which that object's document starts, from 1.
    pub line: usize,
}

/// The findings about a set of roles and bindings, the worst first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditReport {
    findings: Vec<AuditFinding>,
}

impl AuditReport {
    /// Audits roles and bindings.
    ///
    /// # Examples
    ///
    /// ```
    /// use stagedoor_kubernetes::rbac::{AuditCheck, AuditReport, AuditSeverity, RbacObjects};
    ///
    /// let mut objects = RbacObjects::default();
    /// objects.read("cluster.yaml", "
    /// apiVersion: rbac.authorization.k8s.io/v1
    /// kind: ClusterRole
    /// metadata: { name: helper }
    /// rules: [{ apiGroups: [''], resources: [secrets], verbs: [list] }]
    /// ---
    /// apiVersion: rbac.authorization.k8s.io/v1
    /// kind: ClusterRoleBinding
    /// metadata: { name: helpers }
    /// subjects: [{ kind: Group, name: helpers }]
    /// roleRef: { kind: ClusterRole, name: helper }
    /// ")?;
    /// let report = AuditReport::of(&objects.resolve()?);
    /// let finding = &report.findings()[0];
    /// assert_eq!(finding.check, AuditCheck::SecretsRead);
    /// assert_eq!(finding.severity, AuditSeverity::High);
    /// assert_eq!(finding.subject.as_deref(), Some("Group/helpers"));
    /// # Ok::<(), stagedoor_kubernetes::rbac::RbacError>(())
    /// ```
    #[must_use]
    pub fn of(rbac: &ResolvedRbac) -> Self {
        let mut findings = Vec::new();
        for grant in rbac.grants() {
            for found in check::of_rule(grant.rule, grant.namespace().is_none()) {
                findings.push(of_grant(&grant, found));
            }
        }
        for (binding, role, grantees) in rbac.bindings() {
            of_binding(binding, role, grantees, &mut findings);
        }
        of_roles(rbac, &mut findings);
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        Self { findings }
    }

    /// Returns the findings, the worst first.
    #[must_use]
    pub fn findings(&self) -> &[AuditFinding] {
        &self.findings
    }

    /// Returns the severity of the worst finding.
    #[must_use]
    pub fn worst(&self) -> Option<AuditSeverity> {
        self.findings.first().map(|finding| finding.severity)
    }
}

/// What a check says of one rule.
struct Found {
    check: AuditCheck,
    severity: AuditSeverity,
    reason: String,
}

fn of_grant(grant: &Grant<'_>, found: Found) -> AuditFinding {
    let Found { check, severity, reason } = found;
    let own = is_control_plane(grant.grantee);
    let reason = if own { format!("{reason}; part of the control plane") } else { reason };
    let severity = if own { AuditSeverity::Info } else { severity };
    AuditFinding {
        check,
        severity,
        subject: Some(subject(grant.grantee)),
        binding: Some(grant.binding.to_string()),
        role: Some(grant.role.to_string()),
        rule: Some(grant.number),
        reason,
        ..blank(check, &grant.binding.origin)
    }
}

/// Whom the control plane runs as, and who passes by RBAC anyway.
fn is_control_plane(grantee: &Grantee) -> bool {
    match grantee {
        Grantee::Group(name) => name == "system:masters",
        Grantee::User(name) => {
            matches!(
                name.as_str(),
                "system:apiserver" | "system:kube-controller-manager" | "system:kube-scheduler"
            ) || name
                .strip_prefix("system:serviceaccount:kube-system:")
                .is_some_and(|account| CONTROLLERS.contains(&account))
        }
    }
}

/// The service accounts of the controllers that kube-controller-manager runs.
const CONTROLLERS: [&str; 31] = [
    "attachdetach-controller",
    "certificate-controller",
    "clusterrole-aggregation-controller",
    "cronjob-controller",
    "daemon-set-controller",
    "deployment-controller",
    "disruption-controller",
    "endpoint-controller",
    "endpointslice-controller",
    "endpointslicemirroring-controller",
    "ephemeral-volume-controller",
    "expand-controller",
    "generic-garbage-collector",
    "horizontal-pod-autoscaler",
    "job-controller",
    "namespace-controller",
    "node-controller",
    "persistent-volume-binder",
    "pod-garbage-collector",
    "pv-protection-controller",
    "pvc-protection-controller",
    "replicaset-controller",
    "replication-controller",
    "resourcequota-controller",
    "root-ca-cert-publisher",
    "route-controller",
    "service-account-controller",
    "service-controller",
    "statefulset-controller",
    "ttl-after-finished-controller",
    "ttl-controller",
];

fn of_binding(
    binding: &Binding,
    role: Option<&Role>,
    grantees: &[Grantee],
    findings: &mut Vec<AuditFinding>,
) {
    let mut add = |check, severity, subject: Option<String>, reason: String| {
        findings.push(AuditFinding {
            severity,
            subject,
            binding: Some(binding.to_string()),
            role: role.map(ToString::to_string),
            reason,
            ..blank(check, &binding.origin)
        });
    };
    let Some(role) = role else {
        let missing = format!("{}/{}", binding.role.kind, binding.role.name);
        let reason = format!(
            "it refers to `{missing}`, which is not there: whoever may create that decides what \
             the subjects get"
        );
        add(AuditCheck::MissingRole, AuditSeverity::Medium, None, reason);
        return;
    };
    for grantee in grantees {
        let Some((severity, whom)) = check::of_everybody(grantee, role) else { continue };
        let reason = format!("`{role}` is granted to {whom}");
        let check = match grantee {
            Grantee::User(name) if name.ends_with(":default") => AuditCheck::DefaultServiceAccount,
            _ => AuditCheck::GrantedToEverybody,
        };
        add(check, severity, Some(subject(grantee)), reason);
    }
}

/// Roles that nobody is bound to and that no other role takes over.
fn of_roles(rbac: &ResolvedRbac, findings: &mut Vec<AuditFinding>) {
    let bound: HashSet<(RoleKind, &str, &str)> = rbac
        .bindings()
        .filter(|(_, _, grantees)| !grantees.is_empty())
        .filter_map(|(_, role, _)| role)
        .map(|role| (role.kind, role.namespace.as_str(), role.name.as_str()))
        .collect();
    let selectors: Vec<_> =
        rbac.roles().iter().flat_map(|r| r.aggregates.iter().flatten()).collect();
    for role in rbac.roles() {
        let key = (role.kind, role.namespace.as_str(), role.name.as_str());
        let taken_over = role.kind == RoleKind::ClusterRole
            && selectors.iter().any(|selector| selector.matches(&role.labels));
        if bound.contains(&key) || taken_over {
            continue;
        }
        findings.push(AuditFinding {
            severity: AuditSeverity::Info,
            role: Some(role.to_string()),
            reason: "nobody is bound to it".to_owned(),
            ..blank(AuditCheck::UnboundRole, &role.origin)
        });
    }
    for warning in rbac.warnings() {
        if let RbacWarning::EmptyRule { role, rule, reason } = warning {
            let origin = rbac.roles().iter().find(|r| r.to_string() == *role).map(|r| &r.origin);
            findings.push(AuditFinding {
                severity: AuditSeverity::Info,
                role: Some(role.clone()),
                rule: Some(*rule),
                reason: (*reason).to_owned(),
                ..blank(AuditCheck::EmptyRule, origin.unwrap_or(&Origin::default()))
            });
        }
    }
}

fn subject(grantee: &Grantee) -> String {
    match grantee {
        Grantee::User(name) => format!("User/{name}"),
        Grantee::Group(name) => format!("Group/{name}"),
    }
}

fn blank(check: AuditCheck, origin: &Origin) -> AuditFinding {
    AuditFinding {
        check,
        severity: AuditSeverity::Info,
        subject: None,
        binding: None,
        role: None,
        rule: None,
        reason: String::new(),
        file: origin.file.clone(),
        line: origin.line,
    }
}
