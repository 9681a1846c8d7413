//! The resources of Kubernetes' own API, and the names that only authorizers see.
//!
//! One resource or subresource a line, of Kubernetes 1.30 to 1.36. What an API of somebody
//! else serves is not here, so that nothing can be said about it.

use std::sync::LazyLock;

use serde::Deserialize;

static RESOURCES: LazyLock<Vec<ApiResource>> = LazyLock::new(|| {
    let lines = include_str!("../data/resources.jsonl").lines();
    // A test reads every line.
    lines.filter_map(|line| serde_json::from_str(line).ok()).collect()
});

/// A resource or subresource of Kubernetes' own API.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ApiResource {
    pub(crate) group: String,
    /// `pods`, or `pods/exec`.
    pub(crate) resource: String,
    #[serde(default)]
    pub(crate) kind: String,
    /// Whether its objects are in namespaces, where that is known.
    #[serde(default)]
    pub(crate) namespaced: Option<bool>,
    /// The verbs of requests; none where they are not known.
    #[serde(default)]
    pub(crate) verbs: Vec<String>,
    /// The first minor version that has it, if that is not the first that was looked at.
    #[serde(default, rename = "since")]
    _since: Option<u16>,
    /// The last minor version that has it, if that is not the last that was looked at.
    #[serde(default)]
    pub(crate) until: Option<u16>,
    #[serde(default, rename = "offByDefault")]
    _off_by_default: bool,
    /// No request of the API is about it: other parts of a cluster ask for permission by it.
    #[serde(default)]
    pub(crate) authorizer_only: bool,
}

/// Returns all resources that are known.
pub(crate) fn all() -> impl Iterator<Item = &'static ApiResource> {
    RESOURCES.iter()
}

/// Returns the resources of a group; none for groups that are not Kubernetes' own.
pub(crate) fn of_group(group: &str) -> impl Iterator<Item = &'static ApiResource> + use<'_> {
    RESOURCES.iter().filter(move |resource| resource.group == group)
}

/// Returns what is known of a resource or subresource: the API's word before an authorizer's.
pub(crate) fn find(group: &str, resource: &str) -> Option<&'static ApiResource> {
    let named = || of_group(group).filter(|known| known.resource == resource);
    named().find(|known| !known.authorizer_only).or_else(|| named().next())
}

/// Returns whether a resource is in no namespace, where that is known.
pub(crate) fn is_cluster_scoped(group: &str, resource: &str) -> Option<bool> {
    find(group, resource)?.namespaced.map(|namespaced| !namespaced)
}

/// Returns the resource of a kind of a group.
pub(crate) fn resource_of_kind(group: &str, kind: &str) -> Option<&'static ApiResource> {
    of_group(group).find(|known| known.kind == kind && !known.resource.contains('/'))
}

/// Returns the resource that is meant by a kind, a singular or a short name of a group.
pub(crate) fn meant_by(group: &str, name: &str) -> Option<&'static str> {
    const SHORT: [(&str, &str); 25] = [
        ("cm", "configmaps"),
        ("crd", "customresourcedefinitions"),
        ("cs", "componentstatuses"),
        ("csr", "certificatesigningrequests"),
        ("deploy", "deployments"),
        ("ds", "daemonsets"),
        ("ep", "endpoints"),
        ("ev", "events"),
        ("hpa", "horizontalpodautoscalers"),
        ("ing", "ingresses"),
        ("limits", "limitranges"),
        ("netpol", "networkpolicies"),
        ("no", "nodes"),
        ("ns", "namespaces"),
        ("pdb", "poddisruptionbudgets"),
        ("po", "pods"),
        ("pv", "persistentvolumes"),
        ("pvc", "persistentvolumeclaims"),
        ("quota", "resourcequotas"),
        ("rc", "replicationcontrollers"),
        ("rs", "replicasets"),
        ("sa", "serviceaccounts"),
        ("sc", "storageclasses"),
        ("sts", "statefulsets"),
        ("svc", "services"),
    ];
    let plain = |known: &&ApiResource| !known.resource.contains('/') && !known.kind.is_empty();
    let short = SHORT.iter().find(|(short, _)| *short == name).map(|(_, plural)| *plural);
    of_group(group)
        .filter(plain)
        .find(|known| known.kind.eq_ignore_ascii_case(name) || short == Some(&known.resource))
        .or_else(|| of_group(group).filter(plain).find(|k| k.resource.eq_ignore_ascii_case(name)))
        .map(|known| known.resource.as_str())
}

/// Returns the API group of one of Kubernetes' own resources, in the plural.
///
/// # Examples
///
/// ```
/// use stagedoor_kubernetes::access::api_group_of;
///
/// assert_eq!(api_group_of("pods"), Some(""));
/// assert_eq!(api_group_of("deployments"), Some("apps"));
/// assert_eq!(api_group_of("widgets"), None);
/// ```
#[must_use]
pub fn api_group_of(resource: &str) -> Option<&'static str> {
    // Names of the core group and of old groups are also used by newer ones: what people
    // mean is the one that serves it by default, and whom one impersonates is of the core.
    const MEANT: [(&str, &str); 5] =
        [("events", ""), ("users", ""), ("groups", ""), ("serviceaccounts", ""), ("nodes", "")];
    if let Some((_, group)) = MEANT.iter().find(|(name, _)| *name == resource) {
        return Some(group);
    }
    let named = || RESOURCES.iter().filter(|known| known.resource == resource);
    let found = named().find(|known| !known.authorizer_only).or_else(|| named().next());
    found.map(|known| known.group.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_read() -> Result<(), serde_json::Error> {
        let lines = include_str!("../data/resources.jsonl").lines();
        let read: Result<Vec<ApiResource>, _> = lines.map(serde_json::from_str).collect();
        assert_eq!(read?, *RESOURCES);
        Ok(())
    }

    #[test]
    fn resources_are_found_by_whatever_people_call_them() {
        for (group, name, meant) in [
            ("", "Pod", Some("pods")),
            ("", "pod", Some("pods")),
            ("", "po", Some("pods")),
            ("", "Pods", Some("pods")),
            ("apps", "Deployment", Some("deployments")),
            ("apps", "po", None),
            ("networking.k8s.io", "ingress", Some("ingresses")),
            ("example.com", "Widget", None),
        ] {
            assert_eq!(meant_by(group, name), meant, "{group} {name}");
        }
        assert_eq!(is_cluster_scoped("", "nodes"), Some(true));
        assert_eq!(is_cluster_scoped("", "pods/exec"), Some(false));
        assert_eq!(is_cluster_scoped("example.com", "widgets"), None);
        for (name, group) in [
            ("signers", "certificates.k8s.io"),
            ("leases", "coordination.k8s.io"),
            ("events", ""),
            ("uids", "authentication.k8s.io"),
            ("userextras", "authentication.k8s.io"),
            ("ingresses", "networking.k8s.io"),
        ] {
            assert_eq!(api_group_of(name), Some(group), "{name}");
        }
    }
}
