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
    let MutantCounts { survived, undecided, timeout, .. } = mutation.counts();
    if timeout > 0 {
        let told = format!("{timeout} mutants are not settled: give more time with `--budget`");
        output.complaint(&told);
    }
    if mutation.mutants.is_empty() {
        output.complaint("there is no mutant: the policies have nothing to change");
    }
    let is_shown = survived + undecided + timeout == 0 && !mutation.mutants.is_empty();
    Ok(!is_shown)
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
    let share = coverage.of_clauses();
    match args.min_coverage {
        Some(least) if share.percent() < least => {
            // Counts, since a share that is rounded can look like the one that was asked for.
            let told = format!(
                "{} of {} clauses are covered ({:.2} %), less than {least} %",
                share.reached,
                share.all,
                share.percent()
            );
            output.complaint(&told);
            Ok(false)
        }
        _ => Ok(true),
    }
}

fn json(coverage: &Coverage) -> Result<String, Failure> {
    serde_json::to_string_pretty(coverage)
        .map_err(|e| Failure::input(format!("the coverage cannot be written: {e}")))
}
