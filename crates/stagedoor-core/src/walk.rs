//! Walking over the conditions of a policy as it is written.

use std::sync::Arc;

use cedar_policy::pst::{BinaryOp, Clause, Expr, Template};

/// Returns what an operator such as `&&` joins, from left to right; an expression without it is its
/// only part. What [`conjuncts`](crate::expr::conjuncts) is for Cedar's syntax trees.
///
/// # Examples
///
/// ```
/// use stagedoor_core::{Engine, joined_by, pst};
///
/// let engine = Engine::builder()
///     .schema("s.cedarschema", "entity User { level: Long }; entity Doc;
///         action view appliesTo { principal: User, resource: Doc };")
///     .policies("p.cedar", "permit(principal, action, resource)
///         when { principal.level > 1 && principal.level < 9 && principal.level != 5 };")
///     .build()?;
/// let written = engine.policies().next().ok_or("a policy")?.written()?;
/// let pst::Clause::When(condition) = &written.clauses()[0] else { return Err("a `when`".into()) };
/// assert_eq!(joined_by(pst::BinaryOp::And, condition).len(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn joined_by(op: BinaryOp, expr: &Arc<Expr>) -> Vec<&Arc<Expr>> {
    let (mut parts, mut open) = (Vec::new(), vec![expr]);
    while let Some(expr) = open.pop() {
        match expr.as_ref() {
            Expr::BinaryOp { op: this, left, right } if *this == op => open.extend([right, left]),
            _ => parts.push(expr),
        }
    }
    parts
}

/// Visits every expression of a policy's conditions, each before those that it is made of.
///
/// # Examples
///
/// ```
/// use stagedoor_core::{Engine, pst, visit_conditions};
///
/// let engine = Engine::builder()
///     .schema("s.cedarschema", "entity User; entity Doc { owner: User };
///         action view appliesTo { principal: User, resource: Doc };")
///     .policies("p.cedar", "permit(principal, action, resource) when { resource.owner == principal };")
///     .build()?;
/// let policy = engine.policies().next().ok_or("a policy")?;
/// let mut attributes = Vec::new();
/// visit_conditions(&policy.written()?, &mut |expr| {
///     if let pst::Expr::GetAttr { attr, .. } = expr {
///         attributes.push(attr.to_string());
///     }
/// });
/// assert_eq!(attributes, ["owner"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn visit_conditions(template: &Template, visitor: &mut impl FnMut(&Expr)) {
    for clause in template.clauses() {
        let (Clause::When(expr) | Clause::Unless(expr)) = clause;
        visit(expr, visitor);
    }
}

fn visit(expr: &Expr, visitor: &mut impl FnMut(&Expr)) {
    visitor(expr);
    match expr {
        Expr::UnaryOp { expr, .. }
        | Expr::GetAttr { expr, .. }
        | Expr::HasAttr { expr, .. }
        | Expr::Like { expr, .. } => visit(expr, visitor),
        Expr::BinaryOp { left, right, .. } => {
            visit(left, visitor);
            visit(right, visitor);
        }
        Expr::Is { expr, in_expr, .. } => {
            visit(expr, visitor);
            in_expr.iter().for_each(|within| visit(within, visitor));
        }
        Expr::IfThenElse { cond, then_expr, else_expr } => {
            [cond, then_expr, else_expr].into_iter().for_each(|expr| visit(expr, visitor));
        }
        Expr::Set(members) => members.iter().for_each(|member| visit(member, visitor)),
        Expr::Record(fields) => fields.values().for_each(|field| visit(field, visitor)),
        _ => {}
    }
}
