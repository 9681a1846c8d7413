//! `stagedoor manifest`: what a policy set consists of, to pin it.

use std::path::PathBuf;

use clap::Args;
use stagedoor_source::{MANIFEST_NAME, Manifest, PolicySources, RealFileSystem};

use crate::ending::Ending;
use crate::failure::Failure;
use crate::input::{Input, unreadable};
use crate::load::LoadArgs;
use crate::output::Output;

/// Write down what a directory of policies consists of: names, digests and counts.
///
/// Where the manifest is required (`--require-manifest`), nothing else is ever in force: no file
/// that is missing or cut short, and none more. What lies in the directory must be readable as a
/// whole.
#[derive(Debug, Args)]
pub(crate) struct ManifestArgs {
    /// The directory.
    #[arg(value_name = "DIR")]
    directory: PathBuf,

    /// Write it to `stagedoor.manifest.json` in the directory, instead of printing it.
    #[arg(long)]
    write: bool,
}

pub(crate) fn run(args: &ManifestArgs, output: &mut Output) -> Result<Ending, Failure> {
    let name = Input::name(&args.directory);
    let failed = |e: std::io::Error| unreadable(&name, &e);
    if !std::fs::metadata(&args.directory).map_err(failed)?.is_dir() {
        return Err(Failure::input(format!("`{name}` is not a directory")));
    }
    let limits = LoadArgs::default().limits()?;
    let directories = [&args.directory];
    let sources = PolicySources::read(&RealFileSystem, &directories, &limits);
    // The manifest that is to be written may differ from the one that is there.
    let about_others = |code: &str| !code.starts_with("manifest::");
    let problems = sources.problems().iter().filter(|problem| about_others(problem.code()));
    let problems: Vec<_> = problems.cloned().collect();
    if problems.iter().any(|problem| problem.severity() == stagedoor_core::Severity::Error) {
        return Err(stagedoor_core::LoadError::of(problems).into());
    }
    problems.iter().for_each(|warning| output.warning(warning));
    let manifest = Manifest::of(&RealFileSystem, &args.directory, sources.files(), sources.rules())
        .map_err(|problem| stagedoor_core::LoadError::of(vec![*problem]))?;
    if !args.write {
        output.bytes(manifest.to_json().as_bytes())?;
        return Ok(Ending::Done);
    }
    let path = args.directory.join(MANIFEST_NAME);
    crate::fmt::replace(&path, &manifest.to_json())
        .map_err(|e| Failure::input(format!("`{}` cannot be written: {e}", path.display())))?;
    output.remark(&format!("{} lists {} files", path.display(), manifest.count()));
    Ok(Ending::Done)
}
