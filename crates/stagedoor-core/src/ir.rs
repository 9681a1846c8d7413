//! A policy's condition as a list of clauses that must all hold.
//!
//! `when { a && b } unless { c }` is the list `a`, `b`, `!c`. Order is kept: the first
//! clause that is false ends the evaluation, and with it the errors of later ones.
//! Most clauses become [`Predicate`]s, which are decided on typed attributes; those that use
//! what is not expressed here (records that policies write) stay Cedar expressions.

use std::sync::Arc;

use cedar_policy::{EntityTypeName, EntityUid};
use cedar_policy_core::ast::{self, BinaryOp, Expr, ExprKind, Literal};
use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::expr::operands;
use crate::extension::{CedarExtension, Function};
use crate::glob::Glob;
use crate::hash::FastSet;
use crate::number::{EntityNumber, PathNumber, TypeNumber};
use crate::symbols::{Key, Var};

/// One clause.
#[derive(Debug, Clone)]
pub(crate) enum Clause {
    /// Decided here.
    Predicate(Predicate),
    /// Decided by Cedar.
    Cedar(Arc<Expr>),
}

/// Literals, sorted; one or two are kept in place.
pub(crate) type Keys = SmallVec<[Key; 2]>;

/// A clause over typed attributes. Kept small, since there may be some for each of very many
/// policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Predicate {
    /// The value at the path is one of these.
    OneOf {
        path: PathNumber,
        keys: Keys,
    },
    /// The set at the path contains any (or all) of these.
    Contains {
        path: PathNumber,
        keys: Keys,
        all: bool,
    },
    /// The value at the path is `true`; Cedar's business if it is not a boolean.
    True {
        path: PathNumber,
    },
    /// The path's only step is there.
    Has {
        path: PathNumber,
    },
    /// The entity is, or is a member of, one of these.
    In {
        var: Var,
        uids: Box<[EntityNumber]>,
    },
    /// The entity is of this type.
    Is {
        var: Var,
        type_: TypeNumber,
    },
    Not(Box<Self>),
    All(Box<[Self]>),
    Any(Box<[Self]>),
    /// The first where the condition holds, else the second.
    If(Box<[Self; 3]>),
    /// Two values are the same.
    Equal(Box<[Operand; 2]>),
    /// The first integer is less than the second, or equal where `or_equal` says so.
    Less {
        terms: Box<[Operand; 2]>,
        or_equal: bool,
    },
    /// The string matches the pattern.
    Like {
        term: Box<Operand>,
        pattern: Box<Glob>,
    },
    /// The first entity is the second, or a member of it, or of any if the second is a set.
    MemberOf(Box<[Operand; 2]>),
    /// The entity is of this type.
    OfType {
        term: Box<Operand>,
        type_: Box<EntityTypeName>,
    },
    /// The entity or record has this attribute.
    HasAttribute {
        term: Box<Operand>,
        name: Box<str>,
    },
    /// The entity (first) has this tag (second).
    HasTag(Box<[Operand; 2]>),
    /// The set (first) contains the value (second).
    Element(Box<[Operand; 2]>),
    /// The first set contains all of the second, or any of it.
    Superset {
        terms: Box<[Operand; 2]>,
        all: bool,
    },
    /// The set is empty.
    Empty(Box<Operand>),
    /// The value is `true`.
    Value(Box<Operand>),
}

/// An expression over typed attributes that is not a truth value as such.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Operand {
    Path(PathNumber),
    Bool(bool),
    Long(i64),
    String(SmolStr),
    Uid(EntityUid),
    /// A decimal, time, duration or address.
    Extension(CedarExtension),
    Set(Box<[Self]>),
    /// An attribute of an entity or a field of a record.
    Attribute(Box<Self>, SmolStr),
    /// The tag (second) of an entity (first).
    Tag(Box<[Self; 2]>),
    Negative(Box<Self>),
    Arithmetic(Operation, Box<[Self; 2]>),
    /// A call of an extension function.
    Call(Function, Box<[Self]>),
    If(Box<Predicate>, Box<[Self; 2]>),
    Predicate(Box<Predicate>),
}

/// Integer arithmetic; overflow is an error, Cedar's to report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Add,
    Subtract,
    Multiply,
}

impl Operation {
    /// Returns the result; `None` where it overflows.
    pub(crate) const fn apply(self, left: i64, right: i64) -> Option<i64> {
        match self {
            Self::Add => left.checked_add(right),
            Self::Subtract => left.checked_sub(right),
            Self::Multiply => left.checked_mul(right),
        }
    }
}

/// Returns the clauses of a condition, in order.
pub(crate) fn clauses(condition: &Arc<Expr>) -> Vec<Arc<Expr>> {
    let mut clauses = Vec::new();
    let mut open = vec![Arc::clone(condition)];
    while let Some(expr) = open.pop() {
        if let ExprKind::And { left, right } = expr.expr_kind() {
            open.push(Arc::clone(right));
            open.push(Arc::clone(left));
        } else {
            clauses.push(expr);
        }
    }
    // Cedar writes the end of a chain of `when` and `unless` as `… && true`.
    if clauses.len() > 1 {
        clauses.retain(|c| !matches!(c.expr_kind(), ExprKind::Lit(Literal::Bool(true))));
    }
    clauses
}

/// Adds the entities that an expression names and may read attributes, tags or ancestors of.
///
/// What is only compared, or asked for as a group, is left out.
pub(crate) fn dereferenced(expr: &Expr, found: &mut FastSet<EntityUid>) {
    let mut open = vec![expr];
    while let Some(expr) = open.pop() {
        match expr.expr_kind() {
            ExprKind::Lit(Literal::EntityUID(uid)) => {
                found.insert(ast::EntityUID::clone(uid).into());
            }
            ExprKind::BinaryApp { op, arg1, arg2 } => {
                let compares = matches!(op, BinaryOp::Eq | BinaryOp::Contains);
                if !(compares && is_literal(arg1)) {
                    open.push(arg1);
                }
                if !((compares || *op == BinaryOp::In) && is_literal(arg2)) {
                    open.push(arg2);
                }
            }
            _ => open.extend(operands(expr)),
        }
    }
}

/// Returns how many steps from entity to entity an expression can make: as many as it has reads of
/// attributes and tags within each other.
pub(crate) fn hops(expr: &Expr) -> usize {
    let mut deepest = 0;
    let mut open = vec![(expr, 0_usize)];
    while let Some((expr, above)) = open.pop() {
        let here = match expr.expr_kind() {
            ExprKind::GetAttr { .. }
            | ExprKind::HasAttr { .. }
            | ExprKind::BinaryApp { op: BinaryOp::GetTag | BinaryOp::HasTag, .. } => above + 1,
            ExprKind::ExtHasAttr { attrs, .. } => above + attrs.len(),
            _ => above,
        };
        deepest = deepest.max(here);
        open.extend(operands(expr).into_iter().map(|operand| (operand, here)));
    }
    deepest
}

fn is_literal(expr: &Expr) -> bool {
    match expr.expr_kind() {
        ExprKind::Lit(_) => true,
        ExprKind::Set(items) => items.iter().all(|i| matches!(i.expr_kind(), ExprKind::Lit(_))),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clause_is_small() {
        assert!(size_of::<Clause>() <= 48, "{}", size_of::<Clause>());
    }
}
