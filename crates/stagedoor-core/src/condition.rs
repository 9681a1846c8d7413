//! A policy's condition as a list of clauses that must all hold.
//!
//! `when { a && b } unless { c }` is the list `a`, `b`, `!c`. Clauses that compare
//! a path with literals, or ask for membership or type, become [`Test`]s, which are
//! decided on typed attributes; the rest stay Cedar expressions. Order is kept: the
//! first clause that is false ends the evaluation, and with it the errors of later ones.

use std::collections::BTreeSet;
use std::sync::Arc;

use cedar_policy_core::ast::{self, BinaryOp, Expr, ExprKind, Literal, UnaryOp};
use smallvec::SmallVec;

use crate::symbols::{Key, Path, Step, Symbols, Var};

/// One clause.
#[derive(Debug, Clone)]
pub(crate) enum Clause {
    /// Decided here.
    Test(Test),
    /// Decided by Cedar.
    Cedar(Arc<Expr>),
}

/// A clause over typed attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Test {
    /// The value at the path is one of these.
    OneOf {
        path: u32,
        keys: Box<[Key]>,
    },
    /// The set at the path contains any (or all) of these.
    Contains {
        path: u32,
        keys: Box<[Key]>,
        all: bool,
    },
    /// The value at the path is `true`; Cedar's business if it is not a boolean.
    True {
        path: u32,
    },
    /// The path's only step is there.
    Has {
        path: u32,
    },
    /// The entity is, or is a member of, one of these.
    In {
        var: Var,
        uids: Box<[u32]>,
    },
    /// The entity is of this type.
    Is {
        var: Var,
        type_: u32,
    },
    Not(Box<Self>),
    All(Box<[Self]>),
    Any(Box<[Self]>),
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

/// Turns clauses into tests where that is possible.
pub(crate) struct Lowering<'a> {
    pub(crate) symbols: &'a mut Symbols,
}

impl Lowering<'_> {
    pub(crate) fn clause(&mut self, expr: &Arc<Expr>) -> Clause {
        self.test(expr).map_or_else(|| Clause::Cedar(Arc::clone(expr)), Clause::Test)
    }

    fn test(&mut self, expr: &Expr) -> Option<Test> {
        match expr.expr_kind() {
            ExprKind::Lit(Literal::Bool(true)) => Some(Test::All(Box::default())),
            ExprKind::Lit(Literal::Bool(false)) => Some(Test::Any(Box::default())),
            ExprKind::GetAttr { .. } => {
                Some(Test::True { path: self.symbols.intern_path(path(expr)?) })
            }
            ExprKind::UnaryApp { op: UnaryOp::Not, arg } => {
                Some(Test::Not(Box::new(self.test(arg)?)))
            }
            ExprKind::And { .. } => {
                let parts = chain(expr, |kind| match kind {
                    ExprKind::And { left, right } => Some((left, right)),
                    _ => None,
                });
                let tests = parts.into_iter().map(|p| self.test(p)).collect::<Option<_>>()?;
                Some(Test::All(tests))
            }
            ExprKind::Or { .. } => {
                let parts = chain(expr, |kind| match kind {
                    ExprKind::Or { left, right } => Some((left, right)),
                    _ => None,
                });
                let tests: Vec<Test> =
                    parts.into_iter().map(|p| self.test(p)).collect::<Option<_>>()?;
                Some(any(tests))
            }
            ExprKind::HasAttr { expr, attr } => self.has(expr, Step::Attribute(attr.clone())),
            ExprKind::Is { expr, entity_type } => {
                let var = entity_var(expr)?;
                let type_ = self.symbols.intern_type(&entity_type.clone().into());
                Some(Test::Is { var, type_ })
            }
            ExprKind::BinaryApp { op, arg1, arg2 } => self.binary(*op, arg1, arg2),
            _ => None,
        }
    }

    fn binary(&mut self, op: BinaryOp, left: &Expr, right: &Expr) -> Option<Test> {
        match op {
            BinaryOp::Eq => {
                let (path, literal) = match (path(left), path(right)) {
                    (Some(path), None) => (path, right),
                    (None, Some(path)) => (path, left),
                    _ => return None,
                };
                let keys = Box::new([self.key(literal)?]);
                Some(Test::OneOf { path: self.symbols.intern_path(path), keys })
            }
            BinaryOp::In => {
                let var = entity_var(left)?;
                let uids = match self.key(right) {
                    Some(Key::Uid(uid)) => Box::new([uid]) as Box<[u32]>,
                    Some(_) => return None,
                    None => {
                        let uid = |key: &Key| match key {
                            Key::Uid(uid) => Some(*uid),
                            _ => None,
                        };
                        self.keys(right)?.iter().map(uid).collect::<Option<_>>()?
                    }
                };
                Some(Test::In { var, uids })
            }
            BinaryOp::Contains => match path(left) {
                Some(set) => {
                    let keys = Box::new([self.key(right)?]);
                    Some(Test::Contains { path: self.symbols.intern_path(set), keys, all: false })
                }
                None => {
                    let keys = self.keys(left)?;
                    Some(Test::OneOf { path: self.symbols.intern_path(path(right)?), keys })
                }
            },
            BinaryOp::ContainsAll | BinaryOp::ContainsAny => {
                let keys = self.keys(right)?;
                let all = op == BinaryOp::ContainsAll;
                Some(Test::Contains { path: self.symbols.intern_path(path(left)?), keys, all })
            }
            BinaryOp::HasTag => match right.expr_kind() {
                ExprKind::Lit(Literal::String(tag)) => self.has(left, Step::Tag(tag.clone())),
                _ => None,
            },
            _ => None,
        }
    }

    /// `has` never errs on an entity or on the context; on other values it may.
    fn has(&mut self, base: &Expr, step: Step) -> Option<Test> {
        let ExprKind::Var(var) = base.expr_kind() else { return None };
        let var = variable(*var);
        if var == Var::Context && matches!(step, Step::Tag(_)) {
            return None;
        }
        let path = Path { var, steps: SmallVec::from_iter([step]) };
        Some(Test::Has { path: self.symbols.intern_path(path) })
    }

    fn key(&mut self, expr: &Expr) -> Option<Key> {
        let ExprKind::Lit(literal) = expr.expr_kind() else { return None };
        Some(match literal {
            Literal::Bool(b) => Key::Bool(*b),
            Literal::Long(n) => Key::Long(*n),
            Literal::String(s) => Key::String(self.symbols.intern_string(s)),
            Literal::EntityUID(uid) => {
                Key::Uid(self.symbols.intern_uid(&ast::EntityUID::clone(uid).into()))
            }
        })
    }

    fn keys(&mut self, expr: &Expr) -> Option<Box<[Key]>> {
        let ExprKind::Set(items) = expr.expr_kind() else { return None };
        let keys = items.iter().map(|i| self.key(i)).collect::<Option<BTreeSet<_>>>()?;
        Some(keys.into_iter().collect())
    }
}

/// Merges `x == "a" || x == "b"`, which err alike, into one test.
fn any(tests: Vec<Test>) -> Test {
    let mut merged: BTreeSet<Key> = BTreeSet::new();
    let mut common = None;
    for test in &tests {
        match test {
            Test::OneOf { path, keys } if common.is_none_or(|p| p == *path) => {
                common = Some(*path);
                merged.extend(keys.iter().copied());
            }
            _ => return Test::Any(tests.into_boxed_slice()),
        }
    }
    match common {
        Some(path) => Test::OneOf { path, keys: merged.into_iter().collect() },
        None => Test::Any(tests.into_boxed_slice()),
    }
}

/// Returns the operands of a chain of one operator, in order, without recursion.
fn chain<'a>(
    expr: &'a Expr,
    split: impl Fn(&'a ExprKind) -> Option<(&'a Arc<Expr>, &'a Arc<Expr>)>,
) -> Vec<&'a Expr> {
    let mut parts = Vec::new();
    let mut open = vec![expr];
    while let Some(expr) = open.pop() {
        match split(expr.expr_kind()) {
            Some((left, right)) => open.extend([right.as_ref(), left.as_ref()]),
            None => parts.push(expr),
        }
    }
    parts
}

fn variable(var: ast::Var) -> Var {
    match var {
        ast::Var::Principal => Var::Principal,
        ast::Var::Action => Var::Action,
        ast::Var::Resource => Var::Resource,
        ast::Var::Context => Var::Context,
    }
}

fn entity_var(expr: &Expr) -> Option<Var> {
    match expr.expr_kind() {
        ExprKind::Var(var) if *var != ast::Var::Context => Some(variable(*var)),
        _ => None,
    }
}

/// Returns the path that an expression reads, if it does no more than that.
pub(crate) fn path(expr: &Expr) -> Option<Path> {
    let mut steps: SmallVec<[Step; 2]> = SmallVec::new();
    let mut expr = expr;
    loop {
        match expr.expr_kind() {
            ExprKind::Var(var) => {
                steps.reverse();
                return Some(Path { var: variable(*var), steps });
            }
            ExprKind::GetAttr { expr: base, attr } => {
                steps.push(Step::Attribute(attr.clone()));
                expr = base;
            }
            ExprKind::BinaryApp { op: BinaryOp::GetTag, arg1, arg2 } => {
                let ExprKind::Lit(Literal::String(tag)) = arg2.expr_kind() else { return None };
                steps.push(Step::Tag(tag.clone()));
                expr = arg1;
            }
            _ => return None,
        }
    }
}
