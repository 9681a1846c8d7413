//! The server: listeners, their connections, and an orderly end.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::app::{self, App};
use crate::config::ServerConfig;
use crate::connection::Endpoint;
use crate::error::{PoliciesError, ServeError};
use crate::metrics::Metrics;
use crate::places::Places;
use crate::tls::Tls;
use crate::watch as files;

/// Connections of probes at a time.
const HEALTH_CONNECTIONS: usize = 64;
/// Time to wait when the process has no file descriptor left for a connection.
const OUT_OF_FILES: Duration = Duration::from_millis(20);

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
pub struct Server {
    config: ServerConfig,
    app: Arc<App>,
    tls: Arc<Tls>,
    listener: TcpListener,
    health_listener: Option<TcpListener>,
}

impl Server {
    /// Reads the certificates and binds the addresses. Connections wait until [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// [`ServeError::Tls`] or [`ServeError::Listen`].
    pub async fn bind(config: ServerConfig) -> Result<Self, ServeError> {
        let tls = Arc::new(Tls::load(config.tls.clone())?);
        let listener = listen(config.listen).await?;
        let health_listener = match config.health_listen {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let app = App::new(&config, Metrics::new());
        Ok(Self { config, app, tls, listener, health_listener })
    }

    /// Returns the address of the webhooks.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// Returns the address of health without TLS, if there is one.
    #[must_use]
    pub fn health_address(&self) -> Option<SocketAddr> {
        self.health_listener.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Serves until `shutdown` resolves and what is in flight is answered.
    ///
    /// Connections are taken from the beginning; until the policies are loaded `/readyz` says
    /// no and the webhooks answer 503.
    ///
    /// # Errors
    ///
    /// [`ServeError::Policies`] if the policies do not load at the start. Later it is not an
    /// error: those before stay in force.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
        let Self { config, app, tls, listener, health_listener } = self;
        let limits = config.limits.clone();
        let endpoint = |router, tls| {
            let (app, limits) = (Arc::clone(&app), limits.clone());
            Arc::new(Endpoint { app, router, tls, limits })
        };
        let webhooks = endpoint(app::webhooks(&app), Some(Arc::clone(&tls)));
        let health = endpoint(app::health(&app), None);

        let (closed, stop) = (watch::Sender::new(false), watch::Sender::new(false));
        let mut tasks = JoinSet::new();
        let take = Taking { closed: closed.subscribe(), stopping: stop.subscribe() };
        tracing::info!(
            address = %listener.local_addr().map(|a| a.to_string()).unwrap_or_default(),
            client_certificates = tls.is_mutual(),
            "listening"
        );
        let places = Places::new(limits.connections, Duration::ZERO);
        tasks.spawn(take.clone().connections(listener, webhooks, places));
        if let Some(listener) = health_listener {
            let places = Places::new(HEALTH_CONNECTIONS, Duration::ZERO);
            tasks.spawn(take.connections(listener, health, places));
        }

        let mut watching = JoinSet::new();
        let ended = tokio::select! {
            error = policies(&app, &tls, config.reload_interval, &mut watching) => Err(error.into()),
            () = shutdown => Ok(()),
        };
        app.stop();
        if ended.is_ok() {
            tracing::info!("shutting down");
            tokio::time::sleep(limits.shutdown_delay).await;
        }
        closed.send_replace(true);
        stop.send_replace(true);
        let all_ended = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(limits.shutdown_grace, all_ended).await.is_err() {
            tracing::warn!("connections were still busy when the time to shut down was out");
        }
        ended
    }
}

/// Loads the policies and watches them for ever, or returns why they do not load.
async fn policies(
    app: &Arc<App>,
    tls: &Arc<Tls>,
    interval: Duration,
    watching: &mut JoinSet<()>,
) -> PoliciesError {
    let loading = Arc::clone(app);
    let loaded = tokio::task::spawn_blocking(move || files::load(&loading)).await;
    match loaded {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return error,
        // Not ready until a change of the policies can be loaded.
        Err(error) => tracing::error!(%error, "loading the policies was broken off"),
    }
    watching.spawn(files::watch(Arc::clone(app), Arc::clone(tls), interval));
    std::future::pending().await
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    let listening = TcpListener::bind(address).await;
    listening.map_err(|source| ServeError::Listen { address, source })
}

/// Takes connections of a listener.
#[derive(Clone)]
struct Taking {
    closed: watch::Receiver<bool>,
    stopping: watch::Receiver<bool>,
}

impl Taking {
    async fn connections(
        mut self,
        listener: TcpListener,
        endpoint: Arc<Endpoint>,
        places: Arc<Places>,
    ) {
        let mut connections = JoinSet::new();
        let metrics = &endpoint.app.metrics;
        let is_webhook = endpoint.tls.is_some();
        loop {
            let accepted = tokio::select! {
                biased;
                _ = self.closed.wait_for(|closed| *closed) => break,
                _ = connections.join_next(), if !connections.is_empty() => continue,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => match places.take() {
                    Some(place) => {
                        let (endpoint, stopping) = (Arc::clone(&endpoint), self.stopping.clone());
                        connections.spawn(async move {
                            endpoint.serve(stream, place, stopping).await;
                        });
                    }
                    None => metrics.connections_refused.inc(),
                },
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken");
                    places.make_room();
                    tokio::time::sleep(OUT_OF_FILES).await;
                }
            }
            if is_webhook {
                metrics.connections.set(i64::try_from(places.taken()).unwrap_or(i64::MAX));
            }
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
    }
}
