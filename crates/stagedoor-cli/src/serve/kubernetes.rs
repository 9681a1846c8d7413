//! `stagedoor serve kubernetes`: authorization and admission webhooks.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use stagedoor_webhook::{PolicySource, Server, ServerConfig};

use super::audit_log::AuditLogArgs;
use super::options::{ListenArgs, ShadowArgs, tls_files};
use super::signals::Signals;
use super::{failure, runtime};
use crate::check::kubernetes::ModeArgs;
use crate::distribution::source::SourceArgs;
use crate::ending::Ending;
use crate::failure::Failure;
use crate::load::LoadArgs;
use crate::log_args::LogArgs;

/// Answer Kubernetes' authorization and admission webhooks.
///
/// `POST /authorize` answers SubjectAccessReviews, `POST /admit` AdmissionReviews; `/livez`,
/// `/readyz` (with `?verbose`) and `/metrics` tell how the server is. Policies and certificates
/// are reloaded when their files change, and at SIGHUP. Decisions are recorded: see
/// `--audit-log`. SIGTERM and SIGINT end the server when what is in flight is answered.
#[derive(Debug, Args)]
pub(crate) struct KubernetesArgs {
    #[command(flatten)]
    source: SourceArgs,

    #[command(flatten)]
    load: LoadArgs,

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

    #[command(flatten)]
    modes: ModeArgs,

    #[command(flatten)]
    shadow: ShadowArgs,

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

    #[command(flatten)]
    listen: ListenArgs,

    #[command(flatten)]
    audit_log: AuditLogArgs,

    /// Record the objects of admission too, but never what a secret holds. `stagedoor replay`
    /// decides such records again.
    #[arg(long)]
    audit_log_objects: bool,

    #[command(flatten)]
    log: LogArgs,
}

impl KubernetesArgs {
    fn config(&self) -> Result<ServerConfig, Failure> {
        let tls = tls_files(&self.tls_cert, &self.tls_key, self.client_ca.as_ref());
        // Half of it, so that a change is in force when it was looked at three times, whatever is
        // being compiled.
        let wait = self.listen.reload_interval() / 2;
        let policies = |origin, rule_paths| -> Result<PolicySource, Failure> {
            Ok(PolicySource::of(origin)
                .with_rules(Arc::new(self.load.rule_files(rule_paths, wait)?))
                .with_limits(self.load.limits()?)
                .beside(stagedoor_backstage::VOCABULARY)
                .with_ceilings(self.modes.ceilings().iter().cloned()))
        };
        let enforced = policies(self.source.origin(&self.load)?, self.source.rule_paths())?;
        let mut config = ServerConfig::new(enforced, tls);
        #[cfg(feature = "kubernetes")]
        {
            config.policy_sets = self.source.reviewer(&self.load)?;
        }
        let shadow = self.shadow.origin();
        config.shadow =
            shadow.map(|origin| policies(origin, self.shadow.shadow.clone())).transpose()?;
        config.listen = self.listen.listen;
        config.health_listen = self.listen.health_listen;
        config.no_opinion_denies = self.no_opinion_denies;
        config.experimental_conditional = self.experimental_conditional;
        config.reload_interval = self.listen.reload_interval();
        config.log = self.audit_log.log()?;
        config.record_objects = self.audit_log_objects;
        config.limits = self.listen.limits();
        Ok(config)
    }
}

/// Serves until a signal says to stop.
pub(crate) fn run(args: &KubernetesArgs) -> Result<Ending, Failure> {
    args.log.start();
    let config = args.config()?;
    runtime()?.block_on(async {
        let signals = Signals::take()?;
        let server = Server::bind(config).await.map_err(failure)?;
        let stop = signals.asked_to_stop(server.handle());
        server.run(stop).await.map_err(failure)
    })?;
    Ok(Ending::Done)
}
