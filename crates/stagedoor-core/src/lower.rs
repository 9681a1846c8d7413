//! Turns Cedar expressions into [`Predicate`]s and [`Operand`]s where that is possible.

use std::collections::BTreeSet;
use std::sync::Arc;

use cedar_policy_core::ast::{self, BinaryOp, Expr, ExprKind, Literal, UnaryOp, Value, ValueKind};
use smallvec::SmallVec;

use crate::expr::{conjuncts, disjuncts};
use crate::extension::Function;
use crate::glob::Glob;
use crate::ir::{Clause, Keys, Operand, Operation, Predicate};
use crate::number::EntityNumber;
use crate::symbols::{Key, Path, Step, Symbols, Var};

/// Turns clauses into tests where that is possible.
pub(crate) struct Lowering<'a> {
    pub(crate) symbols: &'a mut Symbols,
}

impl Lowering<'_> {
    pub(crate) fn clause(&mut self, expr: &Arc<Expr>) -> Clause {
        self.test(expr).map_or_else(|| Clause::Cedar(Arc::clone(expr)), Clause::Predicate)
    }

    fn test(&mut self, expr: &Expr) -> Option<Predicate> {
        match expr.expr_kind() {
            ExprKind::Lit(Literal::Bool(true)) => Some(Predicate::All(Box::default())),
            ExprKind::Lit(Literal::Bool(false)) => Some(Predicate::Any(Box::default())),
            ExprKind::GetAttr { .. } => Some(match path(expr) {
                Some(path) => Predicate::True { path: self.symbols.intern_path(path) },
                None => Predicate::Value(Box::new(self.term(expr)?)),
            }),
            ExprKind::UnaryApp { op: UnaryOp::Not, arg } => {
                Some(Predicate::Not(Box::new(self.test(arg)?)))
            }
            ExprKind::And { .. } => {
                let parts = conjuncts(expr);
                let tests = parts.into_iter().map(|p| self.test(p)).collect::<Option<_>>()?;
                Some(Predicate::All(tests))
            }
            ExprKind::Or { .. } => {
                let parts = disjuncts(expr);
                let tests: Vec<Predicate> =
                    parts.into_iter().map(|p| self.test(p)).collect::<Option<_>>()?;
                Some(any(tests))
            }
            ExprKind::HasAttr { expr, attr } => {
                self.has(expr, Step::Attribute(attr.clone())).or_else(|| {
                    let term = Box::new(self.term(expr)?);
                    Some(Predicate::HasAttribute { term, name: attr.as_str().into() })
                })
            }
            ExprKind::Is { expr, entity_type } => match entity_var(expr) {
                Some(var) => {
                    let type_ = self.symbols.intern_type(&entity_type.clone().into());
                    Some(Predicate::Is { var, type_ })
                }
                None => {
                    let term = Box::new(self.term(expr)?);
                    Some(Predicate::OfType { term, type_: Box::new(entity_type.clone().into()) })
                }
            },
            ExprKind::If { test_expr, then_expr, else_expr } => Some(Predicate::If(Box::new([
                self.test(test_expr)?,
                self.test(then_expr)?,
                self.test(else_expr)?,
            ]))),
            ExprKind::Like { expr, pattern } => Some(Predicate::Like {
                term: Box::new(self.term(expr)?),
                pattern: Box::new(Glob::new(pattern)),
            }),
            ExprKind::UnaryApp { op: UnaryOp::IsEmpty, arg } => {
                Some(Predicate::Empty(Box::new(self.term(arg)?)))
            }
            ExprKind::ExtHasAttr { expr, attrs } => self.has_nested(expr, attrs.iter()),
            ExprKind::ExtensionFunctionApp { .. } => {
                Some(Predicate::Value(Box::new(self.term(expr)?)))
            }
            ExprKind::BinaryApp { op, arg1, arg2 } => {
                self.indexable(*op, arg1, arg2).or_else(|| self.relation(*op, arg1, arg2))
            }
            _ => None,
        }
    }

    /// A relation between any two terms.
    fn relation(&mut self, op: BinaryOp, left: &Expr, right: &Expr) -> Option<Predicate> {
        let terms = Box::new([self.term(left)?, self.term(right)?]);
        Some(match op {
            BinaryOp::Eq => Predicate::Equal(terms),
            BinaryOp::Less => Predicate::Less { terms, or_equal: false },
            BinaryOp::LessEq => Predicate::Less { terms, or_equal: true },
            BinaryOp::In => Predicate::MemberOf(terms),
            BinaryOp::Contains => Predicate::Element(terms),
            BinaryOp::ContainsAll => Predicate::Superset { terms, all: true },
            BinaryOp::ContainsAny => Predicate::Superset { terms, all: false },
            BinaryOp::HasTag => Predicate::HasTag(terms),
            BinaryOp::GetTag => Predicate::Value(Box::new(Operand::Tag(terms))),
            BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul => return None,
        })
    }

    fn term(&mut self, expr: &Expr) -> Option<Operand> {
        if let Some(path) = path(expr) {
            return Some(Operand::Path(self.symbols.intern_path(path)));
        }
        Some(match expr.expr_kind() {
            ExprKind::Lit(Literal::Bool(b)) => Operand::Bool(*b),
            ExprKind::Lit(Literal::Long(n)) => Operand::Long(*n),
            ExprKind::Lit(Literal::String(s)) => Operand::String(s.clone()),
            ExprKind::Lit(Literal::EntityUID(uid)) => {
                Operand::Uid(ast::EntityUID::clone(uid).into())
            }
            ExprKind::Set(items) => {
                Operand::Set(items.iter().map(|i| self.term(i)).collect::<Option<_>>()?)
            }
            ExprKind::GetAttr { expr, attr } => {
                Operand::Attribute(Box::new(self.term(expr)?), attr.clone())
            }
            ExprKind::UnaryApp { op: UnaryOp::Neg, arg } => {
                Operand::Negative(Box::new(self.term(arg)?))
            }
            ExprKind::If { test_expr, then_expr, else_expr } => {
                let test = Box::new(self.test(test_expr)?);
                Operand::If(test, Box::new([self.term(then_expr)?, self.term(else_expr)?]))
            }
            ExprKind::BinaryApp { op, arg1, arg2 } => {
                let operation = match op {
                    BinaryOp::Add => Operation::Add,
                    BinaryOp::Sub => Operation::Subtract,
                    BinaryOp::Mul => Operation::Multiply,
                    BinaryOp::GetTag => {
                        return Some(Operand::Tag(Box::new([self.term(arg1)?, self.term(arg2)?])));
                    }
                    _ => return Some(Operand::Predicate(Box::new(self.test(expr)?))),
                };
                Operand::Arithmetic(operation, Box::new([self.term(arg1)?, self.term(arg2)?]))
            }
            ExprKind::ExtensionFunctionApp { fn_name, args } => {
                let terms = args.iter().map(|arg| self.term(arg)).collect::<Option<Box<[_]>>>()?;
                call(Function::named(fn_name)?, terms)
            }
            ExprKind::Record(_) | ExprKind::Slot(_) | ExprKind::Unknown(_) => return None,
            _ => Operand::Predicate(Box::new(self.test(expr)?)),
        })
    }

    /// `x has a.b.c` is `x has a && x.a has b && …`.
    fn has_nested<'s>(
        &mut self,
        base: &Expr,
        names: impl Iterator<Item = &'s smol_str::SmolStr>,
    ) -> Option<Predicate> {
        let mut term = self.term(base)?;
        let mut tests = Vec::new();
        for name in names {
            tests.push(Predicate::HasAttribute {
                term: Box::new(term.clone()),
                name: name.as_str().into(),
            });
            term = Operand::Attribute(Box::new(term), name.clone());
        }
        Some(Predicate::All(tests.into_boxed_slice()))
    }

    /// What the index can use: a path compared with literals, membership in literals.
    fn indexable(&mut self, op: BinaryOp, left: &Expr, right: &Expr) -> Option<Predicate> {
        match op {
            BinaryOp::Eq => {
                let (path, literal) = match (path(left), path(right)) {
                    (Some(path), None) => (path, right),
                    (None, Some(path)) => (path, left),
                    _ => return None,
                };
                let keys = Keys::from_iter([self.key(literal)?]);
                Some(Predicate::OneOf { path: self.symbols.intern_path(path), keys })
            }
            BinaryOp::In => {
                let var = entity_var(left)?;
                let uids = match self.key(right) {
                    Some(key) => Box::new([key.as_uid()?]) as Box<[EntityNumber]>,
                    None => {
                        self.keys(right)?.iter().map(|key| key.as_uid()).collect::<Option<_>>()?
                    }
                };
                Some(Predicate::In { var, uids })
            }
            BinaryOp::Contains => match path(left) {
                Some(set) => {
                    let keys = Keys::from_iter([self.key(right)?]);
                    Some(Predicate::Contains {
                        path: self.symbols.intern_path(set),
                        keys,
                        all: false,
                    })
                }
                None => {
                    let keys = self.keys(left)?;
                    Some(Predicate::OneOf { path: self.symbols.intern_path(path(right)?), keys })
                }
            },
            BinaryOp::ContainsAll | BinaryOp::ContainsAny => {
                let keys = self.keys(right)?;
                let all = op == BinaryOp::ContainsAll;
                Some(Predicate::Contains { path: self.symbols.intern_path(path(left)?), keys, all })
            }
            BinaryOp::HasTag => match right.expr_kind() {
                ExprKind::Lit(Literal::String(tag)) => self.has(left, Step::Tag(tag.clone())),
                _ => None,
            },
            _ => None,
        }
    }

    /// `has` never errs on an entity or on the context; on other values it may.
    fn has(&mut self, base: &Expr, step: Step) -> Option<Predicate> {
        let ExprKind::Var(var) = base.expr_kind() else { return None };
        let var = variable(*var);
        if var == Var::Context && matches!(step, Step::Tag(_)) {
            return None;
        }
        let path = Path { var, steps: SmallVec::from_iter([step]) };
        Some(Predicate::Has { path: self.symbols.intern_path(path) })
    }

    fn key(&mut self, expr: &Expr) -> Option<Key> {
        let ExprKind::Lit(literal) = expr.expr_kind() else { return None };
        Some(match literal {
            Literal::Bool(b) => Key::bool(*b),
            Literal::Long(n) => self.symbols.intern_long(*n),
            Literal::String(s) => self.symbols.intern_string(s),
            Literal::EntityUID(uid) => {
                Key::uid(self.symbols.intern_uid(&ast::EntityUID::clone(uid).into()))
            }
        })
    }

    fn keys(&mut self, expr: &Expr) -> Option<Keys> {
        let ExprKind::Set(items) = expr.expr_kind() else { return None };
        let keys = items.iter().map(|i| self.key(i)).collect::<Option<BTreeSet<_>>>()?;
        Some(keys.into_iter().collect())
    }
}

/// A call; of literals it is made now, unless it errs.
fn call(function: Function, terms: Box<[Operand]>) -> Operand {
    let literals = terms.iter().map(|term| match term {
        Operand::Bool(b) => Some(Value::from(*b)),
        Operand::Long(n) => Some(Value::from(*n)),
        Operand::String(s) => Some(Value::from(s.clone())),
        Operand::Extension(value) => {
            Some(Value::new(ValueKind::ExtensionValue(Arc::clone(value)), None))
        }
        _ => None,
    });
    let made = literals.collect::<Option<Vec<_>>>().and_then(|literals| function.call(&literals));
    match made.map(|made| made.value) {
        Some(ValueKind::ExtensionValue(value)) => Operand::Extension(value),
        _ => Operand::Call(function, terms),
    }
}

/// Merges `x == "a" || x == "b"`, which err alike, into one test.
fn any(tests: Vec<Predicate>) -> Predicate {
    let mut merged: BTreeSet<Key> = BTreeSet::new();
    let mut common = None;
    for test in &tests {
        match test {
            Predicate::OneOf { path, keys } if common.is_none_or(|p| p == *path) => {
                common = Some(*path);
                merged.extend(keys.iter().copied());
            }
            _ => return Predicate::Any(tests.into_boxed_slice()),
        }
    }
    match common {
        Some(path) => Predicate::OneOf { path, keys: merged.into_iter().collect() },
        None => Predicate::Any(tests.into_boxed_slice()),
    }
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
