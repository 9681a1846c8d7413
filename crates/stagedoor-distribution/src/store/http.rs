//! A web server, or an object store that is read as one.
//!
//! It serves the files of a [directory](super::directory). Channels are asked for with the ETag of
//! the release that is in force; bundles have their digest in their address, and may be cached for
//! ever.

use std::io::Read as _;
use std::time::Duration;

use ureq::http::{Response, StatusCode};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

use super::directory::{bundle_name, head_name};
use super::{Head, PolicyStore, Publication, StoreError, Version};
use crate::channel::Channel;
use crate::digest::Digest;
use crate::envelope::ENVELOPE_BYTES;

/// How servers are spoken to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HttpOptions {
    /// Time for one whole answer (60 s).
    pub timeout: Duration,
    /// Authorities of servers, in PEM, instead of those that browsers know.
    pub authorities: Option<Vec<u8>>,
    /// What proves who the caller is, sent to the server itself and to no other one.
    pub token: Option<String>,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(60), authorities: None, token: None }
    }
}

/// Why the options of a server cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpOptionsError {
    /// The authorities are no certificates.
    #[error("the authorities of servers are no certificates in PEM")]
    Authorities,
}

impl HttpOptions {
    /// Returns a client that keeps to the options; the token is left to whoever asks.
    ///
    /// # Errors
    ///
    /// [`HttpOptionsError`].
    pub fn agent(&self) -> Result<Agent, HttpOptionsError> {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(self.timeout))
            .max_redirects(5)
            // What proves who the caller is goes to nobody else.
            .redirect_auth_headers(ureq::config::RedirectAuthHeaders::Never);
        if let Some(pem) = &self.authorities {
            let certificates: Vec<Certificate<'static>> = parse_pem(pem)
                .filter_map(|item| match item {
                    Ok(PemItem::Certificate(certificate)) => Some(certificate),
                    _ => None,
                })
                .collect();
            if certificates.is_empty() {
                return Err(HttpOptionsError::Authorities);
            }
            let roots = RootCerts::new_with_certs(&certificates);
            config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        Ok(config.build().into())
    }
}

/// Reads a body of at most `limit` bytes.
pub(crate) fn body(
    mut response: Response<Body>,
    limit: u64,
    what: &str,
    store: &str,
) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::new();
    let reader = response.body_mut().with_config().limit(u64::MAX).reader();
    reader.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| {
        StoreError::Unreachable { store: store.to_owned(), reason: error.to_string() }
    })?;
    if bytes.len() as u64 > limit {
        let (what, store) = (what.to_owned(), store.to_owned());
        return Err(StoreError::TooLarge { what, store, limit });
    }
    Ok(bytes)
}

/// Returns what keeps a request from being answered.
pub(crate) fn unreachable(store: &str, error: &ureq::Error) -> StoreError {
    StoreError::Unreachable { store: store.to_owned(), reason: error.to_string() }
}

/// Returns what a status other than those of success says.
pub(crate) fn refused(store: &str, what: &str, status: StatusCode) -> StoreError {
    let (store, reason) = (store.to_owned(), status.to_string());
    match status {
        StatusCode::NOT_FOUND => StoreError::Missing { what: what.to_owned(), store },
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => StoreError::Denied { store, reason },
        status if status.is_server_error() => StoreError::Unreachable { store, reason },
        _ => StoreError::Answer { store, reason },
    }
}

/// A store that a web server serves.
#[derive(Debug, Clone)]
pub struct HttpStore {
    base: String,
    agent: Agent,
    token: Option<String>,
}

impl HttpStore {
    /// Returns the store at an address.
    ///
    /// # Errors
    ///
    /// [`HttpOptionsError`].
    pub fn new(base: &str, options: &HttpOptions) -> Result<Self, HttpOptionsError> {
        let base = base.trim_end_matches('/').to_owned();
        Ok(Self { base, agent: options.agent()?, token: options.token.clone() })
    }

    fn get(&self, name: &str, etag: Option<&str>) -> Result<Response<Body>, StoreError> {
        let mut request = self.agent.get(format!("{}/{name}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(etag) = etag {
            request = request.header("if-none-match", etag);
        }
        request.call().map_err(|error| unreachable(&self.name(), &error))
    }
}

impl PolicyStore for HttpStore {
    fn name(&self) -> String {
        format!("`{}`", self.base)
    }

    fn head(&self, channel: &Channel, known: Option<&Version>) -> Result<Head, StoreError> {
        let name = head_name(channel);
        let response = self.get(&name, known.map(|version| version.0.as_str()))?;
        match response.status() {
            StatusCode::NOT_MODIFIED if known.is_some() => Ok(Head::Unchanged),
            StatusCode::OK => {
                let etag = response.headers().get("etag").and_then(|etag| etag.to_str().ok());
                let version = etag.map(|etag| Version(etag.to_owned()));
                let envelope = body(response, ENVELOPE_BYTES, &format!("`{name}`"), &self.name())?;
                Ok(Head::Found { version, envelope })
            }
            status => Err(refused(&self.name(), &format!("`{name}`"), status)),
        }
    }

    fn bundle(&self, channel: &Channel, digest: Digest, limit: u64) -> Result<Vec<u8>, StoreError> {
        let name = bundle_name(channel, digest);
        let response = self.get(&name, None)?;
        match response.status() {
            StatusCode::OK => body(response, limit, &format!("`{name}`"), &self.name()),
            status => Err(refused(&self.name(), &format!("`{name}`"), status)),
        }
    }

    fn publish(&self, _: &Channel, _: &Publication<'_>) -> Result<(), StoreError> {
        Err(StoreError::ReadOnly(self.name()))
    }
}
