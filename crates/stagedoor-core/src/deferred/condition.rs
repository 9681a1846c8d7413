//! Conditions on open attributes, evaluated when the attributes are known.

use cedar_policy::EntityUid;
use cedar_policy_core::ast::{Expr, Literal, SlotEnv, ValueKind};
use cedar_policy_core::evaluator::Evaluator;
use cedar_policy_core::extensions::Extensions;
use smol_str::SmolStr;

use super::part::is_sayable;
use crate::entities::Entities;
use crate::error::error_chain;
use crate::hash::FastMap;
use crate::ir::hops;
use crate::request::Request;
use crate::stack::with_stack;

/// The longest text of a condition, in bytes.
pub(super) const TEXT_BYTES: usize = 4 << 10;
/// Room for Cedar's recursive parser on whatever a text of that length nests.
const STACK_BYTES: usize = 64 << 20;

/// A condition as a [`ConditionalResidual`](super::ConditionalResidual) tells it.
#[derive(Debug, Clone)]
pub struct DeferredCondition(Expr);

/// Failure to read or evaluate a condition. It must count against whoever asks: as satisfied
/// for a forbid, and as not satisfied for a permit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeferredConditionError {
    /// The text is no expression of Cedar's.
    #[error("the condition cannot be read: {0}")]
    Syntax(String),
    /// The condition asks for something else than the open attributes.
    #[error("the condition asks for more than the attributes that it may be about")]
    Beyond,
    /// The entities are not ones that Cedar takes.
    #[error("the condition cannot be evaluated: {0}")]
    Entities(String),
    /// Cedar's evaluator failed.
    #[error("the condition cannot be evaluated: {0}")]
    Evaluation(String),
    /// The condition comes to something else than true or false.
    #[error("the condition is neither true nor false")]
    NotBoolean,
}

impl DeferredCondition {
    /// Reads a condition on these attributes of the resource.
    ///
    /// # Errors
    ///
    /// [`DeferredConditionError::Syntax`] or [`DeferredConditionError::Beyond`].
    pub fn parse<'a>(
        text: &str,
        attributes: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, DeferredConditionError> {
        let attributes: Vec<SmolStr> = attributes.into_iter().map(SmolStr::from).collect();
        read(text, &attributes).map(Self)
    }

    /// Returns whether the condition holds for a resource of these entities.
    ///
    /// # Errors
    ///
    /// [`DeferredConditionError`] if that cannot be told.
    pub fn holds(
        &self,
        resource: &EntityUid,
        entities: &Entities,
    ) -> Result<bool, DeferredConditionError> {
        let failed = |reason: String| DeferredConditionError::Entities(reason);
        // The condition names neither principal nor action.
        let request = Request::new(resource.clone(), resource.clone(), resource.clone());
        let request = request.to_cedar(None).map_err(|e| failed(error_chain(&e)))?;
        let entities = entities
            .to_cedar([resource], hops(&self.0), &FastMap::default())
            .map_err(|e| failed(error_chain(&e)))?;
        let evaluator =
            Evaluator::new(request.as_ref().clone(), &entities, Extensions::all_available());
        let interpret =
            || evaluator.interpret(&self.0, &SlotEnv::new()).map_err(|e| error_chain(&e));
        let value = with_stack(interpret).map_err(DeferredConditionError::Evaluation)?;
        match value.value {
            ValueKind::Lit(Literal::Bool(held)) => Ok(held),
            _ => Err(DeferredConditionError::NotBoolean),
        }
    }
}

/// Reads an expression that needs nothing but these attributes of the resource.
pub(super) fn read(text: &str, attributes: &[SmolStr]) -> Result<Expr, DeferredConditionError> {
    if text.len() > TEXT_BYTES {
        let reason = format!("{} bytes are longer than {TEXT_BYTES}", text.len());
        return Err(DeferredConditionError::Syntax(reason));
    }
    stacker::grow(STACK_BYTES, || {
        let expr: Expr =
            text.parse().map_err(|e| DeferredConditionError::Syntax(error_chain(&e)))?;
        if is_sayable(&expr, attributes) { Ok(expr) } else { Err(DeferredConditionError::Beyond) }
    })
}
