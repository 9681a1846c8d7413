//! Kubernetes authorization and admission webhooks answered by Cedar policies.
//!
//! A [`Server`] answers `POST /authorize` (SubjectAccessReview v1) and `POST /admit`
//! (AdmissionReview v1) by the policies that are in force, reloads policies and certificates
//! when their files change, and keeps its bounds whatever clients do. A request is allowed only
//! if the engine's decision is Allow; every failure on the way is a refusal. Where it is asked
//! for, it tells conditions on the object that is written, and answers `POST /conditions`.
//!
//! `/livez`, `/readyz` (with `?verbose`) and `/metrics` tell how it is.

mod admission;
mod app;
mod authorize;
mod body;
mod conditional;
mod config;
mod connection;
mod error;
mod files;
mod health;
mod metrics;
mod places;
mod policies;
mod rules;
mod server;
mod status;
mod tls;
mod watch;

pub use config::{ServerConfig, ServerLimits, TlsFiles};
pub use error::{PoliciesError, ServeError, TlsError};
pub use policies::PolicySource;
pub use rules::RuleSource;
pub use server::Server;
