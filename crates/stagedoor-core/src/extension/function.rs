//! Cedar's extension functions, called without its evaluator and so without its entities.

use std::fmt;
use std::sync::LazyLock;

use cedar_policy_core::ast::{
    BinaryOp, ExtensionFunction, Literal, Name, PartialValue, RestrictedExpr, Value, ValueKind,
};
use cedar_policy_core::evaluator::{RestrictedEvaluator, binary_relation};
use cedar_policy_core::extensions::Extensions;
use smallvec::SmallVec;

use super::{CedarExtension, ExtensionType};
use crate::error::error_chain;

/// The functions that make a value of a string, by type.
static CONSTRUCTORS: LazyLock<SmallVec<[(ExtensionType, Function); 4]>> = LazyLock::new(|| {
    let function =
        |type_: ExtensionType| Some((type_, Function::named(&type_.constructor().parse().ok()?)?));
    ExtensionType::ALL.into_iter().filter_map(function).collect()
});

/// One of Cedar's extension functions.
#[derive(Clone, Copy)]
pub(crate) struct Function(&'static ExtensionFunction);

impl Function {
    pub(crate) fn named(name: &Name) -> Option<Self> {
        Extensions::all_available().func(name).ok().map(Self)
    }

    /// Returns the function that makes a value of this type of a string.
    pub(super) fn constructor(type_: ExtensionType) -> Option<Self> {
        CONSTRUCTORS.iter().find(|(known, _)| *known == type_).map(|(_, function)| *function)
    }

    /// Returns what the function says; `None` where Cedar errs.
    pub(crate) fn call(self, arguments: &[Value]) -> Option<Value> {
        match self.0.call(arguments) {
            Ok(PartialValue::Value(value)) => Some(value),
            Ok(PartialValue::Residual(_)) | Err(_) => None,
        }
    }

    /// Returns what the function says.
    ///
    /// # Errors
    ///
    /// Cedar's reason.
    pub(super) fn apply(self, arguments: &[Value]) -> Result<Value, String> {
        match self.0.call(arguments).map_err(|error| error_chain(&error))? {
            PartialValue::Value(value) => Ok(value),
            // Of values a function makes values.
            PartialValue::Residual(rest) => Err(format!("`{rest}` is not a value")),
        }
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.name().fmt(f)
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.0.name() == other.0.name()
    }
}

impl Eq for Function {}

/// Evaluates an expression of literals and calls.
///
/// # Errors
///
/// Cedar's reason.
pub(super) fn evaluate(expression: &RestrictedExpr) -> Result<Value, String> {
    let evaluator = RestrictedEvaluator::new(Extensions::all_available());
    evaluator.interpret(expression.as_borrowed()).map_err(|error| error_chain(&error))
}

/// Returns whether one value is less than another, or equal where `or_equal` says so; `None`
/// for types that have no order, or are not the same.
pub(crate) fn is_less(
    left: &CedarExtension,
    right: &CedarExtension,
    or_equal: bool,
) -> Option<bool> {
    let op = if or_equal { BinaryOp::LessEq } else { BinaryOp::Less };
    let of = |value: &CedarExtension| Value::new(ValueKind::ExtensionValue(value.clone()), None);
    let compared = binary_relation(op, &of(left), &of(right), Extensions::all_available()).ok()?;
    match compared.value {
        ValueKind::Lit(Literal::Bool(held)) => Some(held),
        _ => None,
    }
}
