//! The words that grants and requests are made of.

/// A kind of object in a namespace: API group, resource.
pub(crate) const NAMESPACED: [(&str, &str); 20] = [
    ("", "pods"),
    ("", "services"),
    ("", "configmaps"),
    ("", "secrets"),
    ("", "serviceaccounts"),
    ("", "endpoints"),
    ("", "persistentvolumeclaims"),
    ("", "events"),
    ("apps", "deployments"),
    ("apps", "statefulsets"),
    ("apps", "daemonsets"),
    ("apps", "replicasets"),
    ("batch", "jobs"),
    ("batch", "cronjobs"),
    ("networking.k8s.io", "ingresses"),
    ("networking.k8s.io", "networkpolicies"),
    ("rbac.authorization.k8s.io", "roles"),
    ("rbac.authorization.k8s.io", "rolebindings"),
    ("autoscaling", "horizontalpodautoscalers"),
    ("policy", "poddisruptionbudgets"),
];

/// A kind of object of the whole cluster.
pub(crate) const CLUSTER_WIDE: [(&str, &str); 4] = [
    ("", "nodes"),
    ("", "persistentvolumes"),
    ("storage.k8s.io", "storageclasses"),
    ("rbac.authorization.k8s.io", "clusterroles"),
];

/// The verbs of a role.
pub(crate) const VERBS: [&[&str]; 3] = [
    &["get", "list", "watch"],
    &["create", "update", "patch", "delete"],
    &["get", "list", "watch", "create", "update", "patch", "delete"],
];

pub(crate) fn group(number: usize) -> String {
    format!("team-{number}")
}

pub(crate) fn user(number: usize) -> String {
    if number % 10 == 3 {
        format!("contractor-{number}@example.org")
    } else {
        format!("user-{number}@example.org")
    }
}

pub(crate) fn namespace(number: usize) -> String {
    match number % 4 {
        0 => format!("prod-{number}"),
        1 => format!("staging-{number}"),
        _ if number == 2 => "kube-system".to_owned(),
        _ => format!("dev-{number}"),
    }
}
