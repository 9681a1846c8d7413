//! What is left of policies when everything but the resource is known.
//!
//! A [query](crate::query) about any resource of a type, whose guards are asked as far as they do not
//! look at it. See [`Engine::residuals`].

use std::sync::Arc;

use cedar_policy::{EntityTypeName, EntityUid};
use cedar_policy_core::ast::Expr;

use crate::engine::Engine;
use crate::entities::Entities;
use crate::error::{DecideError, error_chain};
use crate::evaluate::{Evaluation, GuardSession, GuardedEffect, ResourceKnown, guard_errors};
use crate::guard::GuardOutcome;
use crate::policy::PolicyInfo;
use crate::query::{PartialContext, Party, Query, QueryCondition, Question};

/// One policy, and what is left of its scope and condition.
///
/// # Examples
///
/// ```
/// use stagedoor_core::{Engine, Entities, PartialContext, Record, ResidualCondition};
///
/// let engine = Engine::builder()
///     .schema("s.cedarschema", "entity User; entity Doc { owner: User };
///         action view appliesTo { principal: User, resource: Doc };")
///     .policies("p.cedar", r#"@id("own") permit(principal, action, resource)
///         when { resource.owner == principal };"#)
///     .build()?;
/// let (ana, view) = (r#"User::"ana""#.parse()?, r#"Action::"view""#.parse()?);
/// let context = PartialContext::Known(Record::new());
/// let left = engine.residuals(&ana, &view, &"Doc".parse()?, &context, &Entities::empty())?;
/// assert_eq!(left[0].policy.id(), "own");
/// assert!(matches!(left[0].condition, ResidualCondition::Expression(_)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Residual<'e> {
    /// The policy.
    pub policy: PolicyInfo<'e>,
    /// When it is satisfied.
    pub condition: ResidualCondition,
    /// What came of its guards. Those that look at the resource have failed.
    pub guards: Vec<GuardOutcome>,
}

/// When a policy is satisfied, as far as that is known without the resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResidualCondition {
    /// For every resource of the type.
    Always,
    /// For none.
    Never,
    /// Its evaluation fails for every resource, or partial evaluation does not take the
    /// policy; the text says why. A permit must not count then, and a forbid must.
    Failed(String),
    /// For the resources of which this holds. `principal`, `action` and `context` are
    /// replaced by what they are.
    Expression(Arc<Expr>),
}

impl Engine {
    /// Returns the policies that may matter when `principal` asks for `action` on any
    /// resource of a type, each with what is left of it. Those that are not returned are
    /// satisfied by no such resource, nor does their evaluation fail.
    ///
    /// Guards that do not look at the resource are asked. A policy whose guard says no is
    /// satisfied for no resource; where one gives no answer, a permit counts as failed and a
    /// forbid as if it were not guarded.
    ///
    /// `entities` must hold the principal and the groups above it. Of a context that is not
    /// wholly known nothing counts as known: what is left of policies then mentions it.
    ///
    /// # Errors
    ///
    /// [`DecideError`] if the request or the entities do not conform to the schema, or the
    /// engine validates nothing ([exact-Cedar mode](crate::EngineBuilder::exact_cedar)).
    pub fn residuals(
        &self,
        principal: &EntityUid,
        action: &EntityUid,
        resource_type: &EntityTypeName,
        context: &PartialContext,
        entities: &Entities,
    ) -> Result<Vec<Residual<'_>>, DecideError> {
        if self.schema().is_none() || self.is_exact_cedar() {
            return Err(DecideError::SchemaMissing);
        }
        let context = match context {
            PartialContext::Known(context) => PartialContext::Known(context.clone()),
            PartialContext::Partly(_) | PartialContext::Unknown => PartialContext::Unknown,
        };
        let query =
            Query::new(principal.clone(), Party::Any(resource_type.clone())).with_context(context);
        let question = Question::new(self, &query, entities)?;
        let request = question.request(action.clone());
        question.check(&request)?;
        let view = question.view(&request);
        let evaluation = Evaluation::new(&view, &self.0);
        let mut guards = evaluation.guards(ResourceKnown::NotYet);
        let residual = |(policy, condition): (_, Result<QueryCondition, DecideError>)| {
            let condition = match condition {
                Ok(QueryCondition::Always) => ResidualCondition::Always,
                Ok(QueryCondition::Never) => ResidualCondition::Never,
                Ok(QueryCondition::Failed(reason)) => ResidualCondition::Failed(reason),
                Ok(QueryCondition::If(expr)) => ResidualCondition::Expression(expr),
                Err(error) => ResidualCondition::Failed(error_chain(&error)),
            };
            let mut residual = Residual { policy, condition, guards: Vec::new() };
            residual.ask(&mut guards);
            residual
        };
        Ok(question.reduced(&evaluation).map(residual).collect())
    }
}

impl Residual<'_> {
    /// Asks the policy's guards, if anything is left of it that they could hold back.
    fn ask(&mut self, guards: &mut GuardSession<'_>) {
        if matches!(self.condition, ResidualCondition::Never | ResidualCondition::Failed(_)) {
            return;
        }
        let effect = self.policy.effect();
        match guards.ask(self.policy, &mut self.guards) {
            standing if standing.counts(effect) => {}
            GuardedEffect::Failed => {
                let failure = guard_errors(&self.guards).next();
                let reason = failure.map(|error| error.message).unwrap_or_default();
                self.condition = ResidualCondition::Failed(reason);
            }
            GuardedEffect::Holds | GuardedEffect::Refused => {
                self.condition = ResidualCondition::Never
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;
    use crate::{Entity, TemplateLink};

    const SCHEMA: &str = "
        entity Group; entity User in [Group] = { claims: Set<String> };
        entity Thing in [Box] = { kind: String, owners: Set<String>, note?: String };
        entity Box; entity Other;
        action look appliesTo { principal: User, resource: [Thing, Other] };";

    const POLICIES: &str = r#"
        @id("all") permit (principal in Group::"a", action, resource);
        @id("kind") permit (principal, action, resource is Thing)
          when { principal in Group::"a" && resource.kind == "x" };
        @id("other-group") permit (principal in Group::"b", action, resource);
        @id("other-type") permit (principal, action, resource is Other);
        @id("never") permit (principal, action, resource) when { principal in Group::"b" };
        @id("in-box") permit (principal, action, resource in Box::"1");
        @id("owned") forbid (principal, action, resource is Thing)
          unless { resource.owners.containsAny(principal.claims) };
        @id("errs") forbid (principal, action, resource is Thing)
          when { 9223372036854775807 + 1 > 0 };"#;

    fn residuals(indexed: bool) -> Result<Vec<(String, ResidualCondition)>, Box<dyn Error>> {
        let mut builder = Engine::builder().schema("s", SCHEMA).policies("p", POLICIES);
        for number in 0..200 {
            let text = format!(
                r#"@id("g{number}") permit (principal in Group::"g{number}", action, resource is Thing) when {{ resource.kind == "k{number}" }};"#
            );
            builder = builder.policies(format!("g{number}"), text);
        }
        let template = r#"@id("of") permit (principal == ?principal, action, resource is Thing)
            when { resource.kind == "linked" };"#;
        builder = builder.policies("t", template).link(TemplateLink {
            template: "of".into(),
            id: "policy0".into(),
            principal: Some(r#"User::"u""#.parse()?),
            resource: None,
        });
        let engine = if indexed { builder } else { builder.index(false) }.build()?;
        let user: EntityUid = r#"User::"u""#.parse()?;
        let entity = Entity::new(user.clone())
            .with_parent(r#"Group::"a""#.parse()?)
            .with_parent(r#"Group::"g7""#.parse()?)
            .with_attribute("claims", crate::Value::from_iter(["group:default/a"]));
        let entities = Entities::from_entities([entity])?;
        let found = engine.residuals(
            &user,
            &r#"Action::"look""#.parse()?,
            &"Thing".parse()?,
            &PartialContext::Known(crate::Record::new()),
            &entities,
        )?;
        Ok(found.into_iter().map(|r| (r.policy.id().to_owned(), r.condition)).collect())
    }

    #[test]
    fn what_is_known_is_reduced() -> Result<(), Box<dyn Error>> {
        let found = residuals(true)?;
        let said: Vec<(&str, String)> = found
            .iter()
            .map(|(id, condition)| {
                let text = match condition {
                    ResidualCondition::Always => "always".into(),
                    ResidualCondition::Never => "never".into(),
                    ResidualCondition::Failed(_) => "failed".into(),
                    ResidualCondition::Expression(expr) => expr.to_string(),
                };
                (id.as_str(), text)
            })
            .collect();
        let expected = [
            ("all", "always"),
            ("kind", r#"resource.kind == "x""#),
            ("in-box", r#"resource in Box::"1""#),
            ("owned", r#"!resource.owners.containsAny(["group:default/a"])"#),
            ("errs", "failed"),
            ("g7", r#"resource.kind == "k7""#),
            ("policy0", r#"resource.kind == "linked""#),
        ];
        let expected: Vec<_> = expected.map(|(id, text)| (id, text.to_owned())).to_vec();
        assert_eq!(said, expected);
        Ok(())
    }

    #[test]
    fn the_index_leaves_out_nothing_that_matters() -> Result<(), Box<dyn Error>> {
        let matters = |found: Vec<(String, ResidualCondition)>| -> Vec<_> {
            found.into_iter().filter(|(_, c)| *c != ResidualCondition::Never).collect()
        };
        assert_eq!(matters(residuals(true)?), matters(residuals(false)?));
        Ok(())
    }
}
