//! A policy taken apart into clauses: the constraints of its scope, and what its condition
//! joins by `&&` and `||`.

use std::ops::Range;
use std::sync::Arc;

use cedar_policy_core::ast::{
    ActionConstraint, BinaryOp, Expr, ExprKind, Literal, Policy, PrincipalOrResourceConstraint,
    UnaryOp,
};
use serde::Serialize;
use stagedoor_core::PolicyInfo;
use stagedoor_core::expr::{conjuncts, disjuncts};

use crate::request_types::RequestTypes;

/// The part of a policy that a clause belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ClauseKind {
    /// The scope's constraint of the principal.
    Principal,
    /// The scope's constraint of the action.
    Action,
    /// The scope's constraint of the resource.
    Resource,
    /// A conjunct or disjunct of `when` or `unless`.
    Condition,
}

/// One clause.
pub(crate) struct Clause {
    pub(crate) kind: ClauseKind,
    pub(crate) expr: Arc<Expr>,
    /// Its place in the policy's text.
    pub(crate) span: Option<Range<usize>>,
    /// Whether the schema leaves no request for which it alone is false.
    pub(crate) fixed: bool,
}

/// How the clauses, by their numbers, make up the policy.
#[derive(Debug)]
pub(crate) enum Tree {
    Clause(usize),
    /// Not what stands at this place; `unless` as a whole has the place of what it negates.
    Not(Box<Self>),
    All(Vec<Self>),
    Any(Vec<Self>),
}

/// A policy's clauses.
pub(crate) struct ClauseTree {
    pub(crate) clauses: Vec<Clause>,
    pub(crate) tree: Tree,
}

impl ClauseTree {
    pub(crate) fn of(policy: PolicyInfo<'_>, tree: &Policy, types: &RequestTypes) -> Self {
        let mut cut = ClauseCollector { text: policy.text(), clauses: Vec::new() };
        let mut parts = Vec::new();
        let fixed = types.fixed(tree);
        let (principal, resource) = (tree.principal_constraint(), tree.resource_constraint());
        let is_any = |c: &PrincipalOrResourceConstraint| *c == PrincipalOrResourceConstraint::Any;
        let scope = [
            (ClauseKind::Principal, "principal", is_any(principal.as_inner()), principal.as_expr()),
            (
                ClauseKind::Action,
                "action",
                *tree.action_constraint() == ActionConstraint::Any,
                tree.action_constraint().as_expr(),
            ),
            (ClauseKind::Resource, "resource", is_any(resource.as_inner()), resource.as_expr()),
        ];
        for ((kind, name, is_any, expr), fixed) in scope.into_iter().zip(fixed) {
            if !is_any {
                let (expr, span) = (Arc::new(expr), policy.head_part(name));
                parts.push(cut.clause(Clause { kind, expr, span, fixed }));
            }
        }
        if let Some(condition) = tree.non_scope_constraints_arc() {
            parts.push(cut.tree(condition));
        }
        Self { clauses: cut.clauses, tree: Tree::All(parts) }
    }
}

/// Returns the place of an expression in the policy's text.
pub(crate) fn span(expr: &Expr) -> Option<Range<usize>> {
    expr.source_loc().map(|loc| loc.start()..loc.end())
}

/// Returns whether an expression is a negation that its own place does not show: the whole of
/// an `unless`.
pub(crate) fn is_unless(expr: &Expr, text: &str) -> bool {
    let ExprKind::UnaryApp { op: UnaryOp::Not, arg } = expr.expr_kind() else { return false };
    let (Some(own), Some(of_arg)) = (span(expr), span(arg)) else { return true };
    let written = text.get(own.clone()).unwrap_or_default();
    if own != of_arg {
        return !written.starts_with('!');
    }
    // `a != b` and `a > b` also have the place of what Cedar negates.
    let ExprKind::BinaryApp { op, arg1, arg2 } = arg.expr_kind() else { return true };
    let token = match op {
        BinaryOp::Eq => "!=",
        BinaryOp::Less | BinaryOp::LessEq => ">",
        _ => return true,
    };
    let gap = span(arg1).zip(span(arg2)).map(|(left, right)| left.end..right.start);
    gap.and_then(|gap| find(text, gap, token)).is_none()
}

/// Finds a token between two expressions, where there is nothing else but brackets, dots,
/// blanks and comments.
pub(crate) fn find(text: &str, gap: Range<usize>, token: &str) -> Option<Range<usize>> {
    let mut at = gap.start;
    for line in text.get(gap)?.split_inclusive('\n') {
        let code = line.split_once("//").map_or(line, |(code, _)| code);
        if let Some(found) = code.find(token) {
            return Some(at + found..at + found + token.len());
        }
        at += line.len();
    }
    None
}

/// Returns what a chain of `&&`, or of `||`, joins, in order.
pub(crate) fn parts_of(chain: &Expr) -> Vec<&Expr> {
    let is_or = matches!(chain.expr_kind(), ExprKind::Or { .. });
    let mut parts = if is_or { disjuncts(chain) } else { conjuncts(chain) };
    // Cedar ends a chain of `when` and `unless` so.
    let is_added = |expr: &Expr| {
        matches!(expr.expr_kind(), ExprKind::Lit(Literal::Bool(true))) && span(expr).is_none()
    };
    parts.retain(|part| is_or || !is_added(part));
    parts
}

struct ClauseCollector<'a> {
    text: &'a str,
    clauses: Vec<Clause>,
}

impl ClauseCollector<'_> {
    fn clause(&mut self, clause: Clause) -> Tree {
        self.clauses.push(clause);
        Tree::Clause(self.clauses.len() - 1)
    }

    fn tree(&mut self, expr: &Arc<Expr>) -> Tree {
        match expr.expr_kind() {
            ExprKind::And { left, .. } if !is_one_relation(expr, left) => {
                Tree::All(self.operands(expr))
            }
            ExprKind::Or { .. } => Tree::Any(self.operands(expr)),
            ExprKind::UnaryApp { op: UnaryOp::Not, arg }
                if is_unless(expr, self.text) || span(expr) != span(arg) =>
            {
                Tree::Not(Box::new(self.tree(arg)))
            }
            _ => {
                let (expr, span) = (Arc::clone(expr), span(expr));
                self.clause(Clause { kind: ClauseKind::Condition, expr, span, fixed: false })
            }
        }
    }

    /// Returns what a chain of `&&`, or of `||`, joins, in order.
    fn operands(&mut self, chain: &Arc<Expr>) -> Vec<Tree> {
        let is_and = matches!(chain.expr_kind(), ExprKind::And { .. });
        let mut open = vec![Arc::clone(chain)];
        let mut operands = Vec::new();
        while let Some(expr) = open.pop() {
            match expr.expr_kind() {
                ExprKind::And { left, right } if is_and && !is_one_relation(&expr, left) => {
                    open.extend([Arc::clone(right), Arc::clone(left)]);
                }
                ExprKind::Or { left, right } if !is_and => {
                    open.extend([Arc::clone(right), Arc::clone(left)]);
                }
                // Cedar ends a chain of `when` and `unless` so.
                ExprKind::Lit(Literal::Bool(true)) if is_and && span(&expr).is_none() => {}
                _ => operands.push(self.tree(&expr)),
            }
        }
        operands
    }
}

/// Whether `&&` is Cedar's way to say `x is T in y`.
fn is_one_relation(and: &Expr, left: &Expr) -> bool {
    matches!(left.expr_kind(), ExprKind::Is { .. }) && span(and) == span(left)
}
