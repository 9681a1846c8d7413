//! Failures as people read them.

use std::fmt::Write as _;

use crate::report::{CaseResult, Failure, Report};

/// Returns all failed cases with what is to be said of them.
#[must_use]
pub fn failures(report: &Report) -> String {
    let mut text = String::new();
    for file in &report.files {
        for case in &file.cases {
            let CaseResult::Failed(failures) = &case.result else { continue };
            // Writing to a string does not fail.
            let _ = writeln!(text, "{}:{}: {}", file.path.display(), case.line, case.name);
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
    lines
}

fn place(file: &str, line: Option<usize>) -> String {
    match line {
        Some(line) => format!("{file}:{line}"),
        None => file.to_owned(),
    }
}
