//! Annotations of
//! [GitHub Actions](https://docs.github.com/actions/reference/workflow-commands-for-github-actions):
//! a failed case shows at its line in a pull request.

use std::fmt::Write as _;

use stagedoor_core::{printable, single_line};

use crate::format::failure;
use crate::problem::TestError;
use crate::report::{CaseResult, Report};

/// Returns the failed cases of a report as annotations.
#[must_use]
pub fn github(report: &Report) -> String {
    let mut text = String::new();
    for file in &report.files {
        for case in &file.cases {
            let CaseResult::Failed(failures) = &case.result else { continue };
            let lines: Vec<String> = failures.iter().flat_map(failure).collect();
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "::error file={},line={},col={},title={}::{}",
                property(&single_line(&file.path.display().to_string())),
                case.line,
                case.column,
                property(&single_line(&case.name)),
                data(&printable(&lines.join("\n"))),
            );
        }
    }
    text
}

/// Returns what keeps tests from being run as annotations.
#[must_use]
pub fn github_problems(error: &TestError) -> String {
    let mut text = String::new();
    for problem in error.problems() {
        let mut place = vec![format!("file={}", property(&single_line(&problem.file)))];
        place.extend(problem.line.map(|line| format!("line={line}")));
        place.extend(problem.column.map(|column| format!("col={column}")));
        let help = problem.help.as_ref().map(|help| format!("\n{help}")).unwrap_or_default();
        let said = data(&printable(&format!("{}{help}", problem.message)));
        // Writing to a string does not fail.
        let _ = writeln!(text, "::error {},title=tests were not run::{said}", place.join(","));
    }
    if error.unreported() > 0 {
        let _ = writeln!(text, "::error ::and {} more problems", error.unreported());
    }
    text
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
