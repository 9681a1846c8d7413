//! Why the policies do not decide a request.

use stagedoor_core::{DecideError, EntitiesError};

use crate::vocabulary::AttributesError;

/// A request that the policies do not decide. It must count as a refusal.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum UndecidedError {
    /// No request can be made of it.
    #[error(transparent)]
    Attributes(#[from] AttributesError),
    /// Names or groups are too long or too many.
    #[error(transparent)]
    Entities(#[from] EntitiesError),
    /// The engine does not take the request.
    #[error(transparent)]
    Request(#[from] DecideError),
    /// An AdmissionReview that cannot be put to policies.
    #[error("{0}")]
    Admission(String),
    /// The name `*` stands for every one, and a policy may forbid one of them.
    #[error(
        "`*` stands for every name, of which policies may forbid some: kube-apiserver asks about \
         each one then"
    )]
    EveryName,
}
