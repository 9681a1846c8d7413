//! `stagedoor completions`: what a shell needs to complete arguments.

use clap::{Args, Command};
use clap_complete::Shell;

use crate::ending::Ending;
use crate::failure::Failure;
use crate::output::Output;

/// Print a script that makes a shell complete stagedoor's arguments.
///
/// For bash: `stagedoor completions bash > ~/.local/share/bash-completion/completions/stagedoor`
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

pub(crate) fn run(
    args: &CompletionsArgs,
    mut command: Command,
    output: &mut Output,
) -> Result<Ending, Failure> {
    // To memory first: the generator panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "stagedoor", &mut script);
    output.bytes(&script)?;
    Ok(Ending::Done)
}
