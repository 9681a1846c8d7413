//! What a run of tests found.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

/// The results of all cases.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The test files.
    pub files: Vec<FileReport>,
    /// How long loading policies and fixtures took.
    #[serde(skip)]
    pub load: Duration,
    /// How long deciding took.
    #[serde(skip)]
    pub run: Duration,
}

/// The results of one test file.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct FileReport {
    /// The test file.
    pub path: PathBuf,
    /// Its cases, in their order.
    pub cases: Vec<CaseReport>,
}

/// The result of one case, one cell of a table, or one invariant.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct CaseReport {
    /// The suite that it belongs to.
    pub suite: Option<String>,
    /// Its name.
    pub name: String,
    /// Its line in the test file, from 1.
    pub line: u64,
    /// Its column, from 1.
    pub column: u64,
    /// How many requests it decided.
    pub requests: usize,
    /// How long that took.
    #[serde(skip)]
    pub time: Duration,
    /// How it ended.
    pub result: CaseResult,
}

/// How a case ended.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CaseResult {
    /// As expected.
    Passed,
    /// Otherwise, with the requests that came out so: all of a case, the first few of an
    /// invariant.
    Failed(Vec<Failure>),
    /// Left out, since an earlier case failed.
    NotRun,
}

/// One request that did not come out as expected.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct Failure {
    /// What was asked, where the name of the case does not say it.
    pub request: Option<String>,
    /// What differs from what was expected, a line each.
    pub differences: Vec<String>,
    /// The policies that determined the decision.
    pub determined_by: Vec<PolicyPlace>,
    /// Where nothing permitted the request: the permits that came nearest, and why not.
    pub nearest: Vec<NearPolicy>,
    /// Policies that could not be evaluated, and why.
    pub errors: Vec<PolicyMessage>,
    /// What custom rules said of the policies that they guard.
    pub guards: Vec<GuardMessage>,
    /// A command that explains the decision.
    pub explain: Option<String>,
}

/// Where a policy stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PolicyPlace {
    /// Its id.
    pub policy: String,
    /// Its file.
    pub file: String,
    /// Its line, from 1.
    pub line: Option<usize>,
}

/// A policy that could not be evaluated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PolicyMessage {
    /// Its id.
    pub policy: String,
    /// What Cedar says.
    pub message: String,
}

/// What a custom rule said of a policy that it guards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct GuardMessage {
    /// The policy's id.
    pub policy: String,
    /// The rule's name.
    pub rule: String,
    /// What it said, and why.
    pub verdict: String,
}

/// A permit that is not satisfied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct NearPolicy {
    /// Its id.
    pub policy: String,
    /// The clauses that do not hold.
    pub clauses: Vec<ClausePlace>,
}

/// A clause that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ClausePlace {
    /// The clause as Cedar text.
    pub text: String,
    /// Its file.
    pub file: String,
    /// Its line, from 1.
    pub line: Option<usize>,
    /// Its column, from 1.
    pub column: Option<usize>,
}

/// How many cases ended which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Counts {
    /// As expected.
    pub passed: usize,
    /// Otherwise.
    pub failed: usize,
    /// Left out.
    pub not_run: usize,
}

impl Report {
    /// Returns how many cases ended which way.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for case in self.cases() {
            match case.result {
                CaseResult::Passed => counts.passed += 1,
                CaseResult::Failed(_) => counts.failed += 1,
                CaseResult::NotRun => counts.not_run += 1,
            }
        }
        counts
    }

    /// Returns all cases.
    pub fn cases(&self) -> impl Iterator<Item = &CaseReport> {
        self.files.iter().flat_map(|file| &file.cases)
    }

    /// Returns whether every case was run and came out as expected.
    #[must_use]
    pub fn passed(&self) -> bool {
        let Counts { failed, not_run, .. } = self.counts();
        failed == 0 && not_run == 0
    }
}
