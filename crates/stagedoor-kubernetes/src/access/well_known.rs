//! The API groups of Kubernetes' own resources, for questions that name a resource alone.

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
    Some(match resource {
        "bindings"
        | "componentstatuses"
        | "configmaps"
        | "endpoints"
        | "events"
        | "groups"
        | "limitranges"
        | "namespaces"
        | "nodes"
        | "persistentvolumeclaims"
        | "persistentvolumes"
        | "pods"
        | "podtemplates"
        | "replicationcontrollers"
        | "resourcequotas"
        | "secrets"
        | "serviceaccounts"
        | "services"
        | "users" => "",
        "controllerrevisions" | "daemonsets" | "deployments" | "replicasets" | "statefulsets" => {
            "apps"
        }
        "cronjobs" | "jobs" => "batch",
        "horizontalpodautoscalers" => "autoscaling",
        "ingressclasses" | "ingresses" | "ipaddresses" | "networkpolicies" | "servicecidrs" => {
            "networking.k8s.io"
        }
        "poddisruptionbudgets" => "policy",
        "clusterrolebindings" | "clusterroles" | "rolebindings" | "roles" => {
            "rbac.authorization.k8s.io"
        }
        "csidrivers"
        | "csinodes"
        | "csistoragecapacities"
        | "storageclasses"
        | "volumeattachments"
        | "volumeattributesclasses" => "storage.k8s.io",
        "certificatesigningrequests" | "clustertrustbundles" | "signers" => "certificates.k8s.io",
        "mutatingadmissionpolicies"
        | "mutatingadmissionpolicybindings"
        | "mutatingwebhookconfigurations"
        | "validatingadmissionpolicies"
        | "validatingadmissionpolicybindings"
        | "validatingwebhookconfigurations" => "admissionregistration.k8s.io",
        "customresourcedefinitions" => "apiextensions.k8s.io",
        "apiservices" => "apiregistration.k8s.io",
        "localsubjectaccessreviews"
        | "selfsubjectaccessreviews"
        | "selfsubjectrulesreviews"
        | "subjectaccessreviews" => "authorization.k8s.io",
        "selfsubjectreviews" | "tokenreviews" | "uids" | "userextras" => "authentication.k8s.io",
        "leases" => "coordination.k8s.io",
        "endpointslices" => "discovery.k8s.io",
        "flowschemas" | "prioritylevelconfigurations" => "flowcontrol.apiserver.k8s.io",
        "runtimeclasses" => "node.k8s.io",
        "priorityclasses" => "scheduling.k8s.io",
        "deviceclasses" | "resourceclaims" | "resourceclaimtemplates" | "resourceslices" => {
            "resource.k8s.io"
        }
        _ => return None,
    })
}
