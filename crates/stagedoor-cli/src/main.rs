//! The `stagedoor` command: decisions, explanations and checks of Cedar policies.

mod access;
mod audit;
mod authorize;
mod backstage;
mod built_in_roles;
mod bundle;
mod check;
mod cli;
mod completions;
mod demo;
mod deploy;
mod diff;
mod distribution;
mod ending;
mod explain;
mod failure;
mod fleet;
mod fmt;
mod granted;
mod import;
mod input;
mod lint;
mod list;
mod load;
mod log_args;
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
#[cfg(feature = "rules")]
mod rule;
mod rules;
mod serve;
mod settings;
mod table;
mod test;
mod validate;

use std::process::ExitCode;

use stagedoor_terminal as terminal;

fn main() -> ExitCode {
    cli::run()
}
