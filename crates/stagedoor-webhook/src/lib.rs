//! Kubernetes authorization and admission webhooks answered by Cedar policies.
//!
//! A [`Server`] answers `POST /authorize` (SubjectAccessReview v1) and `POST /admit`
//! (AdmissionReview v1) by the policies that are in force, reloads policies and certificates
//! when their files change, and keeps its bounds whatever clients do. A request is allowed only
//! if the engine's decision is Allow; every failure on the way is a refusal. Where it is asked
//! for, it tells conditions on the object that is written, and answers `POST /conditions`; and with a
//! [`PolicySetReviewer`], `POST /policysets`.
//!
//! `/livez`, `/readyz` (with `?verbose`) and `/metrics` tell how it is.

mod admission;
mod app;
mod authorize;
mod conditional;
mod conditions;
mod config;
mod error;
mod policies;
mod policy_set_reviewer;
mod policy_sets;
mod protocol;
mod record;
mod rules;
mod server;
mod status;

pub use config::ServerConfig;
pub use error::PoliciesError;
#[doc(hidden)]
pub use policies::PolicySource;
pub use policy_set_reviewer::PolicySetReviewer;
pub use rules::RuleSource;
pub use server::Server;
pub use stagedoor_server::{ServeError, ServerHandle, ServerLimits, TlsError, TlsFiles};
