//! What a server has in common for all its connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use stagedoor_audit::DecisionLog;
use tokio::sync::watch;

use crate::body::BodyLimits;
use crate::config::ServerOptions;
use crate::connection_limit::ConnectionLimit;
use crate::metrics::Metrics;
use crate::pool::Pool;
use crate::protocol::Protocol;
use crate::reload::Reloadable;
use crate::shadow::Shadow;
use crate::watch::WatchedSource;

/// For how long a body may be awaited before its request gives way to others.
const GRACE: Duration = Duration::from_millis(250);

/// What requests are answered with.
pub(crate) struct ServerState {
    pub(crate) protocol: Arc<dyn Protocol>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) log: Option<Arc<DecisionLog>>,
    /// What is reloaded. Ready is who has loaded all of it once.
    pub(crate) watched: Arc<[WatchedSource]>,
    /// What decides beside, and is not waited for.
    pub(crate) shadow: Option<Arc<Shadow>>,
    stopping: AtomicBool,
    loaded: watch::Sender<bool>,
    pub(crate) requests: Arc<ConnectionLimit>,
    pub(crate) bodies: BodyLimits,
    pub(crate) pool: Pool,
    /// For how long a decision may take.
    pub(crate) decision: Duration,
}

impl ServerState {
    pub(crate) fn new(
        options: &ServerOptions,
        protocol: Arc<dyn Protocol>,
        sources: Vec<Arc<dyn Reloadable>>,
    ) -> Arc<Self> {
        let limits = &options.limits;
        let endpoints: Vec<_> = protocol.endpoints().iter().map(|e| e.name).collect();
        let watched: Arc<[_]> = sources.into_iter().map(WatchedSource::new).collect();
        let names: Vec<_> = watched.iter().map(WatchedSource::name).collect();
        let metrics = Arc::new(Metrics::new(&endpoints, &names));
        let shadow = protocol
            .shadow()
            .map(|shadow| Arc::new(Shadow::new(shadow, Arc::clone(&metrics), limits.shadow_bytes)));
        if let Some(shadow) = &shadow {
            metrics.watch(shadow.watched.iter().map(WatchedSource::name));
            metrics.compare(protocol.endpoints().iter().filter(|e| e.is_compared).map(|e| e.name));
        }
        Arc::new(Self {
            metrics,
            protocol,
            log: options.log.clone(),
            watched,
            shadow,
            stopping: AtomicBool::new(false),
            loaded: watch::Sender::new(false),
            requests: ConnectionLimit::new(limits.requests, GRACE),
            bodies: BodyLimits::new(limits.body, limits.body_bytes_in_flight),
            pool: Pool::new(
                limits.decision_threads,
                limits.decision_bytes,
                limits.turn,
                limits.decision,
            ),
            decision: limits.decision,
        })
    }

    /// Says that everything was loaded once.
    pub(crate) fn set_loaded(&self) {
        self.loaded.send_replace(true);
    }

    /// Says that the server is shutting down: it is no longer ready.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(crate) fn is_loaded(&self) -> bool {
        *self.loaded.borrow()
    }

    /// Resolves when everything was loaded once.
    pub(crate) async fn first_load(&self) {
        // The sender lives as long as this.
        let _ = self.loaded.subscribe().wait_for(|loaded| *loaded).await;
    }

    pub(crate) fn is_ready(&self) -> bool {
        let is_bad = |watched: &WatchedSource| watched.source.health().is_some_and(|h| !h.is_ready);
        self.is_loaded() && !self.is_stopping() && !self.watched.iter().any(is_bad)
    }
}
