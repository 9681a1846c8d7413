//! How stores are opened.

use super::http::HttpOptions;
use super::oci::Credentials;

/// How stores are opened.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct StoreOptions {
    /// How servers are spoken to.
    pub http: HttpOptions,
    /// Who the caller is to registries.
    pub credentials: Credentials,
}
