//! The checks: what each is about, in a sentence, and where one reads more.

use serde::Serialize;

const PRACTICES: &str = "https://kubernetes.io/docs/concepts/security/rbac-good-practices/";
const RBAC_DOCS: &str = "https://kubernetes.io/docs/reference/access-authn-authz/rbac/";
const IMPERSONATION: &str =
    "https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation";
const CERTIFICATES: &str =
    "https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/";
const WEBHOOKS: &str =
    "https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/";
const KUBELET: &str =
    "https://kubernetes.io/docs/reference/access-authn-authz/kubelet-authn-authz/";
const SECRETS: &str = "https://kubernetes.io/docs/concepts/security/secrets-good-practices/";
const PODS: &str = "https://kubernetes.io/docs/concepts/security/pod-security-standards/";

macro_rules! checks {
    ($($check:ident $id:literal $reference:expr, $description:literal;)*) => {
        /// What a finding is about.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(rename_all = "kebab-case")]
        #[non_exhaustive]
        pub enum AuditCheck {
            $(#[doc = $description] $check,)*
        }

        impl AuditCheck {
            /// Every check.
            pub const ALL: &'static [Self] = &[$(Self::$check,)*];

            /// Returns the id, such as `secrets-read`.
            #[must_use]
            pub fn id(self) -> &'static str {
                match self { $(Self::$check => $id,)* }
            }

            /// Returns what the check looks for, in a sentence.
            #[must_use]
            pub fn description(self) -> &'static str {
                match self { $(Self::$check => $description,)* }
            }

            /// Returns the address of a page that says more.
            #[must_use]
            pub fn reference(self) -> &'static str {
                match self { $(Self::$check => $reference,)* }
            }
        }
    };
}

checks! {
    ClusterAdmin "cluster-admin" PRACTICES,
        "A grant of every verb on every resource, as cluster-admin has it.";
    SystemMasters "system-masters" PRACTICES,
        "A binding to system:masters, whom no authorizer is ever asked about.";
    Wildcard "wildcard" PRACTICES,
        "A grant with `*`, which also covers verbs and resources that do not exist yet.";
    EverythingCreated "everything-created" PRACTICES,
        "A grant to create objects of every kind: pods, tokens and bindings among them.";
    EverythingRead "everything-read" PRACTICES,
        "A grant to read objects of every kind, secrets among them.";
    EverythingDeleted "everything-deleted" PRACTICES,
        "A grant to delete objects of every kind, policies and webhooks among them.";
    SecretsRead "secrets-read" SECRETS,
        "A grant to read secrets, tokens among them.";
    SecretsWrite "secrets-write" SECRETS,
        "A grant to write secrets where powerful service accounts are: one of type \
         `kubernetes.io/service-account-token` is filled with a token.";
    TokenSecret "token-secret" SECRETS,
        "A grant to create secrets and to read them: a token of any service account there.";
    BootstrapToken "bootstrap-token" CERTIFICATES,
        "A grant to create secrets of kube-system, and so bootstrap tokens, which join nodes.";
    Escalate "escalate" PRACTICES,
        "A grant to write roles with more permissions than one has oneself.";
    Bind "bind" PRACTICES,
        "A grant to bind roles with more permissions than one has oneself.";
    BindingsWrite "bindings-write" RBAC_DOCS,
        "A grant to write bindings, and so to hand on what one has oneself.";
    RolesWrite "roles-write" RBAC_DOCS,
        "A grant to write ClusterRoles: one with a label is aggregated into others.";
    Impersonate "impersonate" IMPERSONATION,
        "A grant to act as somebody else.";
    ImpersonateConstrained "impersonate-constrained" IMPERSONATION,
        "A grant to act as somebody else for some requests (KEP-5284).";
    ImpersonateExtra "impersonate-extra" IMPERSONATION,
        "A grant to make up a UID or what else an authenticator knows, for those who decide by it.";
    PodsCreate "pods-create" PRACTICES,
        "A grant to create pods, which run as any service account of their namespace and \
         mount its secrets.";
    WorkloadsChange "workloads-change" PRACTICES,
        "A grant to change workloads, whose pods then run as any service account of the namespace.";
    SystemDaemonSets "system-daemonsets" PRACTICES,
        "A grant to change the DaemonSets of kube-system, which run on every node.";
    PodsChange "pods-change" PRACTICES,
        "A grant to change pods: another image runs with what the pod has.";
    PodsExec "pods-exec" PRACTICES,
        "A grant to run commands in pods, with whatever their service accounts may do.";
    PodsPortForward "pods-portforward" PRACTICES,
        "A grant to reach what pods only offer inside.";
    PodsBinding "pods-binding" PODS,
        "A grant to create pods and to place them on a node, past the scheduler.";
    PodsSteal "pods-steal" PRACTICES,
        "A grant to delete pods and to change nodes: pods move to where one wants them.";
    PodsStatus "pods-status" PRACTICES,
        "A grant to write the status of pods, and so where the traffic of Services goes.";
    NodesProxy "nodes-proxy" KUBELET,
        "A grant of the kubelet's API, which runs commands in every pod of a node and is \
         not audited.";
    NodesRead "nodes-read" KUBELET,
        "A grant to read the files and configuration of nodes through the kubelet.";
    NodesStatus "nodes-status" PRACTICES,
        "A grant to write the status of nodes, and so where pods are placed.";
    TokenCreate "token-create" PRACTICES,
        "A grant to mint tokens of service accounts, and so to act as them.";
    WebhookWrite "webhook-write" WEBHOOKS,
        "A grant to write admission webhooks, which see and change what others send.";
    MutatingPolicies "mutating-policies" WEBHOOKS,
        "A grant to write MutatingAdmissionPolicies, which change what others send.";
    ApiServices "apiservices" PRACTICES,
        "A grant to put a server of one's own behind the API, to which requests are passed on.";
    CustomResourceDefinitions "custom-resource-definitions" PRACTICES,
        "A grant to write CustomResourceDefinitions, whose conversion webhooks see every object.";
    CertificateApproval "certificate-approval" CERTIFICATES,
        "A grant to approve certificate requests, and so to issue identities.";
    CertificateSigning "certificate-signing" CERTIFICATES,
        "A grant to sign certificate requests, and so to issue identities without approval.";
    PersistentVolumes "persistent-volumes" PRACTICES,
        "A grant to create persistent volumes, which mount directories of nodes.";
    StorageClasses "storage-classes" PRACTICES,
        "A grant to create storage classes, whose provisioners write to nodes.";
    Endpoints "endpoints" PRACTICES,
        "A grant to write endpoints, and so where the traffic of Services goes.";
    Services "services" PRACTICES,
        "A grant to write Services, which take over addresses by `externalIPs` (CVE-2020-8554).";
    ServicesStatus "services-status" PRACTICES,
        "A grant to write the status of Services, which takes over addresses (CVE-2020-8554).";
    NamespacesChange "namespaces-change" PRACTICES,
        "A grant to change namespaces, and so the Pod Security level and network policies there.";
    Leases "leases" PRACTICES,
        "A grant to change the leases of kube-system, which stops controllers.";
    PriorityClasses "priority-classes" PRACTICES,
        "A grant to write priority classes, by which pods drive out others.";
    AwsAuth "aws-auth" "https://docs.aws.amazon.com/eks/latest/userguide/auth-configmap.html",
        "A grant to change the ConfigMap by which EKS makes members of system:masters.";
    ResourceClaims "resource-claims"
        "https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/",
        "A grant to write the status of resource claims, and so which devices pods get.";
    OperatorResources "operator-resources" PRACTICES,
        "A grant to write what an operator carries out with its own permissions.";
    GrantedToEverybody "granted-to-everybody" PRACTICES,
        "A grant to all users or service accounts, or to requests without a login.";
    DefaultServiceAccount "default-service-account" PRACTICES,
        "A grant to a default service account, which every pod runs as that names no other.";
    Chain "chain" PRACTICES,
        "A way of several steps to everything, to nodes or to secrets.";
    UnboundRole "unbound-role" RBAC_DOCS,
        "A role that no binding refers to.";
    MissingRole "missing-role" RBAC_DOCS,
        "A binding to a role that is not there.";
    EmptyRule "empty-rule" RBAC_DOCS,
        "A rule that no request can match.";
    UnmatchableRule "unmatchable-rule" RBAC_DOCS,
        "A part of a rule or binding that no request or user can match, or that is overwritten.";
    NotRead "not-read" RBAC_DOCS,
        "An object that was not looked at.";
}
