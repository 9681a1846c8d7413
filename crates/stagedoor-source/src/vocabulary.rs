//! What platforms hand in: their words.

use std::borrow::Cow;

/// A schema that ships with a platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShippedSchema {
    /// What messages call it: `(shipped) kubernetes.cedarschema`.
    pub name: &'static str,
    /// Cedar's schema syntax.
    pub text: Cow<'static, str>,
    /// The full name of an entity type that it declares: a policy set with a schema that declares
    /// this type brings the platform's schema itself.
    pub marker: &'static str,
}

/// The words of a platform: how policies about it are known, and the schemas that they need.
///
/// # Examples
///
/// ```
/// use std::borrow::Cow;
/// use stagedoor_source::{ShippedSchema, Vocabulary};
///
/// const SHOP: Vocabulary = Vocabulary {
///     name: "shop",
///     namespace: "Shop",
///     schemas: Cow::Borrowed(&[ShippedSchema {
///         name: "(shipped) shop.cedarschema",
///         text: Cow::Borrowed("namespace Shop { entity User; }"),
///         marker: "Shop::User",
///     }]),
///     has_permission_files: false,
/// };
/// assert_eq!(SHOP.schemas.len(), 1);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vocabulary {
    /// The platform's name, as commands take it: `kubernetes`.
    pub name: &'static str,
    /// The namespace of its types: `k8s`.
    pub namespace: &'static str,
    /// The schemas that ship, in the order in which they are loaded.
    pub schemas: Cow<'static, [ShippedSchema]>,
    /// Whether permission files are this platform's.
    pub has_permission_files: bool,
}
