//! Backstage's questions and answers, and what goes wrong, in the form that programs read and
//! write.

use std::str::FromStr as _;

use stagedoor_wire::{
    BackstageAnswer, BackstageCondition, BackstageCriteria, BackstageDecision, BackstageParam,
    BackstagePermission, BackstageUser, Problem, Severity, WireError,
};

use crate::criteria::{ConditionParam, Criteria, PermissionCondition, PolicyDecision};
use crate::entity_ref::{EntityRef, EntityRefError};
use crate::explanation::ExplanationError;
use crate::file_error::{FileError, FileProblem};
use crate::policy_answer::{Finding, PermissionQuery};
use crate::policy_engine::{PolicyEngine, PolicyEngineError};
use crate::principal::{Principal, User};

impl PolicyEngine {
    /// Answers a permission as programs ask and are answered: [`decide`](Self::decide) in the form
    /// of `stagedoor-wire`.
    ///
    /// `principal` is who asks, or why that cannot be told, which is a denial.
    #[must_use]
    pub fn answer_permission(
        &self,
        permission: &BackstagePermission,
        principal: Result<Option<&Principal>, &EntityRefError>,
    ) -> BackstageAnswer {
        let attributes = permission.attributes.as_ref();
        let asked = PermissionQuery {
            name: &permission.name,
            action: attributes.and_then(|attributes| attributes.action.as_deref()),
            resource_type: permission.resource_type.as_deref(),
        };
        let answer = match principal {
            Ok(principal) => self.decide(&asked, principal),
            Err(error) => self.refuse_user(error),
        };
        BackstageAnswer {
            decision: answer.decision().into(),
            reasons: answer.reasons().map(str::to_owned).collect(),
            errors: answer.errors().to_vec(),
            findings: answer.findings().iter().map(Problem::from).collect(),
            revision: answer.revision().to_owned(),
            may_keep: self.may_keep(&answer),
        }
    }
}

impl Principal {
    /// Returns who asks: a user with ownership references, or a service. Ownership references
    /// that cannot be read stop nothing but themselves.
    ///
    /// # Errors
    ///
    /// [`EntityRefError`] if the user's own reference is none.
    pub fn from_wire(user: BackstageUser) -> Result<Self, EntityRefError> {
        match (user.user_entity_ref, user.service) {
            (None, Some(subject)) => Ok(Self::Service(subject)),
            (reference, _) => {
                let reference = EntityRef::from_str(&reference.unwrap_or_default())?;
                Ok(User::new(reference).with_ownership_refs(user.ownership_entity_refs).into())
            }
        }
    }
}

impl From<&PolicyDecision> for BackstageDecision {
    fn from(decision: &PolicyDecision) -> Self {
        match decision {
            PolicyDecision::Allow => Self::Allow,
            PolicyDecision::Deny => Self::Deny,
            PolicyDecision::Conditional { plugin_id, resource_type, conditions } => {
                Self::Conditional {
                    plugin_id: plugin_id.to_string(),
                    resource_type: resource_type.to_string(),
                    conditions: conditions.into(),
                }
            }
        }
    }
}

impl From<&Criteria> for BackstageCriteria {
    /// Recursive: the engine's budget bounds how deep criteria nest.
    fn from(criteria: &Criteria) -> Self {
        match criteria {
            Criteria::AllOf(items) => {
                Self::AllOf { all_of: items.iter().map(Self::from).collect() }
            }
            Criteria::AnyOf(items) => {
                Self::AnyOf { any_of: items.iter().map(Self::from).collect() }
            }
            Criteria::Not(item) => Self::Not { not: Box::new(item.as_ref().into()) },
            Criteria::Condition(PermissionCondition { resource_type, rule, params }) => {
                let params = params.iter().map(|(name, param)| (name.to_string(), param.into()));
                Self::Rule(BackstageCondition {
                    rule: rule.to_string(),
                    resource_type: resource_type.to_string(),
                    params: params.collect(),
                })
            }
        }
    }
}

impl From<&ConditionParam> for BackstageParam {
    fn from(param: &ConditionParam) -> Self {
        /// Up to here whole numbers are exact, and JavaScript prints them without a point.
        const WHOLE: f64 = 9_007_199_254_740_992.0;
        match param {
            ConditionParam::String(text) => Self::String(text.to_string()),
            ConditionParam::Strings(texts) => {
                Self::Strings(texts.iter().map(ToString::to_string).collect())
            }
            #[expect(clippy::cast_possible_truncation, reason = "a whole number within range")]
            ConditionParam::Number(number) if number.fract() == 0.0 && number.abs() < WHOLE => {
                Self::Integer(*number as i64)
            }
            ConditionParam::Number(number) => Self::Number(*number),
            ConditionParam::Bool(value) => Self::Bool(*value),
        }
    }
}

impl From<&Finding> for Problem {
    fn from(finding: &Finding) -> Self {
        let message = match &finding.clause {
            Some(clause) => format!("{}: `{clause}`", finding.message),
            None => finding.message.clone(),
        };
        Self {
            file: finding.file.clone(),
            line: finding.line,
            help: Some(finding.help.clone()),
            policy: finding.policy.as_ref().map(ToString::to_string),
            ..Self::new(Severity::Warning, finding.code.as_str(), message)
        }
    }
}

impl From<&FileProblem> for Problem {
    fn from(problem: &FileProblem) -> Self {
        Self {
            file: Some(problem.file.clone()),
            document: Some(problem.document),
            line: usize::try_from(problem.line).ok(),
            column: usize::try_from(problem.column).ok(),
            help: problem.help.clone(),
            ..Self::new(Severity::Error, "file::content", problem.message.clone())
        }
    }
}

impl From<&FileError> for WireError {
    fn from(error: &FileError) -> Self {
        let problems = error.problems().iter().map(Problem::from).collect();
        // The first line; the others are the problems.
        let summary = error.to_string().lines().next().unwrap_or_default().to_owned();
        Self::of_problems("permissions::file", summary, problems, error.unreported())
    }
}

impl From<FileError> for WireError {
    fn from(error: FileError) -> Self {
        Self::from(&error)
    }
}

impl From<PolicyEngineError> for WireError {
    fn from(error: PolicyEngineError) -> Self {
        match error {
            PolicyEngineError::Policies(error) => error.into(),
            PolicyEngineError::Permissions(error) => error.into(),
        }
    }
}

impl From<ExplanationError> for WireError {
    fn from(error: ExplanationError) -> Self {
        match error {
            ExplanationError::Permission(unknown) => {
                let help = unknown.help();
                Self::new("permission::unknown", unknown.to_string()).with_help(help)
            }
            ExplanationError::Resource(error) => {
                Self::new("permission::resource", error.to_string())
            }
            ExplanationError::Entities(error) => error.into(),
            ExplanationError::Request(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smol_str::SmolStr;

    /// The form for programs and Backstage's own are one.
    #[test]
    fn decisions_are_written_alike() -> Result<(), serde_json::Error> {
        let condition = |param: ConditionParam| {
            Criteria::Condition(PermissionCondition {
                resource_type: "catalog-entity".into(),
                rule: "HAS".into(),
                params: [(SmolStr::from("key"), param)].into(),
            })
        };
        let leaves: Vec<Criteria> = [
            ConditionParam::String("x".into()),
            ConditionParam::Strings(vec!["a".into(), "b".into()]),
            ConditionParam::Number(-7.0),
            ConditionParam::Number(1.5),
            ConditionParam::Number(1e300),
            ConditionParam::Bool(true),
        ]
        .into_iter()
        .map(condition)
        .collect();
        let all = Criteria::AllOf(leaves.clone());
        let conditional = |conditions| PolicyDecision::Conditional {
            plugin_id: "catalog".into(),
            resource_type: "catalog-entity".into(),
            conditions,
        };
        for decision in [
            PolicyDecision::Allow,
            PolicyDecision::Deny,
            conditional(Criteria::Not(Box::new(all.clone()))),
            conditional(Criteria::AnyOf(vec![all, Criteria::AnyOf(leaves)])),
        ] {
            let written = serde_json::to_string(&BackstageDecision::from(&decision))?;
            assert_eq!(written, serde_json::to_string(&decision)?);
        }
        Ok(())
    }
}
