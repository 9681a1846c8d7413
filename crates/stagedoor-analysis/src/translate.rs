//! From Cedar's expressions to formulas with three outcomes.
//!
//! What has no place in the fragment becomes an opaque atom, keyed by its text: two equal texts
//! are equal values within one request, so that policies that share it are still compared exactly.

mod cases;
mod compare;
mod entities;
mod sets;

use std::collections::BTreeSet;
use std::sync::Arc;

use cedar_policy_core::ast::{BinaryOp, EntityType, Expr, ExprKind, Literal, UnaryOp};
use smol_str::SmolStr;

use crate::atom::{Atom, Atoms, Origin, Predicate, Root, TermId};
use crate::constant::Constant;
use crate::expr;
use crate::formula::{Formula, Outcomes};
use crate::policy::ParsedPolicy;
use crate::schema::{Environment, SchemaView, ValueType};
use crate::scope::{ActionScope, ScopeConstraint};

/// Turns policies into formulas about the requests of one environment.
pub(crate) struct Translator<'a> {
    pub(crate) schema: &'a SchemaView,
    pub(crate) env: &'a Environment,
    pub(crate) atoms: &'a mut Atoms,
    /// Whether the environment has another action than the question.
    pub(crate) is_other: bool,
}

/// A value of an expression, in one case of it.
#[derive(Debug, Clone)]
enum Value {
    Constant(Constant, ValueType),
    /// The value at a term, moved by so much where it is a number; of this type.
    Term(TermId, i64, ValueType),
    Set(Vec<Value>),
    Record(Vec<(SmolStr, Value)>),
}

/// The values that an expression can have, each with when it has it. Where none holds, it errs.
///
/// INVARIANT: no two conditions hold together.
type Cases = Vec<(Formula, Value)>;

/// More cases than this are not told apart.
const CASES: usize = 32;

impl Translator<'_> {
    /// Returns when a policy's scope and condition are true, and when false; guards are left out.
    pub(crate) fn policy(&mut self, policy: &ParsedPolicy) -> Outcomes {
        let mut outcomes = self.scope(policy);
        if outcomes.when_true.is_false() {
            return outcomes;
        }
        if let Some(condition) = &policy.condition {
            outcomes = outcomes.and(self.truth(condition));
        }
        outcomes
    }

    /// A permit's say: it counts where this holds.
    pub(crate) fn permits(&mut self, policy: &ParsedPolicy) -> Formula {
        self.policy(policy).when_true
    }

    /// A forbid's say: it denies where it is true and where it errs.
    pub(crate) fn forbids(&mut self, policy: &ParsedPolicy) -> Formula {
        self.policy(policy).when_false.negated()
    }

    fn scope(&mut self, policy: &ParsedPolicy) -> Outcomes {
        if policy.scope.action == ActionScope::Unknown {
            return self.opaque(&format!("the scope of {}", policy.id));
        }
        if !policy.scope.action.may_match(self.env) {
            return Outcomes::constant(false);
        }
        let principal = self.constraint(&policy.scope.principal, Root::Principal);
        principal.and(self.constraint(&policy.scope.resource, Root::Resource))
    }

    fn constraint(&mut self, constraint: &ScopeConstraint, root: Root) -> Outcomes {
        let term = self.root(root);
        let is = match (&constraint.is_type, self.atoms.ty(term)) {
            (Some(wanted), ValueType::Entity(name)) => wanted == name,
            _ => true,
        };
        let Some(uid) = constraint.entity.as_ref().filter(|_| is) else {
            return Outcomes::constant(is);
        };
        let formula = match constraint.exact {
            true => self.equals_entity(term, uid),
            false => self.is_in(term, uid),
        };
        Outcomes::never_errs(formula)
    }

    fn root(&mut self, root: Root) -> TermId {
        let env = self.env;
        let ty = || match &root {
            Root::Principal => ValueType::Entity(env.principal.clone()),
            Root::Resource => ValueType::Entity(env.resource.clone()),
            Root::Context => ValueType::Record(Arc::clone(&env.context)),
            Root::Entity(uid) => ValueType::Entity(uid.entity_type().clone()),
        };
        self.atoms.term(Origin::Root(root.clone()), ty)
    }

    fn literal(&mut self, atom: Atom) -> Formula {
        Formula::Literal(self.atoms.atom(atom), true)
    }

    fn is(&mut self, term: TermId, test: Predicate) -> Formula {
        self.literal(Atom::Is(term, test))
    }

    /// An expression that the analysis does not look into.
    fn opaque(&mut self, text: &str) -> Outcomes {
        // INVARIANT: what speaks of the action need not come out alike for two of them.
        let text: Arc<str> = match self.is_other && text.contains("action") {
            true => format!("{text} for {}", self.env.action).into(),
            false => text.into(),
        };
        let when_true = self.literal(Atom::Opaque(Arc::clone(&text), true));
        let when_false = self.literal(Atom::Opaque(text, false));
        let when_false = when_true.negated().and(when_false);
        Outcomes { when_true, when_false, total: false }
    }

    /// Returns the outcomes of a Boolean expression.
    pub(crate) fn truth(&mut self, expr: &Expr) -> Outcomes {
        match expr.expr_kind() {
            ExprKind::Lit(Literal::Bool(value)) => Outcomes::constant(*value),
            ExprKind::And { .. } => {
                let mut parts = expr::conjuncts(expr).into_iter();
                let mut all =
                    parts.next().map_or_else(|| Outcomes::constant(true), |e| self.truth(e));
                for part in parts {
                    // What stands behind what is never true is never asked, and may not fit.
                    if all.when_true.is_false() {
                        break;
                    }
                    all = all.and(self.truth(part));
                }
                all
            }
            ExprKind::Or { .. } => {
                let mut parts = expr::disjuncts(expr).into_iter();
                let mut any =
                    parts.next().map_or_else(|| Outcomes::constant(false), |e| self.truth(e));
                for part in parts {
                    if any.when_false.is_false() {
                        break;
                    }
                    any = any.or(self.truth(part));
                }
                any
            }
            ExprKind::If { test_expr, then_expr, else_expr } => {
                let test = self.truth(test_expr);
                let mut part = |asked: &Formula, expr: &Expr| match asked.is_false() {
                    true => Outcomes::constant(false),
                    false => self.truth(expr),
                };
                let then = part(&test.when_true, then_expr);
                let other = part(&test.when_false, else_expr);
                test.choice(&then, &other)
            }
            ExprKind::UnaryApp { op: UnaryOp::Not, arg } => self.truth(arg).negated(),
            _ => match self.test(expr) {
                Some(outcomes) => outcomes,
                None => self.opaque(&expr.to_string()),
            },
        }
    }

    /// Returns the outcomes of an expression that is neither `&&`, `||`, `!` nor `if`; nothing
    /// where it is outside of the fragment.
    fn test(&mut self, expr: &Expr) -> Option<Outcomes> {
        match expr.expr_kind() {
            ExprKind::HasAttr { expr, attr } => {
                let cases = self.cases(expr)?;
                self.over(&cases, |this, value| this.has(value, attr))
            }
            ExprKind::ExtHasAttr { expr, attrs } => {
                // `e has a.b` is short for `e has a && e.a has b`.
                let mut cases = self.cases(expr)?;
                let mut all = Outcomes::constant(true);
                for attr in attrs.iter() {
                    all = all.and(self.over(&cases, |this, value| this.has(value, attr))?);
                    cases = self.attribute(&cases, attr)?;
                }
                Some(all)
            }
            ExprKind::Like { expr, pattern } => {
                let cases = self.cases(expr)?;
                self.over(&cases, |this, value| match value {
                    Value::Constant(Constant::String(text), _) => {
                        Some(Outcomes::constant(pattern.wildcard_match(text)))
                    }
                    Value::Term(term, _, ValueType::String) => {
                        let like = this.is(*term, Predicate::Like(pattern.clone()));
                        Some(Outcomes::never_errs(like))
                    }
                    _ => None,
                })
            }
            ExprKind::Is { expr, entity_type } => {
                let cases = self.cases(expr)?;
                self.over(&cases, |_, value| {
                    let name = entity_name(value)?;
                    Some(Outcomes::constant(name == entity_type))
                })
            }
            ExprKind::UnaryApp { op: UnaryOp::IsEmpty, arg } => {
                let cases = self.cases(arg)?;
                self.over(&cases, |this, value| this.is_subset(value, &BTreeSet::new()))
            }
            ExprKind::BinaryApp { op, arg1, arg2 } => {
                let compare: fn(&mut Self, &Value, &Value) -> Option<Outcomes> = match op {
                    BinaryOp::Eq => Self::equal,
                    BinaryOp::Less => |this, a, b| Some(this.at_most(b, a)?.negated()),
                    BinaryOp::LessEq => Self::at_most,
                    BinaryOp::In => Self::member,
                    BinaryOp::Contains => Self::contains,
                    BinaryOp::ContainsAll => Self::contains_all,
                    BinaryOp::ContainsAny => Self::contains_any,
                    BinaryOp::HasTag => Self::has_tag,
                    BinaryOp::GetTag => return self.boolean(expr),
                    BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul => return None,
                };
                let (left, right) = (self.cases(arg1)?, self.cases(arg2)?);
                self.over_both(&left, &right, compare)
            }
            ExprKind::ExtensionFunctionApp { fn_name, args } => {
                let name = fn_name.to_string();
                if expr::is_constant(expr) {
                    return self.boolean(expr);
                }
                let mut args = args.iter();
                let left = self.cases(args.next()?)?;
                match (name.as_str(), args.as_slice()) {
                    ("isIpv4" | "isIpv6" | "isLoopback" | "isMulticast", []) => {
                        self.over(&left, |this, value| this.ip_test(&name, value))
                    }
                    ("isInRange", ranges) => {
                        let ranges =
                            ranges.iter().map(|arg| self.cases(arg)).collect::<Option<Vec<_>>>()?;
                        self.in_ranges(&left, &ranges)
                    }
                    (
                        "lessThan" | "lessThanOrEqual" | "greaterThan" | "greaterThanOrEqual",
                        [other],
                    ) => {
                        let right = self.cases(other)?;
                        let compare: fn(&mut Self, &Value, &Value) -> Option<Outcomes> =
                            match name.as_str() {
                                "lessThan" => |this, a, b| Some(this.at_most(b, a)?.negated()),
                                "lessThanOrEqual" => Self::at_most,
                                "greaterThan" => |this, a, b| Some(this.at_most(a, b)?.negated()),
                                _ => |this, a, b| this.at_most(b, a),
                            };
                        self.over_both(&left, &right, compare)
                    }
                    _ => None,
                }
            }
            _ => self.boolean(expr),
        }
    }

    /// The outcomes of an expression whose value is a Boolean: an attribute, say.
    fn boolean(&mut self, expr: &Expr) -> Option<Outcomes> {
        let cases = self.cases(expr)?;
        self.over(&cases, |this, value| match value {
            Value::Constant(Constant::Bool(value), _) => Some(Outcomes::constant(*value)),
            Value::Term(term, _, ValueType::Bool) => {
                Some(Outcomes::never_errs(this.is(*term, Predicate::IsTrue)))
            }
            _ => None,
        })
    }
}

/// Returns whether an expression without variables looks into entities, so that it is not the same
/// for every store.
fn reads_entities(expr: &Expr) -> bool {
    let mut reads = false;
    expr::walk(expr, |part| {
        reads |= matches!(
            part.expr_kind(),
            ExprKind::GetAttr { .. }
                | ExprKind::HasAttr { .. }
                | ExprKind::ExtHasAttr { .. }
                | ExprKind::BinaryApp {
                    op: BinaryOp::In | BinaryOp::GetTag | BinaryOp::HasTag,
                    ..
                }
        );
    });
    reads
}

fn entity_name(value: &Value) -> Option<&EntityType> {
    match value {
        Value::Constant(Constant::Entity(uid), _) => Some(uid.entity_type()),
        Value::Term(_, _, ValueType::Entity(name)) => Some(name),
        _ => None,
    }
}

fn constants(values: &[Value]) -> Option<BTreeSet<Constant>> {
    let constant = |value: &Value| match value {
        Value::Constant(constant, _) => Some(constant.clone()),
        _ => None,
    };
    values.iter().map(constant).collect()
}

fn bounded(cases: Cases) -> Option<Cases> {
    (cases.len() <= CASES).then_some(cases)
}

/// Returns every choice of one case each.
fn product(parts: Vec<Cases>) -> Option<Vec<(Formula, Vec<Value>)>> {
    let mut all = vec![(Formula::True, Vec::new())];
    for cases in parts {
        if all.len() * cases.len() > CASES {
            return None;
        }
        let mut next = Vec::new();
        for (when, values) in &all {
            for (also, value) in &cases {
                let mut values = values.clone();
                values.push(value.clone());
                next.push((when.clone().and(also.clone()), values));
            }
        }
        all = next;
    }
    Some(all)
}
