//! Kubernetes authorization requests in Cedar's words.
mod attributes;
mod names;
mod reading;
mod resource;
mod review;
mod selector;
mod selector_text;
mod subject;
mod vocabulary;
mod wire;

pub use attributes::{Attributes, NonResourceAttributes, ResourceAttributes};
pub use reading::ReviewError;
pub use review::{SubjectAccessReview, SubjectAccessReviewSpec, SubjectAccessReviewStatus};
pub use selector::{FieldSelectorAttributes, LabelSelectorAttributes, SelectorRequirement};
pub use subject::{Principal, PrincipalIds, Subject};
pub use vocabulary::{AttributesError, Vocabulary, VocabularyError};

/// The Cedar schema of Kubernetes authorization.
pub const SCHEMA: &str = include_str!("../../../policies/kubernetes/kubernetes.cedarschema");
