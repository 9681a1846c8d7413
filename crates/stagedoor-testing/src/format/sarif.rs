//! SARIF 2.1.0, for code scanning: failed cases at their lines.

use serde_json::{Value, json};
use stagedoor_core::printable;
use stagedoor_wire::sarif::{self, location};

use crate::format::failure;
use crate::problem::TestError;
use crate::report::{CaseResult, Report};
use crate::shortfall::Shortfall;

/// What results are about; the measures of tests are named as they name themselves.
const RULES: [(&str, &str); 4] = [
    ("failed", "A case came out otherwise than expected."),
    ("not-run", "Tests, policies or fixtures cannot be used, so that no case was run."),
    ("coverage", "Cases do not reach enough of the policies."),
    ("mutants", "A mistake in the policies that no case notices."),
];

/// Returns the failed cases of a report, and what tests miss, as a SARIF log.
#[must_use]
pub fn sarif(report: &Report, shortfalls: &[Shortfall]) -> String {
    let mut results = Vec::new();
    for file in &report.files {
        let path = file.path.display().to_string();
        for case in &file.cases {
            let CaseResult::Failed(failures) = &case.result else { continue };
            let lines: Vec<String> = failures.iter().flat_map(failure).collect();
            let text = format!("{}\n{}", case.name, lines.join("\n"));
            let line = usize::try_from(case.line).ok();
            results.push(result("failed", &text, vec![location(&path, line)]));
        }
    }
    results.extend(shortfalls.iter().map(|missed| {
        let text = [&missed.title].into_iter().chain(&missed.details);
        let text: Vec<&str> = text.map(String::as_str).collect();
        let place = missed.file.as_ref().map(|file| location(file, missed.line));
        result(missed.measure, &text.join("\n"), place.into_iter().collect())
    }));
    log(&results)
}

/// Returns what keeps tests from being run as a SARIF log.
#[must_use]
pub fn sarif_problems(error: &TestError) -> String {
    let one = |problem: &crate::problem::Problem| {
        let help = problem.help.as_ref().map(|help| format!("\n{help}")).unwrap_or_default();
        let line = problem.line.and_then(|line| usize::try_from(line).ok());
        let file = Some(&problem.file).filter(|file| !file.is_empty());
        let place = file.map(|file| location(file, line)).into_iter().collect();
        result("not-run", &format!("{}{help}", problem.message), place)
    };
    let mut results: Vec<Value> = error.problems().iter().map(one).collect();
    if error.unreported() > 0 {
        let more = format!("and {} more problems", error.unreported());
        results.push(result("not-run", &more, Vec::new()));
    }
    log(&results)
}

fn log(results: &[Value]) -> String {
    let rules = RULES.map(|(id, summary)| json!({"id": id, "shortDescription": {"text": summary}}));
    sarif::log("stagedoor test", &rules, results)
}

fn result(rule: &str, text: &str, locations: Vec<Value>) -> Value {
    json!({
        "ruleId": rule,
        "ruleIndex": RULES.iter().position(|(id, _)| *id == rule),
        "level": "error",
        "message": {"text": printable(text)},
        "locations": locations,
    })
}
