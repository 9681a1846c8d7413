//! What an auditor asks of roles and bindings: which grants are dangerous, and why.

mod baseline;
mod chains;
mod check;
mod covers;
mod danger;
mod grants;
mod picture;
mod sarif;

use std::collections::HashSet;
use std::fmt;

use serde::Serialize;

use super::built_in;
use super::object::{Binding, ObjectSource, Origin, Role, RoleKind};
use super::resolve::{Grant, Grantee, ResolvedRbac};
use super::warning::RbacWarning;
use grants::{Holdings, RuleFinding};

pub use baseline::{AuditBaseline, BaselineError};
pub use chains::{Chain, ChainStep, ChainTarget};
pub use check::AuditCheck;
pub use picture::PictureFormat;

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
    /// The address of a page that says more.
    pub reference: &'static str,
    /// The steps, if it is a way of several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<ChainStep>,
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
        let holdings = Holdings::of(rbac);
        for grant in rbac.grants().filter(|grant| is_given(&grant.binding.origin)) {
            for found in grants::of_grant(&grant, &holdings) {
                findings.push(of_grant(&grant, found));
            }
        }
        for (binding, role, grantees) in rbac.bindings() {
            if is_given(&binding.origin) {
                of_binding(binding, role, grantees, &mut findings);
            }
        }
        of_chains(rbac, &mut findings);
        of_roles(rbac, &mut findings);
        of_warnings(rbac, &mut findings);
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        Self { findings }
    }

    /// Returns the findings, the worst first.
    #[must_use]
    pub fn findings(&self) -> &[AuditFinding] {
        &self.findings
    }

    /// Returns the report without what a baseline knows, and how many findings those are.
    #[must_use]
    pub fn without(self, baseline: &AuditBaseline) -> (Self, usize) {
        let before = self.findings.len();
        let is_new = |finding: &AuditFinding| !baseline.knows(finding);
        let findings: Vec<AuditFinding> = self.findings.into_iter().filter(is_new).collect();
        let known = before - findings.len();
        (Self { findings }, known)
    }

    /// Returns the severity of the worst finding.
    #[must_use]
    pub fn worst(&self) -> Option<AuditSeverity> {
        self.findings.first().map(|finding| finding.severity)
    }
}

/// Whether an object is one that was given: what every cluster has is nothing to be told.
fn is_given(origin: &Origin) -> bool {
    origin.source != ObjectSource::BuiltIn
}

/// The ways of several steps; those of one are told by the grants that they are.
fn of_chains(rbac: &ResolvedRbac, findings: &mut Vec<AuditFinding>) {
    let mut told: HashSet<String> = HashSet::new();
    for chain in Chain::all_of(rbac) {
        // The first is the worst, and has the others in it.
        if !told.insert(chain.subject.clone()) || chain.steps.len() < 2 {
            continue;
        }
        let Some(first) = chain.steps.first() else { continue };
        let severity = match chain.target {
            ChainTarget::ClusterAdmin => AuditSeverity::High,
            ChainTarget::Nodes | ChainTarget::Secrets => AuditSeverity::Medium,
        };
        if is_of_control_plane(&chain.subject) {
            continue;
        }
        let steps: Vec<String> =
            chain.steps.iter().map(|step| format!("{} → {}", step.does, step.to)).collect();
        let reason =
            format!("reaches {} in {} steps: {}", chain.target, steps.len(), steps.join(", "));
        findings.push(AuditFinding {
            severity,
            subject: Some(chain.subject.clone()),
            binding: Some(first.binding.clone()),
            role: Some(first.role.clone()),
            rule: Some(first.rule),
            reason,
            file: first.file.clone(),
            line: first.line,
            chain: chain.steps,
            ..blank(AuditCheck::Chain, &Origin::default())
        });
    }
}

/// Whether a chain begins with somebody of the control plane.
fn is_of_control_plane(subject: &str) -> bool {
    let grantee = match subject.split_once('/') {
        Some(("Group", name)) => Grantee::Group(name.to_owned()),
        Some(("ServiceAccount", account)) => {
            Grantee::User(format!("system:serviceaccount:{}", account.replacen('/', ":", 1)))
        }
        Some((_, name)) => Grantee::User(name.to_owned()),
        None => return false,
    };
    is_control_plane(&grantee)
}

fn of_grant(grant: &Grant<'_>, found: RuleFinding) -> AuditFinding {
    let RuleFinding { check, severity, reason } = found;
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
                .is_some_and(built_in::is_controller)
        }
    }
}

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
        let is_masters = *grantee == Grantee::Group("system:masters".to_owned());
        // Every cluster has this one.
        if is_masters && binding.name != "cluster-admin" {
            let reason = "its members are let through without being asked about, whatever is \
                          bound or taken away";
            let subject = Some(subject(grantee));
            add(AuditCheck::SystemMasters, AuditSeverity::High, subject, reason.to_owned());
        }
        let Some((severity, whom)) = grants::of_everybody(grantee, role) else { continue };
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
    for role in rbac.roles().iter().filter(|role| is_given(&role.origin)) {
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
}

/// What was read and grants nothing, and what was not read.
fn of_warnings(rbac: &ResolvedRbac, findings: &mut Vec<AuditFinding>) {
    let none = Origin::default();
    let role_at = |name: &String| rbac.roles().iter().find(|role| role.to_string() == *name);
    let of_role = |name: &String| role_at(name).map_or(&none, |role| &role.origin);
    let of_binding = |name: &String| {
        let mut bindings = rbac.bindings().map(|(binding, ..)| binding);
        bindings.find(|binding| binding.to_string() == *name).map_or(&none, |b| &b.origin)
    };
    for warning in rbac.warnings() {
        let unmatchable = |origin| blank(AuditCheck::UnmatchableRule, origin);
        let low = AuditSeverity::Low;
        findings.push(match warning {
            RbacWarning::EmptyRule { role, rule, reason } => AuditFinding {
                role: Some(role.clone()),
                rule: Some(*rule),
                reason: (*reason).to_owned(),
                ..blank(AuditCheck::EmptyRule, of_role(role))
            },
            RbacWarning::Unmatchable { role, rule, reason } => AuditFinding {
                severity: low,
                role: Some(role.clone()),
                rule: Some(*rule),
                reason: reason.clone(),
                ..unmatchable(of_role(role))
            },
            RbacWarning::UnmatchableInNamespace { binding, role, rule, reason } => AuditFinding {
                severity: low,
                binding: Some(binding.clone()),
                role: Some(role.clone()),
                rule: Some(*rule),
                reason: reason.clone(),
                ..unmatchable(of_binding(binding))
            },
            RbacWarning::UnmatchableSubject { binding, subject, reason } => AuditFinding {
                severity: low,
                binding: Some(binding.clone()),
                reason: format!("subjects[{subject}]: {reason}"),
                ..unmatchable(of_binding(binding))
            },
            RbacWarning::OverwrittenRules { role, .. } => AuditFinding {
                severity: low,
                role: Some(role.clone()),
                reason: warning.to_string(),
                ..unmatchable(of_role(role))
            },
            RbacWarning::PassedOver { file, line, object, reason, .. } => AuditFinding {
                severity: AuditSeverity::Medium,
                reason: format!("{object} was not looked at: {reason}"),
                file: file.clone(),
                line: *line,
                ..blank(AuditCheck::NotRead, &none)
            },
            // The others are found above, or are about what is no role or binding.
            _ => continue,
        });
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
        reference: check.reference(),
        chain: Vec::new(),
    }
}
