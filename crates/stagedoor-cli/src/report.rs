//! `stagedoor report`: what policies let whom do, on one page.

use std::path::PathBuf;

use clap::Args;
use stagedoor_review::lint::Linter;
use stagedoor_review::report::{AccessMatrix, AccessReport, PolicyReach};
use stagedoor_testing::Options;

use crate::cli::Ending;
use crate::failure::Failure;
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
    let policies = policies(&args.paths)?;
    let catalog = catalog(&args.catalog)?;
    let mut known = catalog_entities(&catalog);
    let suite = suite(&args.paths, output);
    if let Some(suite) = &suite {
        let uids: std::collections::HashSet<_> = known.iter().map(|e| e.uid.clone()).collect();
        known.extend(suite.entities().filter(|entity| !uids.contains(&entity.uid)));
    }
    let matrices = AccessMatrix::of(&policies, &known);
    let Some(path) = &args.html else {
        output.json(&matrices)?;
        return Ok(Ending::Done);
    };
    let lint = Linter::new(&policies.engine)
        .with_permissions(policies.permissions.clone())
        .with_entities(known)
        .run();
    let coverage = suite.and_then(|suite| suite.coverage(&Options::default()).ok());
    let coverage = coverage.as_ref().map(PolicyReach::of);
    let page = AccessReport {
        title: &args.title,
        engine: &policies.engine,
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
