//! `stagedoor serve`: webhooks that answer by policies until they are told to stop.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use stagedoor_webhook::{PolicySource, ServeError, Server, ServerConfig, ServerLimits, TlsFiles};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::LevelFilter;

use crate::cli::Ending;
use crate::failure::Failure;
use crate::rules::RulesArgs;

/// Serve decisions to a platform.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    #[command(subcommand)]
    platform: Platform,
}

#[derive(Debug, Subcommand)]
enum Platform {
    Kubernetes(KubernetesArgs),
}

/// Answer Kubernetes' authorization and admission webhooks.
///
/// `POST /authorize` answers SubjectAccessReviews, `POST /admit` AdmissionReviews; `/livez`,
/// `/readyz` (with `?verbose`) and `/metrics` tell how the server is. Policies and certificates
/// are reloaded when their files change. SIGTERM and SIGINT end the server when what is in
/// flight is answered.
#[derive(Debug, Args)]
struct KubernetesArgs {
    /// Policies: files or directories. Schemas among them are added to those that ship.
    #[arg(long, value_name = "PATH", required = true, num_args = 1..)]
    policies: Vec<PathBuf>,

    #[command(flatten)]
    rules: RulesArgs,

    /// The server's certificate and those between it and its authority, in PEM.
    #[arg(long, value_name = "FILE")]
    tls_cert: PathBuf,

    /// The key of the certificate, in PEM.
    #[arg(long, value_name = "FILE")]
    tls_key: PathBuf,

    /// Authorities of clients, in PEM: only clients with a certificate of theirs get in.
    ///
    /// Without it anybody who reaches the address may ask.
    #[arg(long, value_name = "FILE")]
    client_ca: Option<PathBuf>,

    /// The address of the webhooks.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,

    /// An address at which `/livez`, `/readyz` and `/metrics` answer without TLS, for probes.
    #[arg(long, value_name = "ADDRESS")]
    health_listen: Option<SocketAddr>,

    /// Deny what no policy permits, instead of leaving it to the next authorizer.
    #[arg(long)]
    no_opinion_denies: bool,

    /// Let policies depend on the object that is written, and tell conditions to callers that
    /// understand them. `POST /conditions` evaluates them.
    ///
    /// An alpha of Kubernetes to come (KEP-5681): what it says may change. With it, `resource`
    /// has `object`, `oldObject` and `options` in policies of authorization, as in admission.
    #[arg(long)]
    experimental_conditional: bool,

    /// How often files are looked at for changes, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    reload_interval: u64,

    /// Requests at a time; more are refused at once with 503.
    #[arg(long, value_name = "N", default_value_t = ServerLimits::default().requests, value_parser = positive)]
    max_requests: usize,

    /// Connections at a time; one more closes the one that has been idle longest.
    #[arg(long, value_name = "N", default_value_t = ServerLimits::default().connections, value_parser = positive)]
    max_connections: usize,

    /// For how long connections are still taken after the signal to end, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=600))]
    shutdown_delay: u64,

    /// How the log is written, to the standard error.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,

    /// How much is logged; `debug` has every decision.
    #[arg(long, value_enum, default_value_t = LogLevel::Info)]
    log_level: LogLevel,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// Text for people.
    Text,
    /// JSON, one object a line.
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(error.to_string()),
    }
}

impl KubernetesArgs {
    fn config(&self) -> Result<ServerConfig, Failure> {
        let tls = TlsFiles::new(&self.tls_cert, &self.tls_key);
        let tls = match &self.client_ca {
            Some(client_ca) => tls.with_client_ca(client_ca),
            None => tls,
        };
        let rules = self.rules.files(self.policies.clone());
        let policies = PolicySource::new(&self.policies).with_rules(Arc::new(rules));
        let mut config = ServerConfig::new(policies, tls);
        config.listen = self.listen;
        config.health_listen = self.health_listen;
        config.no_opinion_denies = self.no_opinion_denies;
        config.experimental_conditional = self.experimental_conditional;
        config.reload_interval = Duration::from_secs(self.reload_interval);
        config.limits.requests = self.max_requests;
        config.limits.connections = self.max_connections;
        config.limits.shutdown_delay = Duration::from_secs(self.shutdown_delay);
        Ok(config)
    }

    fn log(&self) {
        let level = match self.log_level {
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
        };
        let log = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr);
        match self.log_format {
            LogFormat::Json => log.json().flatten_event(true).init(),
            LogFormat::Text => {
                let colour =
                    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
                log.with_ansi(colour).init();
            }
        }
    }
}

/// Serves until a signal says to stop.
pub(crate) fn run(args: &ServeArgs) -> Result<Ending, Failure> {
    let Platform::Kubernetes(args) = &args.platform;
    args.log();
    let config = args.config()?;
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|e| Failure::input(format!("the server cannot be started: {e}")))?;
    runtime.block_on(async {
        let server = Server::bind(config).await.map_err(failure)?;
        server.run(asked_to_stop()).await.map_err(failure)
    })?;
    Ok(Ending::Done)
}

/// Resolves at SIGTERM or SIGINT.
async fn asked_to_stop() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        // Without handlers the signals end the process at once.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

fn failure(error: ServeError) -> Failure {
    match error {
        ServeError::Load(failure) => match failure.problems {
            Some(error) => Failure::Load(error),
            None => Failure::input(failure.message),
        },
        ServeError::Listen { address, source } => {
            Failure::input(format!("cannot listen at {address}: {source}"))
        }
        error => Failure::input(error.to_string()),
    }
}
