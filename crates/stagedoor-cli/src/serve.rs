//! `stagedoor serve`: servers that answer by policies until they are told to stop.

mod allocator;
mod audit_log;
mod authzen;
mod kubernetes;
pub(crate) mod options;
mod signals;
pub(crate) mod world;

use clap::{Args, Subcommand};
use stagedoor_server::ServeError;

use crate::ending::Ending;
use crate::failure::Failure;

/// Serve decisions to a platform.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    #[command(subcommand)]
    platform: Platform,
}

#[derive(Debug, Subcommand)]
enum Platform {
    Kubernetes(Box<kubernetes::KubernetesArgs>),
    #[command(name = "authzen")]
    AuthZen(Box<authzen::AuthZenArgs>),
}

/// Serves until a signal says to stop.
pub(crate) fn run(args: &ServeArgs) -> Result<Ending, Failure> {
    allocator::bound();
    match &args.platform {
        Platform::Kubernetes(args) => kubernetes::run(args),
        Platform::AuthZen(args) => authzen::run(args),
    }
}

/// Returns what the server's connections run on.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Runtime::new()
        .map_err(|e| Failure::input(format!("the server cannot be started: {e}")))
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
