//! The frame of SARIF 2.1.0, for code scanning: what every log of Stagedoor has in common.
//!
//! See [the format](https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html). What a result
//! says is each tool's own.

use serde_json::{Value, json};

use crate::error::WireError;
use crate::problem::Severity;

/// Returns a log of one run, as text: the tool's name, its rules, and what it found.
///
/// # Examples
///
/// ```
/// use serde_json::{Value, json};
/// use stagedoor_wire::sarif;
///
/// let result = json!({
///     "ruleId": "failed",
///     "message": { "text": "expected allow" },
///     "locations": [sarif::location("the tests/a.test.yaml", Some(7))],
/// });
/// let log: Value = serde_json::from_str(&sarif::log("stagedoor test", &[], &[result]))?;
/// let place = log.pointer("/runs/0/results/0/locations/0/physicalLocation");
/// let expected = json!({
///     "artifactLocation": { "uri": "the%20tests/a.test.yaml" },
///     "region": { "startLine": 7 },
/// });
/// assert_eq!(place, Some(&expected));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[must_use]
pub fn log(tool: &str, rules: &[Value], results: &[Value]) -> String {
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": tool,
                "version": env!("CARGO_PKG_VERSION"),
                "informationUri": env!("CARGO_PKG_REPOSITORY"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    format!("{log:#}\n")
}

/// Returns a line of a file as a location; without a line, the first of the file.
#[must_use]
pub fn location(file: &str, line: Option<usize>) -> Value {
    json!({
        "physicalLocation": {
            "artifactLocation": {"uri": uri(file)},
            "region": {"startLine": line.unwrap_or(1).max(1)},
        },
    })
}

/// Returns the log of a run that found nothing, as something could not be used: each problem is an
/// error at its place.
#[must_use]
pub fn failure(tool: &str, error: &WireError) -> String {
    let result = |code: &str, text: &str, file: Option<&str>, line: Option<usize>| {
        let place = file.map(|file| location(file, line));
        json!({
            "ruleId": code,
            "level": "error",
            "message": {"text": text},
            "locations": place.into_iter().collect::<Vec<_>>(),
        })
    };
    let errors = error.problems.iter().filter(|problem| problem.severity == Severity::Error);
    let mut results: Vec<Value> =
        errors.map(|of| result(&of.code, &of.message, of.file.as_deref(), of.line)).collect();
    if results.is_empty() {
        results.push(result(&error.code, &error.error, error.file.as_deref(), error.line));
    }
    if error.unreported > 0 {
        let more = format!("and {} more problems", error.unreported);
        results.push(result(&error.code, &more, None, None));
    }
    log(tool, &[], &results)
}

/// Returns a path as a relative reference: only what a path segment may hold stays.
fn uri(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    let path = path.replace('\\', "/");
    for byte in path.strip_prefix("./").unwrap_or(&path).bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri
}
