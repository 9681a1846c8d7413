//! The server: listeners, their connections, and an orderly end.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use stagedoor_audit::DecisionLog;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::config::ServerOptions;
use crate::connection::Endpoint;
use crate::connection_limit::ConnectionLimit;
use crate::error::ServeError;
use crate::protocol::Protocol;
use crate::reload::LoadFailure;
use crate::routes;
use crate::state::ServerState;
use crate::tls::Tls;
use crate::watch::WatchedSource;

/// Connections of probes at a time.
const HEALTH_CONNECTIONS: usize = 64;
/// Time to wait when the process has no file descriptor left for a connection.
const OUT_OF_FILES: Duration = Duration::from_millis(20);

/// A server that is bound to its addresses and has read its certificates.
pub struct Server {
    options: ServerOptions,
    state: Arc<ServerState>,
    tls: Option<Arc<Tls>>,
    listener: TcpListener,
    health_listener: Option<TcpListener>,
    /// By which each source is told to reload.
    asked: Vec<Arc<Notify>>,
}

/// What a running server is told by.
#[derive(Clone)]
pub struct ServerHandle {
    asked: Vec<Arc<Notify>>,
    log: Option<Arc<DecisionLog>>,
}

impl ServerHandle {
    /// Has everything read again now, as if it had changed, and the decision log reopened.
    pub fn reload(&self) {
        if let Some(log) = &self.log {
            log.reopen();
        }
        self.asked.iter().for_each(|asked| asked.notify_one());
    }
}

impl Server {
    /// Reads the certificates and binds the addresses. Connections wait until [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// [`ServeError::Tls`] or [`ServeError::Listen`].
    pub async fn bind(
        options: ServerOptions,
        protocol: Arc<dyn Protocol>,
    ) -> Result<Self, ServeError> {
        let listener = listen(options.listen).await?;
        Self::on(listener, options, protocol).await
    }

    /// As [`bind`](Self::bind), with an address that is bound already.
    ///
    /// # Errors
    ///
    /// [`ServeError::Tls`] or [`ServeError::Listen`].
    pub async fn on(
        listener: TcpListener,
        options: ServerOptions,
        protocol: Arc<dyn Protocol>,
    ) -> Result<Self, ServeError> {
        let tls = options.tls.clone().map(Tls::load).transpose()?.map(Arc::new);
        let health_listener = match options.health_listen {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let mut sources = protocol.sources();
        if let Some(tls) = &tls {
            sources.push(tls.certificates());
        }
        let state = ServerState::new(&options, protocol, sources);
        let asked = state.watched.iter().map(|_| Arc::new(Notify::new())).collect();
        Ok(Self { options, state, tls, listener, health_listener, asked })
    }

    /// Returns the address at which decisions are asked for.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// Returns the address of health without TLS, if there is one.
    #[must_use]
    pub fn health_address(&self) -> Option<SocketAddr> {
        self.health_listener.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Returns what the server can be told by while it runs.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        let shadow = self.state.shadow.as_ref().map(|shadow| Arc::clone(&shadow.asked));
        let asked = self.asked.iter().cloned().chain(shadow).collect();
        ServerHandle { asked, log: self.state.log.clone() }
    }

    /// Serves until `shutdown` resolves and what is in flight is answered.
    ///
    /// Connections are taken from the beginning; until everything is loaded `/readyz` says no and
    /// requests for decisions get 503.
    ///
    /// # Errors
    ///
    /// [`ServeError::Load`] if something does not load at the start. Later it is not an error:
    /// what was loaded before stays in force.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
        let Self { options, state, tls, listener, health_listener, asked } = self;
        let limits = options.limits.clone();
        let endpoint = |router, tls, is_health: bool| {
            let (state, limits) = (Arc::clone(&state), limits.clone());
            let awaits_load = options.await_first_load && !is_health;
            Arc::new(Endpoint { state, router, tls, limits, is_health, awaits_load })
        };
        let decisions = endpoint(routes::all(&state), tls.clone(), false);
        let health = endpoint(routes::health(&state), None, true);

        let (closed, stop) = (watch::Sender::new(false), watch::Sender::new(false));
        let mut tasks = JoinSet::new();
        let take = Taking { closed: closed.subscribe(), stopping: stop.subscribe() };
        tracing::info!(
            address = %listener.local_addr().map(|a| a.to_string()).unwrap_or_default(),
            health = health_listener.as_ref().and_then(|l| l.local_addr().ok()).map(|a| a.to_string()),
            tls = tls.is_some(),
            client_certificates = tls.as_ref().is_some_and(|tls| tls.is_mutual()),
            "listening"
        );
        let limit = ConnectionLimit::new(limits.connections, Duration::ZERO);
        tasks.spawn(take.clone().connections(listener, decisions, limit));
        if let Some(listener) = health_listener {
            let limit = ConnectionLimit::new(HEALTH_CONNECTIONS, Duration::ZERO);
            tasks.spawn(take.connections(listener, health, limit));
        }

        let mut watching = JoinSet::new();
        let ended = tokio::select! {
            failure = load(&state, options.reload_interval, &asked, &mut watching) => {
                Err(failure.into())
            }
            () = shutdown => Ok(()),
        };
        state.stop();
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
        if let Some(log) = state.log.clone() {
            // It writes what waits, which may block.
            let flushing = Arc::clone(&log);
            let flushed = tokio::task::spawn_blocking(move || flushing.flush());
            if tokio::time::timeout(limits.shutdown_grace, flushed).await.is_err() {
                // INVARIANT: a sink that hangs does not keep the server from ending.
                let lost = log.abandon();
                tracing::error!(
                    lost,
                    "decision records could not be written in time: they are lost"
                );
            }
        }
        ended
    }
}

/// Loads everything and watches it for ever, or returns why something does not load.
async fn load(
    state: &Arc<ServerState>,
    interval: Duration,
    asked: &[Arc<Notify>],
    watching: &mut JoinSet<()>,
) -> LoadFailure {
    let mut told = None;
    loop {
        let loading = Arc::clone(state);
        let loaded = tokio::task::spawn_blocking(move || {
            let log = loading.log.as_deref();
            loading.watched.iter().try_for_each(|source| source.first(&loading.metrics, log))
        });
        match loaded.await {
            Ok(Ok(())) => break state.set_loaded(),
            Ok(Err(failure)) if failure.is_pending => {
                if told.as_ref() != Some(&failure.message) {
                    tracing::warn!("{failure}; until then nothing is decided");
                    told = Some(failure.message);
                }
            }
            Ok(Err(failure)) => return failure,
            Err(error) => {
                let message = format!("loading was broken off: {error}");
                return LoadFailure::new(message, "loading was broken off");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = any(asked) => {}
        }
    }
    // INVARIANT: each by itself, so that certificates never wait for policies.
    for (index, asked) in asked.iter().enumerate() {
        let watched = Arc::clone(&state.watched);
        watching.spawn(watch_files(
            Arc::clone(state),
            (watched, index),
            interval,
            Arc::clone(asked),
        ));
    }
    if let Some(shadow) = &state.shadow {
        // INVARIANT: after the rest, which waits for nothing of it.
        shadow.asked.notify_one();
        for index in 0..shadow.watched.len() {
            let (watched, asked) = (Arc::clone(&shadow.watched), Arc::clone(&shadow.asked));
            watching.spawn(watch_files(Arc::clone(state), (watched, index), interval, asked));
        }
        watching.spawn(Arc::clone(shadow).compare());
    }
    std::future::pending().await
}

/// Waits until the first of the sources is told to reload, which they all are at once.
async fn any(asked: &[Arc<Notify>]) {
    match asked.first() {
        Some(asked) => asked.notified().await,
        None => std::future::pending().await,
    }
}

/// Reloads a source when it changes, for ever: every `interval`, and at once when `asked`.
async fn watch_files(
    state: Arc<ServerState>,
    (watched, index): (Arc<[WatchedSource]>, usize),
    interval: Duration,
    asked: Arc<Notify>,
) {
    loop {
        let now = tokio::select! {
            () = tokio::time::sleep(interval) => false,
            () = asked.notified() => true,
        };
        let (looking, watched) = (Arc::clone(&state), Arc::clone(&watched));
        let looked = tokio::task::spawn_blocking(move || {
            let log = looking.log.as_deref();
            let source = watched.get(index);
            source.into_iter().for_each(|source| source.look(&looking.metrics, log, now));
        });
        if let Err(error) = looked.await {
            tracing::error!(%error, "looking at files for changes was broken off");
        }
    }
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
        limit: Arc<ConnectionLimit>,
    ) {
        if endpoint.awaits_load {
            tokio::select! {
                () = endpoint.state.first_load() => {}
                _ = self.closed.wait_for(|closed| *closed) => return,
            }
        }
        let mut connections = JoinSet::new();
        let metrics = Arc::clone(&endpoint.state.metrics);
        loop {
            let accepted = tokio::select! {
                biased;
                _ = self.closed.wait_for(|closed| *closed) => break,
                _ = connections.join_next(), if !connections.is_empty() => continue,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => match limit.acquire() {
                    Some(permit) => {
                        let (endpoint, stopping) = (Arc::clone(&endpoint), self.stopping.clone());
                        connections.spawn(async move {
                            endpoint.serve(stream, permit, stopping).await;
                        });
                    }
                    None => metrics.connections_refused.inc(),
                },
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken");
                    limit.evict();
                    tokio::time::sleep(OUT_OF_FILES).await;
                }
            }
            if !endpoint.is_health {
                metrics.connections.set(i64::try_from(limit.taken()).unwrap_or(i64::MAX));
            }
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
    }
}
