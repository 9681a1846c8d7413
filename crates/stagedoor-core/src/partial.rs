//! What partial evaluations share: what an expression comes to, and how an operation is made anew of
//! what its operands come to.
//!
//! There are two: one keeps everything that is unknown ([`query`](crate::query)), one keeps what may
//! be said of deferred attributes alone and closes the rest ([`open`](crate::deferred)). They differ in
//! what they do about errors and short circuits, and so in everything but this.

use std::sync::Arc;

use cedar_policy_core::ast::{Expr, ExprBuilder, ExprKind, Literal, Value, ValueKind};
use cedar_policy_core::expr_builder::ExprBuilder as _;

/// What an expression comes to.
pub(crate) enum PartialValue {
    Value(Value),
    /// It depends on this.
    Residual(Expr),
    /// Its evaluation fails in any case, or what it comes to cannot be told; and why.
    Error(String),
}

/// An operation over operands that were evaluated.
pub(crate) enum Operation {
    /// It depends on what is not known.
    Residual(Expr),
    /// Its operands are values: it is still to be evaluated.
    Ground(Expr),
    /// The first operand that fails says why.
    Error(String),
}

/// Makes an operation anew that evaluates all its operands; none if it is no such operation.
///
/// The first operand that fails is the one whose error Cedar tells, if those before it do not err:
/// that something errs is sure in any case.
pub(crate) fn operation(
    kind: &ExprKind,
    mut part: impl FnMut(&Expr) -> PartialValue,
) -> Option<Operation> {
    let mut is_open = false;
    let mut failed = None;
    let mut operand = |operand: &Expr| -> Expr {
        match part(operand) {
            PartialValue::Value(value) => value.into(),
            PartialValue::Residual(expr) => {
                is_open = true;
                expr
            }
            PartialValue::Error(reason) => {
                failed.get_or_insert(reason);
                Expr::val(false)
            }
        }
    };
    let mut arc = |of: &Expr| Arc::new(operand(of));
    let kind = match kind {
        ExprKind::UnaryApp { op, arg } => ExprKind::UnaryApp { op: *op, arg: arc(arg) },
        ExprKind::BinaryApp { op, arg1, arg2 } => {
            ExprKind::BinaryApp { op: *op, arg1: arc(arg1), arg2: arc(arg2) }
        }
        ExprKind::GetAttr { expr, attr } => {
            ExprKind::GetAttr { expr: arc(expr), attr: attr.clone() }
        }
        ExprKind::HasAttr { expr, attr } => {
            ExprKind::HasAttr { expr: arc(expr), attr: attr.clone() }
        }
        ExprKind::ExtHasAttr { expr, attrs } => {
            ExprKind::ExtHasAttr { expr: arc(expr), attrs: attrs.clone() }
        }
        ExprKind::Like { expr, pattern } => {
            ExprKind::Like { expr: arc(expr), pattern: pattern.clone() }
        }
        ExprKind::Is { expr, entity_type } => {
            ExprKind::Is { expr: arc(expr), entity_type: entity_type.clone() }
        }
        ExprKind::Set(items) => ExprKind::Set(Arc::new(items.iter().map(operand).collect())),
        ExprKind::Record(fields) => ExprKind::Record(Arc::new(
            fields.iter().map(|(name, field)| (name.clone(), operand(field))).collect(),
        )),
        ExprKind::ExtensionFunctionApp { fn_name, args } => ExprKind::ExtensionFunctionApp {
            fn_name: fn_name.clone(),
            args: Arc::new(args.iter().map(operand).collect()),
        },
        _ => return None,
    };
    let expr = rebuilt(kind);
    Some(match failed {
        Some(reason) => Operation::Error(reason),
        None if is_open => Operation::Residual(expr),
        None => Operation::Ground(expr),
    })
}

pub(crate) fn boolean(value: &Value) -> Option<bool> {
    match &value.value {
        ValueKind::Lit(Literal::Bool(held)) => Some(*held),
        _ => None,
    }
}

pub(crate) fn rebuilt(kind: ExprKind) -> Expr {
    ExprBuilder::<()>::new().with_expr_kind(kind)
}

pub(crate) fn not_boolean() -> PartialValue {
    PartialValue::Error("type error: expected bool".to_owned())
}
