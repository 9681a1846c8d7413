//! Role-based access control of Kubernetes: read, resolved, imported into Cedar, audited.
//!
//! Everything here follows [the RBAC authorizer](https://kubernetes.io/docs/reference/access-authn-authz/rbac/)
//! to the letter: comparisons are exact, `pods` does not cover `pods/exec`, `pods/*` is no
//! wildcard, and a RoleBinding grants within its namespace only.

mod aggregation;
mod audit;
mod built_in;
mod emit;
mod granted;
mod import;
mod label_selector;
mod object;
mod objects;
mod parse;
mod pattern;
mod resolve;
mod split;
mod title;
mod unmatchable;
mod verbs;
mod warning;

pub use audit::{
    AuditBaseline, AuditCheck, AuditFinding, AuditReport, AuditSeverity, BaselineError, Chain,
    ChainStep, ChainTarget, PictureFormat,
};
pub use built_in::BuiltIns;
pub use import::{ImportedFile, RbacImport, RbacImportError};
pub use label_selector::{LabelSelector, LabelSelectorRequirement};
pub use object::{
    Binding, BindingKind, BindingSubject, ObjectSource, Origin, PolicyRule, Role, RoleKind, RoleRef,
};
pub use objects::{RbacError, RbacObjects};
pub use resolve::{Grant, Grantee, ResolvedRbac};
pub use unmatchable::{unmatchable_in_namespace, unmatchable_path, unmatchable_resource};
pub use warning::RbacWarning;
