//! The server of Kubernetes' webhooks.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use stagedoor_server::{ServeError, ServerHandle};

use crate::app::App;
use crate::config::ServerConfig;

/// A server that is bound to its addresses and has read its certificates.
///
/// # Examples
///
/// ```no_run
/// use stagedoor_webhook::{PolicySource, Server, ServerConfig, TlsFiles};
///
/// # async fn example() -> Result<(), stagedoor_webhook::ServeError> {
/// let policies = PolicySource::new(["policies/kubernetes"]);
/// let config = ServerConfig::new(policies, TlsFiles::new("tls.crt", "tls.key"));
/// let server = Server::bind(config).await?;
/// server.run(async { tokio::signal::ctrl_c().await.unwrap_or_default() }).await
/// # }
/// ```
pub struct Server(stagedoor_server::Server);

impl Server {
    /// Reads the certificates and binds the addresses. Connections wait until [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// [`ServeError::Tls`] or [`ServeError::Listen`].
    pub async fn bind(config: ServerConfig) -> Result<Self, ServeError> {
        let app = Arc::new(App::new(&config));
        Ok(Self(stagedoor_server::Server::bind(config.into_options(), app).await?))
    }

    /// Returns the address of the webhooks.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.0.address()
    }

    /// Returns the address of health without TLS, if there is one.
    #[must_use]
    pub fn health_address(&self) -> Option<SocketAddr> {
        self.0.health_address()
    }

    /// Returns what the server can be told by while it runs.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        self.0.handle()
    }

    /// Serves until `shutdown` resolves and what is in flight is answered.
    ///
    /// Connections are taken from the beginning; until the policies are loaded `/readyz` says
    /// no and the webhooks answer 503.
    ///
    /// # Errors
    ///
    /// [`ServeError::Load`] if the policies do not load at the start. Later it is not an
    /// error: those before stay in force.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
        self.0.run(shutdown).await
    }
}
