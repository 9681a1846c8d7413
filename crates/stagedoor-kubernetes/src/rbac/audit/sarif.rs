//! Findings as SARIF 2.1.0, for code scanning.

use serde_json::{Value, json};
use stagedoor_wire::sarif;

use super::{AuditCheck, AuditFinding, AuditReport, AuditSeverity, ChainStep};

impl AuditReport {
    /// Returns the findings as a SARIF log.
    #[must_use]
    pub fn to_sarif(&self) -> String {
        let rules: Vec<Value> = AuditCheck::ALL.iter().map(|check| rule(*check)).collect();
        let results: Vec<Value> = self.findings().iter().map(result).collect();
        sarif::log("stagedoor", &rules, &results)
    }
}

fn rule(check: AuditCheck) -> Value {
    json!({
        "id": check.id(),
        "shortDescription": {"text": check.description()},
        "helpUri": check.reference(),
        "properties": {"tags": ["security", "kubernetes", "rbac"]},
    })
}

fn result(finding: &AuditFinding) -> Value {
    let index = AuditCheck::ALL.iter().position(|check| *check == finding.check);
    let named = [&finding.binding, &finding.role].into_iter().flatten();
    let logical: Vec<Value> =
        named.map(|name| json!({"fullyQualifiedName": name, "kind": "object"})).collect();
    let mut location = sarif::location(&finding.file, Some(finding.line));
    if let Some(location) = location.as_object_mut() {
        location.insert("logicalLocations".to_owned(), logical.into());
    }
    let mut result = json!({
        "ruleId": finding.check.id(),
        "ruleIndex": index,
        "level": level(finding.severity),
        "message": {"text": finding.message()},
        "locations": [location],
        "partialFingerprints": {"grant/v1": finding.fingerprint()},
        "properties": {"severity": finding.severity.as_str()},
    });
    if !finding.chain.is_empty() {
        let steps: Vec<Value> = finding.chain.iter().map(step).collect();
        let flows = json!([{"threadFlows": [{"locations": steps}]}]);
        if let Some(result) = result.as_object_mut() {
            result.insert("codeFlows".to_owned(), flows);
        }
    }
    result
}

fn step(step: &ChainStep) -> Value {
    let ChainStep { from, does, to, binding, role, rule, file, line } = step;
    let text = format!("{from} {does} → {to} (by {binding} to {role} rules[{rule}])");
    let mut location = sarif::location(file, Some(*line));
    if let Some(location) = location.as_object_mut() {
        location.insert("message".to_owned(), json!({"text": text}));
    }
    json!({"location": location})
}

fn level(severity: AuditSeverity) -> &'static str {
    match severity {
        AuditSeverity::Critical | AuditSeverity::High => "error",
        AuditSeverity::Medium => "warning",
        AuditSeverity::Low | AuditSeverity::Info => "note",
    }
}

impl AuditFinding {
    /// Returns the finding in one line.
    #[must_use]
    pub fn message(&self) -> String {
        let mut message = String::new();
        if let Some(subject) = &self.subject {
            message.push_str(&format!("{subject}: "));
        }
        message.push_str(&self.reason);
        let rule = self.rule.map(|rule| format!(" rules[{rule}]")).unwrap_or_default();
        match (&self.binding, &self.role) {
            (Some(binding), Some(role)) => {
                message.push_str(&format!(" (by {binding} to {role}{rule})"));
            }
            (Some(object), None) => message.push_str(&format!(" ({object})")),
            (None, Some(object)) => message.push_str(&format!(" ({object}{rule})")),
            (None, None) => {}
        }
        message
    }

    /// Returns what stays the same from one audit to the next.
    fn fingerprint(&self) -> String {
        let part = |text: &Option<String>| text.clone().unwrap_or_default();
        let rule = self.rule.map(|rule| rule.to_string()).unwrap_or_default();
        json!([self.check.id(), part(&self.subject), part(&self.binding), part(&self.role), rule])
            .to_string()
    }
}
