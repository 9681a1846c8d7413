//! What keeps a replica from beginning, and from taking up what is offered.

use std::io;
use std::path::PathBuf;

use crate::digest::Digest;
use crate::store::StoreError;
use crate::trust::VerifyError;

/// Why a replica cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConditionalError {
    /// Its directory cannot be used.
    #[error("the state in `{path}` cannot be used: {source}")]
    State {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process has it.
    #[error("another process keeps its state in `{0}`: give each replica a directory of its own")]
    InUse(PathBuf),
}

/// Why a look at the store came to nothing new.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PollError {
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What it offers is not taken.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// It offers a release that is older than the newest one that was in force.
    #[error(
        "release {offered} is offered, and release {highest} was in force already: to go back, publish the older set again by `stagedoor promote --pin`, or pin it here by `--pin`"
    )]
    Older {
        /// The number that is offered.
        offered: u64,
        /// The highest one that was taken up.
        highest: u64,
    },
    /// It offers another release of a number that was taken up.
    #[error(
        "release {counter} was signed twice, with different content: find out who has signed {offered}"
    )]
    Contradiction {
        /// The number.
        counter: u64,
        /// The digest of the statement that is offered.
        offered: Digest,
    },
    /// It offers another bundle than the pinned one.
    #[error("{offered} is offered, and {pin} is pinned")]
    Pinned {
        /// The digest that is offered.
        offered: Digest,
        /// The digest that is pinned.
        pin: Digest,
    },
    /// It was refused a while ago, and is tried again later.
    #[error("release {counter} was refused: {reason}")]
    Refused {
        /// The number.
        counter: u64,
        /// Why.
        reason: String,
    },
}
