//! What keeps policies from being served.

use stagedoor_core::{ConditionalError, LoadError};
use stagedoor_kubernetes::VocabularyError;
use stagedoor_kubernetes::conditional::ExtendSchemaError;
use stagedoor_server::LoadFailure;
use stagedoor_source::NothingToLoad;

/// Failure to load the policies of a webhook.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PoliciesError {
    /// Policies or schemas have problems.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// There is nothing to load yet.
    #[error(transparent)]
    Nothing(#[from] NothingToLoad),
    /// The rules that policies are guarded by do not load.
    #[error("{0}")]
    Rules(String),
    /// The schema is not one for Kubernetes.
    #[error(transparent)]
    Vocabulary(#[from] VocabularyError),
    /// A policy of authorization depends on the object, which nothing tells it.
    #[error(
        "policy `{0}` is about `k8s::Resource` and asks for its `object`, `oldObject` or \
         `options`, which only conditional authorization knows; make it one of \
         `k8s::admission::Resource`, or serve with `--experimental-conditional`"
    )]
    Conditional(String),
    /// The schema cannot get the attributes that come later.
    #[error(transparent)]
    Schema(#[from] ExtendSchemaError),
    /// Policies that depend on objects cannot be taken apart.
    #[error(transparent)]
    Open(#[from] ConditionalError),
}

impl From<PoliciesError> for LoadFailure {
    fn from(error: PoliciesError) -> Self {
        let public = match &error {
            PoliciesError::Load(problems) => return problems.clone().into(),
            PoliciesError::Nothing(nothing) => return nothing.clone().into(),
            PoliciesError::Rules(_) => "the rules that guard policies do not load",
            PoliciesError::Vocabulary(VocabularyError::UnknownMode { .. }) => {
                "a policy has a `@mode` that there is not"
            }
            PoliciesError::Vocabulary(_) => "the schema is not one for Kubernetes",
            PoliciesError::Schema(_) => "the schema cannot be extended",
            PoliciesError::Conditional(_) => "a policy of authorization asks for the object",
            PoliciesError::Open(_) => "policies that ask for objects cannot be taken apart",
        };
        Self::new(error.to_string(), public)
    }
}
