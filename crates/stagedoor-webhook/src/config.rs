//! What a server is to serve, and the bounds that it keeps.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::policies::PolicySource;

/// What a [`Server`](crate::Server) serves.
///
/// # Examples
///
/// ```
/// use stagedoor_webhook::{PolicySource, ServerConfig, TlsFiles};
///
/// let policies = PolicySource::new(["/etc/stagedoor/policies"]);
/// let tls = TlsFiles::new("/etc/stagedoor/tls/tls.crt", "/etc/stagedoor/tls/tls.key")
///     .with_client_ca("/etc/stagedoor/clients/ca.crt");
/// let mut config = ServerConfig::new(policies, tls);
/// config.no_opinion_denies = true;
/// assert_eq!(config.listen.port(), 8443);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServerConfig {
    /// Where the policies are.
    pub policies: PolicySource,
    /// Where the certificates are.
    pub tls: TlsFiles,
    /// The address of the webhooks (127.0.0.1:8443).
    pub listen: SocketAddr,
    /// The address at which `/livez`, `/readyz` and `/metrics` answer without TLS, for the
    /// probes of a kubelet, which show no certificate. They answer at `listen` in any case.
    pub health_listen: Option<SocketAddr>,
    /// Whether what no policy permits is denied for good, instead of leaving it to the next
    /// authorizer of the chain.
    pub no_opinion_denies: bool,
    /// Whether policies of authorization may depend on the object that is written, and callers
    /// that understand conditions get them ([KEP-5681], which no release of Kubernetes has yet;
    /// off). `resource` then has `object`, `oldObject` and `options`.
    ///
    /// [KEP-5681]: https://github.com/kubernetes/enhancements/issues/5681
    pub experimental_conditional: bool,
    /// How often policies and certificates are looked at for changes (2 s). A change is taken
    /// up when two looks in a row find the same.
    pub reload_interval: Duration,
    /// The bounds.
    pub limits: ServerLimits,
}

impl ServerConfig {
    /// Returns a configuration with the defaults.
    #[must_use]
    pub fn new(policies: PolicySource, tls: TlsFiles) -> Self {
        Self {
            policies,
            tls,
            listen: SocketAddr::from(([127, 0, 0, 1], 8443)),
            health_listen: None,
            no_opinion_denies: false,
            experimental_conditional: false,
            reload_interval: Duration::from_secs(2),
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
    /// Size of the body of a SubjectAccessReview, in bytes (1 MiB).
    pub review_bytes: usize,
    /// Size of the body of an AdmissionReview, in bytes (8 MiB): it carries up to two objects.
    pub admission_bytes: usize,
    /// Bytes of all bodies being read at a time, beyond the first 16 KiB of each (128 MiB).
    pub body_bytes_in_flight: usize,
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
            review_bytes: 1 << 20,
            admission_bytes: 8 << 20,
            body_bytes_in_flight: 128 << 20,
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
