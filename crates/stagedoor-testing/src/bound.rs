//! Bounds of a test file: what is never allowed, or always is, for all requests.

use stagedoor_analysis::{Bound, BoundKind, Library, Violation};
use stagedoor_core::Engine;

use crate::file::BoundFixture;
use crate::report::{CaseResult, Failure};

/// So many kinds of requests are told of.
const TOLD: usize = 10;

/// Reads a bound.
pub(crate) fn bound(given: &BoundFixture) -> Result<Bound, String> {
    let (kind, text) = match (&given.never, &given.always) {
        (Some(text), None) => (BoundKind::Never, text),
        (None, Some(text)) => (BoundKind::Always, text),
        _ => return Err("a bound has either `never` or `always`".to_owned()),
    };
    let bound = Bound::parse(kind, text).map_err(|e| e.to_string())?;
    match &given.if_allowed {
        Some(action) => bound.if_allowed(action).map_err(|e| e.to_string()),
        None => Ok(bound),
    }
}

/// Looks whether a bound holds for all requests.
pub(crate) fn run(bound: &Bound, engine: &Engine) -> CaseResult {
    let failed =
        |difference: String| Failure { differences: vec![difference], ..Failure::default() };
    let Some(library) = Library::of(engine) else {
        let reason = "policies without a schema cannot be reasoned about";
        return CaseResult::Failed(vec![failed(reason.to_owned())]);
    };
    let violations = match bound.violations(&library) {
        Ok(violations) => violations,
        Err(error) => return CaseResult::Failed(vec![failed(error.to_string())]),
    };
    let failures: Vec<Failure> = violations
        .iter()
        .take(TOLD)
        .map(|violation| match violation {
            Violation::Proved { witness, policies, .. } => {
                let is = match (bound.kind(), policies.is_empty()) {
                    (BoundKind::Never, _) => format!("is allowed by {}", policies.join(", ")),
                    (BoundKind::Always, true) => "is denied: nothing permits it".to_owned(),
                    (BoundKind::Always, false) => format!("is denied by {}", policies.join(", ")),
                };
                // As a case, to be put beside the others.
                let mut case = witness.to_case();
                let expected = if bound.kind() == BoundKind::Never { "deny" } else { "allow" };
                case.insert("expect".to_owned(), expected.into());
                let case = serde_json::Value::Object(case);
                Failure {
                    request: Some(witness.in_words()),
                    differences: vec![is, format!("as a case: {case}")],
                    ..Failure::default()
                }
            }
            Violation::Undecided { environment, reasons } => {
                let reasons: Vec<&str> = reasons.iter().map(String::as_str).collect();
                failed(format!(
                    "for {} on {} it is not decided: it depends on {}",
                    environment.action,
                    environment.resource,
                    reasons.join(", ")
                ))
            }
            other => failed(format!("{other:?}")),
        })
        .collect();
    if failures.is_empty() { CaseResult::Passed } else { CaseResult::Failed(failures) }
}
