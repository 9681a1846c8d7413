//! The `stagedoor` command: decisions, explanations and checks of Cedar policies.

mod access;
mod audit;
mod authorize;
mod backstage;
mod bundle;
mod check;
mod cli;
mod completions;
mod demo;
mod deploy;
mod diff;
mod distribution;
mod ending;
mod engine;
mod explain;
mod failure;
mod fleet;
mod fmt;
mod import;
mod input;
mod lint;
mod list;
mod man;
mod manifest;
mod manifests;
mod narrative;
mod output;
mod platform;
mod prove;
mod replay;
mod report;
mod requests;
mod review;
mod roles;
#[cfg(feature = "rules")]
mod rule;
mod rules;
mod serve;
mod settings;
mod table;
mod terminal;
mod test;
mod validate;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
