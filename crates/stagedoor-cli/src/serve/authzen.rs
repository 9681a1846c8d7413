//! `stagedoor serve authzen`: AuthZEN's Authorization API 1.0.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use stagedoor_audit::DecisionLog;
use stagedoor_authzen::{AuthZen, AuthZenOptions, PublicUrl, TokenRules};
use stagedoor_server::{ServeError, Server, ServerOptions};
use tokio::net::TcpListener;

use super::audit_log::AuditLogArgs;
use super::options::{ListenArgs, ShadowArgs, positive, tls_files};
use super::signals::Signals;
use super::world::WorldFiles;
use super::{failure, runtime};
use crate::distribution::source::SourceArgs;
use crate::ending::Ending;
use crate::failure::Failure;
use crate::load::LoadArgs;
use crate::log_args::LogArgs;

/// Answer AuthZEN's Authorization API 1.0.
///
/// POST `/access/v1/evaluation`, `/access/v1/evaluations` and `/access/v1/search/subject`,
/// `/resource` and `/action`; GET `/.well-known/authzen-configuration`; `/livez`, `/readyz`
/// (with `?verbose`) and `/metrics` tell how the server is.
///
/// A `type` stands for the entity type of this name, an action's `name` for the one action of
/// this id, `properties` for attributes (laid over those of the stored entity), `context` for the
/// context. An action's `properties` are in `context.action`, where the schema declares a record
/// there. What the schema does not declare is left out. `"options": {"explain": true}` in a
/// request has the answer say why.
///
/// On the loopback neither TLS nor tokens nor client certificates are needed; elsewhere TLS is,
/// and one of the other two. Policies, entities, the mapping, keys and certificates are reloaded
/// when their files change, and at SIGHUP; what does not load changes nothing.
#[derive(Debug, Args)]
pub(crate) struct AuthZenArgs {
    #[command(flatten)]
    source: SourceArgs,

    #[command(flatten)]
    load: LoadArgs,

    /// Entities in Cedar's JSON: files, or directories of `*.json`.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    entities: Vec<PathBuf>,

    /// What types and actions stand for, in YAML or JSON: `namespace`, `types`, `actions`,
    /// `actionProperties` (the key of the context), `properties` (`sent` or `stored`: which
    /// counts where both are there).
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,

    /// The address as callers know it, behind a proxy say; its path may stand before the paths
    /// of the API or be taken away by the proxy.
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,

    /// The keys of bearer tokens: a JWK Set. With it every question needs a token.
    #[arg(long, value_name = "FILE", requires = "audience")]
    jwks: Option<PathBuf>,

    /// Who tokens must be for.
    #[arg(long, value_name = "AUDIENCE", requires = "jwks")]
    audience: Option<String>,

    /// Who tokens must be by.
    #[arg(long, value_name = "ISSUER", requires = "jwks")]
    issuer: Option<String>,

    /// The server's certificate and those between it and its authority, in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// The key of the certificate, in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// Authorities of clients, in PEM: only clients with a certificate of theirs get in.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    client_ca: Option<PathBuf>,

    /// Serve anybody who reaches an address that is not the loopback, encrypted or not.
    #[arg(long)]
    open: bool,

    /// The largest body, in KiB; larger ones are refused with 413.
    #[arg(long, value_name = "KIB", default_value_t = 1024, value_parser = positive)]
    max_body: usize,

    #[command(flatten)]
    shadow: ShadowArgs,

    #[command(flatten)]
    listen: ListenArgs,

    #[command(flatten)]
    audit_log: AuditLogArgs,

    #[command(flatten)]
    log: LogArgs,
}

impl AuthZenArgs {
    /// Says what is missing to listen at an address that others reach.
    fn check_exposure(&self) -> Result<(), Failure> {
        let address = self.listen.listen;
        if self.open || address.ip().is_loopback() {
            return Ok(());
        }
        if self.tls_cert.is_none() {
            return Err(Failure::input(format!("`{address}` is served with TLS alone"))
                .with_help("give `--tls-cert` and `--tls-key`; or `--open`, to serve anybody"));
        }
        if self.jwks.is_none() && self.client_ca.is_none() {
            let message = format!("`{address}` is served to callers that prove who they are");
            return Err(Failure::input(message).with_help(
                "give `--jwks` and `--audience`, or `--client-ca`; or `--open`, to serve anybody",
            ));
        }
        Ok(())
    }

    /// Returns the address as callers know it: where none is given, the one that is bound.
    fn public(&self, bound: SocketAddr) -> Result<PublicUrl, Failure> {
        let scheme = if self.tls_cert.is_some() { "https" } else { "http" };
        let url = match &self.public_url {
            Some(url) => url.clone(),
            None => format!("{scheme}://{bound}"),
        };
        PublicUrl::parse(&url).or_else(|error| match self.public_url {
            Some(_) => Err(Failure::input(error.to_string())),
            // An address without TLS, which is open by its flag: a proxy has the TLS.
            None => PublicUrl::parse(&format!("https://{bound}")).map_err(|error| {
                Failure::input(error.to_string()).with_help("give `--public-url`")
            }),
        })
    }

    fn protocol(
        &self,
        bound: SocketAddr,
        log: Option<Arc<DecisionLog>>,
    ) -> Result<AuthZen, Failure> {
        // Half of it, so that a change is in force when it was looked at three times, whatever is
        // being compiled.
        let wait = self.listen.reload_interval() / 2;
        let world = |policies, rule_paths| -> Result<WorldFiles, Failure> {
            Ok(WorldFiles {
                policies,
                rules: self.load.rule_files(rule_paths, wait)?,
                limits: self.load.limits()?,
                entities: self.entities.clone(),
                mapping: self.mapping.clone(),
            })
        };
        let loader = world(self.source.origin(&self.load)?, self.source.rule_paths())?;
        let mut options = AuthZenOptions::new(Box::new(loader), self.public(bound)?);
        if let Some(origin) = self.shadow.origin() {
            options.shadow = Some(Box::new(world(origin, self.shadow.shadow.clone())?));
        }
        if let (Some(jwks), Some(audience)) = (&self.jwks, &self.audience) {
            let (audience, issuer) = (audience.clone(), self.issuer.clone());
            options.tokens = Some((jwks.clone(), TokenRules { audience, issuer }));
        }
        options.log = log;
        options.body_bytes = self.max_body << 10;
        Ok(AuthZen::new(options))
    }
}

/// Serves until a signal says to stop.
pub(crate) fn run(args: &AuthZenArgs) -> Result<Ending, Failure> {
    args.check_exposure()?;
    args.log.start();
    let mut options = ServerOptions::new(args.listen.listen);
    if let (Some(certificate), Some(key)) = (&args.tls_cert, &args.tls_key) {
        options.tls = Some(tls_files(certificate, key, args.client_ca.as_ref()));
    }
    options.health_listen = args.listen.health_listen;
    options.reload_interval = args.listen.reload_interval();
    options.limits = args.listen.limits();
    options.await_first_load = true;
    options.log = args.audit_log.log()?;
    runtime()?.block_on(async {
        let signals = Signals::take()?;
        let address = args.listen.listen;
        let listening = TcpListener::bind(address).await;
        let listener =
            listening.map_err(|source| failure(ServeError::Listen { address, source }))?;
        let bound = listener.local_addr().unwrap_or(address);
        let protocol = Arc::new(args.protocol(bound, options.log.clone())?);
        let server = Server::on(listener, options, protocol).await.map_err(failure)?;
        let stop = signals.asked_to_stop(server.handle());
        server.run(stop).await.map_err(failure)
    })?;
    Ok(Ending::Done)
}
