//! Decimals, times, durations and addresses, made and compared by Cedar's own functions.
//!
//! A constant is made once, when its policy is loaded. Cedar's evaluator is not needed for
//! any of this, and so neither are Cedar's entities.

use std::fmt;
use std::sync::{Arc, LazyLock};

use cedar_policy::RestrictedExpression;
use cedar_policy_core::ast::{
    BinaryOp, ExtensionFunction, Literal, Name, PartialValue, RepresentableExtensionValue, Value,
    ValueKind,
};
use cedar_policy_core::evaluator::binary_relation;
use cedar_policy_core::extensions::Extensions;

/// A value of an extension type.
pub(crate) type Extension = Arc<RepresentableExtensionValue>;

/// The functions that make a value of a string.
static CONSTRUCTORS: LazyLock<Vec<(&str, Function)>> = LazyLock::new(|| {
    let names = ["datetime", "decimal", "duration", "ip"];
    let function = |name: &'static str| Some((name, Function::named(&name.parse().ok()?)?));
    names.into_iter().filter_map(function).collect()
});

/// One of Cedar's extension functions.
#[derive(Clone, Copy)]
pub(crate) struct Function(&'static ExtensionFunction);

impl Function {
    pub(crate) fn named(name: &Name) -> Option<Self> {
        Extensions::all_available().func(name).ok().map(Self)
    }

    /// Returns what the function says; `None` where Cedar errs.
    pub(crate) fn call(self, arguments: &[Value]) -> Option<Value> {
        match self.0.call(arguments) {
            Ok(PartialValue::Value(value)) => Some(value),
            Ok(PartialValue::Residual(_)) | Err(_) => None,
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

/// Returns function and text of a plain call such as `ip("10.0.0.1")`; `None` for all others.
fn plain(call: &str) -> Option<(&str, &str)> {
    let (name, rest) = call.split_once('(')?;
    let text = rest.strip_prefix('"')?.strip_suffix("\")")?;
    (!text.contains(['"', '\\'])).then_some((name, text))
}

/// Returns a plain call as an expression, without Cedar's parser; `None` for all others.
pub(crate) fn expression(call: &str) -> Option<RestrictedExpression> {
    Some(match plain(call)? {
        ("datetime", text) => RestrictedExpression::new_datetime(text),
        ("decimal", text) => RestrictedExpression::new_decimal(text),
        ("duration", text) => RestrictedExpression::new_duration(text),
        ("ip", text) => RestrictedExpression::new_ip(text),
        _ => return None,
    })
}

/// Returns the value that a plain call makes; `None` for all others.
pub(crate) fn made_by(call: &str) -> Option<Extension> {
    let (name, text) = plain(call)?;
    let (_, function) = CONSTRUCTORS.iter().find(|(known, _)| *known == name)?;
    match function.call(&[Value::from(text)])?.value {
        ValueKind::ExtensionValue(value) => Some(value),
        _ => None,
    }
}

/// Returns whether one value is less than another, or equal where `or_equal` says so; `None`
/// for types that have no order, or are not the same.
pub(crate) fn is_less(left: &Extension, right: &Extension, or_equal: bool) -> Option<bool> {
    let op = if or_equal { BinaryOp::LessEq } else { BinaryOp::Less };
    let of = |value: &Extension| Value::new(ValueKind::ExtensionValue(Arc::clone(value)), None);
    let compared = binary_relation(op, &of(left), &of(right), Extensions::all_available()).ok()?;
    match compared.value {
        ValueKind::Lit(Literal::Bool(held)) => Some(held),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_calls_make_what_cedar_makes() {
        assert!(made_by(r#"ip("10.0.0.0/8")"#).is_some());
        assert_eq!(made_by(r#"decimal("1.50")"#), made_by(r#"decimal("1.5")"#));
        assert_ne!(made_by(r#"decimal("1.51")"#), made_by(r#"decimal("1.5")"#));
        for other in
            [r#"ip("x")"#, r#"ip("a\u{62}")"#, r#"ip ("::1")"#, "ip(1)", "ip(\"", "x(\"\")"]
        {
            assert_eq!(made_by(other), None, "{other}");
        }
    }

    #[test]
    fn plain_calls_are_what_cedar_parses() {
        for name in ["datetime", "decimal", "duration", "ip"] {
            let call = format!("{name}(\"1.5 \n\u{301}\")");
            assert_eq!(expression(&call), call.parse().ok(), "{call}");
        }
        for other in [r#"ip("\u{62}")"#, r#"other("1")"#, r#"ip ("::1")"#, "ip(\""] {
            assert_eq!(expression(other), None, "{other}");
        }
    }

    #[test]
    fn times_have_an_order_and_addresses_have_none() {
        let less = |left: &str, right: &str, or_equal| {
            is_less(&made_by(left)?, &made_by(right)?, or_equal)
        };
        let (early, late) = (r#"datetime("2026-01-01")"#, r#"datetime("2026-01-02")"#);
        assert_eq!(less(early, late, false), Some(true));
        assert_eq!(less(late, early, true), Some(false));
        assert_eq!(less(late, late, false), Some(false));
        assert_eq!(less(late, late, true), Some(true));
        assert_eq!(less(early, r#"duration("1h")"#, false), None);
        assert_eq!(less(r#"ip("::1")"#, r#"ip("::1")"#, true), None);
    }
}
