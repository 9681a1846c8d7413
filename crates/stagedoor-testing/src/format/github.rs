//! Annotations of
//! [GitHub Actions](https://docs.github.com/actions/reference/workflow-commands-for-github-actions):
//! a failed case shows at its line in a pull request.

use std::fmt::Write as _;

use stagedoor_core::{printable, single_line};

use crate::format::failure;
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

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
