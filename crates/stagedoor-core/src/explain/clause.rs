//! Clauses as explanations tell them: their text, their place, and the values that they met.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use cedar_policy_core::ast::{self, Expr, ExprKind, UnaryOp};

use crate::error::{DecideError, cut};
use crate::evaluate::Evaluation;
use crate::expr::{conjuncts, disjuncts, operands};
use crate::ir::clauses;
use crate::lookup::Lookup;
use crate::lower::path;
use crate::parse;
use crate::policy::{Form, PolicyInfo};
use crate::stack::with_stack;
use crate::statement::scope_part;
use crate::symbols::{Path, Step, Var};

/// So many values of one clause are told.
const VALUES: usize = 8;

/// A clause that does not hold: a scope constraint, or an outermost conjunct of the condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedClause {
    text: String,
    file: String,
    position: Option<(usize, usize)>,
    values: Vec<MetValue>,
}

impl FailedClause {
    /// Returns the clause as Cedar text; an `unless` clause stands as its negation.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the file of the policy, or what the caller called the text.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Returns the line, from 1; none for policies read from JSON.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.position.map(|(line, _)| line)
    }

    /// Returns the column in characters, from 1.
    #[must_use]
    pub fn column(&self) -> Option<usize> {
        self.position.map(|(_, column)| column)
    }

    /// Returns the values that the clause looks at, in the order in which it names them.
    #[must_use]
    pub fn values(&self) -> &[MetValue] {
        &self.values
    }
}

/// A clause that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldClause {
    text: String,
    file: String,
    position: Option<(usize, usize)>,
    alternatives: Vec<HeldAlternative>,
    values: Vec<MetValue>,
}

impl HeldClause {
    /// Returns the clause as Cedar text; an `unless` clause stands as its negation.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the file of the policy, or what the caller called the text.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Returns the line, from 1; none for policies read from JSON.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.position.map(|(line, _)| line)
    }

    /// Returns the column in characters, from 1.
    #[must_use]
    pub fn column(&self) -> Option<usize> {
        self.position.map(|(_, column)| column)
    }

    /// Returns the alternatives of an outermost `||` that hold; none for other clauses.
    ///
    /// Of `!(a && b)` these are `!(a)` and `!(b)`.
    #[must_use]
    pub fn alternatives(&self) -> &[HeldAlternative] {
        &self.alternatives
    }

    /// Returns the values that the clause looks at, in the order in which it names them.
    #[must_use]
    pub fn values(&self) -> &[MetValue] {
        &self.values
    }
}

/// One alternative of a clause, which holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldAlternative {
    text: String,
    position: Option<(usize, usize)>,
    values: Vec<MetValue>,
}

impl HeldAlternative {
    /// Returns the alternative as Cedar text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the line, from 1; none for policies read from JSON.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.position.map(|(line, _)| line)
    }

    /// Returns the column in characters, from 1.
    #[must_use]
    pub fn column(&self) -> Option<usize> {
        self.position.map(|(_, column)| column)
    }

    /// Returns the values that the alternative looks at.
    #[must_use]
    pub fn values(&self) -> &[MetValue] {
        &self.values
    }
}

/// A value that a clause met: `resource.fileType` is `"exe"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetValue {
    expression: String,
    value: Option<String>,
}

impl MetValue {
    /// Returns where the value stands, as Cedar text.
    #[must_use]
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// Returns the value as Cedar text, cut where it is longer than 1 KiB; none where there is
    /// nothing.
    #[must_use]
    pub fn value(&self) -> Option<&str> {
        self.value.as_deref()
    }

    fn of(path: &Path, evaluation: &Evaluation<'_, '_>) -> Self {
        let value = match evaluation.view.resolve(path) {
            Lookup::Value(value) => Some(cut(&value.to_value())),
            Lookup::Missing | Lookup::Broken => None,
        };
        Self { expression: cut(path), value }
    }
}

impl fmt::Display for MetValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "`{}` is `{value}`", self.expression),
            None => write!(f, "`{}` is not there", self.expression),
        }
    }
}

/// A part of a policy, by its place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PolicyPart {
    Principal,
    Resource,
    Clause(usize),
    /// One of its guards.
    Guard,
}

/// Returns all parts but the action's that do not hold.
pub(super) fn failed_parts(
    policy: PolicyInfo<'_>,
    evaluation: &Evaluation<'_, '_>,
) -> Result<Vec<PolicyPart>, DecideError> {
    let mut failed = Vec::new();
    if !evaluation.entity_scope(&policy.policy.principal, Var::Principal) {
        failed.push(PolicyPart::Principal);
    }
    if !evaluation.entity_scope(&policy.policy.resource, Var::Resource) {
        failed.push(PolicyPart::Resource);
    }
    for (number, clause) in policy.policy.body.clauses.iter().enumerate() {
        if evaluation.clause(clause)? != Some(true) {
            failed.push(PolicyPart::Clause(number));
        }
    }
    Ok(failed)
}

/// Reads clauses from a policy's text.
pub(super) struct Reader<'a> {
    policy: PolicyInfo<'a>,
    pub(super) tree: Option<ast::Policy>,
    pub(super) clauses: Vec<Arc<Expr>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(policy: PolicyInfo<'a>) -> Self {
        let tree = with_stack(|| policy.reparse()).ok();
        let condition = tree.as_ref().and_then(|t| t.non_scope_constraints_arc());
        let clauses = condition.map(clauses).unwrap_or_default();
        Self { policy, tree, clauses }
    }

    /// Returns a part that does not hold.
    pub(super) fn failed(&self, part: PolicyPart, evaluation: &Evaluation<'_, '_>) -> FailedClause {
        with_stack(|| {
            let (text, span) = self.read(part);
            let values = match part {
                PolicyPart::Principal => vec![MetValue::of(&variable(Var::Principal), evaluation)],
                PolicyPart::Resource => vec![MetValue::of(&variable(Var::Resource), evaluation)],
                PolicyPart::Clause(number) => {
                    self.clauses.get(number).map(|e| values(e, evaluation)).unwrap_or_default()
                }
                PolicyPart::Guard => Vec::new(),
            };
            let (file, position) = (self.policy.file().to_owned(), self.position(span));
            FailedClause { text, file, position, values }
        })
    }

    /// Returns the clauses of a policy that holds.
    ///
    /// # Errors
    ///
    /// [`DecideError`] if the entities are not ones that Cedar takes.
    pub(super) fn held(
        &self,
        evaluation: &Evaluation<'_, '_>,
    ) -> Result<Vec<HeldClause>, DecideError> {
        let held = |(number, clause): (usize, &Arc<Expr>)| {
            let (text, span) = self.read(PolicyPart::Clause(number));
            let mut alternatives = Vec::new();
            let (operands, negated) = alternatives_of(clause);
            for operand in operands {
                if evaluation.expression(operand)? != Some(!negated) {
                    continue;
                }
                let (text, span) = self.expression(operand);
                let text = if negated { format!("!({text})") } else { text };
                let (position, values) = (self.position(span), values(operand, evaluation));
                alternatives.push(HeldAlternative { text, position, values });
            }
            let (file, position) = (self.policy.file().to_owned(), self.position(span));
            Ok(HeldClause {
                text,
                file,
                position,
                alternatives,
                values: values(clause, evaluation),
            })
        };
        with_stack(|| self.clauses.iter().enumerate().map(held).collect())
    }

    /// Returns the text of a part and where it stands in the policy's.
    fn read(&self, part: PolicyPart) -> (String, Option<Range<usize>>) {
        match part {
            PolicyPart::Principal => {
                let text = self.tree.as_ref().map(|t| t.principal_constraint().to_string());
                (text.unwrap_or_default(), scope_part(self.policy.text(), "principal"))
            }
            PolicyPart::Resource => {
                let text = self.tree.as_ref().map(|t| t.resource_constraint().to_string());
                (text.unwrap_or_default(), scope_part(self.policy.text(), "resource"))
            }
            PolicyPart::Guard => {
                let annotations = self.tree.iter().flat_map(|tree| tree.annotations());
                let guard = annotations.into_iter().find(|(name, _)| name.as_ref() == "guard");
                let span = guard.and_then(|(_, a)| a.loc.as_ref()).map(|l| l.start()..l.end());
                let text = guard.map(|(_, a)| format!("@guard({:?})", a.val.as_str()));
                (text.unwrap_or_default(), span)
            }
            PolicyPart::Clause(number) => {
                self.clauses.get(number).map(|clause| self.expression(clause)).unwrap_or_default()
            }
        }
    }

    fn expression(&self, clause: &Expr) -> (String, Option<Range<usize>>) {
        let span = clause.source_loc().map(|l| l.start()..l.end());
        let written = span.clone().and_then(|s| self.policy.text().get(s));
        // An `unless` clause has the place of what it negates.
        let text = match written {
            // One of `unless` alone has the place of the whole of it.
            Some(text) if text.starts_with("unless") && is_negation(clause) => {
                let inner = text.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}'));
                format!("!({})", inner.map_or(text, |(inner, _)| inner.trim()))
            }
            Some(text) if negates(clause, text) => format!("!({text})"),
            Some(text) => text.to_owned(),
            None => clause.to_string(),
        };
        (text, span)
    }

    fn position(&self, span: Option<Range<usize>>) -> Option<(usize, usize)> {
        match &self.policy.policy.body.origin.form {
            Form::Text(statement) => {
                Some(self.policy.source().position(statement.start as usize + span?.start))
            }
            Form::Json(_) => None,
        }
    }
}

fn variable(var: Var) -> Path {
    Path { var, steps: smallvec::SmallVec::new() }
}

/// Returns the operands of an outermost `||`, or of an `&&` that is negated as a whole.
fn alternatives_of(clause: &Expr) -> (Vec<&Expr>, bool) {
    match clause.expr_kind() {
        ExprKind::Or { .. } => (disjuncts(clause), false),
        ExprKind::UnaryApp { op: UnaryOp::Not, arg } => match arg.expr_kind() {
            ExprKind::And { .. } => (conjuncts(arg), true),
            _ => (Vec::new(), true),
        },
        _ => (Vec::new(), false),
    }
}

/// Returns the values that an expression looks at.
fn values(expr: &Expr, evaluation: &Evaluation<'_, '_>) -> Vec<MetValue> {
    let mut paths: Vec<Path> = Vec::new();
    let mut add = |path: Path| {
        if paths.len() < VALUES && !paths.contains(&path) {
            paths.push(path);
        }
    };
    let mut open = vec![expr];
    while let Some(expr) = open.pop() {
        match (path(expr), expr.expr_kind()) {
            (Some(path), _) if path.var == Var::Context && path.steps.is_empty() => {}
            (Some(path), _) => add(path),
            (None, ExprKind::HasAttr { expr: base, attr }) if path(base).is_some() => {
                if let Some(mut path) = path(base) {
                    path.steps.push(Step::Attribute(attr.clone()));
                    add(path);
                }
            }
            (None, _) => open.extend(operands(expr).into_iter().rev()),
        }
    }
    paths.iter().map(|path| MetValue::of(path, evaluation)).collect()
}

fn is_negation(clause: &Expr) -> bool {
    matches!(clause.expr_kind(), ExprKind::UnaryApp { op: UnaryOp::Not, .. })
}

/// Returns whether `clause` is a negation of which `written` is only what is negated.
fn negates(clause: &Expr, written: &str) -> bool {
    is_negation(clause)
        && parse::expression(written).is_some_and(|parsed| parsed.to_string() != clause.to_string())
}
