//! Small changes to a policy's text, of the kinds that people make by mistake.

use std::ops::Range;

use cedar_policy::EntityUid;
use cedar_policy_core::ast::{
    ActionConstraint, BinaryOp, Expr, ExprKind, Literal, Policy, PrincipalOrResourceConstraint,
    UnaryOp,
};
use stagedoor_core::expr::operands;
use stagedoor_core::{Effect, PolicyInfo};

use crate::clause_tree::{find, is_unless, parts_of, span};
use crate::operator::Operator;
use crate::request_types::RequestTypes;

/// A change of a policy's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edit {
    pub(crate) operator: Operator,
    /// What is replaced, in the policy's text.
    pub(crate) span: Range<usize>,
    pub(crate) replacement: String,
}

impl Edit {
    /// Returns the text after the change.
    pub(crate) fn apply(&self, text: &str) -> Option<String> {
        let (before, after) = (text.get(..self.span.start)?, text.get(self.span.end..)?);
        Some(format!("{before}{}{after}", self.replacement))
    }
}

/// Returns all changes of a policy; what is left of it need not load.
pub(crate) fn edits(policy: PolicyInfo<'_>, tree: &Policy, types: &RequestTypes) -> Vec<Edit> {
    let text = policy.text();
    let mut edits = Edits { text, found: Vec::new() };
    edits.add(Operator::DropPolicy, Some(0..text.len()), String::new());
    let other = if policy.effect() == Effect::Permit { "forbid" } else { "permit" };
    edits.add(Operator::SwapEffect, policy.head_part("effect"), other.to_owned());
    edits.add(Operator::DropGuard, policy.head_part("guard"), String::new());
    edits.entity_scope(policy, tree, types, Variable::Principal);
    edits.action_scope(policy, tree, types);
    edits.entity_scope(policy, tree, types, Variable::Resource);
    if let Some(condition) = tree.non_scope_constraints() {
        edits.clause(condition, Neutral::True, Operator::DropConjunct);
    }
    edits.found.sort_by_key(|edit| (edit.span.start, edit.operator));
    edits.found.dedup_by(|a, b| a.span == b.span && a.replacement == b.replacement);
    edits.found
}

/// The value of a clause that makes it as if it were not there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Neutral {
    True,
    False,
}

impl Neutral {
    fn other(self) -> Self {
        if self == Self::True { Self::False } else { Self::True }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Variable {
    Principal,
    Resource,
}

struct Edits<'a> {
    text: &'a str,
    found: Vec<Edit>,
}

impl Edits<'_> {
    fn add(&mut self, operator: Operator, span: Option<Range<usize>>, replacement: String) {
        if let Some(span) = span {
            self.found.push(Edit { operator, span, replacement });
        }
    }

    fn entity_scope(
        &mut self,
        policy: PolicyInfo<'_>,
        tree: &Policy,
        types: &RequestTypes,
        variable: Variable,
    ) {
        use PrincipalOrResourceConstraint as C;
        let name = if variable == Variable::Principal { "principal" } else { "resource" };
        let span = policy.head_part(name);
        // As it stands in the text, where a template has its slots.
        let constraint = match variable {
            Variable::Principal => tree.template().principal_constraint().as_inner().clone(),
            Variable::Resource => tree.template().resource_constraint().as_inner().clone(),
        };
        let of = |constraint: C| match constraint {
            C::Any => name.to_owned(),
            other => other.display(variable.of_cedar()),
        };
        let other: Vec<(Operator, C)> = match &constraint {
            C::Any => {
                let own = types.matching(tree).map(|of| match variable {
                    Variable::Principal => of.principal.as_str(),
                    Variable::Resource => of.resource.as_str(),
                });
                let own: std::collections::BTreeSet<&str> = own.collect();
                if own.len() > 1 {
                    for entity_type in own.into_iter().take(2) {
                        let narrowed = format!("{name} is {entity_type}");
                        self.add(Operator::NarrowScope, span.clone(), narrowed);
                    }
                }
                Vec::new()
            }
            C::Eq(uid) => {
                vec![(Operator::WidenScope, C::Any), (Operator::SwapMembership, C::In(uid.clone()))]
            }
            C::In(uid) => {
                vec![(Operator::WidenScope, C::Any), (Operator::SwapMembership, C::Eq(uid.clone()))]
            }
            C::Is(_) => vec![(Operator::WidenScope, C::Any)],
            C::IsIn(entity_type, uid) => vec![
                (Operator::WidenScope, C::Is(entity_type.clone())),
                (Operator::WidenScope, C::In(uid.clone())),
            ],
        };
        for (operator, constraint) in other {
            self.add(operator, span.clone(), of(constraint));
        }
    }

    fn action_scope(&mut self, policy: PolicyInfo<'_>, tree: &Policy, types: &RequestTypes) {
        let span = policy.head_part("action");
        let widened = |edits: &mut Self| {
            edits.add(Operator::WidenScope, span.clone(), "action".to_owned());
        };
        match tree.action_constraint() {
            ActionConstraint::Any => {
                if let Some(first) = types.matching(tree).next() {
                    let narrowed = format!("action == {}", first.action);
                    self.add(Operator::NarrowScope, span, narrowed);
                }
            }
            ActionConstraint::Eq(uid) => {
                widened(self);
                let own = EntityUid::from(cedar_policy_core::ast::EntityUID::clone(uid));
                if let Some(other) = another_action(&own, tree, types) {
                    self.add(Operator::SwapAction, span, format!("action == {other}"));
                }
            }
            ActionConstraint::In(uids) => {
                widened(self);
                let names: Vec<String> = uids.iter().map(ToString::to_string).collect();
                if let [group] = names.as_slice() {
                    let member = types.matching(tree).map(|of| of.action.to_string());
                    if let Some(member) = member.into_iter().find(|member| member != group) {
                        self.add(Operator::NarrowScope, span, format!("action == {member}"));
                    }
                } else {
                    for without in without_each(&names) {
                        let narrowed = format!("action in [{without}]");
                        self.add(Operator::NarrowScope, span.clone(), narrowed);
                    }
                }
            }
            #[expect(unreachable_patterns, reason = "variants that features of Cedar add")]
            _ => {}
        }
    }

    /// Adds the changes of a clause, and of what it is made of. `neutral` is the value that
    /// makes it as if it were not there, which `dropped` names.
    fn clause(&mut self, expr: &Expr, neutral: Neutral, dropped: Operator) {
        match expr.expr_kind() {
            ExprKind::And { .. } | ExprKind::Or { .. } => self.chain(expr),
            ExprKind::UnaryApp { op: UnaryOp::Not, arg } if is_unless(expr, self.text) => {
                self.clause(arg, neutral.other(), dropped);
                if is_chain(arg) {
                    self.drop_clause(arg, neutral.other(), dropped);
                }
            }
            kind => {
                self.drop_clause(expr, neutral, dropped);
                // A `!` that is written is left out; elsewhere one is added.
                let (negated, bang) = match kind {
                    ExprKind::UnaryApp { op: UnaryOp::Not, arg } if span(expr) != span(arg) => {
                        (arg.as_ref(), "")
                    }
                    _ => (expr, "!"),
                };
                if let Some(text) = span(negated).and_then(|span| self.text.get(span)) {
                    let replacement = format!("{bang}({text})");
                    self.add(Operator::NegateClause, span(expr), replacement);
                }
                self.inside(negated);
            }
        }
    }

    fn drop_clause(&mut self, expr: &Expr, neutral: Neutral, operator: Operator) {
        let value = if neutral == Neutral::True { "true" } else { "false" };
        self.add(operator, span(expr), value.to_owned());
    }

    fn chain(&mut self, chain: &Expr) {
        let is_and = matches!(chain.expr_kind(), ExprKind::And { .. });
        let (neutral, token, other) =
            if is_and { (Neutral::True, "&&", "||") } else { (Neutral::False, "||", "&&") };
        let dropped = if is_and { Operator::DropConjunct } else { Operator::DropDisjunct };
        let operands = parts_of(chain);
        for operand in &operands {
            self.clause(operand, neutral, dropped);
            if is_chain(operand) {
                self.drop_clause(operand, neutral, dropped);
            }
        }
        for (left, right) in operands.iter().zip(operands.iter().skip(1)) {
            let (Some(left), Some(right)) = (span(left), span(right)) else { continue };
            let found = find(self.text, left.end..right.start, token);
            self.add(Operator::SwapConnective, found, other.to_owned());
        }
    }

    /// Adds the changes within a clause: of constants and of comparisons.
    fn inside(&mut self, expr: &Expr) {
        let mut open = vec![expr];
        while let Some(part) = open.pop() {
            match part.expr_kind() {
                ExprKind::Lit(literal) => self.constant(literal, span(part)),
                ExprKind::Set(items) => {
                    self.set(items, span(part));
                    if items.len() == 1 || !items.iter().all(is_literal) {
                        open.extend(items.iter());
                    }
                }
                ExprKind::BinaryApp { op, arg1, arg2 } => {
                    self.comparison(*op, arg1, arg2, span(part));
                    open.extend(operands(part));
                }
                ExprKind::Like { expr: of, .. } => {
                    self.pattern(span(part));
                    open.push(of);
                }
                _ => open.extend(operands(part)),
            }
        }
    }

    fn constant(&mut self, literal: &Literal, span: Option<Range<usize>>) {
        let changed = match literal {
            Literal::Bool(value) => (!value).to_string(),
            Literal::Long(value) => value.wrapping_add(1).to_string(),
            // The last character is the quote.
            Literal::String(_) | Literal::EntityUID(_) => {
                let text = span.clone().and_then(|span| self.text.get(span));
                let Some(text) = text.and_then(|text| text.strip_suffix('"')) else { return };
                format!("{text}~\"")
            }
        };
        self.add(Operator::ChangeConstant, span, changed);
    }

    fn set(&mut self, items: &[Expr], of_set: Option<Range<usize>>) {
        let texts: Option<Vec<String>> = items
            .iter()
            .map(|item| span(item).and_then(|span| self.text.get(span)).map(str::to_owned))
            .collect();
        for without in texts.filter(|texts| texts.len() > 1).iter().flat_map(|t| without_each(t)) {
            self.add(Operator::DropElement, of_set.clone(), format!("[{without}]"));
        }
    }

    fn comparison(&mut self, op: BinaryOp, left: &Expr, right: &Expr, of: Option<Range<usize>>) {
        let gap = span(left).zip(span(right)).map(|(left, right)| left.end..right.start);
        let pairs: &[(&str, &str)] = match op {
            // `>` is Cedar's `<=`, negated, and `>=` its `<`.
            BinaryOp::Less | BinaryOp::LessEq => {
                &[("<=", "<"), (">=", ">"), ("<", "<="), (">", ">=")]
            }
            BinaryOp::ContainsAny | BinaryOp::ContainsAll => {
                &[("containsAny", "containsAll"), ("containsAll", "containsAny")]
            }
            BinaryOp::In if is_literal(right) => &[("in", "==")],
            BinaryOp::Eq if is_entity(left) || is_entity(right) => &[("==", "in")],
            _ => return,
        };
        let operator = match op {
            BinaryOp::In | BinaryOp::Eq => Operator::SwapMembership,
            _ => Operator::SwapComparison,
        };
        let Some(gap) = gap.or(of) else { return };
        let found = pairs.iter().find_map(|(token, other)| {
            find(self.text, gap.clone(), token).map(|span| (span, (*other).to_owned()))
        });
        if let Some((span, other)) = found {
            self.add(operator, Some(span), other);
        }
    }

    /// Changes what `like` compares with, which ends the expression.
    fn pattern(&mut self, of: Option<Range<usize>>) {
        let Some(text) = of.clone().and_then(|span| self.text.get(span)) else { return };
        let Some((before, pattern)) = text.strip_suffix('"').and_then(|t| {
            let at = t.rfind("like").map(|at| at + 4)?;
            Some((t.get(..at)?, t.get(at..)?.trim_start().strip_prefix('"')?))
        }) else {
            return;
        };
        if pattern != "*" {
            self.add(Operator::ChangeConstant, of.clone(), format!("{before} \"*\""));
        }
        let exact = pattern.trim_matches('*');
        if exact != pattern {
            self.add(Operator::ChangeConstant, of, format!("{before} \"{exact}\""));
        }
    }
}

impl Variable {
    fn of_cedar(self) -> cedar_policy_core::ast::PrincipalOrResource {
        match self {
            Self::Principal => cedar_policy_core::ast::PrincipalOrResource::Principal,
            Self::Resource => cedar_policy_core::ast::PrincipalOrResource::Resource,
        }
    }
}

/// Returns another action that the policy's types of requests have, the next by name.
fn another_action(own: &EntityUid, tree: &Policy, types: &RequestTypes) -> Option<EntityUid> {
    let like_own = |of: &&crate::request_types::RequestType| {
        let mut own_types = types.matching(tree);
        own_types.any(|own| own.principal == of.principal && own.resource == of.resource)
    };
    let others = || types.all.iter().filter(like_own).map(|of| &of.action).filter(|a| *a != own);
    let next = others().filter(|other| *other > own).min();
    next.or_else(|| others().min()).cloned()
}

fn is_chain(expr: &Expr) -> bool {
    matches!(expr.expr_kind(), ExprKind::And { .. } | ExprKind::Or { .. })
}

fn is_literal(expr: &Expr) -> bool {
    matches!(expr.expr_kind(), ExprKind::Lit(_))
}

fn is_entity(expr: &Expr) -> bool {
    matches!(expr.expr_kind(), ExprKind::Lit(Literal::EntityUID(_)))
}

/// Returns the lists that lack one of the items each.
fn without_each(items: &[String]) -> Vec<String> {
    let others = |number: usize| {
        let others = items.iter().enumerate().filter(|(n, _)| *n != number);
        others.map(|(_, item)| item.as_str()).collect::<Vec<_>>().join(", ")
    };
    (0..items.len()).map(others).collect()
}
