//! `stagedoor explain`: a decision with what every policy in question says.

use clap::{Args, Subcommand};

use crate::authorize::{self, AuthorizeArgs};
use crate::check::{backstage, kubernetes};
use crate::ending::Ending;
use crate::failure::Failure;
use crate::output::Output;

/// Decide as `authorize` and `check` do, and say why.
///
/// Names every policy whose scope fits the request, with the clause that does not hold,
/// and under a denial the permits that came nearest. Arguments and exit codes are those of
/// `authorize`, `check backstage` and `check kubernetes`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(arg_required_else_help = true)]
pub(crate) struct ExplainArgs {
    #[command(subcommand)]
    about: Option<ExplainCommand>,

    #[command(flatten)]
    request: AuthorizeArgs,
}

#[derive(Debug, Subcommand)]
enum ExplainCommand {
    Authorize(AuthorizeArgs),
    Backstage(backstage::BackstageArgs),
    Kubernetes(kubernetes::KubernetesArgs),
}

pub(crate) fn run(args: &ExplainArgs, output: &mut Output) -> Result<Ending, Failure> {
    match &args.about {
        Some(ExplainCommand::Backstage(args)) => backstage::answer(args, output, true),
        Some(ExplainCommand::Kubernetes(args)) => kubernetes::answer(args, output, true),
        Some(ExplainCommand::Authorize(args)) => authorize::answer(args, output, true),
        None => authorize::answer(&args.request, output, true),
    }
}
