//! Walking over the conditions of a policy as it is written.

use cedar_policy::pst::{Clause, Expr, Template};

/// Visits every expression of a policy's conditions, each before those that it is made of.
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
