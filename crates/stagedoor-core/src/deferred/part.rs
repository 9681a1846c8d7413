//! Partial evaluation: what does not mention an open attribute is Cedar's own evaluator's.
//!
//! INVARIANT: what is left mentions the resource's open attributes and literals only, and
//! looks into no entity but those that the attributes lead to. Everything else would not be
//! there any more when the condition is evaluated, and `has` and `in` would quietly say no.

use std::sync::Arc;

use cedar_policy::{Effect, EntityUid};
use cedar_policy_core::ast::{self, BinaryOp, Expr, ExprKind, Literal, SlotEnv, UnaryOp, Var};
use cedar_policy_core::evaluator::Evaluator;
use smol_str::SmolStr;

use super::condition;
use crate::error::error_chain;
use crate::expr::{conjuncts, disjuncts};
use crate::partial::{self, Operation, PartialValue, boolean, not_boolean, rebuilt};

/// Evaluates for one request and policy.
pub(super) struct Partial<'a> {
    pub(super) evaluator: Evaluator<'a>,
    pub(super) slots: &'a SlotEnv,
    pub(super) resource: &'a EntityUid,
    pub(super) attributes: &'a [SmolStr],
}

impl Partial<'_> {
    /// Returns what a policy's condition comes to.
    pub(super) fn condition(&self, expr: &Expr, effect: Effect) -> PartialValue {
        let part = self.part(expr);
        let PartialValue::Residual(expr) = part else { return part };
        // What errs leaves a permit out, so whatever the rest does, this permits nothing.
        if effect == Effect::Permit && settles(&expr, false) {
            return PartialValue::Value(false.into());
        }
        if !is_sayable(&expr, self.attributes) {
            return unsayable();
        }
        // INVARIANT: what is told as text is what will be read. Where Cedar surely reads what it
        // writes, no question waits for its parser.
        let text = expr.to_string();
        if text.len() <= condition::TEXT_BYTES && is_read_as_written(&expr) {
            return PartialValue::Residual(expr);
        }
        match condition::read(&text, self.attributes) {
            Ok(again) if again.eq_shape(&expr) => PartialValue::Residual(expr),
            _ => unsayable(),
        }
    }

    fn part(&self, expr: &Expr) -> PartialValue {
        if !mentions(expr, self.attributes) {
            return match self.evaluator.interpret(expr, self.slots) {
                Ok(value) => PartialValue::Value(value),
                Err(error) => PartialValue::Error(error_chain(&error)),
            };
        }
        if is_open_path(expr, self.attributes) || asks_for_open(expr, self.attributes) {
            return PartialValue::Residual(expr.clone());
        }
        match expr.expr_kind() {
            ExprKind::And { left, right } => self.joined(left, right, false),
            ExprKind::Or { left, right } => self.joined(left, right, true),
            ExprKind::If { test_expr, then_expr, else_expr } => {
                let test = match self.part(test_expr) {
                    PartialValue::Value(value) => {
                        return match boolean(&value) {
                            Some(true) => self.part(then_expr),
                            Some(false) => self.part(else_expr),
                            None => not_boolean(),
                        };
                    }
                    PartialValue::Residual(test) => test,
                    closed => return closed,
                };
                let branch = |branch| match self.part(branch) {
                    PartialValue::Value(value) => Ok(value.into()),
                    PartialValue::Residual(expr) => Ok(expr),
                    PartialValue::Error(reason) => Err(reason),
                };
                match (branch(then_expr), branch(else_expr)) {
                    (Ok(then_expr), Ok(else_expr)) => {
                        PartialValue::Residual(rebuilt(ExprKind::If {
                            test_expr: Arc::new(test),
                            then_expr: Arc::new(then_expr),
                            else_expr: Arc::new(else_expr),
                        }))
                    }
                    (Err(reason), _) | (_, Err(reason)) => PartialValue::Error(reason),
                }
            }
            kind => self.operation(kind),
        }
    }

    /// `||`, or else `&&`. An operand that cannot be told closes the whole: the other one
    /// might keep it from being evaluated, but that is not known here.
    fn joined(&self, left: &Arc<Expr>, right: &Arc<Expr>, is_or: bool) -> PartialValue {
        let left = match self.part(left) {
            PartialValue::Value(value) => {
                return match boolean(&value) {
                    Some(held) if held == is_or => PartialValue::Value(value),
                    Some(_) => self.part(right),
                    None => not_boolean(),
                };
            }
            // `… && false`: the right operand is never evaluated, as where a `has` guards it.
            PartialValue::Residual(left) if settles(&left, is_or) => {
                return PartialValue::Residual(left);
            }
            PartialValue::Residual(left) => Arc::new(left),
            closed => return closed,
        };
        let right = match self.part(right) {
            // `left && true` is left. `left && false` is false, unless left errs.
            PartialValue::Value(value) if boolean(&value) == Some(!is_or) => {
                return PartialValue::Residual(Arc::unwrap_or_clone(left));
            }
            PartialValue::Value(value) if boolean(&value) == Some(is_or) && never_errs(&left) => {
                return PartialValue::Value(value);
            }
            PartialValue::Value(value) => Arc::new(value.into()),
            PartialValue::Residual(right) => Arc::new(right),
            closed => return closed,
        };
        PartialValue::Residual(rebuilt(if is_or {
            ExprKind::Or { left, right }
        } else {
            ExprKind::And { left, right }
        }))
    }

    /// An operation that evaluates all its operands.
    fn operation(&self, kind: &ExprKind) -> PartialValue {
        if matches!(kind, ExprKind::ExtHasAttr { .. }) {
            // A chain of `has` may lead to the resource.
            return unsayable();
        }
        let expr = match partial::operation(kind, |operand| self.part(operand)) {
            Some(Operation::Residual(expr)) => return PartialValue::Residual(expr),
            Some(Operation::Error(reason)) => return PartialValue::Error(reason),
            Some(Operation::Ground(expr)) => expr,
            // Slots and unknowns mention nothing.
            None => return unsayable(),
        };
        if self.asks_the_resource(&expr) {
            // By another name than `resource`: not known, and not absent either.
            return unsayable();
        }
        match self.evaluator.interpret(&expr, self.slots) {
            Ok(value) => PartialValue::Value(value),
            Err(error) => PartialValue::Error(error_chain(&error)),
        }
    }

    fn asks_the_resource(&self, expr: &Expr) -> bool {
        let (ExprKind::GetAttr { expr, attr } | ExprKind::HasAttr { expr, attr }) =
            expr.expr_kind()
        else {
            return false;
        };
        let resource: &ast::EntityUID = self.resource.as_ref();
        let is_resource = matches!(
            expr.expr_kind(),
            ExprKind::Lit(Literal::EntityUID(uid)) if **uid == *resource
        );
        is_resource && self.attributes.contains(attr)
    }
}

/// Whether an expression asks anything for an attribute of one of these names.
pub(super) fn mentions(expr: &Expr, attributes: &[SmolStr]) -> bool {
    expr.subexpressions().any(|expr| match expr.expr_kind() {
        ExprKind::GetAttr { attr, .. } | ExprKind::HasAttr { attr, .. } => {
            attributes.contains(attr)
        }
        ExprKind::ExtHasAttr { attrs, .. } => attrs.iter().any(|attr| attributes.contains(attr)),
        _ => false,
    })
}

/// Whether an expression needs nothing but the resource's open attributes.
pub(super) fn is_sayable(expr: &Expr, attributes: &[SmolStr]) -> bool {
    let sayable = |expr: &Expr| is_sayable(expr, attributes);
    if is_open_path(expr, attributes) || asks_for_open(expr, attributes) {
        return true;
    }
    match expr.expr_kind() {
        ExprKind::Lit(_) => true,
        ExprKind::If { test_expr, then_expr, else_expr } => {
            sayable(test_expr) && sayable(then_expr) && sayable(else_expr)
        }
        ExprKind::And { left, right } | ExprKind::Or { left, right } => {
            sayable(left) && sayable(right)
        }
        ExprKind::UnaryApp { arg, .. } => sayable(arg),
        ExprKind::BinaryApp { op: BinaryOp::In, .. } => false,
        ExprKind::BinaryApp { op: BinaryOp::GetTag | BinaryOp::HasTag, arg1, arg2 } => {
            is_open_path(arg1, attributes) && sayable(arg2)
        }
        ExprKind::BinaryApp { arg1, arg2, .. } => sayable(arg1) && sayable(arg2),
        ExprKind::Like { expr, .. } | ExprKind::Is { expr, .. } => sayable(expr),
        ExprKind::Set(items) => items.iter().all(sayable),
        ExprKind::Record(fields) => fields.values().all(sayable),
        ExprKind::ExtensionFunctionApp { args, .. } => args.iter().all(sayable),
        _ => false,
    }
}

/// `resource.object`, `resource.object.numbers`: an open attribute, and what it leads to.
fn is_open_path(expr: &Expr, attributes: &[SmolStr]) -> bool {
    match expr.expr_kind() {
        ExprKind::GetAttr { expr, attr } => {
            if is_resource(expr) {
                attributes.contains(attr)
            } else {
                is_open_path(expr, attributes)
            }
        }
        _ => false,
    }
}

/// `resource has object`, `resource.object has numbers`.
fn asks_for_open(expr: &Expr, attributes: &[SmolStr]) -> bool {
    let (of, first) = match expr.expr_kind() {
        ExprKind::HasAttr { expr, attr } => (expr, attr),
        ExprKind::ExtHasAttr { expr, attrs } => (expr, attrs.first()),
        _ => return false,
    };
    if is_resource(of) { attributes.contains(first) } else { is_open_path(of, attributes) }
}

fn is_resource(expr: &Expr) -> bool {
    matches!(expr.expr_kind(), ExprKind::Var(Var::Resource))
}

/// Whether a chain of `||` has a `true` in it, or else a chain of `&&` a `false`.
fn settles(chain: &Expr, is_or: bool) -> bool {
    let parts = if is_or { disjuncts(chain) } else { conjuncts(chain) };
    parts.into_iter().any(|part| is_literal(part, is_or))
}

fn is_literal(expr: &Expr, held: bool) -> bool {
    matches!(expr.expr_kind(), ExprKind::Lit(Literal::Bool(literal)) if *literal == held)
}

/// Whether Cedar reads an expression as it writes it: no negative number, no `!` of a `!`, and nothing
/// that has a name of its own to be written by.
pub(super) fn is_read_as_written(expr: &Expr) -> bool {
    expr.subexpressions().all(|part| match part.expr_kind() {
        ExprKind::Lit(Literal::Long(value)) => *value >= 0,
        ExprKind::UnaryApp { op: UnaryOp::Not, arg } => {
            !matches!(arg.expr_kind(), ExprKind::UnaryApp { op: UnaryOp::Not, .. })
        }
        ExprKind::UnaryApp { op, .. } => matches!(op, UnaryOp::IsEmpty),
        ExprKind::Lit(_)
        | ExprKind::Var(_)
        | ExprKind::And { .. }
        | ExprKind::Or { .. }
        | ExprKind::BinaryApp { .. }
        | ExprKind::GetAttr { .. }
        | ExprKind::HasAttr { .. }
        | ExprKind::Like { .. }
        | ExprKind::Is { .. }
        | ExprKind::Set(_) => true,
        _ => false,
    })
}

/// Whether an expression comes to true or false wherever the policy evaluates it.
///
/// Strict validation leaves only overflow and extension functions to err: attributes and tags
/// are asked for before they are read, also in what is left.
fn never_errs(expr: &Expr) -> bool {
    !expr.subexpressions().any(|expr| match expr.expr_kind() {
        ExprKind::UnaryApp { op, .. } => matches!(op, UnaryOp::Neg),
        ExprKind::BinaryApp { op, .. } => {
            matches!(op, BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul)
        }
        ExprKind::ExtensionFunctionApp { .. } => true,
        _ => false,
    })
}

fn unsayable() -> PartialValue {
    PartialValue::Error(
        "the condition also depends on other data than the deferred attributes".to_owned(),
    )
}
