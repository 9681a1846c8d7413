//! What of roles and bindings no request can ever match, although its author meant something.
//!
//! kube-apiserver makes the attributes of requests in one way: verbs are in lower case, API
//! groups have no version, what is created has no name. A rule that names them otherwise is
//! taken and grants nothing. See `NewRequestInfo` of `k8s.io/apiserver`.
//!
//! What Kubernetes does not serve itself may be served by a CustomResourceDefinition, so
//! nothing is said about it.

use super::object::{Binding, BindingKind, ObjectSource, PolicyRule, Role, RoleKind};
use super::warning::RbacWarning;
use crate::api_resources::{find, is_cluster_scoped, meant_by, of_group};
use crate::subject::Identity;

/// HTTP methods that are no verbs of resources, with the verb that is asked instead.
const METHODS: [(&str, &str); 5] = [
    ("head", "get"),
    ("options", "nothing"),
    ("post", "create"),
    ("put", "update"),
    ("connect", "create` or `get"),
];
/// Verbs of resources that paths do not have.
const OF_RESOURCES: [&str; 5] = ["create", "deletecollection", "list", "update", "watch"];
/// Groups to which nobody else adds resources.
const CLOSED_GROUPS: [&str; 4] = ["", "apps", "batch", "extensions"];

/// Warns of what a role says in vain.
pub(super) fn warn_of_role(role: &Role, warnings: &mut Vec<RbacWarning>) {
    // Kubernetes' own roles name what is gone for the sake of old clusters.
    if role.origin.source == ObjectSource::BuiltIn || is_bootstrapped(role) {
        return;
    }
    for (number, rule) in role.rules.iter().enumerate() {
        let mut reasons = in_rule(rule);
        if role.kind == RoleKind::Role {
            reasons.extend(in_namespace(rule));
        }
        warnings.extend(reasons.into_iter().map(|reason| RbacWarning::Unmatchable {
            role: role.to_string(),
            rule: number,
            reason,
        }));
    }
}

/// Warns of what a binding grants in vain, and whom.
pub(super) fn warn_of_binding(
    binding: &Binding,
    role: Option<&Role>,
    warnings: &mut Vec<RbacWarning>,
) {
    if binding.origin.source == ObjectSource::BuiltIn {
        return;
    }
    for (number, subject) in binding.subjects.iter().enumerate() {
        let reason = match (subject.kind.as_str(), subject.name.as_str()) {
            (_, "") => "it has no name, and so is nobody".to_owned(),
            ("User", name) if is_half_an_account(name) => format!(
                "`{name}` is not the user name of a service account; write \
                 `system:serviceaccount:NAMESPACE:NAME`"
            ),
            ("Group", name) if name.starts_with("system:serviceaccount:") => {
                format!(
                    "`{name}` is not a group; the user of that name is a subject of kind `User`"
                )
            }
            _ => continue,
        };
        let binding = binding.to_string();
        warnings.push(RbacWarning::UnmatchableSubject { binding, subject: number, reason });
    }
    let Some(role) = role.filter(|role| role.kind == RoleKind::ClusterRole) else { return };
    if binding.kind != BindingKind::RoleBinding || is_bootstrapped(role) {
        return;
    }
    for (number, rule) in role.rules.iter().enumerate() {
        warnings.extend(in_namespace(rule).into_iter().map(|reason| {
            RbacWarning::UnmatchableInNamespace {
                binding: binding.to_string(),
                role: role.to_string(),
                rule: number,
                reason,
            }
        }));
    }
}

/// Returns why no request has this verb, API group and resource (`pods`, `pods/exec`); nothing
/// where one may. `*` is every verb.
///
/// # Examples
///
/// ```
/// use stagedoor_kubernetes::rbac::unmatchable_resource;
///
/// assert!(unmatchable_resource("get", "apps", "deployments/scale").is_empty());
/// let told = unmatchable_resource("GET", "", "pod");
/// assert_eq!(told.len(), 2);
/// assert_eq!(told[1], "no resource is called `pod`; write `pods`");
/// ```
#[must_use]
pub fn unmatchable_resource(verb: &str, group: &str, resource: &str) -> Vec<String> {
    in_rule(&PolicyRule::resources([verb], [group], [resource]))
}

/// Returns why no request about this API group and resource is in a namespace; nothing where one
/// may be.
#[must_use]
pub fn unmatchable_in_namespace(group: &str, resource: &str) -> Vec<String> {
    let rule = PolicyRule::resources(["*"], [group], [resource]);
    let (is_in_any, is_known) = (in_namespace(&rule).is_empty(), group != "*");
    if is_in_any || !is_known {
        return Vec::new();
    }
    vec![format!("`{resource}` is in no namespace: no request about it has one")]
}

/// Returns why no request has this verb and path; nothing where one may.
#[must_use]
pub fn unmatchable_path(verb: &str, path: &str) -> Vec<String> {
    in_rule(&PolicyRule::paths([verb], [path]))
}

/// Whether a role is Kubernetes' own, or takes over such roles' rules.
fn is_bootstrapped(role: &Role) -> bool {
    role.aggregates.is_some() || role.labels.contains_key("kubernetes.io/bootstrapping")
}

fn is_half_an_account(name: &str) -> bool {
    name.starts_with("system:serviceaccount:") && Identity::of(name) == Identity::User
}

/// Returns what of a rule matches no request, wherever it is granted.
fn in_rule(rule: &PolicyRule) -> Vec<String> {
    let mut reasons = Vec::new();
    for verb in &rule.verbs {
        reasons.extend(in_verb(verb, rule));
    }
    for group in &rule.api_groups {
        reasons.extend(in_group(group));
    }
    for resource in &rule.resources {
        reasons.extend(in_resource(resource, rule));
    }
    reasons.extend(in_names(rule));
    reasons.extend(rule.non_resource_urls.iter().filter_map(|path| in_path(path)));
    reasons
}

fn in_verb(verb: &str, rule: &PolicyRule) -> Option<String> {
    // Kubernetes asks about `impersonate-on:…` and others with colons in just this form.
    let lower = verb.to_lowercase();
    if verb != lower && !verb.contains(':') {
        return Some(format!(
            "no request has the verb `{verb}`: verbs are in lower case (`{lower}`)"
        ));
    }
    let (resources, paths) = (!rule.resources.is_empty(), !rule.non_resource_urls.is_empty());
    if resources
        && !paths
        && let Some((_, instead)) = METHODS.iter().find(|(method, _)| *method == verb)
    {
        return Some(format!(
            "`{verb}` is an HTTP method; a request of it about a resource has the verb `{instead}`"
        ));
    }
    (paths && !resources && OF_RESOURCES.contains(&verb)).then(|| {
        format!("`{verb}` is a verb of resources; paths have the HTTP method in lower case")
    })
}

fn in_group(group: &str) -> Option<String> {
    if group == "core" {
        return Some("no request has the API group `core`: the core group is `\"\"`".to_owned());
    }
    let is_version = |text: &str| {
        text.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    if is_version(group) {
        return Some(format!("`{group}` is a version, no API group: the core group is `\"\"`"));
    }
    let (name, _) = group.split_once('/')?;
    Some(format!("`{group}` has a version, which no API group has: write `{name}`"))
}

fn in_resource(resource: &str, rule: &PolicyRule) -> Option<String> {
    if let Some((of, "*")) = resource.split_once('/') {
        return Some(match of {
            "*" => "`*/*` is not a pattern; `*` is every resource with its subresources".to_owned(),
            of => format!(
                "`{resource}` is not a pattern for subresources; name each, as `{of}/status`, or \
                 write `*`"
            ),
        });
    }
    if resource == "userextras" {
        return Some(
            "`userextras` is only asked about with a key: write `userextras/KEY`".to_owned(),
        );
    }
    if resource == "*" || resource.starts_with("*/") {
        return None;
    }
    let plain = resource.split_once('/').map_or(resource, |(plain, _)| plain);
    // A group that is wrong itself is told already, and says nothing about the resource.
    let groups: Vec<&str> = rule
        .api_groups
        .iter()
        .map(String::as_str)
        .filter(|group| in_group(group).is_none())
        .collect();
    // Also where the rule names the group wrongly: `Pod` is none of a resource in any.
    for group in groups.iter().copied().chain(groups.is_empty().then_some("")) {
        if let Some(meant) = meant_by(group, plain).filter(|meant| *meant != plain) {
            return Some(format!("no resource is called `{plain}`; write `{meant}`"));
        }
    }
    if plain.chars().any(char::is_uppercase) {
        return Some(format!(
            "no resource is called `{plain}`: resources are in lower case and in the plural"
        ));
    }
    if groups.is_empty() || groups.contains(&"*") {
        return None;
    }
    if resource == "podsecuritypolicies" && groups.contains(&"policy") {
        return Some("`podsecuritypolicies` are gone since Kubernetes 1.25".to_owned());
    }
    let known: Vec<_> = groups.iter().filter_map(|group| find(group, resource)).collect();
    let is_closed = |group: &&str| CLOSED_GROUPS.contains(group);
    // Garbage collection asks about `finalizers` of whatever has owners.
    if known.is_empty() && groups.iter().all(is_closed) && !resource.ends_with("/finalizers") {
        let groups: Vec<String> = groups.iter().map(|group| in_words(group)).collect();
        return Some(format!("{} has no `{resource}`", groups.join(" or ")));
    }
    let is_complete = known.len() == groups.len() && !known.is_empty();
    let has_verb = |verb: &String| {
        verb == "*" || !is_standard(verb) || known.iter().any(|r| r.verbs.contains(verb))
    };
    let is_known = known.iter().all(|r| !r.authorizer_only && !r.verbs.is_empty());
    if is_complete && is_known && !rule.verbs.is_empty() && !rule.verbs.iter().any(has_verb) {
        let has: Vec<&str> = known.iter().flat_map(|r| &r.verbs).map(String::as_str).collect();
        return Some(format!(
            "`{resource}` has none of these verbs; it has `{}`",
            has.join("`, `")
        ));
    }
    None
}

fn in_words(group: &str) -> String {
    match group {
        "" => "the core API group".to_owned(),
        "extensions" => "the API group `extensions`, gone since Kubernetes 1.22,".to_owned(),
        group => format!("the API group `{group}`"),
    }
}

fn is_standard(verb: &str) -> bool {
    const STANDARD: [&str; 8] =
        ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
    STANDARD.contains(&verb)
}

/// Returns what names of objects do not go with.
fn in_names(rule: &PolicyRule) -> Vec<String> {
    if rule.resource_names.is_empty() {
        return Vec::new();
    }
    let mut reasons = Vec::new();
    let has = |verb: &str| rule.verbs.iter().any(|v| v == verb);
    // A named subresource is created of a named object; a star may be one.
    let plain: Vec<&str> = rule
        .resources
        .iter()
        .map(String::as_str)
        .filter(|resource| !resource.contains('/') && *resource != "*")
        .collect();
    if has("create") && !plain.is_empty() {
        reasons.push(format!(
            "`create` of `{}` with resourceNames: what is created has no name in the request; \
             grant it without names",
            plain.join("`, `")
        ));
    }
    if has("deletecollection") {
        reasons.push(
            "`deletecollection` with resourceNames: a collection has no name; grant it without \
             names, or `delete`"
                .to_owned(),
        );
    }
    let impersonates = |verb: &String| verb.starts_with("impersonate");
    if rule.resource_names.iter().any(|name| name == "*") && !rule.verbs.iter().all(impersonates) {
        reasons.push(
            "`*` in resourceNames is not a pattern; leave resourceNames out for every name"
                .to_owned(),
        );
    }
    reasons
}

fn in_path(path: &str) -> Option<String> {
    if path == "*" {
        return None;
    }
    if !path.starts_with('/') {
        return Some(format!("no path is `{path}`: paths begin with `/`"));
    }
    if path.trim_end_matches('*').contains('*') {
        return Some(format!("`{path}`: a star is a pattern at the end of a path only"));
    }
    let parts: Vec<&str> = path.split('/').skip(1).filter(|part| !part.is_empty()).collect();
    let is_resource = match parts.first() {
        Some(&"api") => parts.len() >= 3,
        Some(&"apis") => parts.len() >= 4,
        _ => false,
    };
    is_resource.then(|| {
        format!("`{path}` is the path of a resource: requests for it are granted by `resources`")
    })
}

/// Returns what of a rule matches nothing where it is granted in a namespace.
fn in_namespace(rule: &PolicyRule) -> Vec<String> {
    let mut reasons = Vec::new();
    if !rule.non_resource_urls.is_empty() {
        reasons.push(
            "nonResourceURLs are in no namespace; grant them by a ClusterRoleBinding".to_owned(),
        );
    }
    // The request about a namespace itself carries that namespace.
    let collections = ["create", "deletecollection", "list", "watch"];
    let only_collections = !rule.verbs.is_empty()
        && rule.verbs.iter().all(|verb| collections.contains(&verb.as_str()));
    let is_out = |resource: &&String| {
        let is_namespace =
            matches!(resource.as_str(), "namespaces" | "namespaces/status" | "namespaces/finalize");
        let scopes: Vec<Option<bool>> = rule
            .api_groups
            .iter()
            .filter(|group| of_group(group).next().is_some() || group.as_str() == "*")
            .map(|group| is_cluster_scoped(group, resource))
            .collect();
        let cluster_scoped = !scopes.is_empty()
            && scopes.len() == rule.api_groups.len()
            && scopes.iter().all(|scope| *scope == Some(true));
        cluster_scoped && (!is_namespace || only_collections)
    };
    let out: Vec<&str> = rule.resources.iter().filter(is_out).map(String::as_str).collect();
    if !out.is_empty() {
        reasons.push(format!(
            "`{}`: in no namespace; grant it by a ClusterRoleBinding",
            out.join("`, `")
        ));
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(verbs: &str, groups: &str, resources: &str) -> PolicyRule {
        PolicyRule::resources(verbs.split(','), groups.split(','), resources.split(','))
    }

    #[test]
    fn what_never_matches_is_told_with_what_may_be_meant() {
        let cases = [
            (rule("create", "", "secrets").with_resource_names(["a"]), "`create` of `secrets`"),
            (rule("create", "", "pods/exec").with_resource_names(["a"]), ""),
            (rule("deletecollection", "", "pods").with_resource_names(["a"]), "no name"),
            (rule("get", "", "pods").with_resource_names(["*"]), "not a pattern"),
            (rule("impersonate", "", "users").with_resource_names(["*"]), ""),
            (rule("get", "apps/v1", "deployments"), "write `apps`"),
            (rule("get", "v1", "pods"), "the core group is"),
            (rule("get", "core", "pods"), "the core group is"),
            (rule("get", "", "pods/*"), "name each"),
            (rule("get", "", "*/*"), "`*` is every resource"),
            (rule("get", "*", "*/scale"), ""),
            (rule("GET", "", "pods"), "lower case (`get`)"),
            (rule("post", "", "pods"), "the verb `create`"),
            (rule("get", "", "Pod"), "write `pods`"),
            (rule("get", "", "pod"), "write `pods`"),
            (rule("get", "apps", "deploy"), "write `deployments`"),
            (rule("get", "extensions", "ingresses"), "has no `ingresses`"),
            (rule("get", "extensions,networking.k8s.io", "ingresses"), ""),
            (rule("get", "example.com", "widgets"), ""),
            (rule("get", "", "widgets"), "has no `widgets`"),
            (rule("update", "apps", "deployments/finalizers"), ""),
            (rule("deletecollection", "", "namespaces"), "none of these verbs"),
            (rule("get,deletecollection", "", "namespaces"), ""),
            (rule("impersonate", "authentication.k8s.io", "userextras"), "with a key"),
            (rule("impersonate", "authentication.k8s.io", "userextras/scopes"), ""),
            (rule("impersonate-on:user-info:list", "", "pods"), ""),
            (rule("use", "policy", "podsecuritypolicies"), "gone since"),
            (rule("approve", "certificates.k8s.io", "signers"), ""),
            (rule("*", "*", "*"), ""),
            (PolicyRule::paths(["get"], ["/api/v1/pods"]), "granted by `resources`"),
            (PolicyRule::paths(["get"], ["/apis/apps/v1"]), ""),
            (PolicyRule::paths(["get"], ["/apis/*"]), ""),
            (PolicyRule::paths(["get"], ["/a/*/b"]), "at the end"),
            (PolicyRule::paths(["get"], ["metrics"]), "begin with `/`"),
            (PolicyRule::paths(["list"], ["/metrics"]), "verb of resources"),
            (PolicyRule::paths(["get", "post"], ["/metrics", "*"]), ""),
        ];
        for (rule, expected) in cases {
            let reasons = in_rule(&rule);
            match expected {
                "" => assert_eq!(reasons, [""; 0], "{rule:?}"),
                _ => {
                    assert_eq!(reasons.len(), 1, "{rule:?}: {reasons:?}");
                    assert!(reasons.concat().contains(expected), "{rule:?}: {reasons:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_in_no_namespace_is_not_granted_there() {
        let cases = [
            (PolicyRule::paths(["get"], ["/metrics"]), true),
            (rule("get", "", "nodes"), true),
            (rule("get", "", "nodes,pods"), true),
            (rule("get", "", "pods"), false),
            (rule("get", "", "namespaces"), false),
            (rule("list,watch", "", "namespaces"), true),
            (rule("get", "example.com", "widgets"), false),
            (rule("get", "*", "nodes"), false),
            (rule("impersonate", "", "serviceaccounts"), false),
        ];
        for (rule, told) in cases {
            assert_eq!(!in_namespace(&rule).is_empty(), told, "{rule:?}");
        }
    }
}
