//! SARIF 2.1.0, for code scanning.

use serde_json::{Value, json};
use stagedoor_wire::sarif;

use crate::lint::{Certainty, LintCode, LintFinding, LintPlace, LintReport};

/// Returns all findings as a SARIF log; suppressed ones say why.
#[must_use]
pub fn sarif(report: &LintReport) -> String {
    let results: Vec<Value> = report.findings.iter().map(result).collect();
    let rules: Vec<Value> = LintCode::ALL.iter().map(|code| rule(*code)).collect();
    sarif::log("stagedoor lint", &rules, &results)
}

fn rule(code: LintCode) -> Value {
    json!({
        "id": code.id(),
        "shortDescription": {"text": code.summary()},
        "fullDescription": {"text": code.explanation()},
        "defaultConfiguration": {"level": code.level().as_str()},
        "properties": {"tags": ["cedar", "policy"]},
    })
}

fn result(finding: &LintFinding) -> Value {
    let index = LintCode::ALL.iter().position(|code| *code == finding.code);
    let message = match &finding.help {
        Some(help) => format!("{}. {help}", finding.message),
        None => finding.message.clone(),
    };
    let mut result = json!({
        "ruleId": finding.code.id(),
        "ruleIndex": index,
        "level": finding.level.as_str(),
        "message": {"text": message},
        "locations": location(&finding.place, None).into_iter().collect::<Vec<_>>(),
        "partialFingerprints": {"finding/v1": fingerprint(finding)},
        "properties": {"precision": match finding.certainty {
            Certainty::Sure => "very-high",
            Certainty::Heuristic => "medium",
        }},
    });
    if let Some(object) = result.as_object_mut() {
        if let Some(other) = finding.other.as_ref().and_then(|other| location(other, Some(0))) {
            object.insert("relatedLocations".to_owned(), json!([other]));
        }
        if let Some(reason) = &finding.suppressed {
            let suppression = json!([{"kind": "inSource", "justification": reason}]);
            object.insert("suppressions".to_owned(), suppression);
        }
    }
    result
}

fn location(place: &LintPlace, id: Option<u32>) -> Option<Value> {
    let file = place.file.as_deref()?;
    let mut location = sarif::location(file, place.line);
    let object = location.as_object_mut()?;
    if let Some(policy) = &place.policy {
        let logical = json!([{"fullyQualifiedName": policy, "kind": "declaration"}]);
        object.insert("logicalLocations".to_owned(), logical);
    }
    if let Some(id) = id {
        object.insert("id".to_owned(), id.into());
    }
    Some(location)
}

/// Returns what stays the same while lines move.
fn fingerprint(finding: &LintFinding) -> String {
    let other = finding.other.as_ref().and_then(|other| other.policy.clone());
    json!([finding.code.id(), finding.place.policy, finding.place.file, other]).to_string()
}
