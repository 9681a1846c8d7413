//! Roles and bindings, as the API has them.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::label_selector::LabelSelector;
use crate::wire::null_is_default;

/// One rule of a role: what may be done, or what may be asked for by path.
///
/// See [PolicyRule](https://kubernetes.io/docs/reference/kubernetes-api/authorization-resources/role-v1/).
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct PolicyRule {
    /// The verbs; `*` is every verb.
    #[serde(default, deserialize_with = "null_is_default")]
    pub verbs: Vec<String>,
    /// The API groups; `*` is every group, the empty string the core group.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub api_groups: Vec<String>,
    /// The resources: `pods`, `pods/exec`, `*/scale`; `*` is every resource and subresource.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// The names of objects; none given is every name.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
    /// Paths outside the resource API; a `*` at the end makes a prefix.
    #[serde(
        default,
        rename = "nonResourceURLs",
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub non_resource_urls: Vec<String>,
}

impl PolicyRule {
    /// Returns a rule for resources.
    #[must_use]
    pub fn resources(
        verbs: impl IntoIterator<Item = impl Into<String>>,
        api_groups: impl IntoIterator<Item = impl Into<String>>,
        resources: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            verbs: verbs.into_iter().map(Into::into).collect(),
            api_groups: api_groups.into_iter().map(Into::into).collect(),
            resources: resources.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }

    /// Returns a rule for paths outside the resource API.
    #[must_use]
    pub fn paths(
        verbs: impl IntoIterator<Item = impl Into<String>>,
        paths: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            verbs: verbs.into_iter().map(Into::into).collect(),
            non_resource_urls: paths.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }

    /// Sets the names of objects that the rule is confined to.
    #[must_use]
    pub fn with_resource_names(
        mut self,
        names: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        self.resource_names = names.into_iter().map(Into::into).collect();
        self
    }
}

/// The kinds of roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RoleKind {
    /// For the whole cluster, or for a namespace where a RoleBinding refers to it.
    ClusterRole,
    /// Of one namespace.
    Role,
}

impl RoleKind {
    /// Returns the kind as objects write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClusterRole => "ClusterRole",
            Self::Role => "Role",
        }
    }
}

/// A ClusterRole or Role.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Role {
    /// Which kind of role.
    pub kind: RoleKind,
    /// The namespace; empty for a ClusterRole.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The labels, by which other roles aggregate this one.
    pub labels: BTreeMap<String, String>,
    /// The rules.
    pub rules: Vec<PolicyRule>,
    /// The roles whose rules this one takes over, if it has an `aggregationRule`.
    pub aggregates: Option<Vec<LabelSelector>>,
    /// Where it was read.
    pub origin: Origin,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_object(f, self.kind.as_str(), &self.namespace, &self.name)
    }
}

/// The kinds of bindings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BindingKind {
    /// Grants everywhere.
    ClusterRoleBinding,
    /// Grants in its namespace.
    RoleBinding,
}

impl BindingKind {
    /// Returns the kind as objects write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClusterRoleBinding => "ClusterRoleBinding",
            Self::RoleBinding => "RoleBinding",
        }
    }
}

/// A ClusterRoleBinding or RoleBinding.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Binding {
    /// Which kind of binding.
    pub kind: BindingKind,
    /// The namespace; empty for a ClusterRoleBinding.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// Who is granted something.
    pub subjects: Vec<BindingSubject>,
    /// What is granted.
    pub role: RoleRef,
    /// Where it was read.
    pub origin: Origin,
}

impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_object(f, self.kind.as_str(), &self.namespace, &self.name)
    }
}

/// One subject of a binding, as it is written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct BindingSubject {
    /// `User`, `Group` or `ServiceAccount`.
    pub kind: String,
    /// The API group of the kind, which does not matter to the authorizer.
    #[serde(default, deserialize_with = "null_is_default")]
    pub api_group: String,
    /// The name.
    pub name: String,
    /// The namespace of a service account; empty is that of the binding.
    #[serde(default, deserialize_with = "null_is_default")]
    pub namespace: String,
}

/// The role that a binding refers to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct RoleRef {
    /// The API group of the kind, which does not matter to the authorizer.
    #[serde(default, deserialize_with = "null_is_default")]
    pub api_group: String,
    /// `ClusterRole` or `Role`.
    pub kind: String,
    /// The name.
    pub name: String,
}

/// Where an object was read.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Origin {
    /// The file, or what the caller called the text.
    pub file: String,
    /// The line at which the object's document starts, from 1.
    pub line: usize,
    /// What the object is written for.
    pub source: ObjectSource,
}

/// What an object that was read is written for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ObjectSource {
    /// To be applied to a cluster: the object as somebody wants it.
    #[default]
    Manifest,
    /// A cluster's answer: the object as it is, with all that controllers did to it.
    Cluster,
    /// Every cluster has it, and it was not given.
    BuiltIn,
}

fn write_object(
    f: &mut fmt::Formatter<'_>,
    kind: &str,
    namespace: &str,
    name: &str,
) -> fmt::Result {
    if namespace.is_empty() {
        write!(f, "{kind}/{name}")
    } else {
        write!(f, "{kind}/{namespace}/{name}")
    }
}
