//! The platform that policies are about.

use stagedoor_core::Schema;

/// A platform with words of its own, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Platform {
    /// Permissions of Backstage.
    Backstage,
    /// Requests to Kubernetes.
    Kubernetes,
    /// Any other Cedar schema.
    Cedar,
}

impl Platform {
    /// Returns the platform whose schema this is, alone or with additions.
    #[must_use]
    pub fn of(schema: &Schema) -> Self {
        let declares = |name: &str| schema.entity_types().any(|of| of.to_string() == name);
        if declares("Backstage::CatalogEntity") {
            Self::Backstage
        } else if declares("k8s::NonResourceURL") {
            Self::Kubernetes
        } else {
            Self::Cedar
        }
    }
}
