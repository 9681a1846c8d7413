//! Typical mistakes in policies: a table says what points at each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use stagedoor_core::{Engine, Limits};
use stagedoor_review::Policies;
use stagedoor_review::diff::{Comparison, format::markdown};
use stagedoor_review::lint::{Linter, format};
use stagedoor_source::{PolicySources, RealFileSystem};
use stagedoor_testing::{Options, TestSuite, coverage, mutation};

use crate::place::{repository, run};

const CASES: &str = "tests/cases/mistakes";

/// A row of the table.
struct Mistake {
    caught_by: String,
    says: String,
}

fn table() -> Result<BTreeMap<String, Mistake>> {
    let text = std::fs::read_to_string(repository(CASES).join("README.md"))?;
    let rows = text.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let mut table = BTreeMap::new();
    for row in rows.filter(|row| !row.starts_with("folder ")) {
        // Where a cell has a bar, it is escaped.
        let row = row.replace("\\|", "\u{0}");
        let cells: Vec<String> = row.split(" | ").map(|cell| cell.replace('\u{0}', "|")).collect();
        let [folder, _, caught_by, says] = cells.as_slice() else { bail!("{row}: four cells") };
        let says = says.trim_matches('`').to_owned();
        let mistake = Mistake { caught_by: caught_by.clone(), says };
        ensure!(table.insert(folder.clone(), mistake).is_none(), "{folder} is there twice");
    }
    Ok(table)
}

/// The files of a folder's policies, with the schema of the right ones.
fn policies(folder: &Path) -> Vec<PathBuf> {
    vec![folder.join("app.cedar"), repository(CASES).join("right/app.cedarschema")]
}

fn engine(folder: &Path) -> Result<Engine> {
    let limits = Limits::default();
    let sources = PolicySources::read(&RealFileSystem, &policies(folder), &limits);
    let set = Policies::all(sources, None, &limits)?.into_iter().next();
    Ok(set.context("there is no set")?.engine)
}

/// The tests of the right policies, for others.
fn right_tests(folder: &Path) -> Result<TestSuite> {
    let tests = repository(CASES).join("right/app.test.yaml");
    Ok(TestSuite::builder().tests([tests]).policies(policies(folder)).build()?)
}

/// Runs the tests of the right policies with others.
fn tests(folder: &Path) -> Result<String> {
    let (report, failures) = run(&right_tests(folder)?);
    ensure!(!report.passed(), "nothing fails");
    Ok(failures)
}

fn lint(folder: &Path) -> Result<String> {
    let engine = engine(folder)?;
    let linter = Linter::new(&engine).with_entities(right_tests(folder)?.entities());
    Ok(format::github(&linter.run()))
}

fn diff(folder: &Path) -> Result<String> {
    let space = right_tests(folder)?.space(10_000);
    let (old, new) = (engine(&repository(CASES).join("right"))?, engine(folder)?);
    Ok(markdown(&Comparison::of(&old, &new, &space.requests), None, 10))
}

/// Loads a folder's own tests, which pass.
fn own_tests(folder: &Path) -> Result<TestSuite> {
    let suite = TestSuite::load(&[folder.to_owned()])?;
    let (report, failures) = run(&suite);
    ensure!(report.passed(), "{failures}");
    Ok(suite)
}

fn what_is_said(caught_by: &str, folder: &Path) -> Result<String> {
    let options = Options::default();
    match caught_by {
        "tests" => tests(folder),
        "lint" => lint(folder),
        "diff" => diff(folder),
        "coverage" => Ok(coverage::text(&own_tests(folder)?.coverage(&options)?).join("\n")),
        "mutation" => {
            let mutants = own_tests(folder)?.mutate(&options, Duration::from_secs(600))?;
            Ok(mutation::text(&mutants).join("\n"))
        }
        other => bail!("`{other}` is no tool"),
    }
}

#[test]
fn each_is_caught_by_what_the_table_says() -> Result<()> {
    for (name, mistake) in table()? {
        let folder = repository(CASES).join(&name);
        let said = what_is_said(&mistake.caught_by, &folder).with_context(|| name.clone())?;
        ensure!(said.contains(&mistake.says), "{name}: `{}` is not in\n{said}", mistake.says);
    }
    Ok(())
}

#[test]
fn each_has_a_row() -> Result<()> {
    let mut folders: Vec<String> = std::fs::read_dir(repository(CASES))?
        .filter_map(|entry| entry.ok().filter(|entry| entry.path().is_dir()))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name != "right")
        .collect();
    folders.sort();
    assert_eq!(folders, table()?.into_keys().collect::<Vec<_>>());
    Ok(())
}

#[test]
fn what_is_right_passes_with_every_clause_and_no_survivor() -> Result<()> {
    let suite = own_tests(&repository(CASES).join("right"))?;
    let options = Options::default();
    let covered = suite.coverage(&options)?;
    let clauses = covered.of_clauses();
    assert_eq!(clauses.reached, clauses.all, "{}", coverage::text(&covered).join("\n"));
    let mutants = suite.mutate(&options, Duration::from_secs(600))?;
    assert_eq!(mutants.counts().survived, 0, "{}", mutation::text(&mutants).join("\n"));
    Ok(())
}
