//! Annotations of
//! [GitHub Actions](https://docs.github.com/actions/reference/workflow-commands-for-github-actions):
//! a failed case shows at its line in a pull request.

use std::fmt::Write as _;

use stagedoor_core::{printable, single_line};

use crate::format::failure;
use crate::problem::TestError;
use crate::report::{CaseResult, Report};
use crate::shortfall::Shortfall;

/// Returns the failed cases of a report, and what tests miss, as annotations.
#[must_use]
pub fn github(report: &Report, shortfalls: &[Shortfall]) -> String {
    let mut text = String::new();
    for file in &report.files {
        for case in &file.cases {
            let CaseResult::Failed(failures) = &case.result else { continue };
            let lines: Vec<String> = failures.iter().flat_map(failure).collect();
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "::error file={},line={},col={},title={}::{}",
                path(&file.path.display().to_string()),
                case.line,
                case.column,
                property(&single_line(&case.name)),
                data(&printable(&lines.join("\n"))),
            );
        }
    }
    for missed in shortfalls {
        let file = missed.file.iter().map(|file| format!("file={},", path(file)));
        let line = missed.line.iter().map(|line| format!("line={line},"));
        let column = missed.column.iter().map(|column| format!("col={column},"));
        let place: String = file.chain(line).chain(column).collect();
        let title: Vec<&str> =
            std::iter::once(&missed.title).chain(&missed.details).map(String::as_str).collect();
        let said = data(&printable(&title.join("\n")));
        // Writing to a string does not fail.
        let _ = writeln!(text, "::error {place}title={}::{said}", missed.measure);
    }
    text
}

/// Returns what keeps tests from being run as annotations.
#[must_use]
pub fn github_problems(error: &TestError) -> String {
    let mut text = String::new();
    for problem in error.problems() {
        let file = Some(&problem.file).filter(|file| !file.is_empty());
        let file = file.map(|file| format!("file={},", path(file)));
        let line = problem.line.map(|line| format!("line={line},"));
        let column = problem.column.map(|column| format!("col={column},"));
        let place: String = file.into_iter().chain(line).chain(column).collect();
        let help = problem.help.as_ref().map(|help| format!("\n{help}")).unwrap_or_default();
        let said = data(&printable(&format!("{}{help}", problem.message)));
        // Writing to a string does not fail.
        let _ = writeln!(text, "::error {place}title=tests were not run::{said}");
    }
    if error.unreported() > 0 {
        let _ = writeln!(text, "::error ::and {} more problems", error.unreported());
    }
    text
}

/// Writes a path as a pull request has it, from the repository's root.
fn path(path: &str) -> String {
    property(&single_line(path.strip_prefix("./").unwrap_or(path)))
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
