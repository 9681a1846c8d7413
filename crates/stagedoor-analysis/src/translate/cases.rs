//! The values that an expression can have, and when: attributes, arithmetic, choices.

use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, UnaryOp, Var};
use smol_str::SmolStr;

use super::{Cases, Translator, Value, bounded, product, reads_entities};
use crate::atom::{Predicate, Root, TermId};
use crate::constant::{Constant, ConstantResult, evaluate};
use crate::expr;
use crate::formula::{Formula, Outcomes};
use crate::schema::ValueType;

impl Translator<'_> {
    /// Returns the values that an expression can have; nothing where it is outside of the
    /// fragment.
    pub(super) fn cases(&mut self, expr: &Expr) -> Option<Cases> {
        if expr::is_constant(expr)
            && !reads_entities(expr)
            && !matches!(expr.expr_kind(), ExprKind::Set(_) | ExprKind::Record(_))
        {
            match evaluate(expr) {
                ConstantResult::Constant(constant, ty) => {
                    return Some(vec![(Formula::True, Value::Constant(constant, ty))]);
                }
                ConstantResult::Set(members, ty) => {
                    let members = members.into_iter();
                    let members = members.map(|member| Value::Constant(member, ty.clone()));
                    return Some(vec![(Formula::True, Value::Set(members.collect()))]);
                }
                ConstantResult::Error => return Some(Vec::new()),
                ConstantResult::Other => {}
            }
        }
        match expr.expr_kind() {
            ExprKind::Var(Var::Action) => {
                let action = self.env.action.clone();
                let ty = ValueType::Entity(action.entity_type().clone());
                Some(vec![(Formula::True, Value::Constant(Constant::Entity(action), ty))])
            }
            ExprKind::Var(var) => {
                let term = self.root(match var {
                    Var::Principal => Root::Principal,
                    Var::Resource => Root::Resource,
                    Var::Context | Var::Action => Root::Context,
                });
                let ty = self.atoms.ty(term).clone();
                Some(vec![(Formula::True, Value::Term(term, 0, ty))])
            }
            ExprKind::GetAttr { expr, attr } => {
                let cases = self.cases(expr)?;
                self.attribute(&cases, attr)
            }
            ExprKind::BinaryApp { op: BinaryOp::GetTag, arg1, arg2 } => {
                let (entities, keys) = (self.cases(arg1)?, self.cases(arg2)?);
                self.tags(&entities, &keys)
            }
            ExprKind::If { test_expr, then_expr, else_expr } => {
                let test = self.truth(test_expr);
                let mut cases = Vec::new();
                for (when, expr) in [(test.when_true, then_expr), (test.when_false, else_expr)] {
                    if !when.is_false() {
                        let of_branch = self.cases(expr)?;
                        cases.extend(of_branch.into_iter().map(|(c, v)| (when.clone().and(c), v)));
                    }
                }
                bounded(cases)
            }
            ExprKind::Set(members) => {
                let members =
                    members.iter().map(|member| self.cases(member)).collect::<Option<_>>()?;
                product(members).map(|all| {
                    all.into_iter().map(|(when, values)| (when, Value::Set(values))).collect()
                })
            }
            ExprKind::Record(fields) => {
                let names: Vec<SmolStr> = fields.keys().cloned().collect();
                let values =
                    fields.values().map(|field| self.cases(field)).collect::<Option<_>>()?;
                product(values).map(|all| {
                    let record = |(when, values): (Formula, Vec<Value>)| {
                        (when, Value::Record(names.iter().cloned().zip(values).collect()))
                    };
                    all.into_iter().map(record).collect()
                })
            }
            ExprKind::BinaryApp { op: op @ (BinaryOp::Add | BinaryOp::Sub), arg1, arg2 } => {
                let (left, right) = (self.cases(arg1)?, self.cases(arg2)?);
                self.moved(&left, &right, *op == BinaryOp::Sub, &ValueType::Long)
            }
            ExprKind::ExtensionFunctionApp { fn_name, args } => {
                let (left, right) = match args.as_slice() {
                    [one] => (self.cases(one)?, None),
                    [one, two] => (self.cases(one)?, Some(self.cases(two)?)),
                    _ => return None,
                };
                match (fn_name.to_string().as_str(), right) {
                    ("offset", Some(right)) => {
                        self.moved(&left, &right, false, &ValueType::Datetime)
                    }
                    ("durationSince", Some(right)) => {
                        self.moved(&left, &right, true, &ValueType::Duration)
                    }
                    ("toMilliseconds", None) => {
                        let zero = Value::Constant(Constant::Number(0), ValueType::Long);
                        self.moved(&left, &vec![(Formula::True, zero)], false, &ValueType::Long)
                    }
                    _ => None,
                }
            }
            ExprKind::And { .. }
            | ExprKind::Or { .. }
            | ExprKind::UnaryApp { op: UnaryOp::Not | UnaryOp::IsEmpty, .. }
            | ExprKind::HasAttr { .. }
            | ExprKind::ExtHasAttr { .. }
            | ExprKind::Like { .. }
            | ExprKind::Is { .. }
            | ExprKind::BinaryApp { .. } => {
                let outcomes = match expr.expr_kind() {
                    ExprKind::BinaryApp { .. } => self.test(expr)?,
                    _ => self.truth(expr),
                };
                let value = |b| Value::Constant(Constant::Bool(b), ValueType::Bool);
                let cases =
                    [(outcomes.when_true, value(true)), (outcomes.when_false, value(false))];
                Some(cases.into_iter().filter(|(when, _)| !when.is_false()).collect())
            }
            _ => None,
        }
    }

    /// Adds or subtracts, where one of the two is a constant.
    pub(super) fn moved(
        &mut self,
        left: &Cases,
        right: &Cases,
        minus: bool,
        ty: &ValueType,
    ) -> Option<Cases> {
        let mut cases = Vec::new();
        for (when, a) in left {
            for (also, b) in right {
                let when = when.clone().and(also.clone());
                let sign = if minus { -1 } else { 1 };
                let (term, offset) = match (a, b) {
                    (
                        Value::Constant(Constant::Number(a), _),
                        Value::Constant(Constant::Number(b), _),
                    ) => {
                        let sum = i128::from(*a) + sign * i128::from(*b);
                        // Beyond what fits, it errs.
                        if let Ok(sum) = i64::try_from(sum) {
                            let sum = Value::Constant(Constant::Number(sum), ty.clone());
                            cases.push((when, sum));
                        }
                        continue;
                    }
                    (Value::Term(term, offset, _), Value::Constant(Constant::Number(n), _)) => {
                        (*term, i128::from(*offset) + sign * i128::from(*n))
                    }
                    (Value::Constant(Constant::Number(n), _), Value::Term(term, offset, _))
                        if !minus =>
                    {
                        (*term, i128::from(*offset) + i128::from(*n))
                    }
                    _ => return None,
                };
                let offset = i64::try_from(offset).ok()?;
                let fits = self.in_bounds(term, offset);
                cases.push((when.and(fits), Value::Term(term, offset, ty.clone())));
            }
        }
        bounded(cases)
    }

    /// Where a number, moved by so much, still fits in 64 bits.
    pub(super) fn in_bounds(&mut self, term: TermId, offset: i64) -> Formula {
        let offset = i128::from(offset);
        let high = self.number_at_most(term, i128::from(i64::MAX) - offset);
        let low = self.number_at_most(term, i128::from(i64::MIN) - offset - 1).negated();
        high.and(low)
    }

    pub(super) fn number_at_most(&mut self, term: TermId, bound: i128) -> Formula {
        match i64::try_from(bound) {
            Ok(i64::MAX) => Formula::True,
            Ok(bound) => self.is(term, Predicate::AtMost(bound)),
            Err(_) => Formula::of(bound > 0),
        }
    }

    /// Joins what a test says of each case.
    pub(super) fn over(
        &mut self,
        cases: &Cases,
        mut test: impl FnMut(&mut Self, &Value) -> Option<Outcomes>,
    ) -> Option<Outcomes> {
        if let [(Formula::True, value)] = cases.as_slice() {
            return test(self, value);
        }
        let mut joined = Outcomes::error();
        for (when, value) in cases {
            let outcomes = Outcomes::guarded(when, &test(self, value)?);
            joined.when_true = joined.when_true.or(outcomes.when_true);
            joined.when_false = joined.when_false.or(outcomes.when_false);
        }
        Some(joined)
    }

    pub(super) fn over_both(
        &mut self,
        left: &Cases,
        right: &Cases,
        test: fn(&mut Self, &Value, &Value) -> Option<Outcomes>,
    ) -> Option<Outcomes> {
        self.over(left, |this, a| this.over(right, |this, b| test(this, a, b)))
    }
}
