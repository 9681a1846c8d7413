//! How a server listens, and the bounds that it keeps.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use stagedoor_audit::DecisionLog;

/// How a [`Server`](crate::Server) listens and what it keeps to.
///
/// # Examples
///
/// ```
/// use stagedoor_server::{ServerOptions, TlsFiles};
///
/// let mut options = ServerOptions::new(([127, 0, 0, 1], 8443).into());
/// options.tls = Some(TlsFiles::new("tls.crt", "tls.key").with_client_ca("clients.crt"));
/// assert_eq!(options.limits.requests, 1024);
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct ServerOptions {
    /// The address at which decisions are asked for.
    pub listen: SocketAddr,
    /// Where the certificates are. Without, connections are not encrypted.
    pub tls: Option<TlsFiles>,
    /// The address at which `/livez`, `/readyz` and `/metrics` answer without TLS, for probes,
    /// which show no certificate. They answer at `listen` in any case.
    pub health_listen: Option<SocketAddr>,
    /// Whether connections are left waiting until everything is loaded, so that no request comes
    /// too early; else such requests get 503. Probes at `health_listen` never wait.
    pub await_first_load: bool,
    /// How often files are looked at for changes (2 s). A change is taken up when two looks in
    /// a row find the same.
    pub reload_interval: Duration,
    /// Where decisions are recorded, and what they are made by.
    pub log: Option<Arc<DecisionLog>>,
    /// The bounds.
    pub limits: ServerLimits,
}

impl ServerOptions {
    /// Returns options with the defaults: without TLS.
    #[must_use]
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            tls: None,
            health_listen: None,
            await_first_load: false,
            reload_interval: Duration::from_secs(2),
            log: None,
            limits: ServerLimits::default(),
        }
    }
}

/// Where certificates and keys are, in PEM.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TlsFiles {
    /// The server's certificate, followed by those between it and its authority.
    pub certificate: PathBuf,
    /// The key of the certificate.
    pub key: PathBuf,
    /// The authorities of clients. With it, nobody gets past the handshake without a
    /// certificate of one of them.
    pub client_ca: Option<PathBuf>,
}

impl TlsFiles {
    /// Returns the files of a server that asks clients for no certificate.
    #[must_use]
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { certificate: certificate.into(), key: key.into(), client_ca: None }
    }

    /// Sets the authorities of clients.
    #[must_use]
    pub fn with_client_ca(mut self, client_ca: impl Into<PathBuf>) -> Self {
        self.client_ca = Some(client_ca.into());
        self
    }
}

/// Bounds on what clients may cost. None can be switched off.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServerLimits {
    /// Bytes of all bodies being read or decided at a time, beyond the first 16 KiB of each
    /// (64 MiB). One more is refused with 503.
    pub body_bytes_in_flight: usize,
    /// Threads that decide (as many as there are processors, and at least two): one of them is
    /// left to requests with small bodies.
    pub decision_threads: NonZeroUsize,
    /// Memory of all large requests that are in flight, in bytes, as an estimate from what is in
    /// each body (256 MiB). One more is refused at once with 503, and one that alone may need more
    /// with 413.
    pub decision_bytes: usize,
    /// Memory of a request that shadow policies decide, in bytes, as an estimate from what is in
    /// its body (128 MiB), in addition to the above. They decide one at a time, and what would
    /// need more is not compared.
    pub shadow_bytes: usize,
    /// Time for which a request waits for its turn to be decided, before it is refused with 503
    /// (5 s).
    pub turn: Duration,
    /// Time for a decision, once it is its turn (10 s). One that takes longer is refused with
    /// 503; its thread goes on, and counts until it is done.
    pub decision: Duration,
    /// Requests at a time (1,024). One more puts out the request whose body has been awaited
    /// longest, or is refused with 503.
    pub requests: usize,
    /// Connections at a time (4,096). One more puts out the connection that has been idle
    /// longest, those first on which nothing was ever answered.
    pub connections: usize,
    /// Time for a TLS handshake (5 s).
    pub handshake: Duration,
    /// Time for the head of a request, and for a connection without request (10 s; HTTP/2: for
    /// the first).
    pub head: Duration,
    /// Time for the body of a request (5 s).
    pub body: Duration,
    /// Time for an HTTP/2 connection without request (5 min).
    pub idle: Duration,
    /// Time for which connections are still taken after the signal to shut down, while
    /// `/readyz` says no already (0 s).
    pub shutdown_delay: Duration,
    /// Time for what is in flight to be answered when a connection or the server ends (20 s).
    pub shutdown_grace: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            body_bytes_in_flight: 64 << 20,
            decision_threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            decision_bytes: 256 << 20,
            shadow_bytes: 128 << 20,
            turn: Duration::from_secs(5),
            decision: Duration::from_secs(10),
            requests: 1024,
            connections: 4096,
            handshake: Duration::from_secs(5),
            head: Duration::from_secs(10),
            body: Duration::from_secs(5),
            idle: Duration::from_secs(300),
            shutdown_delay: Duration::ZERO,
            shutdown_grace: Duration::from_secs(20),
        }
    }
}
