//! What rules, and whoever holds several of them, are found for.

use std::collections::HashMap;

use super::super::object::{PolicyRule, Role};
use super::super::resolve::{Grant, Grantee, ResolvedRbac};
use super::AuditSeverity::{self, Critical, High, Info, Low, Medium};
use super::check::AuditCheck;
use super::covers::{Access, RuleCoverage};
use super::danger::{DANGERS, Danger};
use crate::subject::Identity;

/// The namespace in which the cluster's own components are.
pub(super) const SYSTEM: &str = "kube-system";

/// What a check says of one rule.
pub(super) struct RuleFinding {
    pub(super) check: AuditCheck,
    pub(super) severity: AuditSeverity,
    pub(super) reason: String,
}

/// A rule and where somebody holds it: a namespace, or the whole cluster.
#[derive(Clone, Copy)]
pub(super) struct HeldRule<'a> {
    pub(super) grant: Grant<'a>,
}

impl HeldRule<'_> {
    /// Whether it holds where the other is asked about.
    pub(super) fn reaches(&self, namespace: Option<&str>) -> bool {
        match (self.grant.namespace(), namespace) {
            (None, _) => true,
            (Some(own), Some(other)) => own == other,
            (Some(_), None) => false,
        }
    }
}

/// What everybody holds, by whom it is granted to.
pub(super) struct Holdings<'a>(HashMap<&'a Grantee, Vec<HeldRule<'a>>>);

impl<'a> Holdings<'a> {
    pub(super) fn of(rbac: &'a ResolvedRbac) -> Self {
        let mut held: HashMap<&Grantee, Vec<HeldRule<'_>>> = HashMap::new();
        for grant in rbac.grants() {
            held.entry(grant.grantee()).or_default().push(HeldRule { grant });
        }
        Self(held)
    }

    /// Returns everybody who is granted something, in order.
    pub(super) fn grantees(&self) -> Vec<&'a Grantee> {
        let mut grantees: Vec<&Grantee> = self.0.keys().copied().collect();
        grantees.sort();
        grantees
    }

    /// Returns what somebody holds: by name, and by the groups that Kubernetes puts them in.
    pub(super) fn held_by(
        &self,
        grantee: &Grantee,
    ) -> impl Iterator<Item = HeldRule<'a>> + use<'_, 'a> {
        std::iter::once(grantee.clone())
            .chain(implied_groups(grantee))
            .filter_map(|grantee| self.0.get(&grantee))
            .flatten()
            .copied()
    }

    /// Returns whether somebody holds any of these, where a grant of theirs holds.
    fn has_any(&self, grantee: &Grantee, accesses: &[Access], namespace: Option<&str>) -> bool {
        self.held_by(grantee).any(|held| {
            let covers = RuleCoverage { rule: held.grant.rule() };
            held.reaches(namespace) && accesses.iter().any(|access| covers.covers(access))
        })
    }
}

/// Returns the groups that a user of this name, or a member of this group, is in besides.
fn implied_groups(grantee: &Grantee) -> Vec<Grantee> {
    let group = |name: String| Grantee::Group(name);
    match grantee {
        Grantee::User(name) => match Identity::of(name) {
            Identity::ServiceAccount { namespace, .. } => vec![
                group("system:serviceaccounts".to_owned()),
                group(format!("system:serviceaccounts:{namespace}")),
                group("system:authenticated".to_owned()),
            ],
            Identity::Node { .. } => {
                vec![group("system:nodes".to_owned()), group("system:authenticated".to_owned())]
            }
            Identity::User if name == "system:anonymous" => {
                vec![group("system:unauthenticated".to_owned())]
            }
            Identity::User => vec![group("system:authenticated".to_owned())],
        },
        Grantee::Group(name) => match name.strip_prefix("system:serviceaccounts:") {
            Some(_) => vec![
                group("system:serviceaccounts".to_owned()),
                group("system:authenticated".to_owned()),
            ],
            None if name == "system:unauthenticated" || name == "system:authenticated" => {
                Vec::new()
            }
            None => vec![group("system:authenticated".to_owned())],
        },
    }
}

/// Returns what the checks say of a grant.
pub(super) fn of_grant(grant: &Grant<'_>, holdings: &Holdings<'_>) -> Vec<RuleFinding> {
    let namespace = grant.namespace();
    let mut found = of_stars(grant.rule, namespace);
    let is_everything = found.iter().any(|found| found.check == AuditCheck::ClusterAdmin);
    if is_everything {
        // All other checks would only say the same again.
        return found;
    }
    found.extend(of_impersonation(grant.rule, namespace));
    let is_broad = RuleCoverage { rule: grant.rule }.every_resource();
    for danger in DANGERS {
        let Some(severity) = severity(danger, grant.rule, namespace) else { continue };
        // A rule about everything is told as such; beside it only what is bad by itself.
        if is_broad && severity < High {
            continue;
        }
        let has = |accesses: &&[Access]| holdings.has_any(grant.grantee, accesses, namespace);
        if danger.with.iter().all(has) {
            let mut reason = danger.reason.replace("{place}", &place(namespace));
            if !grant.rule.resource_names.is_empty() {
                let names = grant.rule.resource_names.join("`, `");
                reason.push_str(&format!("; only those named `{names}`"));
            }
            found.push(RuleFinding { check: danger.check, severity, reason });
        }
    }
    found
}

/// Returns how bad a kind of grant is if a rule is one.
fn severity(danger: &Danger, rule: &PolicyRule, namespace: Option<&str>) -> Option<AuditSeverity> {
    let covers = RuleCoverage { rule };
    if !danger.access.iter().any(|access| covers.covers(access)) {
        return None;
    }
    let [in_cluster, in_system, elsewhere] = danger.severity;
    let severity = match namespace {
        None => in_cluster,
        Some(SYSTEM) => in_system,
        Some(_) => elsewhere,
    }?;
    if rule.resource_names.is_empty() {
        return Some(severity);
    }
    // What is created by its plain name has none in the request.
    Some(severity.min(danger.named?))
}

fn place(namespace: Option<&str>) -> String {
    match namespace {
        None => "of every namespace".to_owned(),
        Some(namespace) => format!("of namespace `{namespace}`"),
    }
}

/// Returns what is said of stars.
fn of_stars(rule: &PolicyRule, namespace: Option<&str>) -> Vec<RuleFinding> {
    let covers = RuleCoverage { rule };
    let in_cluster = namespace.is_none();
    let either = |cluster, else_is| if in_cluster { cluster } else { else_is };
    let place = place(namespace);
    let found = |check, severity, reason| RuleFinding { check, severity, reason };
    if covers.everything() {
        let reason = format!("every verb on every resource {place}");
        return vec![found(AuditCheck::ClusterAdmin, either(Critical, High), reason)];
    }
    let mut all = Vec::new();
    if let Some(what) = covers.wildcard() {
        let severity = if in_cluster && covers.writes() { High } else { either(Medium, Low) };
        let reason = format!("`*` among its {what}, {place}");
        all.push(found(AuditCheck::Wildcard, severity, reason));
    }
    if !covers.every_resource() {
        return all;
    }
    let verbs: [(AuditCheck, &[&str], AuditSeverity, &str); 3] = [
        (AuditCheck::EverythingCreated, &["create"], either(Critical, High), "creates"),
        (AuditCheck::EverythingRead, &["get", "list", "watch"], either(High, Medium), "reads"),
        (
            AuditCheck::EverythingDeleted,
            &["delete", "deletecollection"],
            either(High, Medium),
            "deletes",
        ),
    ];
    for (check, verbs, severity, word) in verbs {
        if verbs.iter().any(|verb| covers.has_verb(verb)) {
            all.push(found(check, severity, format!("{word} objects of every kind {place}")));
        }
    }
    all
}

/// Returns what is said of impersonation, by its old verb and by those of KEP-5284.
fn of_impersonation(rule: &PolicyRule, namespace: Option<&str>) -> Vec<RuleFinding> {
    let covers = RuleCoverage { rule };
    let in_cluster = namespace.is_none();
    let named = !rule.resource_names.is_empty();
    let severity = match (named, in_cluster) {
        (true, _) => High,
        (false, true) => Critical,
        (false, false) => High,
    };
    let whose = match rule.resource_names.as_slice() {
        [] => "any".to_owned(),
        names => format!("`{}` among", names.join("`, `")),
    };
    let mut found = Vec::new();
    let mut add =
        |check, severity, reason: String| found.push(RuleFinding { check, severity, reason });
    let whom = legacy_kinds(&covers, in_cluster);
    if !whom.is_empty() {
        let reason = format!("acts as {whose} {}", whom.join(", "));
        add(AuditCheck::Impersonate, severity, reason);
    }
    let is_extra = in_cluster
        && covers.has_verb("impersonate")
        && (covers.extras() || covers.any(&["impersonate"], AUTHENTICATION, &["uids"]));
    if is_extra {
        let reason = "makes up a UID or extra, where somebody decides by it".to_owned();
        add(AuditCheck::ImpersonateExtra, Medium, reason);
    }
    let modes: Vec<&str> = MODES
        .iter()
        .filter(|(mode, resource, namespaced)| {
            let verb = format!("impersonate:{mode}");
            (in_cluster || *namespaced) && covers.any(&[&verb], AUTHENTICATION, &[resource])
        })
        .map(|(mode, ..)| *mode)
        .collect();
    if !modes.is_empty() {
        // Half of what it takes: the other says for which requests.
        let severity = if named { Medium } else { High };
        let reason = format!(
            "acts as {whose} identity ({}) for whatever `impersonate-on:…` it is granted",
            modes.join(", ")
        );
        add(AuditCheck::ImpersonateConstrained, severity, reason);
    }
    found
}

const AUTHENTICATION: &str = "authentication.k8s.io";
/// The modes of constrained impersonation with whom they are about, and whether in a namespace.
pub(super) const MODES: [(&str, &str, bool); 5] = [
    ("user-info", "users", false),
    ("user-info", "groups", false),
    ("serviceaccount", "serviceaccounts", true),
    ("arbitrary-node", "nodes", false),
    ("associated-node", "nodes", false),
];

fn legacy_kinds(covers: &RuleCoverage<'_>, in_cluster: bool) -> Vec<&'static str> {
    let mut whom = Vec::new();
    for (group, resource) in [("", "users"), ("", "groups"), (AUTHENTICATION, "uids")] {
        if in_cluster && covers.any(&["impersonate"], group, &[resource]) {
            whom.push(resource);
        }
    }
    if covers.any(&["impersonate"], "", &["serviceaccounts"]) {
        whom.push("service accounts");
    }
    whom
}

/// Returns how bad it is that a role is granted to somebody so general, if they are.
pub(super) fn of_everybody(grantee: &Grantee, role: &Role) -> Option<(AuditSeverity, String)> {
    let harmless = role.rules.iter().all(is_harmless);
    let name = grantee.name();
    let severity = match grantee {
        Grantee::Group(group) => match group.as_str() {
            "system:unauthenticated" => High,
            "system:authenticated" | "system:serviceaccounts" => Medium,
            group if group.starts_with("system:serviceaccounts:") => Low,
            _ => return None,
        },
        Grantee::User(user) if user == "system:anonymous" => High,
        Grantee::User(user) => {
            let rest = user.strip_prefix("system:serviceaccount:")?;
            let (namespace, account) = rest.split_once(':')?;
            if account != "default" {
                return None;
            }
            let whom = format!("the default service account of `{namespace}`");
            return Some((Medium, whom));
        }
    };
    let severity = if harmless { Info } else { severity };
    Some((severity, format!("`{name}`")))
}

/// Whether a rule is one that every cluster grants everybody: discovery, asking about oneself, and the
/// keys by which tokens and certificates are checked, which are no secrets.
fn is_harmless(rule: &PolicyRule) -> bool {
    const DISCOVERY: [&str; 14] = [
        "/.well-known/openid-configuration",
        "/.well-known/openid-configuration/*",
        "/api",
        "/api/*",
        "/apis",
        "/apis/*",
        "/healthz",
        "/livez",
        "/openapi",
        "/openapi/*",
        "/openid/v1/jwks",
        "/openid/v1/jwks/*",
        "/readyz",
        "/version",
    ];
    const ASKED: [&str; 3] =
        ["selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"];
    let paths = rule.non_resource_urls.iter().all(|path| {
        DISCOVERY.contains(&path.trim_end_matches('/')) || DISCOVERY.contains(&path.as_str())
    });
    let only = |given: &[String], known: &[&str]| {
        !given.is_empty() && given.iter().all(|word| known.contains(&word.as_str()))
    };
    let reads_trust = only(&rule.resources, &["clustertrustbundles"])
        && only(&rule.api_groups, &["certificates.k8s.io"])
        && only(&rule.verbs, &["get", "list", "watch"]);
    let asks = rule.resources.iter().all(|resource| ASKED.contains(&resource.as_str()));
    let reads = rule.verbs.iter().all(|verb| verb == "get");
    let is_discovery = paths && asks && (reads || rule.non_resource_urls.is_empty());
    is_discovery || (reads_trust && rule.non_resource_urls.is_empty())
}
