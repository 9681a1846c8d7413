//! `stagedoor bundle`: a policy set in one file.

use std::path::PathBuf;

use clap::Args;
use stagedoor_source::{Bundle, PolicySet};

use crate::ending::Ending;
use crate::engine::LoadArgs;
use crate::failure::Failure;
use crate::input::Input;
use crate::output::Output;
use crate::platform::{PLATFORMS, Platform};

/// Write a directory of policies as one file.
///
/// Policies, schemas and permission files are taken, those below the directory too. Of custom
/// rules that guard policies the digests are taken: the bundle does not load with others. Nothing
/// is written unless the policies load. Backstage takes it as `permission.stagedoor.bundle`, and
/// every command as a path of policies.
#[derive(Debug, Args)]
pub(crate) struct BundleArgs {
    /// The directory.
    #[arg(value_name = "DIR")]
    directory: PathBuf,

    #[command(flatten)]
    load: LoadArgs,
}

/// Writes the bundle of a directory that loads, as the policies of one platform or as what they
/// are.
pub(crate) fn run(
    args: &BundleArgs,
    platform: Option<Platform>,
    output: &mut Output,
) -> Result<Ending, Failure> {
    let sources =
        args.load.sources(std::slice::from_ref(&args.directory), &[], &mut Input::default())?;
    let limits = args.load.limits()?;
    let sets = match platform {
        Some(platform) => vec![PolicySet::of(sources, &PLATFORMS, &[platform.name()], &limits)],
        None => PolicySet::all_within(sources, &PLATFORMS, &limits),
    };
    let [set] = <[PolicySet; 1]>::try_from(sets).map_err(|sets| {
        let names: Vec<&str> = sets.iter().flat_map(PolicySet::platforms).collect();
        Failure::input(format!("there are sets of several platforms: {}", names.join(", ")))
            .with_help("bundle the directory of each")
    })?;
    let loaded = args.load.build(set, output)?;
    let bundle = Bundle::of(loaded.set.sources(), &loaded.engine)?;
    output.line(bundle.to_json())?;
    let (count, revision) = (loaded.engine.policies().len(), loaded.engine.revision());
    output.remark(&format!("{count} policies, revision {revision}"));
    Ok(Ending::Done)
}
