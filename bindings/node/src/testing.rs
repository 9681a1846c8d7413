//! Tests of policies, run for a test runner of JavaScript.

use std::path::PathBuf;

use napi::Env;
use napi_derive::napi;
use serde::Serialize;
use stagedoor_testing::{CaseReport, CaseResult, Options, TestSuite, format};

use crate::failure::{Failure, Result};

/// One case as `testing.js` reads it.
#[derive(Serialize)]
struct Case<'a> {
    file: String,
    suite: Option<&'a str>,
    name: &'a str,
    line: u64,
    /// What differs from what was expected, a line each.
    failures: Vec<String>,
}

/// Runs the tests of policies: `*.test.yaml` files, or all below directories. Returns a JSON
/// array of all cases, each with `file`, `suite`, `name`, `line` and `failures`.
///
/// `runPolicyTests` of `@stagedoor/node/testing` makes tests of them. Throws if test files,
/// policies or fixtures cannot be used.
#[napi(catch_unwind)]
pub fn run_policy_test_files(env: Env, paths: Vec<String>) -> napi::Result<String> {
    run(paths).map_err(|failure| failure.thrown(&env))
}

fn run(paths: Vec<String>) -> Result<String> {
    let paths: Vec<PathBuf> = paths.into_iter().map(PathBuf::from).collect();
    let report = TestSuite::load(&paths)?.run(&Options::default());
    let files = report.files.iter();
    let cases: Vec<Case<'_>> = files
        .flat_map(|file| file.cases.iter().map(|case| of(file.path.display().to_string(), case)))
        .collect();
    serde_json::to_string(&cases).map_err(|e| Failure::new("tests::report", e.to_string()))
}

fn of(file: String, case: &CaseReport) -> Case<'_> {
    let failures = match &case.result {
        CaseResult::Passed => Vec::new(),
        CaseResult::Failed(failures) => failures.iter().flat_map(format::failure).collect(),
        CaseResult::NotRun => vec!["the case was not run".to_owned()],
    };
    let suite = case.suite.as_deref();
    Case { file, suite, name: &case.name, line: case.line, failures }
}
