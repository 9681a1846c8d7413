//! Admission in Cedar's words: `k8s::admission`.
//!
//! Policies decide about the action `create`, `update`, `delete` or `connect` of
//! `k8s::admission::Action` on a `k8s::admission::Resource`, which carries the object, the old
//! object and the options of the request.

mod fields;
mod manifest;
mod objects;
mod request;
mod review;
mod wire;

pub use manifest::{ManifestOperation, ManifestReview, reviews_of_manifests};
pub use objects::{object, resource_uid};
pub use review::{AdmissionReply, AdmissionResponse, AdmissionReviewError, AdmissionStatus};
pub use wire::{AdmissionRequest, GroupVersionKind, GroupVersionResource, UserInfo};

/// The Cedar schema of admission, namespace `k8s::admission`.
pub const SCHEMA: &str = include_str!("../policies/admission/admission.cedarschema");

/// The type of an object, by which a schema of admission is known.
pub const OBJECT_TYPE: &str = "AdmittedObject";
