//! Failures as people read them.

use std::fmt::Write as _;

use stagedoor_core::{printable, single_line};

use crate::report::{CaseResult, Failure, Report};

/// Returns all failed cases with what is to be said of them.
#[must_use]
pub fn failures(report: &Report) -> String {
    let mut text = String::new();
    for file in &report.files {
        for case in &file.cases {
            let CaseResult::Failed(failures) = &case.result else { continue };
            // Writing to a string does not fail.
            let (path, name) = (file.path.display().to_string(), single_line(&case.name));
            let _ = writeln!(text, "{}:{}: {name}", single_line(&path), case.line);
            for failure in failures {
                for line in self::failure(failure) {
                    let _ = writeln!(text, "    {line}");
                }
            }
        }
    }
    let counts = report.counts();
    let _ = write!(text, "{} passed, {} failed", counts.passed, counts.failed);
    text
}

/// Returns what is to be said of one request that failed, a line each.
#[must_use]
pub fn failure(failure: &Failure) -> Vec<String> {
    let mut lines: Vec<String> = failure.request.iter().map(|r| format!("for {r}:")).collect();
    lines.extend(failure.differences.iter().cloned());
    for policy in &failure.determined_by {
        lines.push(format!("because of {} ({})", policy.policy, place(&policy.file, policy.line)));
    }
    for error in &failure.errors {
        lines.push(format!("{} cannot be evaluated: {}", error.policy, error.message));
    }
    for guard in &failure.guards {
        lines.push(format!("guard {} of {}: {}", guard.rule, guard.policy, guard.verdict));
    }
    for near in &failure.nearest {
        lines.push(format!("nearest permit: {}", near.policy));
        for clause in &near.clauses {
            let place = place(&clause.file, clause.line);
            lines.push(format!("  does not hold: {} ({place})", clause.text));
        }
    }
    lines.extend(failure.explain.iter().map(|command| format!("explain with: {command}")));
    lines.iter().map(|line| one_line(line)).collect()
}

/// Returns a text as one line, in which blanks stay as they are: they may be a policy's.
fn one_line(text: &str) -> String {
    printable(&text.replace(['\n', '\r', '\t'], " ")).into_owned()
}

fn place(file: &str, line: Option<usize>) -> String {
    match line {
        Some(line) => format!("{file}:{line}"),
        None => file.to_owned(),
    }
}
