//! JUnit's XML, which CI servers show.

use quick_junit::{NonSuccessKind, Report as Junit, TestCase, TestCaseStatus, TestSuite};

use stagedoor_core::{printable, single_line};

use crate::format::failure;
use crate::report::{CaseResult, Report};

/// Returns a report as JUnit XML.
///
/// # Errors
///
/// If a name cannot be written as XML.
pub fn junit(report: &Report) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
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
    Ok(junit.to_string()?)
}
