//! `stagedoor bundle`: a policy set in one file.

use std::path::{Path, PathBuf};

use clap::Args;
use stagedoor_core::{Limits, count_of};
use stagedoor_source::{Bundle, FileKind, Listing, PolicySet, RealFileSystem};
use stagedoor_testing::TestSuite;

use crate::ending::Ending;
use crate::failure::Failure;
use crate::input::{Input, unreadable};
use crate::load::{LoadArgs, LoadedPolicies};
use crate::output::Output;
use crate::platform::{PLATFORMS, Platform};
use crate::rules::{self, RulePlaces};

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

    /// Ship the custom rules that guard its policies with it, and their limits.
    #[arg(long)]
    ship_rules: bool,

    /// Ship the tests of the directory with it, and the files that they name.
    #[arg(long)]
    tests: bool,

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
    let loaded = loaded(&args.directory, platform, &args.load, output)?;
    let mut bundle = Bundle::of(loaded.set.sources(), &loaded.engine)?;
    if args.ship_rules {
        bundle = with_rules(bundle, &loaded, &args.load)?;
    }
    if args.tests {
        bundle = with_tests(bundle, &args.directory, &args.load)?.0;
    }
    output.line(bundle.to_json())?;
    let count = count_of(loaded.engine.policies().len(), "policy", "policies");
    output.remark(&format!("{count}, revision {}", loaded.engine.revision()));
    Ok(Ending::Done)
}

/// Returns the bundle of a directory that loads, with the rules that guard its policies; with its
/// tests, if there are to be any.
pub(crate) fn bundle_of(
    directory: &Path,
    tests: bool,
    load: &LoadArgs,
    output: &mut Output,
) -> Result<(Bundle, Option<TestSuite>), Failure> {
    let loaded = loaded(directory, None, load, output)?;
    let bundle = Bundle::of(loaded.set.sources(), &loaded.engine)?;
    let bundle = with_rules(bundle, &loaded, load)?;
    match tests {
        true => with_tests(bundle, directory, load),
        false => Ok((bundle, None)),
    }
}

fn loaded(
    directory: &Path,
    platform: Option<Platform>,
    load: &LoadArgs,
    output: &Output,
) -> Result<LoadedPolicies, Failure> {
    let sources = load.sources(&[directory.to_owned()], &[], &mut Input::default())?;
    let limits = load.limits()?;
    let sets = match platform {
        Some(platform) => vec![PolicySet::of(sources, &PLATFORMS, &[platform.name()], &limits)],
        None => PolicySet::all_within(sources, &PLATFORMS, &limits),
    };
    let [set] = <[PolicySet; 1]>::try_from(sets).map_err(|sets| {
        let names: Vec<&str> = sets.iter().flat_map(PolicySet::platforms).collect();
        Failure::input(format!("there are sets of several platforms: {}", names.join(", ")))
            .with_help("bundle the directory of each")
    })?;
    load.build(set, output)
}

/// Adds the rules that guard policies, if there are any, and their limits.
fn with_rules(bundle: Bundle, loaded: &LoadedPolicies, load: &LoadArgs) -> Result<Bundle, Failure> {
    if bundle.rules().next().is_none() {
        return Ok(bundle);
    }
    let beside = loaded.set.sources().rules();
    let mut components = Vec::new();
    for rule in rules::components(&load.rules, beside) {
        for path in [rule.clone(), rule.with_extension("limits.json")] {
            if path != rule && !path.exists() {
                continue;
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let bytes = std::fs::read(&path).map_err(|error| unreadable(&name, &error))?;
            components.push((name, bytes));
        }
    }
    Ok(bundle.with_components(components)?)
}

/// Adds the tests of a directory to its bundle, if there are any.
fn with_tests(
    bundle: Bundle,
    directory: &Path,
    load: &LoadArgs,
) -> Result<(Bundle, Option<TestSuite>), Failure> {
    let root = std::fs::canonicalize(directory)
        .map_err(|error| unreadable(&directory.display().to_string(), &error))?;
    if !has_tests(&root) {
        return Ok((bundle, None));
    }
    let rules = rules::load(
        RulePlaces {
            named: &load.rules,
            found: &rules::below([&root]),
            policies: std::slice::from_ref(&root),
        },
        &load.rule_host,
    )?;
    let builder = TestSuite::builder().tests([&root]).limits(load.limits()?);
    let suite = rules.into_iter().fold(builder, |builder, rules| builder.rules(rules)).build();
    let suite = suite.map_err(|error| Failure::input(error.to_string()))?;
    let mut tests = Vec::new();
    for path in suite.sources().iter().filter(|path| path.is_file()) {
        let real = std::fs::canonicalize(path);
        let real = real.map_err(|error| unreadable(&path.display().to_string(), &error))?;
        let name = real.strip_prefix(&root).map_err(|_| {
            Failure::input(format!("a test names `{}`, which is not in the set", path.display()))
                .with_help("let what tests name stand in the directory of the set")
        })?;
        let name = name.to_string_lossy().replace('\\', "/");
        if bundle.files().all(|(file, _)| file != name) {
            tests.push((name, Input::default().text(&real, Limits::default().file_bytes)?));
        }
    }
    Ok((bundle.with_tests(tests)?, Some(suite)))
}

/// Returns whether there is a test file at or below a directory.
fn has_tests(root: &Path) -> bool {
    let listing = Listing::of(&RealFileSystem, root);
    listing.files.iter().any(|file| file.kind == FileKind::Tests)
}
