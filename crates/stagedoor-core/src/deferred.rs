//! Decisions while some attributes of the resource are not known yet.
//!
//! Some callers ask twice: first who may do it, before the object is at hand, and then about
//! the object. Policies that mention the attributes that come later are evaluated as far as
//! the rest tells; what is left of each is a condition on those attributes alone, as text.
//! [`DeferredCondition`] evaluates it later, without the policies.

mod condition;
mod part;

use std::collections::BTreeMap;
use std::sync::Arc;

use cedar_policy::{Decision, Effect};
use cedar_policy_core::ast;
use smol_str::SmolStr;

use crate::engine::Engine;
use crate::entities::Entities;
use crate::error::DecideError;
use crate::evaluate::{GuardedEffect, ResourceKnown, guard_errors};
use crate::hash::FastMap;
use crate::number::PolicyNumber;
use crate::outcome::{Outcome, PolicyError};
use crate::partial::{PartialValue, boolean};
use crate::policy::{Body, PolicyInfo};
use crate::request::Request;
use crate::stack::with_stack;

pub use condition::{DeferredCondition, DeferredConditionError};
use part::{Partial, mentions};

/// An engine that decides while some attributes of the resource are open.
///
/// # Examples
///
/// ```
/// use stagedoor_core::{Engine, Entities, Entity, ConditionalEngine, Request};
///
/// let engine = Engine::builder()
///     .schema("app.cedarschema", "
///         entity User { team: String };
///         entity Report { owner?: String };
///         action publish appliesTo { principal: User, resource: Report };")
///     .policies("app.cedar", r#"
///         @id("owners-publish")
///         permit(principal, action, resource)
///         when { resource has owner && resource.owner == principal.team };"#)
///     .build()?;
/// let engine = ConditionalEngine::new(engine, ["owner"])?;
///
/// let entities = Entities::from_entities([
///     Entity::new(r#"User::"alice""#.parse()?).with_attribute("team", "sales"),
///     Entity::new(r#"Report::"q3""#.parse()?),
/// ])?;
/// let request = Request::new(
///     r#"User::"alice""#.parse()?,
///     r#"Action::"publish""#.parse()?,
///     r#"Report::"q3""#.parse()?,
/// );
/// let outcome = engine.decide(&request, &entities)?;
/// assert!(outcome.settled().is_none());
/// assert_eq!(
///     outcome.residuals()[0].condition(),
///     Ok(r#"(resource has owner) && (resource.owner == "sales")"#),
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ConditionalEngine {
    engine: Engine,
    attributes: Vec<SmolStr>,
    /// The policies that mention the attributes, by number.
    open: BTreeMap<PolicyNumber, ast::Policy>,
}

/// Why a guarded permit has no condition.
const GUARD_FAILED: &str = "a guard of the policy gave no answer";

/// Failure to take policies apart.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ConditionalError {
    /// The policies are validated against no schema.
    #[error("an engine in exact-Cedar mode decides nothing while attributes are open")]
    ExactCedar,
    /// A policy's text cannot be read again.
    #[error("policy `{policy}` cannot be read again: {reason}")]
    Policy {
        /// The policy.
        policy: String,
        /// Why.
        reason: String,
    },
}

/// The answer to one request, as far as it can be told.
#[derive(Debug, Clone)]
pub struct ConditionalOutcome {
    known: Outcome,
    residuals: Vec<ConditionalResidual>,
}

/// What is left of a policy: it is satisfied if its condition holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionalResidual {
    policy: String,
    doc: Option<String>,
    effect: Effect,
    condition: Result<String, String>,
}

impl ConditionalEngine {
    /// Returns an engine for requests whose resource may get these attributes later.
    ///
    /// # Errors
    ///
    /// [`ConditionalError`] for an engine in exact-Cedar mode.
    pub fn new<'a>(
        engine: Engine,
        attributes: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, ConditionalError> {
        if engine.is_exact_cedar() {
            return Err(ConditionalError::ExactCedar);
        }
        let attributes: Vec<SmolStr> = attributes.into_iter().map(SmolStr::from).collect();
        let mut open = BTreeMap::new();
        // Links of a template mention what the template mentions.
        let mut known: FastMap<*const Body, bool> = FastMap::default();
        for (number, info) in engine.0.numbered_policies() {
            let body = Arc::as_ptr(&info.policy.body);
            if known.get(&body) == Some(&false) {
                continue;
            }
            let text = info.text();
            // Only escapes can hide a name.
            if !text.contains('\\') && !attributes.iter().any(|name| text.contains(name.as_str())) {
                known.insert(body, false);
                continue;
            }
            let policy = with_stack(|| info.reparse()).map_err(|reason| {
                ConditionalError::Policy { policy: info.id().to_owned(), reason }
            })?;
            let is_open = mentions(&policy.condition(), &attributes);
            known.insert(body, is_open);
            if is_open {
                open.insert(number, policy);
            }
        }
        Ok(Self { engine, attributes, open })
    }

    /// Returns the engine, which takes the attributes for absent.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Returns the policies that mention the open attributes.
    pub fn open_policies(&self) -> impl Iterator<Item = PolicyInfo<'_>> {
        self.open.keys().filter_map(|number| self.engine.0.policy(*number))
    }

    /// Decides a request whose resource lacks the open attributes.
    ///
    /// A permit whose residual cannot be told is left out, and a forbid then denies, as if
    /// neither could be evaluated. A guard that looks at the resource fails closed: its permit
    /// is left out, its forbid counts. The others are asked, and a policy whose guard says no
    /// is left out.
    ///
    /// # Errors
    ///
    /// As [`Engine::decide`].
    pub fn decide(
        &self,
        request: &Request,
        entities: &Entities,
    ) -> Result<ConditionalOutcome, DecideError> {
        self.engine.0.evaluated(request, entities, |evaluation| {
            let mut tally = evaluation.tally(|n| !self.open.contains_key(&n))?;
            let mut guards = evaluation.guards(ResourceKnown::NotYet);
            let mut residuals = Vec::new();
            for (number, policy) in &self.open {
                let Some(info) = self.engine.0.policy(*number) else { continue };
                if !evaluation.scope(info.policy) {
                    continue;
                }
                let effect = info.effect();
                let residual = |condition| ConditionalResidual {
                    policy: info.id().to_owned(),
                    doc: info.annotation("doc").map(str::to_owned),
                    effect,
                    condition,
                };
                let condition = policy.condition();
                let part = evaluation.with_evaluator(&condition, |evaluator| {
                    let partial = Partial {
                        evaluator,
                        slots: policy.env(),
                        resource: &request.resource,
                        attributes: &self.attributes,
                    };
                    partial.condition(&condition, effect)
                })?;
                match part {
                    PartialValue::Value(value) if boolean(&value) == Some(true) => {
                        tally.add(*number, info.policy);
                    }
                    PartialValue::Value(_) => {}
                    PartialValue::Residual(expr) => {
                        let mut asked = Vec::new();
                        let standing = guards.ask(info, &mut asked);
                        let failed = guard_errors(&asked).map(|error| (*number, error));
                        tally.errors.extend(failed);
                        if standing.counts(effect) {
                            residuals.push(residual(Ok(expr.to_string())));
                        } else if standing == GuardedEffect::Failed {
                            residuals.push(residual(Err(GUARD_FAILED.to_owned())));
                        }
                    }
                    PartialValue::Error(reason) if effect == Effect::Permit => {
                        residuals.push(residual(Err(reason)));
                    }
                    PartialValue::Error(message) => {
                        tally.errors.push((*number, PolicyError::evaluation(info, &message)));
                        tally.forbids.push(*number);
                    }
                }
            }
            tally.forbids.sort_unstable();
            tally.permits.sort_unstable();
            tally.errors.sort_by_key(|(number, _)| *number);
            let known = evaluation.outcome(tally, guards);
            Ok(ConditionalOutcome { known, residuals })
        })
    }
}

impl ConditionalOutcome {
    /// Returns the outcome, if it is the same whatever the open attributes turn out to be.
    #[must_use]
    pub fn settled(&self) -> Option<&Outcome> {
        let known = &self.known;
        let is_open = |effect: Effect| {
            self.residuals.iter().any(|r| r.effect == effect && r.condition.is_ok())
        };
        let settled = match known.decision() {
            Decision::Allow => !is_open(Effect::Forbid),
            Decision::Deny if known.reasons().next().is_some() => true,
            Decision::Deny => !is_open(Effect::Forbid) && !is_open(Effect::Permit),
        };
        settled.then_some(known)
    }

    /// Returns what the policies say that depend on nothing open. Not the answer, unless it
    /// is [`settled`](Self::settled): a residual forbid may still deny.
    pub fn known(&self) -> &Outcome {
        &self.known
    }

    /// Returns what is left of the policies that depend on open attributes.
    #[must_use]
    pub fn residuals(&self) -> &[ConditionalResidual] {
        &self.residuals
    }
}

impl ConditionalResidual {
    /// Returns the policy's id.
    #[must_use]
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// Returns the policy's `@doc`.
    #[must_use]
    pub fn doc(&self) -> Option<&str> {
        self.doc.as_deref()
    }

    /// Returns whether the policy permits or forbids.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// Returns the condition in Cedar's syntax, about `resource` and its open attributes alone,
    /// or why there is none: the permit then counts as not satisfied.
    pub fn condition(&self) -> Result<&str, &str> {
        self.condition.as_deref().map_err(String::as_str)
    }
}

#[cfg(test)]
mod tests;
