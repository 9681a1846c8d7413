//! The [Test Anything Protocol](https://testanything.org/tap-version-14-specification.html),
//! version 14.

use std::fmt::Write as _;

use stagedoor_core::single_line;

use crate::format::failure;
use crate::report::{CaseResult, Report};
use crate::shortfall::Shortfall;

/// Returns a report in TAP; what tests miss are failed tests at its end.
#[must_use]
pub fn tap(report: &Report, shortfalls: &[Shortfall]) -> String {
    let mut text = String::from("TAP version 14\n");
    // Writing to a string does not fail.
    let _ = writeln!(text, "1..{}", report.cases().count() + shortfalls.len());
    let mut number = 0;
    for file in &report.files {
        for case in &file.cases {
            number += 1;
            let suite = case.suite.iter().map(String::as_str);
            let parts: Vec<&str> = suite.chain([case.name.as_str()]).collect();
            let name = escaped(&format!("{}: {}", file.path.display(), parts.join(": ")));
            match &case.result {
                CaseResult::Passed => {
                    let _ = writeln!(text, "ok {number} - {name}");
                }
                CaseResult::NotRun => {
                    let _ = writeln!(text, "not ok {number} - {name} # SKIP an earlier one failed");
                }
                CaseResult::Failed(failures) => {
                    let _ = writeln!(text, "not ok {number} - {name}");
                    let lines: Vec<String> = failures.iter().flat_map(failure).collect();
                    let _ = writeln!(text, "  ---\n  message: {}", quoted(&lines.join("\n")));
                    let _ = writeln!(text, "  file: {}", quoted(&file.path.display().to_string()));
                    let _ = writeln!(text, "  line: {}\n  ...", case.line);
                }
            }
        }
    }
    for missed in shortfalls {
        number += 1;
        let name = escaped(&format!("{}: {}", missed.measure, missed.title));
        let _ = writeln!(text, "not ok {number} - {name}");
        let _ = writeln!(text, "  ---\n  message: {}", quoted(&missed.details.join("\n")));
        if let Some(file) = &missed.file {
            let _ = writeln!(text, "  file: {}", quoted(file));
        }
        if let Some(line) = missed.line {
            let _ = writeln!(text, "  line: {line}");
        }
        text.push_str("  ...\n");
    }
    text
}

/// Returns a description in which nothing begins a directive or another line.
fn escaped(text: &str) -> String {
    single_line(&text.replace('\\', "\\\\").replace('#', "\\#"))
}

/// Returns a YAML string in double quotes, which a JSON string is.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
