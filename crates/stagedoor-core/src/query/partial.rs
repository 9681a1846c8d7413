//! Partial evaluation of a policy's condition: what depends on nothing unknown is Cedar's own
//! evaluator's, and what is left is a tree.
//!
//! INVARIANT: whatever the unknown turns out to be, what is left comes to the same as the
//! condition: true, false, or an error. Types are assumed only where policies and requests are
//! validated, and no entity is assumed to exist.

use std::sync::{Arc, LazyLock};

use cedar_policy::EntityTypeName;
use cedar_policy_core::ast::{self, BinaryOp, Expr, ExprKind, Literal, Name, SlotEnv, Var};
use cedar_policy_core::evaluator::Evaluator;

use crate::error::error_chain;
use crate::hash::FastSet;
use crate::partial::{self, Operation, PartialValue, boolean, not_boolean, rebuilt};
use crate::unknown::{Extent, Unknown};

/// What the schema tells of an unknown entity.
#[derive(Debug)]
pub(super) struct UnknownType {
    pub(super) name: EntityTypeName,
    /// The types that it can be a member of; none where no schema tells.
    pub(super) above: Option<FastSet<EntityTypeName>>,
}

/// Evaluates one policy as far as its request is known.
pub(super) struct Partial<'a> {
    pub(super) evaluator: &'a Evaluator<'a>,
    pub(super) slots: &'a SlotEnv,
    pub(super) unknown: &'a Unknown,
    /// Policies and requests are well typed: what stands for a truth value is one.
    pub(super) typed: bool,
    pub(super) principal: &'a UnknownType,
    pub(super) resource: &'a UnknownType,
}

/// Cedar's own name for what fails in any case.
static ERROR: LazyLock<Option<Name>> = LazyLock::new(|| "error".parse().ok());

impl Partial<'_> {
    pub(super) fn part(&self, expr: &Expr) -> PartialValue {
        if !self.is_open(expr) {
            return self.interpret(expr);
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
                    failed @ PartialValue::Error(_) => return failed,
                };
                let branch = |branch| Arc::new(written(self.part(branch)));
                PartialValue::Residual(rebuilt(ExprKind::If {
                    test_expr: Arc::new(test),
                    then_expr: branch(then_expr),
                    else_expr: branch(else_expr),
                }))
            }
            ExprKind::BinaryApp { op, arg1, arg2 } => match self.membership(*op, arg1, arg2) {
                Some(known) => PartialValue::Value(known.into()),
                None => self.operation(expr),
            },
            ExprKind::Var(_) => PartialValue::Residual(expr.clone()),
            _ => self.operation(expr),
        }
    }

    fn interpret(&self, expr: &Expr) -> PartialValue {
        match self.evaluator.interpret(expr, self.slots) {
            Ok(value) => PartialValue::Value(value),
            Err(error) => PartialValue::Error(error_chain(&error)),
        }
    }

    /// `||`, or else `&&`.
    fn joined(&self, left: &Expr, right: &Expr, is_or: bool) -> PartialValue {
        let left = match self.part(left) {
            PartialValue::Value(value) => {
                return match boolean(&value) {
                    Some(held) if held == is_or => PartialValue::Value(value),
                    Some(_) => self.truth(right),
                    None => not_boolean(),
                };
            }
            PartialValue::Residual(left) => left,
            failed @ PartialValue::Error(_) => return failed,
        };
        let right = match self.truth(right) {
            // `left && true` is left, if that is a truth value: whatever errs is told the same.
            PartialValue::Value(value)
                if boolean(&value) == Some(!is_or) && self.is_truth(&left) =>
            {
                return PartialValue::Residual(left);
            }
            // `left && false` is false, unless left errs.
            PartialValue::Value(value) if boolean(&value) == Some(is_or) && never_errs(&left) => {
                return PartialValue::Value(value);
            }
            right => written(right),
        };
        let (left, right) = (Arc::new(left), Arc::new(right));
        PartialValue::Residual(rebuilt(if is_or {
            ExprKind::Or { left, right }
        } else {
            ExprKind::And { left, right }
        }))
    }

    /// The last operand of `&&` or `||`, which errs unless it is a truth value.
    fn truth(&self, expr: &Expr) -> PartialValue {
        match self.part(expr) {
            PartialValue::Value(value) if boolean(&value).is_none() => not_boolean(),
            // Nothing is lost by leaving `true &&` away where the rest is a truth value.
            PartialValue::Residual(open) if !self.is_truth(&open) => {
                PartialValue::Residual(rebuilt(ExprKind::And {
                    left: Arc::new(Expr::val(true)),
                    right: Arc::new(open),
                }))
            }
            part => part,
        }
    }

    fn is_truth(&self, expr: &Expr) -> bool {
        self.typed || is_truth(expr)
    }

    /// Returns what types alone tell of `==` and `in`.
    fn membership(&self, op: BinaryOp, left: &Expr, right: &Expr) -> Option<bool> {
        let unknown = |expr: &Expr| match expr.expr_kind() {
            ExprKind::Var(Var::Principal) if !self.unknown.principal.is_all() => {
                Some(self.principal)
            }
            ExprKind::Var(Var::Resource) if !self.unknown.resource.is_all() => Some(self.resource),
            _ => None,
        };
        let literal = |expr: &Expr| match expr.expr_kind() {
            ExprKind::Lit(Literal::EntityUID(uid)) => {
                Some(EntityTypeName::from(uid.entity_type().clone()))
            }
            _ => None,
        };
        match op {
            BinaryOp::Eq => {
                let (one, other) = match (unknown(left), unknown(right)) {
                    (Some(one), None) => (one, literal(right)?),
                    (None, Some(one)) => (one, literal(left)?),
                    _ => return None,
                };
                (other != one.name).then_some(false)
            }
            BinaryOp::In => {
                let one = unknown(left)?;
                let above = one.above.as_ref()?;
                let can_be = |expr: &Expr| {
                    literal(expr).is_none_or(|type_| type_ == one.name || above.contains(&type_))
                };
                let may = match right.expr_kind() {
                    // What is no entity errs.
                    ExprKind::Set(items) => {
                        items.iter().any(|item| literal(item).is_none() || can_be(item))
                    }
                    _ => can_be(right),
                };
                (!may).then_some(false)
            }
            _ => None,
        }
    }

    /// An operation that evaluates all its operands.
    fn operation(&self, expr: &Expr) -> PartialValue {
        match partial::operation(expr.expr_kind(), |operand| self.part(operand)) {
            Some(Operation::Residual(expr)) => PartialValue::Residual(expr),
            Some(Operation::Error(reason)) => PartialValue::Error(reason),
            Some(Operation::Ground(expr)) => self.interpret(&expr),
            // What has no operands is open only as a variable.
            None => self.interpret(expr),
        }
    }

    /// Returns whether an expression depends on what is not known.
    fn is_open(&self, expr: &Expr) -> bool {
        let mut open = vec![expr];
        while let Some(expr) = open.pop() {
            let (of, attribute) = match expr.expr_kind() {
                ExprKind::Var(var) => {
                    if !self.extent(*var).is_all() {
                        return true;
                    }
                    continue;
                }
                // The type is known in any case.
                ExprKind::Is { expr, .. } if is_var(expr) => continue,
                ExprKind::GetAttr { expr, attr } | ExprKind::HasAttr { expr, attr } => (expr, attr),
                ExprKind::ExtHasAttr { expr, attrs } => (expr, attrs.first()),
                _ => {
                    open.extend(crate::expr::operands(expr));
                    continue;
                }
            };
            match of.expr_kind() {
                ExprKind::Var(var) if self.extent(*var).knows(attribute) => {}
                _ => open.push(of),
            }
        }
        false
    }

    fn extent(&self, var: Var) -> &Extent {
        match var {
            Var::Principal => &self.unknown.principal,
            Var::Resource => &self.unknown.resource,
            Var::Context => &self.unknown.context,
            Var::Action => &Extent::All,
        }
    }
}

/// Returns what a part is in what is left.
fn written(part: PartialValue) -> Expr {
    match part {
        PartialValue::Value(value) => value.into(),
        PartialValue::Residual(expr) => expr,
        PartialValue::Error(_) => match ERROR.as_ref() {
            Some(error) => rebuilt(ExprKind::ExtensionFunctionApp {
                fn_name: error.clone(),
                args: Arc::default(),
            }),
            // An integer is no truth value either.
            None => Expr::val(0),
        },
    }
}

fn is_var(expr: &Expr) -> bool {
    matches!(expr.expr_kind(), ExprKind::Var(_))
}

/// Returns whether an expression is true or false wherever it does not err.
fn is_truth(expr: &Expr) -> bool {
    match expr.expr_kind() {
        ExprKind::And { .. }
        | ExprKind::Or { .. }
        | ExprKind::HasAttr { .. }
        | ExprKind::ExtHasAttr { .. }
        | ExprKind::Like { .. }
        | ExprKind::Is { .. }
        | ExprKind::Lit(Literal::Bool(_)) => true,
        ExprKind::UnaryApp { op, .. } => !matches!(op, ast::UnaryOp::Neg),
        ExprKind::BinaryApp { op, .. } => {
            !matches!(op, BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::GetTag)
        }
        ExprKind::If { then_expr, else_expr, .. } => is_truth(then_expr) && is_truth(else_expr),
        _ => false,
    }
}

/// Returns whether an expression surely does not err, whatever the values are.
fn never_errs(expr: &Expr) -> bool {
    match expr.expr_kind() {
        ExprKind::Lit(_) | ExprKind::Var(_) => true,
        ExprKind::HasAttr { expr, .. } | ExprKind::ExtHasAttr { expr, .. } => is_var(expr),
        ExprKind::Is { expr, .. } => {
            matches!(expr.expr_kind(), ExprKind::Var(var) if *var != Var::Context)
        }
        ExprKind::And { left, right } | ExprKind::Or { left, right } => {
            [left, right].into_iter().all(|side| is_truth(side) && never_errs(side))
        }
        ExprKind::UnaryApp { op: ast::UnaryOp::Not, arg } => is_truth(arg) && never_errs(arg),
        ExprKind::BinaryApp { op: BinaryOp::Eq, arg1, arg2 } => {
            never_errs(arg1) && never_errs(arg2)
        }
        ExprKind::BinaryApp { op: BinaryOp::In, arg1, arg2 } => {
            matches!(arg1.expr_kind(), ExprKind::Var(var) if *var != Var::Context)
                && matches!(arg2.expr_kind(), ExprKind::Lit(Literal::EntityUID(_)))
        }
        _ => false,
    }
}
