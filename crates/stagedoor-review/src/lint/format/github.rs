//! Annotations of GitHub Actions.
//!
//! See [the commands](https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands).

use stagedoor_core::printable;
use stagedoor_wire::{Severity, WireError};

use crate::lint::{LintFinding, LintLevel, LintReport};

/// Returns an annotation for each finding that nobody suppressed.
#[must_use]
pub fn github(report: &LintReport) -> String {
    report.open().map(annotation).collect()
}

fn annotation(finding: &LintFinding) -> String {
    let command = match finding.level {
        LintLevel::Error => "error",
        LintLevel::Warning => "warning",
        LintLevel::Note => "notice",
    };
    let mut properties = Vec::new();
    if let Some(file) = &finding.place.file {
        let file = file.strip_prefix("./").unwrap_or(file);
        properties.push(format!("file={}", property(file)));
    }
    if let Some(line) = finding.place.line {
        properties.push(format!("line={line}"));
    }
    properties.push(format!("title={}", property(finding.code.id())));
    let policy = finding.place.policy.as_ref();
    let policy = policy.map(|policy| format!("policy `{policy}`: ")).unwrap_or_default();
    let text = data(&printable(&format!("{policy}{}", finding.message)));
    format!("::{command} {}::{text}\n", properties.join(","))
}

/// Returns an annotation for each problem that keeps policies from being looked at.
#[must_use]
pub fn github_unusable(error: &WireError) -> String {
    let one = |code: &str, message: &str, file: Option<&str>, line: Option<usize>| {
        let mut properties = Vec::new();
        if let Some(file) = file {
            let file = file.strip_prefix("./").unwrap_or(file);
            properties.push(format!("file={}", property(file)));
        }
        properties.extend(line.map(|line| format!("line={line}")));
        properties.push(format!("title={}", property(code)));
        format!("::error {}::{}\n", properties.join(","), data(&printable(message)))
    };
    let errors = error.problems.iter().filter(|problem| problem.severity == Severity::Error);
    let each: String =
        errors.map(|of| one(&of.code, &of.message, of.file.as_deref(), of.line)).collect();
    if !each.is_empty() {
        return each;
    }
    one(&error.code, &error.error, error.file.as_deref(), error.line)
}

/// Escapes what a command's text may not hold.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes what the value of a property may not hold.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
