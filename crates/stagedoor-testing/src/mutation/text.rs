//! Mutants as people read them, and cases as test files have them.

use std::fmt::Write as _;

use serde_json::Value;

use super::{Mutant, MutantCounts, Mutation};
use crate::coverage::place;
use crate::file::{Action, Case};
use crate::suppression::UnusedSuppression;

/// Returns a summary, and for each survivor its place, the change, and the case that is missing.
#[must_use]
pub fn text(mutation: &Mutation) -> Vec<String> {
    let mut lines = Vec::new();
    let at = |mutant: &Mutant| place(&mutant.file, mutant.line, mutant.column);
    for (mutant, case) in mutation.survivors() {
        lines.push(format!("{}: {}", at(mutant), mutant.in_words("survives")));
        lines.push("    a case that notices it:".to_owned());
        lines.extend(case.yaml.lines().map(|line| format!("      {line}")));
    }
    for (mutant, reasons) in mutation.undecided() {
        lines.push(format!("{}: {}", at(mutant), mutant.in_words("is not decided")));
        lines.push(format!("    it depends on {}", reasons.join(", ")));
    }
    lines.extend(mutation.unused_suppressions.iter().map(UnusedSuppression::text));
    let MutantCounts { killed, survived, equivalent, ignored, undecided, timeout } =
        mutation.counts();
    let mut summary = format!("mutants: {killed} killed, {survived} survived");
    for (count, word) in [
        (ignored, "excused"),
        (equivalent, "equivalent"),
        (undecided, "not decided"),
        (timeout, "not settled in time (raise `--budget`)"),
        (mutation.unviable, "refused at loading"),
    ] {
        if count > 0 {
            // Writing to a string does not fail.
            let _ = write!(summary, ", {count} {word}");
        }
    }
    lines.push(summary);
    lines
}

impl Mutant {
    /// Returns what was changed and what became of it, in one line.
    pub(crate) fn in_words(&self, became: &str) -> String {
        let (policy, name) = (&self.policy, self.operator.as_str());
        match self.replacement.as_str() {
            "" => format!("{policy}: {name} {became}"),
            new => format!("{policy}: {name} {became}: `{}` → `{new}`", self.original),
        }
    }
}

/// Returns a case as an item of `cases`.
pub(super) fn yaml(case: &Case, allowed: bool, reasons: &[&str]) -> String {
    let keys = keys(case);
    let name: Vec<String> = keys.iter().map(|(_, value)| words(value)).collect();
    let mut yaml = format!("- name: {}\n", Value::from(name.join(" ")));
    for (key, value) in keys {
        // JSON is YAML on one line.
        let _ = writeln!(yaml, "  {key}: {value}");
    }
    let decision = if allowed { "allow" } else { "deny" };
    let reasons = Value::from(reasons.to_vec());
    let _ = write!(yaml, "  expect: {{ decision: {decision}, reasons: {reasons} }}");
    yaml
}

/// Returns the keys that a case has, as it has them.
fn keys(case: &Case) -> Vec<(&'static str, Value)> {
    let words = [
        ("user", &case.user),
        ("service", &case.service),
        ("principal", &case.principal),
        ("permission", &case.permission),
        ("entity", &case.entity),
        ("verb", &case.verb),
        ("operation", &case.operation),
        ("apiGroup", &case.api_group),
        ("resource", &case.resource),
        ("subresource", &case.subresource),
        ("namespace", &case.namespace),
        ("resourceName", &case.resource_name),
        ("path", &case.path),
        ("uid", &case.uid),
    ];
    let mut keys: Vec<(&str, Value)> = words
        .into_iter()
        .filter_map(|(key, value)| Some((key, Value::from(value.clone()?))))
        .collect();
    if let Some(groups) = &case.groups {
        keys.push(("groups", groups.clone().into()));
    }
    match &case.action {
        Some(Action::Cedar(action)) => keys.push(("action", action.clone().into())),
        Some(Action::Scaffolder(action)) => {
            keys.push(("action", serde_json::json!({ "id": action.id, "input": action.input })))
        }
        None => {}
    }
    if let Some(template) = &case.template {
        keys.push(("template", serde_json::json!({ "tags": template.tags })));
    }
    if let Some(task) = &case.task {
        let created_by =
            task.created_by.iter().map(|by| ("createdBy".to_owned(), by.clone().into()));
        keys.push(("task", Value::Object(created_by.collect())));
    }
    if !case.extra.is_empty() {
        keys.push(("extra", serde_json::json!(case.extra)));
    }
    if !case.context.is_empty() {
        keys.push(("context", serde_json::json!(case.context)));
    }
    if !case.entities.is_empty() {
        keys.push(("entities", case.entities.clone().into()));
    }
    if let Some(object) = &case.object {
        keys.push(("object", object.clone()));
    }
    if let Some(object) = &case.old_object {
        keys.push(("oldObject", object.clone()));
    }
    keys
}

/// Returns a value as part of a name.
fn words(value: &Value) -> String {
    match value {
        Value::String(word) => word.clone(),
        Value::Array(items) => items.iter().map(words).collect::<Vec<_>>().join(" "),
        Value::Object(_) => String::new(),
        other => other.to_string(),
    }
}
