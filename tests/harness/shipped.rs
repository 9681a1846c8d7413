//! The policies that ship: every clause is covered, and no mutant survives.

use std::time::Duration;

use anyhow::{Result, ensure};
use stagedoor_testing::coverage::ClauseState;
use stagedoor_testing::{Options, TestSuite, coverage, mutation};

use crate::place::{repository, run};

fn is_covered(directory: &str) -> Result<()> {
    let suite = TestSuite::load(&[repository(directory)])?;
    let (report, failures) = run(&suite);
    ensure!(report.passed(), "{failures}");

    let options = Options::default();
    let covered = suite.coverage(&options)?;
    let told = coverage::text(&covered).join("\n");
    let (policies, clauses) = (covered.of_policies(), covered.of_clauses());
    ensure!(policies.reached == policies.all && policies.all > 0, "{told}");
    ensure!(clauses.reached == clauses.all && clauses.all > 40, "{told}");
    // What is excused has a reason, and needs it.
    let clauses = covered.policies.iter().flat_map(|policy| &policy.clauses);
    let excused = clauses.filter(|clause| matches!(clause.state, ClauseState::Excused(_)));
    ensure!(excused.count() <= 5, "{told}");
    assert_eq!(covered.unused_suppressions, []);

    let mutants = suite.mutate(&options, Duration::from_secs(600))?;
    let told = mutation::text(&mutants).join("\n");
    assert_eq!(mutants.unused_suppressions, []);
    let counts = mutants.counts();
    ensure!(counts.survived == 0 && counts.timeout == 0 && counts.killed > 100, "{told}");
    Ok(())
}

#[test]
fn those_for_backstage() -> Result<()> {
    is_covered("policies/backstage")
}

#[test]
fn those_for_kubernetes() -> Result<()> {
    is_covered("policies/kubernetes")
}
