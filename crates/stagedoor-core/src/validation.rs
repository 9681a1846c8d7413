//! Cedar's strict validation, in terms of problems.

mod effort;
mod fingerprint;

use std::ops::Range;
use std::sync::Arc;

use cedar_policy::{Schema, ValidationResult};
use cedar_policy_core::ast;
use cedar_policy_core::validator::{ValidationMode, Validator, ValidatorSchema};

use crate::error::error_chain;
use crate::hash::{FastMap, FastSet};
use crate::limits::Limits;
use crate::problem::{Problem, Severity};
use effort::Effort;
use fingerprint::{Fingerprint, ValidFingerprints};

/// What the validator found about one policy.
pub(crate) struct Finding {
    /// The id that the policy's syntax tree carries.
    pub(crate) id: String,
    pub(crate) severity: Severity,
    /// The place in the policy's text, where the validator tells one.
    pub(crate) label: Option<Range<usize>>,
    /// The problem, not placed yet.
    pub(crate) problem: Problem,
}

/// Validates policies against one schema, those that are alike once.
pub(crate) struct Validation {
    validator: Arc<Validator>,
    valid: Arc<ValidFingerprints>,
    effort: Effort,
}

impl Validation {
    pub(crate) fn new(schema: &Schema, limits: &Limits) -> Self {
        let core: &ValidatorSchema = schema.as_ref();
        Self {
            validator: Arc::new(Validator::new(core.clone())),
            valid: Arc::new(ValidFingerprints::new(core)),
            effort: Effort::new(schema, limits.validation_steps),
        }
    }

    /// Returns the same for another load, whose effort is its own.
    pub(crate) fn anew(&self) -> Self {
        let (validator, valid) = (Arc::clone(&self.validator), Arc::clone(&self.valid));
        Self { validator, valid, effort: self.effort.anew() }
    }

    pub(crate) fn schema(&self) -> &ValidatorSchema {
        self.validator.schema()
    }

    /// Validates policies and templates, whose ids must differ.
    pub(crate) fn trees<'a>(&self, trees: impl Iterator<Item = &'a ast::Template>) -> Vec<Finding> {
        let mut first = Vec::new();
        let mut alike = Vec::new();
        let mut refused = None;
        let mut shapes: FastMap<Fingerprint, &ast::Template> = FastMap::default();
        for tree in trees {
            let shape = self.valid.shape(tree);
            if !self.effort.take(tree, shape.as_ref()) {
                refused.get_or_insert(tree);
                continue;
            }
            match shape {
                None => first.push(tree),
                Some(shape) if self.valid.contains(&shape) => {}
                Some(shape) if shapes.contains_key(&shape) => alike.push((shape, tree)),
                Some(shape) => {
                    first.push(tree);
                    shapes.insert(shape, tree);
                }
            }
        }
        if let Some(tree) = refused {
            let problem = self.effort.problem();
            let finding = |problem| Finding {
                id: tree.id().to_string(),
                severity: Severity::Error,
                label: None,
                problem,
            };
            // Nothing is loaded, so that the others need not be looked at.
            return problem.map(finding).into_iter().collect();
        }
        let mut findings = self.each(&first);
        let faulty: FastSet<String> = findings.iter().map(|finding| finding.id.clone()).collect();
        for (shape, tree) in shapes {
            if !faulty.contains(&tree.id().to_string()) {
                self.valid.insert(shape);
            }
        }
        alike.retain(|(shape, _)| !self.valid.contains(shape));
        let alike: Vec<_> = alike.into_iter().map(|(_, tree)| tree).collect();
        findings.extend(self.each(&alike));
        findings
    }

    /// Lets Cedar validate every one.
    fn each(&self, trees: &[&ast::Template]) -> Vec<Finding> {
        if trees.is_empty() {
            return Vec::new();
        }
        let mut set = ast::PolicySet::new();
        for tree in trees {
            let tree = ast::Template::clone(tree);
            // Ids differ, so neither call fails.
            let _ = match ast::Template::try_as_policy(Arc::new(tree.clone())) {
                Ok(policy) => set.add(policy),
                Err(_) => set.add_template(tree),
            };
        }
        set_findings(&set, &self.validator)
    }
}

/// Validates a policy set.
fn set_findings(set: &ast::PolicySet, validator: &Validator) -> Vec<Finding> {
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
    let text = error_chain(error);
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
pub(crate) fn first_label(error: &dyn miette::Diagnostic) -> Option<Range<usize>> {
    let label = error.labels()?.next()?;
    Some(label.offset()..label.offset() + label.len())
}

/// Returns Cedar's own advice, or else ours.
pub(crate) fn help(error: &dyn miette::Diagnostic, otherwise: &str) -> String {
    error.help().map_or_else(|| otherwise.to_owned(), |help| help.to_string())
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;
    use crate::parse;

    const SCHEMA: &str = "
        entity Team; entity User in [Team] { name: String };
        entity Colour enum [\"red\", \"green\"];
        entity Thing { kind: String, note?: String, level: Long, colour: Colour } tags String;
        action any;
        action look in [any] appliesTo { principal: User, resource: Thing };
        action touch appliesTo { principal: User, resource: Thing, context: { from: ipaddr } };";

    const SCOPES: [&str; 4] = [
        "principal, action, resource",
        "principal in Team::\"A\", action in [Action::\"look\", Action::\"any\"], resource",
        "principal == User::\"A\", action, resource is Thing in Thing::\"B\"",
        "principal in ?principal, action == Action::\"A\", resource is Thing",
    ];

    /// `A` and `B` stand for literals, which make some of these invalid and some suspicious.
    const CONDITIONS: [&str; 16] = [
        "resource.kind == \"A\" && resource.kind == \"B\"",
        "\"A\" == \"B\" && resource.nothing == 1",
        "User::\"A\" == User::\"B\" || resource.level > 1",
        "principal == Team::\"A\"",
        "resource.colour == Colour::\"A\"",
        "action in Action::\"A\" && resource.kind == \"B\"",
        "resource.hasTag(\"A\") && resource.getTag(\"B\") == \"x\"",
        "resource has note && resource.note like \"A*\"",
        "resource.note == \"A\"",
        "context.from == ip(\"A\")",
        "ip(\"A\").isLoopback()",
        "[\"A\", \"B\"].contains(resource.kind)",
        "[User::\"A\", Team::\"B\"].contains(principal)",
        "{a: \"A\"} == {a: \"B\"}",
        "resource[\"A\"] == \"B\"",
        "if principal in Team::\"A\" then resource.level == 1 else \"A\" == \"B\"",
    ];

    const LITERALS: [&str; 7] = ["red", "look", "10.0.0.1", "kind", "p\u{430}yments", "ops", "x"];

    fn policies() -> Result<Vec<ast::Template>, Box<dyn Error>> {
        let mut trees = Vec::new();
        for scope in SCOPES {
            for condition in CONDITIONS {
                for a in LITERALS {
                    for b in LITERALS {
                        let text = format!("permit ({scope}) when {{ {condition} }};")
                            .replace("\"A", &format!("\"{a}"))
                            .replace("\"B", &format!("\"{b}"));
                        let id = format!("policy{}", trees.len());
                        trees.push(parse::statement(&text, &id).map_err(|e| e.to_string())?);
                    }
                }
            }
        }
        Ok(trees)
    }

    fn told(findings: Vec<Finding>) -> Vec<String> {
        let mut told: Vec<String> = findings
            .into_iter()
            .map(|f| format!("{} {:?} {:?} {:?}", f.id, f.severity, f.label, f.problem))
            .collect();
        told.sort_unstable();
        told
    }

    #[test]
    fn policies_alike_have_the_findings_that_each_has_alone() -> Result<(), Box<dyn Error>> {
        let (schema, _) = Schema::from_cedarschema_str(SCHEMA)?;
        let trees = policies()?;
        let alone =
            Validation::new(&schema, &Limits::default()).each(&trees.iter().collect::<Vec<_>>());
        let faulty = alone.iter().map(|f| f.id.clone()).collect::<FastSet<_>>().len();
        let valid = trees.len() - faulty;
        assert!(faulty > 500 && valid > 500, "{faulty} of {}", trees.len());
        let alone = told(alone);
        for size in [1, 100] {
            let validation = Validation::new(&schema, &Limits::default());
            let together = trees.chunks(size).flat_map(|chunk| validation.trees(chunk.iter()));
            assert_eq!(told(together.collect()), alone);
            assert!(validation.valid.len() < valid / 5, "{} shapes", validation.valid.len());
        }
        Ok(())
    }
}
