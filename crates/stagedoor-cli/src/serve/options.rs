//! What all servers are told alike: addresses, certificates and bounds.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use stagedoor_server::{ServerLimits, TlsFiles};
use stagedoor_source::{ManifestUse, PathOrigin, PolicyOrigin};

/// How a server listens, and what it keeps to.
#[derive(Debug, Args)]
pub(crate) struct ListenArgs {
    /// The address at which decisions are asked for.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    pub(crate) listen: SocketAddr,

    /// An address at which `/livez`, `/readyz` and `/metrics` answer without TLS, for probes.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) health_listen: Option<SocketAddr>,

    /// How often files are looked at for changes, in seconds. SIGHUP has them read at once.
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    reload_interval: u64,

    /// Requests at a time; more are refused at once with 503.
    #[arg(long, value_name = "N", default_value_t = ServerLimits::default().requests, value_parser = positive)]
    max_requests: usize,

    /// Connections at a time; one more closes the one that has been idle longest.
    #[arg(long, value_name = "N", default_value_t = ServerLimits::default().connections, value_parser = positive)]
    max_connections: usize,

    /// Seconds for a decision, once it is its turn; one that takes longer is refused with 503.
    #[arg(long, value_name = "SECONDS", default_value_t = ServerLimits::default().decision.as_secs(), value_parser = clap::value_parser!(u64).range(1..=600))]
    max_decision_time: u64,

    /// Threads that decide; one of them is left to requests with small bodies. By default as many
    /// as there are processors, and at least two.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    decision_threads: Option<u16>,

    /// Memory of all large requests that are in flight, in MiB, as an estimate from what is in
    /// their bodies; more are refused at once with 503, and one that alone may need more with 413.
    #[arg(long, value_name = "MIB", default_value_t = ServerLimits::default().decision_bytes >> 20, value_parser = positive)]
    max_decision_memory: usize,

    /// For how long connections are still taken after the signal to end, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=600))]
    shutdown_delay: u64,
}

impl ListenArgs {
    pub(crate) fn reload_interval(&self) -> Duration {
        Duration::from_secs(self.reload_interval)
    }

    pub(crate) fn limits(&self) -> ServerLimits {
        let mut limits = ServerLimits::default();
        limits.requests = self.max_requests;
        limits.connections = self.max_connections;
        limits.decision = Duration::from_secs(self.max_decision_time);
        if let Some(threads) = self.decision_threads {
            limits.decision_threads =
                NonZeroUsize::new(threads.into()).unwrap_or(limits.decision_threads);
        }
        limits.decision_bytes = self.max_decision_memory.saturating_mul(1 << 20);
        limits.shutdown_delay = Duration::from_secs(self.shutdown_delay);
        limits
    }
}

/// Policies that are decided beside those in force.
#[derive(Debug, Args)]
pub(crate) struct ShadowArgs {
    /// Policies and schemas to try beside those in force: files or directories. Nothing is
    /// enforced from them.
    ///
    /// What they would decide otherwise is counted in `/metrics` and logged, each difference once
    /// and at most 1,000 until one of both sets changes. They are asked after the answer is
    /// given; where they are too slow, requests are left out and counted. That they do not load
    /// disturbs nothing, and shows at `/readyz?verbose`.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub(crate) shadow: Vec<PathBuf>,
}

impl ShadowArgs {
    /// Returns where they come from, if there are any.
    pub(crate) fn origin(&self) -> Option<Arc<dyn PolicyOrigin>> {
        // A manifest that is there holds; since nothing is enforced, none is demanded.
        let origin = || PathOrigin::new(&self.shadow, ManifestUse::Optional);
        (!self.shadow.is_empty()).then(|| Arc::new(origin()) as Arc<dyn PolicyOrigin>)
    }
}

/// Returns where certificates are.
pub(crate) fn tls_files(
    certificate: &PathBuf,
    key: &PathBuf,
    client_ca: Option<&PathBuf>,
) -> TlsFiles {
    let files = TlsFiles::new(certificate, key);
    client_ca.into_iter().fold(files, |files, ca| files.with_client_ca(ca))
}

pub(crate) fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(error.to_string()),
    }
}
