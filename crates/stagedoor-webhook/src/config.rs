//! What a server of webhooks is to serve.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use stagedoor_audit::DecisionLog;
use stagedoor_server::{ServerLimits, ServerOptions, TlsFiles};

use crate::policies::PolicySource;
use crate::policy_set_reviewer::PolicySetReviewer;

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
#[derive(Clone)]
#[non_exhaustive]
pub struct ServerConfig {
    /// Where the policies are.
    pub policies: PolicySource,
    /// Policies that are decided beside those, and from which nothing is enforced: what they would
    /// decide otherwise is counted and logged. That they do not load disturbs nothing.
    pub shadow: Option<PolicySource>,
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
    /// Size of the body of a SubjectAccessReview, in bytes (1 MiB).
    pub review_bytes: usize,
    /// Size of the body of an AdmissionReview, in bytes (8 MiB): it carries up to two objects.
    pub admission_bytes: usize,
    /// Where decisions are recorded, and what they are made by.
    pub log: Option<Arc<DecisionLog>>,
    /// Whether records of admission have the objects, but never what a secret holds (no).
    pub record_objects: bool,
    /// Who reviews policy sets that are published as objects (nobody: `/policysets` is not there).
    pub policy_sets: Option<Arc<dyn PolicySetReviewer>>,
    /// The bounds.
    pub limits: ServerLimits,
}

impl ServerConfig {
    /// Returns a configuration with the defaults.
    #[must_use]
    pub fn new(policies: PolicySource, tls: TlsFiles) -> Self {
        Self {
            policies,
            shadow: None,
            tls,
            listen: SocketAddr::from(([127, 0, 0, 1], 8443)),
            health_listen: None,
            no_opinion_denies: false,
            experimental_conditional: false,
            reload_interval: Duration::from_secs(2),
            review_bytes: 1 << 20,
            admission_bytes: 8 << 20,
            log: None,
            record_objects: false,
            policy_sets: None,
            limits: ServerLimits::default(),
        }
    }

    /// Returns how the server listens.
    pub(crate) fn into_options(self) -> ServerOptions {
        let mut options = ServerOptions::new(self.listen);
        options.tls = Some(self.tls);
        options.health_listen = self.health_listen;
        options.reload_interval = self.reload_interval;
        options.log = self.log;
        options.limits = self.limits;
        options
    }
}
