//! Which grants are dangerous, as a table: what is covered, where, how bad, and why.
//!
//! Put together from what scanners of RBAC and Kubernetes' own good practices look for, and
//! from what kube-apiserver does since.

use super::AuditSeverity::{self, Critical, High, Low, Medium};
use super::check::AuditCheck as Check;
use super::covers::Access;

const RBAC: &str = "rbac.authorization.k8s.io";
const CERTIFICATES: &str = "certificates.k8s.io";
const ADMISSION: &str = "admissionregistration.k8s.io";
const WRITE: &[&str] = &["create", "update", "patch"];
const CHANGE: &[&str] = &["update", "patch"];
const READ: &[&str] = &["get", "list", "watch"];
const METHODS: &[&str] = &["get", "create", "update", "patch", "delete"];

/// A kind of grant that leads further than it says.
pub(super) struct Danger {
    pub(super) check: Check,
    /// What a rule covers any of.
    pub(super) access: &'static [Access],
    /// What the grantee holds besides, any of each, by whichever rule.
    pub(super) with: &'static [&'static [Access]],
    /// How bad it is in the whole cluster, in kube-system, and in another namespace.
    pub(super) severity: [Option<AuditSeverity>; 3],
    /// How bad it is at most where objects are named.
    pub(super) named: Option<AuditSeverity>,
    /// Why; `{place}` is where.
    pub(super) reason: &'static str,
}

const fn on(
    verbs: &'static [&'static str],
    group: &'static str,
    resources: &'static [&'static str],
) -> Access {
    Access { verbs, group, resources }
}

const fn danger(
    check: Check,
    access: &'static [Access],
    severity: [Option<AuditSeverity>; 3],
    reason: &'static str,
) -> Danger {
    Danger { check, access, with: &[], severity, named: Some(Critical), reason }
}

impl Danger {
    const fn with(self, with: &'static [&'static [Access]]) -> Self {
        Self { with, ..self }
    }

    const fn named(self, named: Option<AuditSeverity>) -> Self {
        Self { named, ..self }
    }
}

pub(super) const CREATE_PODS: &[Access] = &[on(&["create"], "", &["pods"])];
pub(super) const CREATE_WORKLOADS: &[Access] = &[
    on(&["create"], "apps", &["daemonsets", "deployments", "replicasets", "statefulsets"]),
    on(&["create"], "batch", &["cronjobs", "jobs"]),
    on(&["create"], "", &["replicationcontrollers"]),
];
pub(super) const CHANGE_WORKLOADS: &[Access] = &[
    on(CHANGE, "apps", &["daemonsets", "deployments", "replicasets", "statefulsets"]),
    on(CHANGE, "batch", &["cronjobs", "jobs"]),
    on(CHANGE, "", &["replicationcontrollers"]),
];
pub(super) const CHANGE_PODS: &[Access] = &[on(CHANGE, "", &["pods"])];
pub(super) const EXEC: &[Access] = &[
    on(&["create", "get"], "", &["pods/exec", "pods/attach"]),
    on(CHANGE, "", &["pods/ephemeralcontainers"]),
];
pub(super) const TOKENS: &[Access] = &[on(&["create"], "", &["serviceaccounts/token"])];
pub(super) const READ_SECRETS: &[Access] = &[on(READ, "", &["secrets"])];
pub(super) const CREATE_SECRETS: &[Access] = &[on(&["create"], "", &["secrets"])];
pub(super) const NODES_PROXY: &[Access] = &[on(METHODS, "", &["nodes/proxy"])];
pub(super) const ESCALATE: &[Access] = &[on(&["escalate"], RBAC, &["roles", "clusterroles"])];
pub(super) const ESCALATE_CLUSTER: &[Access] = &[on(&["escalate"], RBAC, &["clusterroles"])];
pub(super) const CHANGE_CLUSTER_ROLES: &[Access] = &[on(CHANGE, RBAC, &["clusterroles"])];
pub(super) const BIND: &[Access] = &[on(&["bind"], RBAC, &["roles", "clusterroles"])];
pub(super) const BIND_CLUSTER: &[Access] = &[on(&["bind"], RBAC, &["clusterroles"])];
pub(super) const CLUSTER_BINDINGS: &[Access] = &[on(WRITE, RBAC, &["clusterrolebindings"])];
pub(super) const BINDINGS: &[Access] = &[on(WRITE, RBAC, &["rolebindings"])];
pub(super) const APPROVE: &[Access] =
    &[on(CHANGE, CERTIFICATES, &["certificatesigningrequests/approval"])];
pub(super) const APPROVE_SIGNERS: &[Access] = &[on(&["approve"], CERTIFICATES, &["signers"])];
pub(super) const REQUEST_CERTIFICATES: &[Access] =
    &[on(&["create"], CERTIFICATES, &["certificatesigningrequests"])];
pub(super) const WEBHOOKS: &[Access] =
    &[on(WRITE, ADMISSION, &["mutatingwebhookconfigurations", "validatingwebhookconfigurations"])];
pub(super) const MUTATING: &[Access] =
    &[on(WRITE, ADMISSION, &["mutatingadmissionpolicies", "mutatingadmissionpolicybindings"])];
pub(super) const MUTATING_WEBHOOKS: &[Access] =
    &[on(WRITE, ADMISSION, &["mutatingwebhookconfigurations"])];
pub(super) const VOLUMES: &[Access] = &[on(&["create"], "", &["persistentvolumes"])];

/// Operators that carry out, with their own permissions, what objects of theirs say.
const OPERATORS: &[Access] = &[
    on(WRITE, "kustomize.toolkit.fluxcd.io", &["kustomizations"]),
    on(WRITE, "helm.toolkit.fluxcd.io", &["helmreleases"]),
    on(WRITE, "source.toolkit.fluxcd.io", &["gitrepositories", "ocirepositories", "buckets"]),
    on(WRITE, "argoproj.io", &["applications", "applicationsets", "appprojects", "workflows"]),
    on(WRITE, "helm.cattle.io", &["helmcharts", "helmchartconfigs"]),
    on(WRITE, "operators.coreos.com", &["subscriptions", "clusterserviceversions"]),
    on(WRITE, "pkg.crossplane.io", &["providers", "configurations", "functions"]),
    on(WRITE, "tekton.dev", &["pipelineruns", "taskruns"]),
    on(WRITE, "generators.external-secrets.io", &["clustergenerators"]),
    on(WRITE, "external-secrets.io", &["clustersecretstores", "clusterexternalsecrets"]),
];

/// Every kind of dangerous grant but for stars and impersonation, which take more than a look.
pub(super) const DANGERS: &[Danger] = &[
    danger(
        Check::SecretsRead,
        READ_SECRETS,
        [Some(High), Some(High), Some(Low)],
        "reads the secrets {place}",
    )
    .named(Some(Medium)),
    danger(
        Check::SecretsWrite,
        &[on(WRITE, "", &["secrets"])],
        [Some(Medium), Some(Medium), None],
        "writes secrets {place}, tokens of service accounts among them",
    )
    .named(Some(Low)),
    danger(
        Check::TokenSecret,
        CREATE_SECRETS,
        [Some(High), Some(High), Some(Medium)],
        "creates secrets {place} and reads them: a token of any service account there",
    )
    .with(&[READ_SECRETS])
    .named(None),
    danger(
        Check::BootstrapToken,
        CREATE_SECRETS,
        [Some(High), Some(High), None],
        "creates secrets of kube-system, bootstrap tokens among them, by which nodes join",
    )
    .named(None),
    danger(
        Check::Escalate,
        ESCALATE,
        [Some(Critical), Some(High), Some(High)],
        "writes roles with any permission {place}",
    ),
    danger(
        Check::Bind,
        BIND,
        [Some(Critical), Some(High), Some(High)],
        "binds roles with any permission {place}",
    )
    .named(Some(Medium)),
    danger(
        Check::BindingsWrite,
        CLUSTER_BINDINGS,
        [Some(Medium), None, None],
        "hands on what it has itself by ClusterRoleBindings; more only with `bind` or `escalate`",
    )
    .named(Some(Low)),
    danger(
        Check::BindingsWrite,
        BINDINGS,
        [Some(Medium), Some(Medium), Some(Low)],
        "hands on what it has itself by RoleBindings {place}; more only with `bind` or `escalate`",
    )
    .named(Some(Low)),
    danger(
        Check::RolesWrite,
        &[on(WRITE, RBAC, &["clusterroles"])],
        [Some(Medium), None, None],
        "writes ClusterRoles, which a label aggregates into others; more than it has itself only \
         with `escalate`",
    )
    .named(Some(Low)),
    danger(
        Check::PodsCreate,
        CREATE_PODS,
        [Some(High), Some(High), Some(Medium)],
        "creates pods {place}, with any service account there; unless Pod Security forbids it, \
         with the node's file system",
    ),
    danger(
        Check::PodsCreate,
        CREATE_WORKLOADS,
        [Some(High), Some(High), Some(Medium)],
        "creates workloads, and so pods, {place}, with any service account there",
    ),
    danger(
        Check::WorkloadsChange,
        CHANGE_WORKLOADS,
        [Some(High), Some(High), Some(Medium)],
        "changes workloads {place}, whose pods run with any service account there",
    )
    .named(Some(Medium)),
    danger(
        Check::SystemDaemonSets,
        &[on(CHANGE, "apps", &["daemonsets"])],
        [Some(High), Some(Critical), None],
        "changes the DaemonSets of kube-system, which run on every node",
    )
    .named(Some(High)),
    danger(
        Check::PodsChange,
        CHANGE_PODS,
        [Some(High), Some(High), Some(Medium)],
        "changes the images of pods {place}",
    )
    .named(Some(Medium)),
    danger(
        Check::PodsExec,
        EXEC,
        [Some(High), Some(High), Some(Medium)],
        "runs commands in pods {place}",
    ),
    danger(
        Check::PodsPortForward,
        &[on(&["create", "get"], "", &["pods/portforward"])],
        [Some(Medium), Some(Medium), Some(Low)],
        "reaches what pods {place} only offer inside",
    ),
    danger(
        Check::PodsBinding,
        &[on(&["create"], "", &["pods/binding"]), on(&["create"], "", &["bindings"])],
        [Some(High), Some(High), Some(Medium)],
        "creates pods {place} and places them on any node, past the scheduler",
    )
    .with(&[CREATE_PODS]),
    danger(
        Check::PodsSteal,
        &[
            on(&["delete", "deletecollection"], "", &["pods"]),
            on(&["create"], "", &["pods/eviction"]),
        ],
        [Some(High), Some(High), Some(Medium)],
        "deletes pods {place} and changes nodes, so that pods move to where it wants them",
    )
    .with(&[&[on(CHANGE, "", &["nodes", "nodes/status"]), on(&["delete"], "", &["nodes"])]]),
    danger(
        Check::PodsStatus,
        &[on(CHANGE, "", &["pods/status"])],
        [Some(Low), Some(Low), Some(Low)],
        "writes the status of pods {place}, and so where traffic of Services goes",
    ),
    danger(
        Check::NodesProxy,
        NODES_PROXY,
        [Some(Critical), None, None],
        "reaches the kubelet's API of nodes, and through it every pod",
    ),
    danger(
        Check::NodesRead,
        &[on(&["get"], "", &["nodes/log", "nodes/configz", "nodes/stats"])],
        [Some(Medium), None, None],
        "reads files and configuration of nodes through the kubelet",
    ),
    danger(
        Check::NodesStatus,
        &[on(CHANGE, "", &["nodes/status"])],
        [Some(Low), None, None],
        "writes the status of nodes, and so where pods are placed",
    ),
    danger(
        Check::TokenCreate,
        TOKENS,
        [Some(Critical), Some(Critical), Some(High)],
        "mints tokens of service accounts {place}",
    )
    .named(Some(Medium)),
    danger(
        Check::WebhookWrite,
        WEBHOOKS,
        [Some(High), None, None],
        "writes admission webhooks, which see and change every request",
    ),
    danger(
        Check::MutatingPolicies,
        MUTATING,
        [Some(High), None, None],
        "writes mutating admission policies, which change every request",
    ),
    danger(
        Check::ApiServices,
        &[on(WRITE, "apiregistration.k8s.io", &["apiservices"])],
        [Some(High), None, None],
        "puts a server of its own behind the API, to which requests are passed on",
    ),
    danger(
        Check::CustomResourceDefinitions,
        &[on(WRITE, "apiextensions.k8s.io", &["customresourcedefinitions"])],
        [Some(Medium), None, None],
        "writes CustomResourceDefinitions, whose conversion webhooks see every object of theirs",
    )
    .named(Some(Low)),
    danger(
        Check::CertificateApproval,
        APPROVE,
        [Some(High), None, None],
        "approves certificate requests, or says for which signers",
    )
    .named(Some(Medium)),
    danger(
        Check::CertificateApproval,
        APPROVE_SIGNERS,
        [Some(High), None, None],
        "approves certificate requests, or says for which signers",
    )
    .named(Some(Medium)),
    danger(
        Check::CertificateApproval,
        REQUEST_CERTIFICATES,
        [Some(Critical), None, None],
        "requests certificates and approves them: a certificate of any user name",
    )
    .with(&[APPROVE, APPROVE_SIGNERS]),
    danger(
        Check::CertificateSigning,
        &[on(&["sign"], CERTIFICATES, &["signers"])],
        [Some(High), None, None],
        "signs certificate requests, approved or not",
    )
    .named(Some(Medium)),
    danger(
        Check::PersistentVolumes,
        VOLUMES,
        [Some(High), None, None],
        "creates persistent volumes, which mount directories of nodes past Pod Security",
    ),
    danger(
        Check::StorageClasses,
        &[on(&["create"], "storage.k8s.io", &["storageclasses"])],
        [Some(Medium), None, None],
        "creates storage classes, whose provisioners write to nodes",
    ),
    danger(
        Check::Endpoints,
        &[on(WRITE, "", &["endpoints"]), on(WRITE, "discovery.k8s.io", &["endpointslices"])],
        [Some(Medium), Some(Medium), Some(Low)],
        "says where the traffic of Services {place} goes",
    )
    .named(Some(Low)),
    danger(
        Check::Services,
        &[on(WRITE, "", &["services"])],
        [Some(Medium), Some(Medium), Some(Low)],
        "writes Services {place}, which take over addresses by `externalIPs`",
    )
    .named(Some(Low)),
    danger(
        Check::ServicesStatus,
        &[on(CHANGE, "", &["services/status"])],
        [Some(Medium), Some(Medium), Some(Low)],
        "writes the status of Services {place}, which takes over addresses",
    )
    .named(Some(Low)),
    danger(
        Check::NamespacesChange,
        &[on(CHANGE, "", &["namespaces"])],
        [Some(Medium), Some(Medium), Some(Medium)],
        "changes the labels of the namespace {place}: its Pod Security level and network policies",
    ),
    danger(
        Check::Leases,
        &[on(CHANGE, "coordination.k8s.io", &["leases"])],
        [Some(Low), Some(Medium), None],
        "changes the leases of kube-system, which stops controllers",
    )
    .named(None),
    danger(
        Check::PriorityClasses,
        &[on(&["create", "update"], "scheduling.k8s.io", &["priorityclasses"])],
        [Some(Low), None, None],
        "writes priority classes, by which pods drive out others",
    ),
    danger(
        Check::AwsAuth,
        &[on(CHANGE, "", &["configmaps"])],
        [Some(Medium), Some(High), None],
        "changes ConfigMaps of kube-system: on EKS `aws-auth` makes members of system:masters",
    ),
    danger(
        Check::ResourceClaims,
        &[
            on(
                &[
                    "associated-node:update",
                    "associated-node:patch",
                    "arbitrary-node:update",
                    "arbitrary-node:patch",
                ],
                "resource.k8s.io",
                &["resourceclaims/driver"],
            ),
            on(CHANGE, "resource.k8s.io", &["resourceclaims/status", "resourceclaims/binding"]),
        ],
        [Some(Medium), Some(Medium), Some(Low)],
        "says which devices pods {place} get",
    )
    .named(Some(Low)),
    danger(
        Check::OperatorResources,
        OPERATORS,
        [Some(High), Some(High), Some(Medium)],
        "writes {place} what an operator carries out with its own permissions",
    ),
];
