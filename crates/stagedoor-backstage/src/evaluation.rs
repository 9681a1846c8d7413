//! How a permission is decided: by the engine, or in conditions.

use std::sync::Arc;

use cedar_policy::{EntityTypeName, EntityUid};
use smol_str::SmolStr;
use stagedoor_core::{
    DecideError, Decision, Effect, Entities, GuardVerdict, PartialContext, Record, Residual,
    ResidualCondition,
};

use crate::budget::Budget;
use crate::conditions::{CombinedPolicies, Conditions, Room};
use crate::criteria::PolicyDecision;
use crate::names;
use crate::permission::{Permission, PermissionAction};
use crate::policy_answer::{AnswerInner, Finding, FindingCode, PermissionQuery, PolicyAnswer};
use crate::policy_engine::PolicyEngine;
use crate::principal::Principal;
use crate::schema::entity_type;
use crate::stack::with_stack;

impl PolicyEngine {
    pub(crate) fn findings_about(&self, resource_type: &str) -> Vec<Finding> {
        let Some(type_name) = type_name(resource_type) else { return Vec::new() };
        let rules = self.permissions.rules();
        let entities = &self.groups.entities;
        match Conditions::new(resource_type, &type_name, rules, entities) {
            Some(conditions) => conditions.findings(&self.engine, &self.permissions),
            None => Vec::new(),
        }
    }

    /// Returns the permission of the name that is asked for.
    ///
    /// Backstage's frontend asks by the name alone, or by the name and the action; plugins state
    /// the whole. What is stated must be what is known: policies were written for that.
    pub(crate) fn known(&self, asked: &PermissionQuery<'_>) -> Result<&Permission, Box<Finding>> {
        let permission = self.permissions.get(asked.name).map_err(|unknown| {
            let help = "if a plugin has it, list it in a `*.permissions.yaml`: `stagedoor backstage \
                        discover` writes one";
            Box::new(Finding::general(FindingCode::UnknownPermission, unknown.to_string(), help))
        })?;
        let action = permission.action().map(PermissionAction::as_str);
        let is_whole = asked.resource_type.is_some();
        let fits = match (asked.action, asked.resource_type) {
            (None, None) => true,
            (stated, None) => stated == action,
            (stated, of_type) => stated == action && of_type == permission.resource_type(),
        };
        if fits {
            return Ok(permission);
        }
        let describe = |action: Option<&str>, of_type: Option<&str>| {
            let action = action.map_or("no action".into(), |action| format!("action `{action}`"));
            let of_type = match of_type {
                Some(of_type) => format!(" on `{of_type}`"),
                None if is_whole => " on no resources".to_owned(),
                None => String::new(),
            };
            format!("{action}{of_type}")
        };
        let known_type = permission.resource_type().filter(|_| is_whole);
        let message = format!(
            "permission `{}` is known with {}, but asked with {}: denied",
            asked.name,
            describe(action, known_type),
            describe(asked.action, asked.resource_type),
        );
        let help = "a plugin of another version than is known here states it so: update Stagedoor, \
                    or the plugin; if a `*.permissions.yaml` lists the permission, correct it there";
        Err(Box::new(Finding::general(FindingCode::PermissionMismatch, message, help)))
    }

    /// Returns the answer to a question that does not speak of resources: where the answer hangs
    /// on the resource, that is a denial. Backstage takes no conditions there, and fails the
    /// whole request instead.
    pub(crate) fn without_conditions(
        &self,
        permission: &Permission,
        answer: PolicyAnswer,
    ) -> PolicyAnswer {
        let PolicyDecision::Conditional { resource_type, .. } = answer.decision() else {
            return answer;
        };
        let message = format!(
            "permission `{}` hangs on the `{resource_type}`, but is asked without one: denied",
            permission.name()
        );
        let help = "ask with a resource; or, to show a page by it, ask for a permission about no \
                    resource, or permit this one for every resource";
        let finding = Finding::general(FindingCode::NeedsResource, message, help);
        let findings = answer.findings().iter().cloned().chain([finding]).collect();
        let reasons = answer.reasons().map(SmolStr::from).collect();
        self.answer(PolicyDecision::Deny, reasons, answer.errors().to_vec(), findings)
    }

    pub(crate) fn refusal(&self, finding: Finding) -> PolicyAnswer {
        let reason = finding.message.clone();
        self.answer(PolicyDecision::Deny, Vec::new(), vec![reason], vec![finding])
    }

    fn answer(
        &self,
        decision: PolicyDecision,
        reasons: Vec<SmolStr>,
        errors: Vec<String>,
        findings: Vec<Finding>,
    ) -> PolicyAnswer {
        let revision = Arc::clone(&self.revision);
        PolicyAnswer(Arc::new(AnswerInner { decision, reasons, errors, findings, revision }))
    }

    pub(crate) fn evaluate(
        &self,
        permission: &Permission,
        principal: &Principal,
        budget: Budget,
    ) -> PolicyAnswer {
        let evaluated = match permission.resource_type() {
            None => self.basic(permission, principal),
            Some(resource_type) => {
                with_stack(|| self.conditional(permission, resource_type, principal, budget))
            }
        };
        evaluated.unwrap_or_else(|reason| {
            self.answer(PolicyDecision::Deny, Vec::new(), vec![reason], Vec::new())
        })
    }

    /// Returns what is left of the policies whatever the resource is. Backstage has no context to
    /// give: where the schema demands one, it is not known.
    pub(crate) fn residuals_of(
        &self,
        principal: &EntityUid,
        action: &EntityUid,
        resource_type: &EntityTypeName,
        entities: &Entities,
    ) -> Result<Vec<Residual<'_>>, DecideError> {
        let context = match self.engine.requires_context(action) {
            true => PartialContext::Unknown,
            false => PartialContext::Known(Record::new()),
        };
        self.engine.residuals(principal, action, resource_type, &context, entities)
    }

    /// Decides a permission that is about no resource.
    fn basic(
        &self,
        permission: &Permission,
        principal: &Principal,
    ) -> Result<PolicyAnswer, String> {
        let asked = permission.request(principal, None).map_err(|e| e.to_string())?;
        let entities = [principal.entity_within(&self.groups)];
        let entities = self.groups.entities.with(entities).map_err(|e| e.to_string())?;
        let outcome = self.engine.decide(&asked.request, &entities).map_err(|e| e.to_string())?;
        let decision = match outcome.decision() {
            Decision::Allow => PolicyDecision::Allow,
            Decision::Deny => PolicyDecision::Deny,
        };
        let reasons = outcome.reasons().map(|policy| policy.id().into()).collect();
        let errors = outcome.errors().iter().map(|e| failed(e.policy(), e.message())).collect();
        Ok(self.answer(decision, reasons, errors, unreadable_refs(principal)))
    }

    fn conditional(
        &self,
        permission: &Permission,
        resource_type: &str,
        principal: &Principal,
        budget: Budget,
    ) -> Result<PolicyAnswer, String> {
        let type_name =
            type_name(resource_type).ok_or_else(|| format!("`{resource_type}` has no type"))?;
        let entities = [principal.entity_within(&self.groups)];
        let entities = self.groups.entities.with(entities).map_err(|e| e.to_string())?;
        let residuals = self
            .residuals_of(&principal.uid(), &permission.uid(), &type_name, &entities)
            .map_err(|e| e.to_string())?;
        let errors = residuals.iter().filter_map(|residual| match &residual.condition {
            ResidualCondition::Failed(reason) => Some(failed(residual.policy.id(), reason)),
            // A forbid that counts although a guard of it gave no answer.
            _ => residual.guards.iter().find_map(|guard| match guard.verdict() {
                GuardVerdict::Failed(failure) => {
                    let reason = format!("guard `{}`: {failure}", guard.rule());
                    Some(failed(residual.policy.id(), &reason))
                }
                _ => None,
            }),
        });
        let errors: Vec<String> = errors.collect();
        let rules = self.permissions.rules();
        let Some(conditions) = Conditions::new(resource_type, &type_name, rules, &entities) else {
            return Ok(self.without_rules(resource_type, &residuals, errors));
        };
        let own = match principal {
            Principal::User(user) => user.reference().to_string(),
            Principal::Service(subject) => subject.clone(),
        };
        let room = Room { budget, owners: Some(&self.owners), own: &own };
        let combined = conditions.combined(&residuals, room);
        let CombinedPolicies { formula, criteria, reasons, mut findings } = combined;
        findings.extend(unreadable_refs(principal));
        let decision = match criteria {
            Some(conditions) => PolicyDecision::Conditional {
                plugin_id: self.plugin_id(resource_type, permission),
                resource_type: resource_type.into(),
                conditions,
            },
            None if formula.is_true() => PolicyDecision::Allow,
            None => PolicyDecision::Deny,
        };
        Ok(self.answer(decision, reasons, errors, findings))
    }

    /// Decides about resources that no rule tells apart: all of them or none.
    fn without_rules(
        &self,
        resource_type: &str,
        residuals: &[Residual<'_>],
        errors: Vec<String>,
    ) -> PolicyAnswer {
        let may_forbid = |r: &&Residual<'_>| {
            r.policy.effect() == Effect::Forbid && r.condition != ResidualCondition::Never
        };
        let permits = |r: &&Residual<'_>| {
            r.policy.effect() == Effect::Permit && r.condition == ResidualCondition::Always
        };
        let is_open = |r: &&Residual<'_>| matches!(r.condition, ResidualCondition::Expression(_));
        let ids = |list: Vec<&Residual<'_>>| list.iter().map(|r| r.policy.id().into()).collect();
        let forbids: Vec<_> = residuals.iter().filter(may_forbid).collect();
        let permits: Vec<_> = residuals.iter().filter(permits).collect();
        let findings = residuals.iter().filter(is_open).map(|residual| Finding {
            code: FindingCode::NoRules,
            policy: Some(residual.policy.id().into()),
            file: Some(residual.policy.file().to_owned()),
            line: residual.policy.line(),
            clause: None,
            message: format!("no rules are known for `{resource_type}`: the policy is closed"),
            help: "list the rules of the plugin in a `*.permissions.yaml`; `stagedoor backstage \
                   discover` writes one"
                .to_owned(),
        });
        let findings = findings.collect();
        if forbids.is_empty() && !permits.is_empty() {
            return self.answer(PolicyDecision::Allow, ids(permits), errors, findings);
        }
        self.answer(PolicyDecision::Deny, ids(forbids), errors, findings)
    }

    fn plugin_id(&self, resource_type: &str, permission: &Permission) -> SmolStr {
        let known = match resource_type {
            "catalog-entity" => Some("catalog".into()),
            "scaffolder-template" | "scaffolder-action" | "scaffolder-task" => {
                Some("scaffolder".into())
            }
            listed => self.permissions.rules().plugin_id(listed).cloned(),
        };
        known.unwrap_or_else(|| permission.plugin_id().into())
    }
}

/// Tells of ownership references that are none. They are claims as they are written.
fn unreadable_refs(principal: &Principal) -> Vec<Finding> {
    let Principal::User(user) = principal else { return Vec::new() };
    let finding = |text: &str| {
        let message = format!(
            "`{text}`, an ownership reference of `{}`, is not a full entity reference: it owns nothing",
            user.reference()
        );
        let help = "let the sign-in resolver write it as `kind:namespace/name`";
        Finding::general(FindingCode::UnreadableReference, message, help)
    };
    user.unreadable_refs().map(finding).collect()
}

/// Returns the entity type that stands for a resource type.
pub(crate) fn type_name(resource_type: &str) -> Option<EntityTypeName> {
    format!("{}::{}", names::NAMESPACE, entity_type(resource_type)?).parse().ok()
}

fn failed(policy: &str, reason: &str) -> String {
    format!("policy `{policy}` cannot be evaluated: {reason}")
}
