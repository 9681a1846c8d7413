//! What keeps a server from serving.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use stagedoor_core::{LoadError, OpenError};
use stagedoor_kubernetes::VocabularyError;

/// Failure to start or to go on serving.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// An address cannot be listened at.
    #[error("cannot listen at {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Certificates or keys cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The policies do not load.
    #[error(transparent)]
    Policies(#[from] PoliciesError),
}

/// Failure to load the policies of a webhook.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PoliciesError {
    /// Policies or schemas have problems.
    #[error(transparent)]
    Load(#[from] LoadError),
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
    /// Policies that depend on objects cannot be taken apart.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// Failure to use certificates or keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read as PEM.
    #[error("`{}`: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The certificate cannot be used with the key.
    #[error("certificate `{}` cannot be used with key `{}`: {reason}", certificate.display(), key.display())]
    Pair {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// What is wrong.
        reason: String,
    },
}
