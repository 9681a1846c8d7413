//! `stagedoor man`: manual pages.

use std::path::PathBuf;

use clap::{Args, Command};

use crate::ending::Ending;
use crate::failure::Failure;
use crate::output::Output;

/// Print the manual page, or write one for each subcommand into a directory.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Write `stagedoor.1`, `stagedoor-authorize.1` and so on into this directory.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(crate) fn run(
    args: &ManArgs,
    command: Command,
    output: &mut Output,
) -> Result<Ending, Failure> {
    let Some(directory) = &args.out else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page).map_err(Failure::Output)?;
        output.bytes(&page)?;
        return Ok(Ending::Done);
    };
    std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(command, directory))
        .map_err(|e| Failure::input(format!("`{}`: {e}", directory.display())))?;
    Ok(Ending::Done)
}
