//! The schema and the starter policies that ship with Stagedoor, as text.

use std::borrow::Cow;

use stagedoor_source::{ShippedSchema, Vocabulary};

/// The Cedar schema of Kubernetes authorization, namespace `k8s`.
pub const SCHEMA: &str = include_str!("../policies/kubernetes.cedarschema");

/// What tells that policies are about Kubernetes, and the schemas that they need: those of
/// authorization and of admission, which are always loaded together.
pub const VOCABULARY: Vocabulary = Vocabulary {
    name: "kubernetes",
    namespace: "k8s",
    schemas: Cow::Borrowed(&[
        ShippedSchema {
            name: "(shipped) kubernetes.cedarschema",
            text: Cow::Borrowed(SCHEMA),
            marker: "k8s::NonResourceURL",
        },
        ShippedSchema {
            name: "(shipped) admission.cedarschema",
            text: Cow::Borrowed(crate::admission::SCHEMA),
            marker: "k8s::admission::AdmittedObject",
        },
    ]),
    has_permission_files: false,
};

/// The starter policies, by file name: what a platform team begins with.
///
/// # Examples
///
/// ```
/// use stagedoor_core::Engine;
/// use stagedoor_kubernetes::{SCHEMA, STARTER_POLICIES};
///
/// let builder = Engine::builder().schema("kubernetes.cedarschema", SCHEMA);
/// let builder = STARTER_POLICIES.iter().fold(builder, |b, (name, text)| b.policies(*name, *text));
/// assert!(builder.build()?.policies().len() > 10);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub const STARTER_POLICIES: &[(&str, &str)] = &[
    ("guards.cedar", include_str!("../policies/guards.cedar")),
    ("owners.cedar", include_str!("../policies/owners.cedar")),
    ("platform.cedar", include_str!("../policies/platform.cedar")),
    ("readers.cedar", include_str!("../policies/readers.cedar")),
];

/// The manifests that put the webhook in front of a cluster, by file name.
pub const DEPLOY_MANIFESTS: &[(&str, &str)] = &[
    ("stagedoor.yaml", include_str!("../policies/deploy/stagedoor.yaml")),
    ("rbac.yaml", include_str!("../policies/deploy/rbac.yaml")),
    ("kustomization.yaml", include_str!("../policies/deploy/kustomization.yaml")),
    (
        "validating-webhook-configuration.yaml",
        include_str!("../policies/deploy/validating-webhook-configuration.yaml"),
    ),
    (
        "authorization-configuration.yaml",
        include_str!("../policies/deploy/authorization-configuration.yaml"),
    ),
    ("webhook-kubeconfig.yaml", include_str!("../policies/deploy/webhook-kubeconfig.yaml")),
];

/// What a cluster needs where releases are objects of its own, by file name: their schemas, who may
/// read and write them, and what reviews them.
pub const POLICY_SET_MANIFESTS: &[(&str, &str)] = &[
    ("policysets.yaml", include_str!("../policies/deploy/policysets.yaml")),
    ("policysets-access.yaml", include_str!("../policies/deploy/policysets-access.yaml")),
    ("policysets-webhook.yaml", include_str!("../policies/deploy/policysets-webhook.yaml")),
];
