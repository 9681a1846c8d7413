//! What is left of policies when everything but the resource is known.
//!
//! The index tells which policies may matter whatever the resource is; Cedar's type-aware
//! partial evaluation (`tpe`) reduces them. See [`Engine::residuals`].

use std::sync::Arc;

use cedar_policy::pst::{Clause, Expr, Literal, UnaryOp};
use cedar_policy::{
    EntityTypeName, EntityUid, PartialEntities, PartialEntityUid, PartialRequest, PolicyId,
    PolicySet, Schema, SlotId, pst,
};
use cedar_policy_core::ast;

use crate::context::EvalContext;
use crate::engine::Engine;
use crate::entities::Entities;
use crate::error::{DecideError, RequestError, error_chain};
use crate::evaluate::{Evaluation, GuardSession, GuardedEffect, ResourceKnown, guard_errors};
use crate::guard::GuardOutcome;
use crate::hash::FastMap;
use crate::parse;
use crate::policy::{EntityScope, PolicyInfo};
use crate::query::{PartialContext, Party, Query, Question};
use crate::request::{Request, cedar_context};
use crate::stack::with_stack;

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
        let Some(schema) = self.schema().filter(|_| !self.is_exact_cedar()) else {
            return Err(DecideError::SchemaMissing);
        };
        let context = match context {
            PartialContext::Known(context) => PartialContext::Known(context.clone()),
            PartialContext::Partly(_) | PartialContext::Unknown => PartialContext::Unknown,
        };
        let query = Query::new(principal.clone(), Party::Any(resource_type.clone()))
            .with_context(context.clone());
        let question = Question::new(self, &query, entities)?;
        let request = question.request(action.clone());
        question.check(&request)?;
        let mut view = self.0.view(&request, entities);
        view.unknown = Some(question.unknown());
        let evaluation = Evaluation::new(&view, &self.0);
        let policies: Vec<PolicyInfo<'_>> = self
            .0
            .all_candidates(&view)
            .into_iter()
            .filter_map(|number| self.0.policy(number))
            .filter(|policy| scope_may_match(policy, &view, &evaluation))
            .collect();
        if policies.is_empty() {
            return Ok(Vec::new());
        }
        let partial = Partial::new(&request, resource_type, &context, entities, schema)?;
        let mut residuals = with_stack(|| partial.residuals(&policies));
        let mut guards = evaluation.guards(ResourceKnown::NotYet);
        residuals.iter_mut().for_each(|residual| residual.ask(&mut guards));
        Ok(residuals)
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

/// Returns whether the scope matches some resource of the type.
fn scope_may_match(
    policy: &PolicyInfo<'_>,
    view: &EvalContext<'_>,
    evaluation: &Evaluation<'_, '_>,
) -> bool {
    use crate::symbols::Var;
    let resource_type = view.type_(Var::Resource);
    let fits = match &policy.policy.resource {
        EntityScope::Is(type_) | EntityScope::IsIn(type_, _) => resource_type == Some(*type_),
        EntityScope::Any | EntityScope::Eq(_) | EntityScope::In(_) => true,
    };
    fits && evaluation.entity_scope(&policy.policy.principal, Var::Principal)
        && evaluation.action_scope(policy.policy)
}

/// A request without its resource, for Cedar.
struct Partial<'a> {
    request: PartialRequest,
    entities: PartialEntities,
    schema: &'a Schema,
}

impl<'a> Partial<'a> {
    fn new(
        request: &Request,
        resource_type: &EntityTypeName,
        context: &PartialContext,
        entities: &Entities,
        schema: &'a Schema,
    ) -> Result<Self, DecideError> {
        let refused =
            |e: &dyn std::error::Error| DecideError::Request(RequestError::Schema(error_chain(e)));
        let context = match context {
            PartialContext::Known(context) => Some(cedar_context(context)?),
            PartialContext::Partly(_) | PartialContext::Unknown => None,
        };
        let partial = PartialRequest::new(
            PartialEntityUid::from_concrete(request.principal.clone()),
            request.action.clone(),
            PartialEntityUid::new(resource_type.clone(), None),
            context,
            schema,
        )
        .map_err(|e| refused(&e))?;
        // The schema brings the actions along.
        let known = entities.to_cedar([&request.principal], usize::MAX, &FastMap::default())?;
        let known =
            PartialEntities::from_concrete(known.into(), schema).map_err(|e| refused(&e))?;
        Ok(Self { request: partial, entities: known, schema })
    }

    /// Reduces all policies in one go, or one by one if Cedar refuses one of them.
    fn residuals<'e>(&self, policies: &[PolicyInfo<'e>]) -> Vec<Residual<'e>> {
        if let Ok(conditions) = self.reduce(policies) {
            let paired = policies.iter().zip(conditions);
            return paired
                .map(|(policy, condition)| Residual {
                    policy: *policy,
                    condition,
                    guards: Vec::new(),
                })
                .collect();
        }
        let one = |policy: &PolicyInfo<'e>| {
            let condition = match self.reduce(std::slice::from_ref(policy)) {
                Ok(mut conditions) => conditions.pop(),
                Err(reason) => Some(ResidualCondition::Failed(reason)),
            };
            let lost = || ResidualCondition::Failed("partial evaluation lost the policy".into());
            let condition = condition.unwrap_or_else(lost);
            Residual { policy: *policy, condition, guards: Vec::new() }
        };
        policies.iter().map(one).collect()
    }

    /// Returns what is left of each policy, in their order.
    fn reduce(&self, policies: &[PolicyInfo<'_>]) -> Result<Vec<ResidualCondition>, String> {
        let (set, ids) = parsed(policies)?;
        let response =
            set.tpe(&self.request, &self.entities, self.schema).map_err(|e| error_chain(&e))?;
        let condition = |id: &PolicyId| {
            let reduced = response.get_policy(id);
            let reduced = reduced.ok_or("partial evaluation lost the policy")?;
            let reduced: &ast::Policy = reduced.as_ref();
            let policy = pst::Policy::try_from(reduced.clone()).map_err(|e| error_chain(&e))?;
            of_clauses(&policy)
        };
        let failed = |reason: String| ResidualCondition::Failed(reason);
        Ok(ids.iter().map(|id| condition(id).unwrap_or_else(failed)).collect())
    }
}

/// Parses policies again. Returns the id of each in the set: its own may be any text.
fn parsed(policies: &[PolicyInfo<'_>]) -> Result<(PolicySet, Vec<PolicyId>), String> {
    // In one go: Cedar's parser takes as long to start as it takes for a policy.
    let of_their_own = || policies.iter().filter(|policy| policy.link().is_none());
    let texts: Vec<&str> = of_their_own().map(|policy| policy.text()).collect();
    let mut set: PolicySet =
        texts.join("\n").parse().map_err(|e: cedar_policy::ParseErrors| error_chain(&e))?;
    let positions = set.policies().count();
    if positions != texts.len() || set.templates().next().is_some() {
        return Err("the text of a policy is not one policy".to_owned());
    }
    let mut position = 0;
    let mut ids = Vec::with_capacity(policies.len());
    for (number, policy) in policies.iter().enumerate() {
        let id = match policy.link() {
            Some((principal, resource)) => link(&mut set, number, policy, principal, resource)?,
            None => {
                position += 1;
                PolicyId::new(format!("policy{}", position - 1))
            }
        };
        ids.push(id);
    }
    Ok((set, ids))
}

/// Adds a template's link.
fn link(
    set: &mut PolicySet,
    number: usize,
    policy: &PolicyInfo<'_>,
    principal: Option<&EntityUid>,
    resource: Option<&EntityUid>,
) -> Result<PolicyId, String> {
    let (id, template_id) = (format!("link {number}"), format!("template {number}"));
    let (id, template_id) = (PolicyId::new(id), PolicyId::new(template_id));
    let template =
        parse::statement(policy.text(), template_id.as_ref()).map_err(|e| error_chain(&e))?;
    set.add_template(template.into()).map_err(|e| error_chain(&e))?;
    let values = [(SlotId::principal(), principal), (SlotId::resource(), resource)];
    let values = values.into_iter().filter_map(|(slot, uid)| Some((slot, uid?.clone()))).collect();
    set.link(template_id, id.clone(), values).map_err(|e| error_chain(&e))?;
    Ok(id)
}

fn of_clauses(policy: &pst::Policy) -> Result<ResidualCondition, String> {
    let mut left: Option<Arc<Expr>> = None;
    for clause in policy.body().clauses() {
        let clause = match clause {
            Clause::When(expr) => Arc::clone(expr),
            Clause::Unless(expr) => {
                Arc::new(Expr::UnaryOp { op: UnaryOp::Not, expr: Arc::clone(expr) })
            }
        };
        left = Some(match left {
            None => clause,
            Some(left) => Arc::new(Expr::BinaryOp { op: pst::BinaryOp::And, left, right: clause }),
        });
    }
    let Some(expr) = left else { return Ok(ResidualCondition::Always) };
    Ok(match expr.as_ref() {
        Expr::Literal(Literal::Bool(true)) => ResidualCondition::Always,
        Expr::Literal(Literal::Bool(false)) => ResidualCondition::Never,
        Expr::ResidualError => return Err("its evaluation fails for every resource".into()),
        _ => ResidualCondition::Expression(expr),
    })
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
