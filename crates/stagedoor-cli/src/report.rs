//! `stagedoor report`: what policies let whom do, on one page.

use std::path::PathBuf;

use clap::Args;
use stagedoor_core::Engine;
use stagedoor_review::Policies;
use stagedoor_review::lint::{LintReport, Linter};
use stagedoor_review::report::{AccessMatrix, AccessReport, PolicyReach};
use stagedoor_testing::Options;

use crate::ending::Ending;
use crate::failure::Failure;
use crate::load::LoadArgs;
use crate::output::Output;
use crate::review::{catalog, catalog_entities, policies, suite};

/// Write who may do what, as one page of HTML.
///
/// Groups by permissions of Backstage, groups by verbs of Kubernetes, or principals by actions, with
/// the policies behind each cell and what the linter finds. The page is one file that loads nothing.
/// With `--format json` and without `--html`, the grids are printed instead.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Policies and schemas: files or directories. The schema of Backstage or Kubernetes that
    /// ships is added where they bring none.
    #[arg(value_name = "PATH", default_value = ".")]
    paths: Vec<PathBuf>,

    #[command(flatten)]
    load: LoadArgs,

    /// The file to write, `-` for the standard output.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// Catalog files of Backstage: their groups get rows, and are members of those above them.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    catalog: Vec<PathBuf>,

    /// What the page is called.
    #[arg(long, value_name = "TEXT", default_value = "Who may do what")]
    title: String,
}

pub(crate) fn run(args: &ReportArgs, output: &mut Output) -> Result<Ending, Failure> {
    if args.html.is_none() && !output.is_json() {
        return Err(Failure::input("`--html FILE` is missing")
            .with_help("or ask for the grids with `--format json`"));
    }
    let sets = policies(&args.paths, &args.load, output)?;
    let catalog = catalog(&args.catalog)?;
    let mut known = catalog_entities(&catalog);
    let suite = suite(&args.paths, &sets.iter().collect::<Vec<_>>(), output);
    if let Some(suite) = &suite {
        let uids: std::collections::HashSet<_> = known.iter().map(|e| e.uid.clone()).collect();
        known.extend(suite.entities().filter(|entity| !uids.contains(&entity.uid)));
    }
    let matrices: Vec<AccessMatrix> =
        sets.iter().flat_map(|policies| AccessMatrix::of(policies, &known)).collect();
    let Some(path) = &args.html else {
        output.json(&matrices)?;
        return Ok(Ending::Done);
    };
    let lint = |policies: &Policies| {
        let linter = Linter::new(&policies.engine);
        linter.with_permissions(policies.permissions.clone()).with_entities(known.clone()).run()
    };
    let lint = sets.iter().map(lint).reduce(LintReport::and).unwrap_or_default();
    let engines: Vec<&Engine> = sets.iter().map(|policies| &policies.engine).collect();
    let coverage = suite.and_then(|suite| suite.coverage(&Options::default()).ok());
    let coverage = coverage.as_ref().map(PolicyReach::of);
    let page = AccessReport {
        title: &args.title,
        engines: &engines,
        matrices: &matrices,
        lint: &lint,
        coverage: coverage.as_deref(),
    }
    .html();
    if crate::input::is_stdin(path) {
        output.bytes(page.as_bytes())?;
        return Ok(Ending::Done);
    }
    std::fs::write(path, page)
        .map_err(|e| Failure::input(format!("`{}` cannot be written: {e}", path.display())))?;
    Ok(Ending::Done)
}
