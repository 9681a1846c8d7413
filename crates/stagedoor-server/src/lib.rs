//! What every server of Stagedoor has in common.
//!
//! A [`Server`] takes connections over TLS, asks clients for certificates where it is told to,
//! keeps bounds on what clients may cost, reloads what it decides by when files change, tells its
//! health and its metrics, and ends in good order. What is asked and how it is answered is a
//! [`Protocol`]: Kubernetes' webhooks and AuthZEN are two; another one brings its endpoints and its
//! words, and nothing else.
//!
//! # Isolation
//!
//! Connections, `/livez`, `/readyz` and `/metrics` are served by the threads of the runtime, which
//! never decide. Requests are decided by a bounded number of other threads; those with large
//! bodies leave at least one of these to the small ones, and their estimated memory is bounded
//! together. A panic while deciding is an answer of refusal, is counted, and ends nothing else.
//! [Shadow policies](Protocol::shadow) are asked once the answer is given, by a thread of their own.

pub mod admission;
mod body;
mod client_certificate;
mod config;
mod connection;
mod connection_limit;
mod error;
mod guards;
mod health;
mod memory;
mod metrics;
mod pool;
mod protocol;
mod refusal;
mod reload;
mod request_id;
mod routes;
mod server;
mod shadow;
mod state;
mod tls;
mod watch;

pub use client_certificate::ClientCertificate;
pub use config::{ServerLimits, ServerOptions, TlsFiles};
pub use error::{ServeError, TlsError};
pub use guards::YieldingRules;
pub use memory::MemoryCost;
pub use protocol::{Answer, Endpoint, Outcome, Page, Protocol, Question, Reason};
pub use refusal::{Refusal, cut};
pub use reload::{LoadFailure, ReloadOutcome, Reloadable, Source, SourceStatus};
pub use request_id::{REQUEST_ID, REVISION};
pub use server::{Server, ServerHandle};
pub use stagedoor_source::{
    Admission, Fingerprint, InForce, OriginHealth, ReloadSource, Reloading,
};
