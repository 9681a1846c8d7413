//! How good the tests are: coverage and mutants, for whoever asked.

use std::path::PathBuf;

use stagedoor_testing::mutation::MutantCounts;
use stagedoor_testing::{Coverage, Mutation, coverage, mutation};

use super::{CoverageFormat, TestArgs};
use crate::failure::Failure;
use crate::output::Output;
use crate::terminal::{line, printable};

/// Tells of mutants; returns whether one survived, or was not settled or decided: what was not found
/// out is not known to be noticed.
pub(super) fn tell_mutation(
    args: &TestArgs,
    mutation: &Mutation,
    output: &mut Output,
) -> Result<bool, Failure> {
    if args.is_for_people(output) {
        for text in mutation::text(mutation) {
            output.line(format_args!("{}", printable(&text)))?;
        }
    }
    let MutantCounts { timeout, .. } = mutation.counts();
    if timeout > 0 {
        let told = format!("{timeout} mutants are not settled: give more time with `--budget`");
        output.complaint(&told);
    }
    let short = mutation.shortfalls();
    if let (true, Some(none)) = (mutation.mutants.is_empty(), short.first()) {
        output.complaint(&none.title);
    }
    Ok(!short.is_empty())
}

/// Tells of coverage; returns whether it is enough.
pub(super) fn tell_coverage(
    args: &TestArgs,
    coverage: &Coverage,
    output: &mut Output,
) -> Result<bool, Failure> {
    let (name, text) = match args.coverage {
        Some(CoverageFormat::Json) => ("coverage.json", json(coverage)?),
        Some(CoverageFormat::Lcov) => ("lcov.info", coverage::lcov(coverage)),
        Some(CoverageFormat::Html) => ("coverage.html", coverage::html(coverage)),
        Some(CoverageFormat::Text) | None => ("", String::new()),
    };
    let for_people = args.is_for_people(output);
    if !name.is_empty() {
        let path = args.coverage_file.clone().unwrap_or_else(|| PathBuf::from(name));
        std::fs::write(&path, text)
            .map_err(|e| Failure::input(format!("`{}` cannot be written: {e}", path.display())))?;
        if for_people {
            output.line(format_args!("coverage is in {}", line(&path.display().to_string())))?;
        }
    } else if for_people {
        for text in coverage::text(coverage) {
            output.line(format_args!("{}", line(&text)))?;
        }
    }
    let short = args.min_coverage.map(|least| coverage.shortfalls(least)).unwrap_or_default();
    if let Some(all) = short.first() {
        output.complaint(&all.title);
    }
    Ok(short.is_empty())
}

fn json(coverage: &Coverage) -> Result<String, Failure> {
    serde_json::to_string_pretty(coverage)
        .map_err(|e| Failure::input(format!("the coverage cannot be written: {e}")))
}
