//! `stagedoor check`: requests in a platform's own words.

pub(crate) mod backstage;
mod conditions;
pub(crate) mod kubernetes;

use clap::{Args, Subcommand};

use crate::ending::Ending;
use crate::failure::Failure;
use crate::output::Output;

/// Decide requests in the words of Backstage or Kubernetes.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(subcommand)]
    platform: CheckPlatform,
}

#[derive(Debug, Subcommand)]
enum CheckPlatform {
    Backstage(backstage::BackstageArgs),
    Kubernetes(kubernetes::KubernetesArgs),
}

pub(crate) fn run(args: &CheckArgs, output: &mut Output) -> Result<Ending, Failure> {
    match &args.platform {
        CheckPlatform::Backstage(args) => backstage::answer(args, output, false),
        CheckPlatform::Kubernetes(args) => kubernetes::answer(args, output, false),
    }
}
