//! Signed policy sets: how they are published, where they lie, and what every replica promises.
//!
//! A policy set is published as a [bundle](stagedoor_source::Bundle), which is the same bytes
//! wherever it is made of the same sources, and a [signature](Envelope) over a [`Release`]: which
//! bundle, for which [channel](Channel), its number, until when, where from. Both lie in a
//! [store](PolicyStore), which is not trusted. A [`Replica`] takes up what somebody in
//! [`Trust`] has signed for its channel, whole and never backwards; a [`Follower`] does so by
//! itself, as the origin of a server's policies.
//!
//! | to | use |
//! |---|---|
//! | sign and verify | [`SigningKey`], [`Trust`], [`SignedSet::verify`] |
//! | publish | [`publish`](fn@publish) |
//! | name a store and a channel in one | [`Location`] |
//! | follow a channel | [`Replica`], [`Follower`] |
//! | have more than signatures asked for | [`Gate`] |

mod attestation;
mod channel;
mod clock;
mod components;
mod digest;
mod disk;
mod envelope;
mod follow;
mod gate;
#[cfg(feature = "sigstore")]
mod identity;
mod kept;
mod key;
mod location;
mod publish;
mod replica;
mod signed_set;
mod statement;
mod status;
pub mod store;
mod time;
mod trust;

pub use channel::{Channel, Name, NameError};
pub use clock::{Clock, SystemClock};
pub use digest::{Digest, DigestError};
pub use disk::{Disk, RealDisk};
pub use envelope::{ENVELOPE_BYTES, Envelope, EnvelopeError};
pub use follow::{Follower, read_trust};
pub use gate::Gate;
pub use key::{KeyError, SigningKey, VerifyingKey};
pub use location::{Location, LocationError};
pub use publish::{PublishError, PublishedRelease, newest, publish, publish_signed};
pub use replica::{ConditionalError, PollError, PollOutcome, Replica, ReplicaOptions};
pub use signed_set::SignedSet;
pub use statement::{Approval, Provenance, Release, Rollback, StatementError};
pub use status::{RefusalProblem, RefusalStatus, ReleaseStatus, ReplicaStatus};
pub use store::{
    Attachments, Head, Hint, OfferedRelease, OfferedStore, PolicyStore, Publication, StoreError,
    StoreOptions, Version,
};
pub use time::{Timestamp, TimestampError};
pub use trust::{Purpose, Trust, TrustError, VerifiedAttestation, VerifiedRelease, VerifyError};
