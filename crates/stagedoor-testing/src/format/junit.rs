//! JUnit's XML, which CI servers show.

use quick_junit::{NonSuccessKind, Report as Junit, TestCase, TestCaseStatus, TestSuite};

use stagedoor_core::{printable, single_line};

use crate::format::failure;
use crate::problem::TestError;
use crate::report::{CaseResult, Report};
use crate::shortfall::Shortfall;

/// Returns a report as JUnit XML; what tests miss are failed cases of a suite of their own.
///
/// # Errors
///
/// If a name cannot be written as XML.
pub fn junit(
    report: &Report,
    shortfalls: &[Shortfall],
) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let mut junit = Junit::new("stagedoor");
    for file in &report.files {
        // XML has no place for noncharacters, however they are written.
        let path = single_line(&file.path.display().to_string());
        let mut suite = TestSuite::new(path.as_str());
        for case in &file.cases {
            let status = match &case.result {
                CaseResult::Passed => TestCaseStatus::success(),
                CaseResult::NotRun => TestCaseStatus::skipped(),
                CaseResult::Failed(failures) => {
                    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                    let lines: Vec<String> = failures.iter().flat_map(failure).collect();
                    let first = lines.first().cloned().unwrap_or_default();
                    let all = printable(&lines.join("\n")).into_owned();
                    status.set_message(first).set_description(all);
                    status
                }
            };
            let mut test = TestCase::new(single_line(&case.name), status);
            test.set_classname(case.suite.as_deref().map_or_else(|| path.clone(), single_line));
            test.set_time(case.time);
            test.extra.insert("file".into(), path.as_str().into());
            test.extra.insert("line".into(), case.line.to_string().into());
            suite.add_test_case(test);
        }
        junit.add_test_suite(suite);
    }
    for measure in shortfalls.chunk_by(|a, b| a.measure == b.measure) {
        let Some(name) = measure.first().map(|missed| missed.measure) else { continue };
        let mut suite = TestSuite::new(name);
        for missed in measure {
            let title = single_line(&missed.title);
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(title.as_str());
            status.set_description(printable(&missed.details.join("\n")).into_owned());
            let mut test = TestCase::new(title, status);
            test.set_classname(name);
            if let Some(file) = &missed.file {
                test.extra.insert("file".into(), single_line(file).into());
            }
            if let Some(line) = missed.line {
                test.extra.insert("line".into(), line.to_string().into());
            }
            suite.add_test_case(test);
        }
        junit.add_test_suite(suite);
    }
    Ok(junit.to_string()?)
}

/// Returns what keeps tests from being run as JUnit XML: each file is a case that errs.
///
/// # Errors
///
/// If a name cannot be written as XML.
pub fn junit_problems(
    error: &TestError,
) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let mut suite = TestSuite::new("tests were not run");
    for problem in error.problems() {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_message(single_line(&problem.message));
        status.set_description(printable(&problem.to_string()).into_owned());
        let path = single_line(&problem.file);
        let mut test = TestCase::new(single_line(&problem.message), status);
        if !path.is_empty() {
            test.set_classname(path.as_str());
            test.extra.insert("file".into(), path.as_str().into());
        }
        if let Some(line) = problem.line {
            test.extra.insert("line".into(), line.to_string().into());
        }
        suite.add_test_case(test);
    }
    let mut junit = Junit::new("stagedoor");
    junit.add_test_suite(suite);
    Ok(junit.to_string()?)
}
