//! What is asked: the two kinds of request attributes of a SubjectAccessReview.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::selector::{FieldSelectorAttributes, LabelSelectorAttributes};
use crate::wire::{null_is_default, object};

/// What somebody wants to do: a verb on an API resource or on another path.
///
/// All values are compared as they stand, with case. `*` has no meaning of its own in a
/// request: a review that people write with it is covered by what covers everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all requests are of the large kind, and a box would cost each of them"
)]
pub enum Attributes {
    /// A request to the resource API.
    Resource(ResourceAttributes),
    /// A request to another path, such as `/healthz`.
    NonResource(NonResourceAttributes),
}

impl Attributes {
    /// Returns the verb.
    #[must_use]
    pub fn verb(&self) -> &str {
        match self {
            Self::Resource(attributes) => &attributes.verb,
            Self::NonResource(attributes) => &attributes.verb,
        }
    }
}

/// Writes verb and resource in one line: `get pods/log ledger-0 in payments`.
impl fmt::Display for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NonResource(of_path) => write!(f, "{} {}", of_path.verb, of_path.path),
            Self::Resource(of) => {
                write!(f, "{} {}", of.verb, of.resource)?;
                let parts = [("/", &of.subresource), (".", &of.group), (" ", &of.name)];
                let parts = parts.into_iter().chain([(" in ", &of.namespace)]);
                parts
                    .filter(|(_, part)| !part.is_empty())
                    .try_for_each(|(lead, part)| write!(f, "{lead}{part}"))
            }
        }
    }
}

impl From<ResourceAttributes> for Attributes {
    fn from(attributes: ResourceAttributes) -> Self {
        Self::Resource(attributes)
    }
}

impl From<NonResourceAttributes> for Attributes {
    fn from(attributes: NonResourceAttributes) -> Self {
        Self::NonResource(attributes)
    }
}

/// A verb on an API resource: `spec.resourceAttributes`.
///
/// What a request leaves empty is absent in Cedar, except for the core API group `""`.
///
/// # Examples
///
/// ```
/// use stagedoor_kubernetes::ResourceAttributes;
///
/// let scale = ResourceAttributes::new("update", "apps", "deployments")
///     .with_subresource("scale")
///     .with_namespace("payments")
///     .with_name("ledger");
/// assert_eq!(scale.group, "apps");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ResourceAttributes {
    /// The namespace; empty for cluster-scoped resources and for all namespaces.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub namespace: String,
    /// The verb.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub verb: String,
    /// The API group; empty for the core group.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub group: String,
    /// The version of the API group.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub version: String,
    /// The resource, in the plural: `pods`.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub resource: String,
    /// The subresource: `exec`.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub subresource: String,
    /// The name of the object; empty for collections and for creation.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub name: String,
    /// The field selector that narrows a list, watch or deletecollection.
    #[serde(default, deserialize_with = "object", skip_serializing_if = "Option::is_none")]
    pub field_selector: Option<FieldSelectorAttributes>,
    /// The label selector that narrows a list, watch or deletecollection.
    #[serde(default, deserialize_with = "object", skip_serializing_if = "Option::is_none")]
    pub label_selector: Option<LabelSelectorAttributes>,
}

impl ResourceAttributes {
    /// Returns a request of this verb for a resource of this API group.
    #[must_use]
    pub fn new(
        verb: impl Into<String>,
        group: impl Into<String>,
        resource: impl Into<String>,
    ) -> Self {
        Self {
            verb: verb.into(),
            group: group.into(),
            resource: resource.into(),
            ..Self::default()
        }
    }

    /// Sets the version.
    #[must_use]
    pub fn with_version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// Sets the namespace.
    #[must_use]
    pub fn with_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Sets the name.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the subresource.
    #[must_use]
    pub fn with_subresource(mut self, subresource: impl Into<String>) -> Self {
        self.subresource = subresource.into();
        self
    }
}

/// A verb on a path outside the resource API: `spec.nonResourceAttributes`.
///
/// The path is compared as it stands, without any normalisation, as Kubernetes does:
/// `//metrics` is another path than `/metrics`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NonResourceAttributes {
    /// The path.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub path: String,
    /// The HTTP method in lower case.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub verb: String,
}

impl NonResourceAttributes {
    /// Returns a request of this verb for a path.
    #[must_use]
    pub fn new(verb: impl Into<String>, path: impl Into<String>) -> Self {
        Self { path: path.into(), verb: verb.into() }
    }
}
