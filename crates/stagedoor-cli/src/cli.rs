//! The command line as a whole.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::ending::UNUSABLE;
use crate::output::{Format, Output};
use crate::{
    access, audit, authorize, backstage, bundle, check, completions, demo, deploy, diff,
    distribution, explain, fleet, fmt, import, lint, list, man, manifest, prove, replay, report,
    serve, test, validate,
};

/// The commands that check: 1 says that something was found.
const CHECKS: [&str; 8] = ["test", "lint", "diff", "fmt", "prove", "replay", "verify", "fleet"];

/// Decide permissions by Cedar policies, and say why.
///
/// Stagedoor decides requests about entities of a Backstage catalog, about
/// Kubernetes, and about any other system that has a Cedar schema. Denied is what
/// no policy permits. Begin with `stagedoor demo`.
#[derive(Debug, Parser)]
#[command(name = "stagedoor", version, after_long_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,

    /// What to print: text for people, or JSON for programs.
    ///
    /// JSON goes to the standard output, failures included, one object a line; the
    /// README of the crate `stagedoor-cli` describes it. Colour is used on a terminal
    /// unless `NO_COLOR` is set.
    #[arg(long, global = true, value_enum, default_value_t = Format::Human)]
    format: Format,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  allowed; or the command did what it was asked, as with several requests at once
  1  failure: wrong arguments, unreadable input, policies that do not load;
     `test`, `lint`, `diff`, `fmt`, `prove`, `replay`, `verify`, `fleet`: a case failed,
     something was found
  2  denied; for these: what was given cannot be used
  3  conditional: `check backstage` without an entity, where it depends on the resource";

#[derive(Debug, Subcommand)]
enum Command {
    Authorize(authorize::AuthorizeArgs),
    Check(check::CheckArgs),
    Explain(Box<explain::ExplainArgs>),
    Validate(validate::ValidateArgs),
    Test(test::TestArgs),
    Lint(lint::LintArgs),
    List(Box<list::ListArgs>),
    Diff(Box<diff::DiffArgs>),
    Prove(prove::ProveArgs),
    Fmt(fmt::FmtArgs),
    Report(report::ReportArgs),
    Import(import::ImportArgs),
    Audit(audit::AuditArgs),
    Deploy(deploy::DeployArgs),
    WhoCan(access::WhoCanArgs),
    WhatCan(access::WhatCanArgs),
    Serve(Box<serve::ServeArgs>),
    Replay(replay::ReplayArgs),
    #[cfg(feature = "rules")]
    Rule(crate::rule::RuleArgs),
    /// Compile a rule that comes by the standard input: what `stagedoor` starts itself as.
    #[cfg(feature = "rules")]
    #[command(hide = true)]
    CompileRule,
    Backstage(backstage::BackstageArgs),
    Bundle(bundle::BundleArgs),
    Manifest(manifest::ManifestArgs),
    Sign(distribution::sign::SignArgs),
    Verify(distribution::verify::VerifyArgs),
    Push(Box<distribution::push::PushArgs>),
    Promote(distribution::promote::PromoteArgs),
    Pull(distribution::pull::PullArgs),
    Fleet(fleet::FleetArgs),
    Demo(demo::DemoArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

/// Runs the command that the arguments name.
pub(crate) fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody is left to tell if this cannot be printed.
            let _ = error.print();
            return match error.use_stderr() {
                false => ExitCode::SUCCESS,
                true if is_check() => ExitCode::from(UNUSABLE),
                // Not clap's own code, which is 2: that one says `denied` here.
                true => ExitCode::FAILURE,
            };
        }
    };
    let mut output = Output::new(cli.format);
    let ending = match cli.command {
        Command::Authorize(args) => authorize::run(&args, &mut output),
        Command::Check(args) => check::run(&args, &mut output),
        Command::Explain(args) => explain::run(&args, &mut output),
        Command::Validate(args) => validate::run(&args, &mut output),
        Command::Test(args) => test::run(&args, &mut output),
        Command::Lint(args) => lint::run(&args, &mut output),
        Command::List(args) => list::run(&args, &mut output),
        Command::Diff(args) => diff::run(&args, &mut output),
        Command::Prove(args) => prove::run(&args, &mut output),
        Command::Fmt(args) => fmt::run(&args, &mut output),
        Command::Report(args) => report::run(&args, &mut output),
        Command::Import(args) => import::run(&args, &mut output),
        Command::Deploy(args) => deploy::run(&args, &mut output),
        Command::Audit(args) => audit::run(&args, &mut output),
        Command::WhoCan(args) => access::who_can(&args, &mut output),
        Command::WhatCan(args) => access::what_can(&args, &mut output),
        Command::Serve(args) => serve::run(&args),
        Command::Replay(args) => replay::run(&args, &mut output),
        #[cfg(feature = "rules")]
        Command::Rule(args) => crate::rule::run(&args, &mut output),
        #[cfg(feature = "rules")]
        Command::CompileRule => crate::rules::host::compile(),
        Command::Backstage(args) => backstage::run(&args, &mut output),
        Command::Bundle(args) => bundle::run(&args, None, &mut output),
        Command::Manifest(args) => manifest::run(&args, &mut output),
        Command::Sign(args) => distribution::sign::run(&args, &mut output),
        Command::Verify(args) => distribution::verify::run(&args, &mut output),
        Command::Push(args) => distribution::push::run(&args, &mut output),
        Command::Promote(args) => distribution::promote::run(&args, &mut output),
        Command::Pull(args) => distribution::pull::run(&args, &mut output),
        Command::Fleet(args) => fleet::run(&args, &mut output),
        Command::Demo(_) => demo::run(&mut output),
        Command::Completions(args) => completions::run(&args, Cli::command(), &mut output),
        Command::Man(args) => man::run(&args, Cli::command(), &mut output),
    };
    let ending = ending.and_then(|ending| output.flush().map(|()| ending));
    match ending {
        Ok(ending) => ending.into(),
        Err(failure) => {
            output.failure(&failure);
            ExitCode::FAILURE
        }
    }
}

/// Returns whether the arguments, wrong as they are, name a command that checks.
fn is_check() -> bool {
    let parsed = Cli::command().ignore_errors(true).try_get_matches();
    parsed.is_ok_and(|args| args.subcommand_name().is_some_and(|name| CHECKS.contains(&name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_declared_without_contradiction() {
        Cli::command().debug_assert();
    }
}
