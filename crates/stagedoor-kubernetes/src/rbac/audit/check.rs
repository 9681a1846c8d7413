//! The checks: which rules and subjects are dangerous.

use serde::Serialize;

use super::super::object::{PolicyRule, Role};
use super::super::resolve::Grantee;
use super::{AuditSeverity, Found};

const RBAC: &str = "rbac.authorization.k8s.io";

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum AuditCheck {
    /// Every verb on every resource.
    ClusterAdmin,
    /// `*` among verbs, API groups or resources.
    Wildcard,
    /// Secrets of all namespaces are read.
    SecretsRead,
    /// `escalate` on roles.
    Escalate,
    /// `bind` on roles.
    Bind,
    /// Acting as somebody else.
    Impersonate,
    /// Pods are created, directly or by a controller.
    PodsCreate,
    /// Shells in pods.
    PodsExec,
    /// The kubelet's API.
    NodesProxy,
    /// Tokens of service accounts are minted.
    TokenCreate,
    /// Webhooks that see and change every request are written.
    WebhookWrite,
    /// Certificate requests are approved.
    CertificateApproval,
    /// A grant to all users, or to nobody in particular.
    GrantedToEverybody,
    /// A grant to a default service account.
    DefaultServiceAccount,
    /// A role that nobody is bound to.
    UnboundRole,
    /// A binding to a role that is not there.
    MissingRole,
    /// A rule that grants nothing.
    EmptyRule,
}

impl AuditCheck {
    /// Every check.
    pub const ALL: [Self; 17] = [
        Self::ClusterAdmin,
        Self::Wildcard,
        Self::SecretsRead,
        Self::Escalate,
        Self::Bind,
        Self::Impersonate,
        Self::PodsCreate,
        Self::PodsExec,
        Self::NodesProxy,
        Self::TokenCreate,
        Self::WebhookWrite,
        Self::CertificateApproval,
        Self::GrantedToEverybody,
        Self::DefaultServiceAccount,
        Self::UnboundRole,
        Self::MissingRole,
        Self::EmptyRule,
    ];

    /// Returns the id, such as `secrets-read`.
    #[must_use]
    pub fn id(self) -> &'static str {
        self.words().0
    }

    /// Returns what the check looks for, in a sentence.
    #[must_use]
    pub fn description(self) -> &'static str {
        self.words().1
    }

    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::ClusterAdmin => (
                "cluster-admin",
                "A grant of every verb on every resource, as cluster-admin has it.",
            ),
            Self::Wildcard => (
                "wildcard",
                "A grant with `*`, which also covers verbs and resources that do not exist yet.",
            ),
            Self::SecretsRead => (
                "secrets-read",
                "A grant to read the secrets of all namespaces, tokens among them.",
            ),
            Self::Escalate => {
                ("escalate", "A grant to write roles with more permissions than one has oneself.")
            }
            Self::Bind => {
                ("bind", "A grant to bind roles with more permissions than one has oneself.")
            }
            Self::Impersonate => ("impersonate", "A grant to act as somebody else."),
            Self::PodsCreate => (
                "pods-create",
                "A grant to create pods, which run as any service account of their namespace and \
                 mount its secrets.",
            ),
            Self::PodsExec => (
                "pods-exec",
                "A grant to run commands in pods, with whatever their service accounts may do.",
            ),
            Self::NodesProxy => (
                "nodes-proxy",
                "A grant of the kubelet's API, which runs commands in every pod of a node and is \
                 not audited.",
            ),
            Self::TokenCreate => (
                "token-create",
                "A grant to mint tokens of service accounts, and so to act as them.",
            ),
            Self::WebhookWrite => (
                "webhook-write",
                "A grant to write admission webhooks, which see and change what others send.",
            ),
            Self::CertificateApproval => (
                "certificate-approval",
                "A grant to approve certificate requests, and so to issue identities.",
            ),
            Self::GrantedToEverybody => (
                "granted-to-everybody",
                "A grant to all users or service accounts, or to requests without a login.",
            ),
            Self::DefaultServiceAccount => (
                "default-service-account",
                "A grant to a default service account, which every pod runs as that names no other.",
            ),
            Self::UnboundRole => ("unbound-role", "A role that no binding refers to."),
            Self::MissingRole => ("missing-role", "A binding to a role that is not there."),
            Self::EmptyRule => ("empty-rule", "A rule that no request can match."),
        }
    }
}

/// Returns what the checks say of a rule that is granted in the whole cluster or a namespace.
pub(super) fn of_rule(rule: &PolicyRule, in_cluster: bool) -> Vec<Found> {
    use AuditSeverity::{Critical, High, Low, Medium};
    let covers = Covers { rule };
    let place = if in_cluster { "in every namespace" } else { "in its namespace" };
    let mut found = Vec::new();
    let mut add = |check, severity, reason: String| found.push(Found { check, severity, reason });
    let either = |in_cluster_is, else_is| if in_cluster { in_cluster_is } else { else_is };

    if covers.everything() {
        add(
            AuditCheck::ClusterAdmin,
            either(Critical, High),
            format!("every verb on every resource {place}"),
        );
        // All other checks would only say the same again.
        return found;
    }
    if let Some(what) = covers.wildcard() {
        let severity = if in_cluster && covers.writes() { High } else { either(Medium, Low) };
        add(AuditCheck::Wildcard, severity, format!("`*` among its {what}, {place}"));
    }
    if in_cluster && covers.any(&["get", "list", "watch"], "", &["secrets"]) {
        let (severity, which) = if rule.resource_names.is_empty() {
            (High, "reads the secrets of every namespace".to_owned())
        } else {
            let names = rule.resource_names.join("`, `");
            (Medium, format!("reads the secrets named `{names}` of every namespace"))
        };
        add(AuditCheck::SecretsRead, severity, which);
    }
    if covers.any(&["escalate"], RBAC, &["roles", "clusterroles"]) {
        let reason = format!("writes roles with any permission {place}");
        add(AuditCheck::Escalate, either(Critical, High), reason);
    }
    if covers.any(&["bind"], RBAC, &["roles", "clusterroles"]) {
        let severity = if rule.resource_names.is_empty() { either(Critical, High) } else { Medium };
        let reason = format!("binds roles with any permission {place}");
        add(AuditCheck::Bind, severity, reason);
    }
    if let Some(whom) = covers.impersonated(in_cluster) {
        let severity = if rule.resource_names.is_empty() { either(Critical, High) } else { High };
        add(AuditCheck::Impersonate, severity, format!("acts as {whom}"));
    }
    if let Some(what) = covers.pods_created() {
        let reason = format!("creates {what} {place}, with any service account there");
        add(AuditCheck::PodsCreate, either(High, Medium), reason);
    }
    let shells = ["pods/exec", "pods/attach"];
    if covers.any(&["create", "get"], "", &shells)
        || covers.any(&["update", "patch"], "", &["pods/ephemeralcontainers"])
    {
        let reason = format!("runs commands in pods {place}");
        add(AuditCheck::PodsExec, either(High, Medium), reason);
    }
    if in_cluster
        && covers.any(&["get", "create", "update", "patch", "delete"], "", &["nodes/proxy"])
    {
        let reason = "reaches the kubelet's API of nodes, and through it every pod".to_owned();
        add(AuditCheck::NodesProxy, Critical, reason);
    }
    if covers.any(&["create"], "", &["serviceaccounts/token"]) {
        let severity = if rule.resource_names.is_empty() { either(Critical, High) } else { Medium };
        add(AuditCheck::TokenCreate, severity, format!("mints tokens of service accounts {place}"));
    }
    let webhooks = ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"];
    if in_cluster
        && covers.any(&["create", "update", "patch"], "admissionregistration.k8s.io", &webhooks)
    {
        let reason = "writes admission webhooks, which see and change every request".to_owned();
        add(AuditCheck::WebhookWrite, High, reason);
    }
    let certificates = "certificates.k8s.io";
    if in_cluster
        && (covers.any(
            &["update", "patch"],
            certificates,
            &["certificatesigningrequests/approval"],
        ) || covers.any(&["approve"], certificates, &["signers"]))
    {
        let severity = if rule.resource_names.is_empty() { High } else { Medium };
        let reason = "approves certificate requests, or says for which signers".to_owned();
        add(AuditCheck::CertificateApproval, severity, reason);
    }
    found
}

/// Returns how bad it is that a role is granted to somebody so general, if they are.
pub(super) fn of_everybody(grantee: &Grantee, role: &Role) -> Option<(AuditSeverity, String)> {
    let harmless = role.rules.iter().all(is_harmless);
    let name = grantee.name();
    let severity = match grantee {
        Grantee::Group(group) => match group.as_str() {
            "system:unauthenticated" => AuditSeverity::High,
            "system:authenticated" | "system:serviceaccounts" => AuditSeverity::Medium,
            group if group.starts_with("system:serviceaccounts:") => AuditSeverity::Low,
            _ => return None,
        },
        Grantee::User(user) if user == "system:anonymous" => AuditSeverity::High,
        Grantee::User(user) => {
            let rest = user.strip_prefix("system:serviceaccount:")?;
            let (namespace, account) = rest.split_once(':')?;
            if account != "default" {
                return None;
            }
            let whom = format!("the default service account of `{namespace}`");
            return Some((AuditSeverity::Medium, whom));
        }
    };
    let severity = if harmless { AuditSeverity::Info } else { severity };
    Some((severity, format!("`{name}`")))
}

/// Whether a rule is one that every cluster grants everybody: discovery, and asking about oneself.
fn is_harmless(rule: &PolicyRule) -> bool {
    const DISCOVERY: [&str; 10] = [
        "/api",
        "/api/*",
        "/apis",
        "/apis/*",
        "/healthz",
        "/livez",
        "/openapi",
        "/openapi/*",
        "/readyz",
        "/version",
    ];
    const ASKED: [&str; 3] =
        ["selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"];
    let paths = rule.non_resource_urls.iter().all(|path| {
        DISCOVERY.contains(&path.trim_end_matches('/')) || DISCOVERY.contains(&path.as_str())
    });
    let reads = rule.verbs.iter().all(|verb| verb == "get");
    let asks = rule.resources.iter().all(|resource| ASKED.contains(&resource.as_str()));
    paths && asks && (reads || rule.non_resource_urls.is_empty())
}

/// What a rule covers, as the authorizer has it.
struct Covers<'a> {
    rule: &'a PolicyRule,
}

impl Covers<'_> {
    fn has(list: &[String], wanted: &str) -> bool {
        list.iter().any(|item| item == "*" || item == wanted)
    }

    fn star(list: &[String]) -> bool {
        list.iter().any(|item| item == "*")
    }

    fn everything(&self) -> bool {
        let PolicyRule { verbs, api_groups, resources, resource_names, .. } = self.rule;
        Self::star(verbs)
            && Self::star(api_groups)
            && Self::star(resources)
            && resource_names.is_empty()
    }

    fn wildcard(&self) -> Option<&'static str> {
        let PolicyRule { verbs, api_groups, resources, .. } = self.rule;
        if resources.is_empty() {
            return None;
        }
        match (Self::star(verbs), Self::star(resources), Self::star(api_groups)) {
            (true, true, _) => Some("verbs and resources"),
            (true, false, _) => Some("verbs"),
            (false, true, _) => Some("resources"),
            (false, false, true) => Some("apiGroups"),
            (false, false, false) => None,
        }
    }

    fn writes(&self) -> bool {
        let reads = ["get", "list", "watch"];
        self.rule.verbs.iter().any(|verb| !reads.contains(&verb.as_str()))
    }

    fn resource(&self, resource: &str) -> bool {
        let by_subresource = resource.split_once('/').map(|(_, sub)| format!("*/{sub}"));
        Self::has(&self.rule.resources, resource)
            || by_subresource.is_some_and(|any| self.rule.resources.contains(&any))
    }

    /// Whether it covers any of these verbs on any of these resources.
    fn any(&self, verbs: &[&str], group: &str, resources: &[&str]) -> bool {
        verbs.iter().any(|verb| Self::has(&self.rule.verbs, verb))
            && Self::has(&self.rule.api_groups, group)
            && resources.iter().any(|resource| self.resource(resource))
    }

    fn impersonated(&self, in_cluster: bool) -> Option<String> {
        let mut whom = Vec::new();
        let cluster_wide = [("", "users"), ("", "groups"), ("authentication.k8s.io", "uids")];
        for (group, resource) in cluster_wide {
            if in_cluster && self.any(&["impersonate"], group, &[resource]) {
                whom.push(resource);
            }
        }
        if self.any(&["impersonate"], "", &["serviceaccounts"]) {
            whom.push("service accounts");
        }
        if whom.is_empty() {
            return None;
        }
        let names = match self.rule.resource_names.as_slice() {
            [] => "any".to_owned(),
            names => format!("`{}` among", names.join("`, `")),
        };
        Some(format!("{names} {}", whom.join(", ")))
    }

    fn pods_created(&self) -> Option<&'static str> {
        const APPS: [&str; 4] = ["daemonsets", "deployments", "replicasets", "statefulsets"];
        if self.any(&["create"], "", &["pods"]) {
            Some("pods")
        } else if self.any(&["create"], "apps", &APPS)
            || self.any(&["create"], "batch", &["cronjobs", "jobs"])
            || self.any(&["create"], "", &["replicationcontrollers"])
        {
            Some("workloads, and so pods,")
        } else {
            None
        }
    }
}
