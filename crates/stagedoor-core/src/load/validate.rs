//! Cedar's strict validation, in terms of problems.

use std::ops::Range;
use std::sync::Arc;

use cedar_policy::ValidationResult;
use cedar_policy_core::ast;
use cedar_policy_core::validator::{ValidationMode, Validator};

use crate::error::causes;
use crate::problem::{Problem, Severity};

/// What the validator found about one policy.
pub(super) struct Finding {
    /// The id that the policy's syntax tree carries.
    pub(super) id: String,
    pub(super) severity: Severity,
    /// The place in the policy's text, where the validator tells one.
    pub(super) label: Option<Range<usize>>,
    /// The problem, not placed yet.
    pub(super) problem: Problem,
}

/// Validates policies and templates, whose ids must differ.
pub(super) fn trees<'a>(
    trees: impl Iterator<Item = &'a ast::Template>,
    validator: &Validator,
) -> Vec<Finding> {
    let mut set = ast::PolicySet::new();
    for tree in trees {
        // Ids differ, so neither call fails.
        let _ = match ast::Template::try_as_policy(Arc::new(tree.clone())) {
            Ok(policy) => set.add(policy),
            Err(_) => set.add_template(tree.clone()),
        };
    }
    set_findings(&set, validator)
}

/// Validates a policy set.
pub(super) fn set_findings(set: &ast::PolicySet, validator: &Validator) -> Vec<Finding> {
    let result = ValidationResult::from(validator.validate(set, ValidationMode::Strict));
    let mut findings: Vec<Finding> = Vec::new();
    for error in result.validation_errors() {
        findings.push(finding(Severity::Error, error.policy_id(), error));
    }
    for warning in result.validation_warnings() {
        findings.push(finding(Severity::Warning, warning.policy_id(), warning));
    }
    findings
}

fn finding<E: miette::Diagnostic>(
    severity: Severity,
    id: &cedar_policy::PolicyId,
    error: &E,
) -> Finding {
    // The id in the text is a positional one, which need not be the policy's.
    let text = causes(error);
    let message = text.strip_prefix(&format!("for policy `{id}`, ")).unwrap_or(&text).to_owned();
    let problem = match severity {
        Severity::Error => Problem::error("policy::validate", message),
        Severity::Warning => Problem::warning("policy::warning", message),
    };
    Finding {
        id: id.to_string(),
        severity,
        label: first_label(error),
        problem: problem.with_help(help(error, "compare the policy with the schema")),
    }
}

/// Returns the first place that an error of Cedar's points at.
pub(super) fn first_label(error: &dyn miette::Diagnostic) -> Option<Range<usize>> {
    let label = error.labels()?.next()?;
    Some(label.offset()..label.offset() + label.len())
}

/// Returns Cedar's own advice, or else ours.
pub(super) fn help(error: &dyn miette::Diagnostic, otherwise: &str) -> String {
    error.help().map_or_else(|| otherwise.to_owned(), |help| help.to_string())
}
