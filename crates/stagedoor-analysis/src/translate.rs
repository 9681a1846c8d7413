//! From Cedar's expressions to formulas with three outcomes.
//!
//! What has no place in the fragment becomes an opaque atom, keyed by its text: two equal texts
//! are equal values within one request, so that policies that share it are still compared exactly.

use std::collections::BTreeSet;
use std::sync::Arc;

use cedar_policy_core::ast::{
    BinaryOp, EntityType, EntityUID, Expr, ExprKind, Literal, UnaryOp, Var,
};
use smol_str::SmolStr;

use crate::atom::{Atom, Atoms, Origin, Relation, Root, Step, TermId, Test};
use crate::constant::{Constant, Evaluated, evaluate};
use crate::expr;
use crate::formula::{Formula, Outcomes};
use crate::policy::ParsedPolicy;
use crate::schema::{Environment, Field, SchemaView, ValueType};
use crate::scope::{ActionScope, ScopeConstraint};

/// Turns policies into formulas about the requests of one environment.
pub(crate) struct Translator<'a> {
    pub(crate) schema: &'a SchemaView,
    pub(crate) env: &'a Environment,
    pub(crate) atoms: &'a mut Atoms,
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
        let action = match &policy.scope.action {
            ActionScope::Any => true,
            ActionScope::Is(uid) => *uid == self.env.action,
            ActionScope::In(uids) => uids.iter().any(|uid| self.env.action_groups.contains(uid)),
            ActionScope::Unknown => return self.opaque(&format!("the scope of {}", policy.id)),
        };
        if !action {
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

    fn is(&mut self, term: TermId, test: Test) -> Formula {
        self.literal(Atom::Is(term, test))
    }

    /// An expression that the analysis does not look into.
    fn opaque(&mut self, text: &str) -> Outcomes {
        let text: Arc<str> = text.into();
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
                        let like = this.is(*term, Test::Like(pattern.clone()));
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
                Some(Outcomes::never_errs(this.is(*term, Test::IsTrue)))
            }
            _ => None,
        })
    }

    /// Joins what a test says of each case.
    fn over(
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

    fn over_both(
        &mut self,
        left: &Cases,
        right: &Cases,
        test: fn(&mut Self, &Value, &Value) -> Option<Outcomes>,
    ) -> Option<Outcomes> {
        self.over(left, |this, a| this.over(right, |this, b| test(this, a, b)))
    }

    /// Returns the values that an expression can have; nothing where it is outside of the
    /// fragment.
    fn cases(&mut self, expr: &Expr) -> Option<Cases> {
        if expr::is_constant(expr)
            && !reads_entities(expr)
            && !matches!(expr.expr_kind(), ExprKind::Set(_) | ExprKind::Record(_))
        {
            match evaluate(expr) {
                Evaluated::Constant(constant, ty) => {
                    return Some(vec![(Formula::True, Value::Constant(constant, ty))]);
                }
                Evaluated::Set(members, ty) => {
                    let members = members.into_iter();
                    let members = members.map(|member| Value::Constant(member, ty.clone()));
                    return Some(vec![(Formula::True, Value::Set(members.collect()))]);
                }
                Evaluated::Error => return Some(Vec::new()),
                Evaluated::Other => {}
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
    fn moved(&mut self, left: &Cases, right: &Cases, minus: bool, ty: &ValueType) -> Option<Cases> {
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
    fn in_bounds(&mut self, term: TermId, offset: i64) -> Formula {
        let offset = i128::from(offset);
        let high = self.number_at_most(term, i128::from(i64::MAX) - offset);
        let low = self.number_at_most(term, i128::from(i64::MIN) - offset - 1).negated();
        high.and(low)
    }

    fn number_at_most(&mut self, term: TermId, bound: i128) -> Formula {
        match i64::try_from(bound) {
            Ok(i64::MAX) => Formula::True,
            Ok(bound) => self.is(term, Test::AtMost(bound)),
            Err(_) => Formula::of(bound > 0),
        }
    }

    fn attribute(&mut self, cases: &Cases, attr: &SmolStr) -> Option<Cases> {
        let mut found = Vec::new();
        for (when, value) in cases {
            match value {
                Value::Record(fields) => {
                    let field = fields.iter().find(|(name, _)| name == attr);
                    found.extend(field.map(|(_, value)| (when.clone(), value.clone())));
                }
                value => {
                    // What cannot be there errs: no case.
                    let Some(term) = self.looked_into(value)? else { continue };
                    let Some(field) = self.field(term, attr) else { continue };
                    let there = self.is_there(term);
                    let (child, present) = self.step(term, Step::Attribute(attr.clone()), &field);
                    let ty = self.atoms.ty(child).clone();
                    let when = Formula::all([when.clone(), there, present]);
                    found.push((when, Value::Term(child, 0, ty)));
                }
            }
        }
        Some(found)
    }

    fn tags(&mut self, entities: &Cases, keys: &Cases) -> Option<Cases> {
        let mut found = Vec::new();
        for (when, value) in entities {
            for (also, key) in keys {
                let Value::Constant(Constant::String(key), _) = key else { return None };
                let Some(term) = self.looked_into(value)? else { continue };
                let Some(field) = self.tag(term) else { continue };
                let there = self.is_there(term);
                let (child, present) = self.step(term, Step::Tag(key.clone()), &field);
                let ty = self.atoms.ty(child).clone();
                let when = Formula::all([when.clone(), also.clone(), there, present]);
                found.push((when, Value::Term(child, 0, ty)));
            }
        }
        Some(found)
    }

    /// Returns the term of an entity or record that attributes are read from; the inner nothing
    /// for what has no attributes, such as an action.
    #[expect(clippy::option_option, reason = "outside of the fragment, and nothing to read")]
    fn looked_into(&mut self, value: &Value) -> Option<Option<TermId>> {
        match value {
            Value::Term(term, _, ValueType::Entity(_) | ValueType::Record(_)) => Some(Some(*term)),
            Value::Constant(Constant::Entity(uid), _) => {
                let known = self.schema.entity(uid.entity_type()).is_some();
                Some(known.then(|| self.root(Root::Entity(uid.clone()))))
            }
            _ => None,
        }
    }

    /// Where the entity at a term is among the entities; everywhere for a record.
    fn is_there(&mut self, term: TermId) -> Formula {
        match self.atoms.ty(term) {
            ValueType::Entity(_) => self.literal(Atom::Exists(term)),
            _ => Formula::True,
        }
    }

    fn field(&self, term: TermId, attr: &str) -> Option<Field> {
        match self.atoms.ty(term) {
            ValueType::Record(fields) => fields.get(attr).cloned(),
            ValueType::Entity(name) => self.schema.entity(name)?.fields.get(attr).cloned(),
            _ => None,
        }
    }

    fn tag(&self, term: TermId) -> Option<Field> {
        match self.atoms.ty(term) {
            ValueType::Entity(name) => {
                let ty = self.schema.entity(name)?.tags.clone()?;
                Some(Field { ty, required: false })
            }
            _ => None,
        }
    }

    /// Returns the term of an attribute or tag, and where it is there if its owner is.
    fn step(&mut self, term: TermId, step: Step, field: &Field) -> (TermId, Formula) {
        let child = self.atoms.term(Origin::Step(term, step), || field.ty.clone());
        let present = match field.required {
            true => Formula::True,
            false => self.literal(Atom::Present(child)),
        };
        (child, present)
    }

    fn has(&mut self, value: &Value, attr: &SmolStr) -> Option<Outcomes> {
        if let Value::Record(fields) = value {
            return Some(Outcomes::constant(fields.iter().any(|(name, _)| name == attr)));
        }
        let Some(term) = self.looked_into(value)? else { return Some(Outcomes::constant(false)) };
        let Some(field) = self.field(term, attr) else { return Some(Outcomes::constant(false)) };
        let there = self.is_there(term);
        let (_, present) = self.step(term, Step::Attribute(attr.clone()), &field);
        Some(Outcomes::never_errs(there.and(present)))
    }

    fn has_tag(&mut self, value: &Value, key: &Value) -> Option<Outcomes> {
        let Value::Constant(Constant::String(key), _) = key else { return None };
        let Some(term) = self.looked_into(value)? else { return Some(Outcomes::constant(false)) };
        let Some(field) = self.tag(term) else { return Some(Outcomes::constant(false)) };
        let there = self.is_there(term);
        let (_, present) = self.step(term, Step::Tag(key.clone()), &field);
        Some(Outcomes::never_errs(there.and(present)))
    }

    fn equals_entity(&mut self, term: TermId, uid: &EntityUID) -> Formula {
        match self.atoms.ty(term) {
            ValueType::Entity(name) if name != uid.entity_type() => Formula::False,
            ValueType::Entity(name) if !self.is_choice(name, uid) => Formula::False,
            _ => match self.literal_entity(term) {
                Some(known) => Formula::of(known == *uid),
                None => self.is(term, Test::Equals(Constant::Entity(uid.clone()))),
            },
        }
    }

    /// Returns the entity that a term always is.
    fn literal_entity(&self, term: TermId) -> Option<EntityUID> {
        match &self.atoms.terms().get(term)?.origin {
            Origin::Root(Root::Entity(uid)) => Some(uid.clone()),
            _ => None,
        }
    }

    /// Returns whether an enumerated type has this entity; true for other types.
    fn is_choice(&self, name: &EntityType, uid: &EntityUID) -> bool {
        let choices = self.schema.entity(name).and_then(|shape| shape.choices.as_ref());
        choices.is_none_or(|ids| ids.iter().any(|id| id == AsRef::<str>::as_ref(uid.eid())))
    }

    /// Where the entity at a term is this one, or a member of it.
    fn is_in(&mut self, term: TermId, uid: &EntityUID) -> Formula {
        let ValueType::Entity(name) = self.atoms.ty(term).clone() else { return Formula::False };
        let equal = self.equals_entity(term, uid);
        let may_be_member =
            self.may_be_member(&name, uid.entity_type()) && self.is_choice(uid.entity_type(), uid);
        match (may_be_member, &equal) {
            (false, _) | (_, Formula::True) => equal,
            (true, _) => self.is(term, Test::In(uid.clone())),
        }
    }

    fn may_be_member(&self, name: &EntityType, group: &EntityType) -> bool {
        self.schema.entity(name).is_some_and(|shape| shape.ancestors.contains(group))
    }

    fn equal(&mut self, a: &Value, b: &Value) -> Option<Outcomes> {
        let formula = match (a, b) {
            (Value::Constant(a, a_type), Value::Constant(b, b_type)) => {
                Formula::of(a == b && a_type == b_type)
            }
            (Value::Term(term, offset, ty), Value::Constant(constant, of))
            | (Value::Constant(constant, of), Value::Term(term, offset, ty)) => {
                if ty != of {
                    return Some(Outcomes::constant(false));
                }
                match constant {
                    Constant::Entity(uid) => self.equals_entity(*term, uid),
                    Constant::Bool(value) => {
                        let is_true = self.is(*term, Test::IsTrue);
                        if *value { is_true } else { is_true.negated() }
                    }
                    Constant::Number(number) => match number.checked_sub(*offset) {
                        Some(number) => self.is(*term, Test::Equals(Constant::Number(number))),
                        None => Formula::False,
                    },
                    constant => self.is(*term, Test::Equals(constant.clone())),
                }
            }
            (Value::Term(a, a_offset, a_type), Value::Term(b, b_offset, b_type)) => {
                if a == b && a_type == b_type {
                    Formula::of(a_offset == b_offset)
                } else if a_type != b_type {
                    match (a_type, b_type) {
                        (ValueType::Entity(_), ValueType::Entity(_)) => Formula::False,
                        _ => return None,
                    }
                } else {
                    return self.same(*a, *b, a_type, *a_offset == 0 && *b_offset == 0);
                }
            }
            (set @ Value::Term(_, _, ValueType::Set(_)), Value::Set(members))
            | (Value::Set(members), set @ Value::Term(_, _, ValueType::Set(_))) => {
                let constants = constants(members)?;
                let has_all = self.contains_each(set, members)?;
                return Some(has_all.and(self.is_subset(set, &constants)?));
            }
            (Value::Set(a), Value::Set(b)) => Formula::of(constants(a)? == constants(b)?),
            _ => return None,
        };
        Some(Outcomes::never_errs(formula))
    }

    fn same(&mut self, a: TermId, b: TermId, ty: &ValueType, unmoved: bool) -> Option<Outcomes> {
        let formula = match ty {
            ValueType::Bool => {
                let (a, b) = (self.is(a, Test::IsTrue), self.is(b, Test::IsTrue));
                let both = a.clone().and(b.clone());
                both.or(a.negated().and(b.negated()))
            }
            ValueType::Entity(_) => match (self.literal_entity(a), self.literal_entity(b)) {
                (Some(uid), _) => self.equals_entity(b, &uid),
                (_, Some(uid)) => self.equals_entity(a, &uid),
                _ => self.related(Relation::Same, a.min(b), a.max(b)),
            },
            ValueType::String | ValueType::Ip => self.related(Relation::Same, a.min(b), a.max(b)),
            ty if ty.is_numeric() && unmoved => self.related(Relation::Same, a.min(b), a.max(b)),
            _ => return None,
        };
        Some(Outcomes::never_errs(formula))
    }

    fn related(&mut self, relation: Relation, a: TermId, b: TermId) -> Formula {
        self.literal(Atom::Related(relation, a, b))
    }

    /// `a <= b`.
    fn at_most(&mut self, a: &Value, b: &Value) -> Option<Outcomes> {
        let formula = match (a, b) {
            (Value::Constant(Constant::Number(a), _), Value::Constant(Constant::Number(b), _)) => {
                Formula::of(a <= b)
            }
            (Value::Term(term, offset, ty), Value::Constant(Constant::Number(n), of))
                if ty == of =>
            {
                self.number_at_most(*term, i128::from(*n) - i128::from(*offset))
            }
            (Value::Constant(Constant::Number(n), of), Value::Term(term, offset, ty))
                if ty == of =>
            {
                let below = i128::from(*n) - i128::from(*offset) - 1;
                self.number_at_most(*term, below).negated()
            }
            (Value::Term(a, a_offset, _), Value::Term(b, b_offset, _)) if a == b => {
                Formula::of(a_offset <= b_offset)
            }
            _ => return None,
        };
        Some(Outcomes::never_errs(formula))
    }

    fn member(&mut self, a: &Value, b: &Value) -> Option<Outcomes> {
        if let Value::Set(groups) = b {
            let mut any = Outcomes::constant(false);
            for group in groups {
                any = any.or(self.member(a, group)?);
            }
            return Some(any);
        }
        let formula = match (a, b) {
            (Value::Constant(Constant::Entity(a), _), Value::Constant(Constant::Entity(b), _)) => {
                self.constant_in(a, b)
            }
            (Value::Term(term, ..), Value::Constant(Constant::Entity(uid), _)) => {
                self.is_in(*term, uid)
            }
            (Value::Constant(Constant::Entity(uid), _), Value::Term(..)) => {
                self.schema.entity(uid.entity_type())?;
                let term = self.root(Root::Entity(uid.clone()));
                let ty = self.atoms.ty(term).clone();
                return self.member(&Value::Term(term, 0, ty), b);
            }
            (Value::Term(a, _, ValueType::Entity(name)), Value::Term(b, _, ty)) => match ty {
                ValueType::Entity(group) if a == b && name == group => Formula::True,
                ValueType::Entity(group) => match self.literal_entity(*b) {
                    Some(uid) => self.is_in(*a, &uid),
                    None if self.may_be_member(name, group) => {
                        self.related(Relation::Within, *a, *b)
                    }
                    None => {
                        return self.equal(
                            &Value::Term(*a, 0, ValueType::Entity(name.clone())),
                            &Value::Term(*b, 0, ty.clone()),
                        );
                    }
                },
                ValueType::Set(_) => self.related(Relation::WithinAny, *a, *b),
                _ => return None,
            },
            _ => return None,
        };
        Some(Outcomes::never_errs(formula))
    }

    fn constant_in(&mut self, a: &EntityUID, b: &EntityUID) -> Formula {
        if a == b {
            return Formula::True;
        }
        if let Some(groups) = self.schema.actions.get(a) {
            return Formula::of(groups.contains(b));
        }
        if self.schema.entity(a.entity_type()).is_none() {
            return Formula::False;
        }
        let term = self.root(Root::Entity(a.clone()));
        self.is_in(term, b)
    }

    fn contains(&mut self, set: &Value, member: &Value) -> Option<Outcomes> {
        match (set, member) {
            (Value::Term(term, _, ValueType::Set(_)), Value::Constant(constant, _)) => {
                let has = self.is(*term, Test::Contains(constant.clone()));
                Some(Outcomes::never_errs(has))
            }
            (Value::Term(term, _, ValueType::Set(_)), Value::Term(member, 0, ty)) => {
                match (self.literal_entity(*member), ty) {
                    (Some(uid), _) => {
                        let has = self.is(*term, Test::Contains(Constant::Entity(uid)));
                        Some(Outcomes::never_errs(has))
                    }
                    (None, ValueType::Set(_) | ValueType::Record(_) | ValueType::Other) => None,
                    (None, _) => {
                        Some(Outcomes::never_errs(self.related(Relation::Has, *term, *member)))
                    }
                }
            }
            (Value::Set(members), member) => {
                let mut any = Outcomes::constant(false);
                for of in members {
                    any = any.or(self.equal(of, member)?);
                }
                Some(any)
            }
            _ => None,
        }
    }

    fn contains_each(&mut self, set: &Value, members: &[Value]) -> Option<Outcomes> {
        let mut all = Outcomes::constant(true);
        for member in members {
            all = all.and(self.contains(set, member)?);
        }
        Some(all)
    }

    fn contains_all(&mut self, set: &Value, members: &Value) -> Option<Outcomes> {
        match (set, members) {
            (set, Value::Set(members)) => self.contains_each(set, members),
            (Value::Set(members), subset) => self.is_subset(subset, &constants(members)?),
            (Value::Term(a, ..), Value::Term(b, ..)) if a == b => Some(Outcomes::constant(true)),
            (Value::Term(a, _, ValueType::Set(_)), Value::Term(b, _, ValueType::Set(_))) => {
                Some(Outcomes::never_errs(self.related(Relation::Includes, *a, *b)))
            }
            _ => None,
        }
    }

    fn contains_any(&mut self, set: &Value, members: &Value) -> Option<Outcomes> {
        match (set, members) {
            (set, Value::Set(members)) | (Value::Set(members), set) => {
                let mut any = Outcomes::constant(false);
                for member in members {
                    any = any.or(self.contains(set, member)?);
                }
                Some(any)
            }
            (Value::Term(a, _, ValueType::Set(_)), Value::Term(b, _, ValueType::Set(_))) => {
                match a == b {
                    true => {
                        let empty = self.is(*a, Test::Subset(BTreeSet::new()));
                        Some(Outcomes::never_errs(empty.negated()))
                    }
                    false => {
                        let overlap = self.related(Relation::Overlaps, *a.min(b), *a.max(b));
                        Some(Outcomes::never_errs(overlap))
                    }
                }
            }
            _ => None,
        }
    }

    /// Whether nothing but these is in a set.
    fn is_subset(&mut self, set: &Value, of: &BTreeSet<Constant>) -> Option<Outcomes> {
        match set {
            Value::Set(members) => Some(Outcomes::constant(constants(members)?.is_subset(of))),
            Value::Term(term, _, ValueType::Set(_)) => {
                Some(Outcomes::never_errs(self.is(*term, Test::Subset(of.clone()))))
            }
            _ => None,
        }
    }

    fn ip_test(&mut self, name: &str, value: &Value) -> Option<Outcomes> {
        let formula = match value {
            Value::Constant(Constant::Ip(range), _) => Formula::of(match name {
                "isIpv4" => range.address.is_ipv4(),
                "isIpv6" => range.address.is_ipv6(),
                "isLoopback" => range.is_loopback(),
                _ => range.is_multicast(),
            }),
            Value::Term(term, _, ValueType::Ip) => match name {
                "isIpv4" => self.is(*term, Test::IsIpv4),
                "isIpv6" => self.is(*term, Test::IsIpv4).negated(),
                "isLoopback" => self.is(*term, Test::IsLoopback),
                _ => self.is(*term, Test::IsMulticast),
            },
            _ => return None,
        };
        Some(Outcomes::never_errs(formula))
    }

    /// `isInRange` with one range or more: Cedar evaluates all of them before it compares.
    fn in_ranges(&mut self, left: &Cases, ranges: &[Cases]) -> Option<Outcomes> {
        let ranges = product(ranges.to_vec())?;
        self.over(left, |this, value| {
            let mut joined = Outcomes::error();
            for (when, ranges) in &ranges {
                let mut any = Outcomes::constant(false);
                for range in ranges {
                    let Value::Constant(Constant::Ip(range), _) = range else { return None };
                    let is_in = match value {
                        Value::Constant(Constant::Ip(address), _) => {
                            Formula::of(address.is_in(*range))
                        }
                        Value::Term(term, _, ValueType::Ip) => {
                            this.is(*term, Test::InRange(*range))
                        }
                        _ => return None,
                    };
                    any = any.or(Outcomes::never_errs(is_in));
                }
                if matches!(when, Formula::True) {
                    return Some(any);
                }
                let guarded = Outcomes::guarded(when, &any);
                joined.when_true = joined.when_true.or(guarded.when_true);
                joined.when_false = joined.when_false.or(guarded.when_false);
            }
            Some(joined)
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
