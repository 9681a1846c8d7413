//! Parts of Cedar's expressions: conjuncts, disjuncts, operands, and a walk over all.

use cedar_policy_core::ast::{Expr, ExprKind};

/// Returns what `&&` joins, from left to right; an expression without `&&` is its only conjunct.
#[must_use]
pub fn conjuncts(expr: &Expr) -> Vec<&Expr> {
    joined(expr, |kind| match kind {
        ExprKind::And { left, right } => Some((left, right)),
        _ => None,
    })
}

/// Returns what `||` joins, from left to right; an expression without `||` is its only disjunct.
#[must_use]
pub fn disjuncts(expr: &Expr) -> Vec<&Expr> {
    joined(expr, |kind| match kind {
        ExprKind::Or { left, right } => Some((left, right)),
        _ => None,
    })
}

fn joined(expr: &Expr, parts: impl Fn(&ExprKind) -> Option<(&Expr, &Expr)>) -> Vec<&Expr> {
    let mut found = Vec::new();
    let mut open = vec![expr];
    while let Some(expr) = open.pop() {
        match parts(expr.expr_kind()) {
            Some((left, right)) => open.extend([right, left]),
            None => found.push(expr),
        }
    }
    found
}

/// Returns the expressions that stand directly in an expression, in the order of the text.
#[must_use]
pub fn operands(expr: &Expr) -> Vec<&Expr> {
    match expr.expr_kind() {
        ExprKind::If { test_expr, then_expr, else_expr } => vec![test_expr, then_expr, else_expr],
        ExprKind::And { left, right } | ExprKind::Or { left, right } => vec![left, right],
        ExprKind::UnaryApp { arg, .. } => vec![arg],
        ExprKind::BinaryApp { arg1, arg2, .. } => vec![arg1, arg2],
        ExprKind::ExtensionFunctionApp { args, .. } => args.iter().collect(),
        ExprKind::GetAttr { expr, .. }
        | ExprKind::HasAttr { expr, .. }
        | ExprKind::ExtHasAttr { expr, .. }
        | ExprKind::Like { expr, .. }
        | ExprKind::Is { expr, .. } => vec![expr],
        ExprKind::Set(members) => members.iter().collect(),
        ExprKind::Record(fields) => fields.values().collect(),
        _ => Vec::new(),
    }
}

/// Visits an expression and all in it, each before its operands; without recursion.
pub fn walk<'x>(expr: &'x Expr, mut visit: impl FnMut(&'x Expr)) {
    let mut open = vec![expr];
    while let Some(expr) = open.pop() {
        visit(expr);
        open.extend(operands(expr).into_iter().rev());
    }
}

/// Returns whether an expression says the same for every request.
#[must_use]
pub fn is_constant(expr: &Expr) -> bool {
    let mut constant = true;
    walk(expr, |part| {
        constant &= !matches!(
            part.expr_kind(),
            ExprKind::Var(_) | ExprKind::Slot(_) | ExprKind::Unknown(_)
        );
    });
    constant
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_in_the_order_of_the_text() -> Result<(), Box<dyn std::error::Error>> {
        let expr: Expr = "principal.a && (principal.b && principal.c) && principal.d".parse()?;
        let parts: Vec<String> = conjuncts(&expr).iter().map(ToString::to_string).collect();
        assert_eq!(parts, ["principal.a", "principal.b", "principal.c", "principal.d"]);
        let expr: Expr = "context.a || context.b".parse()?;
        assert_eq!(disjuncts(&expr).len(), 2);
        assert_eq!(conjuncts(&expr).len(), 1);
        let expr: Expr =
            r#"if context.x like "a*" then [1, 2].contains(context.n) else {a: 1}.a == 1"#
                .parse()?;
        let mut seen = Vec::new();
        walk(&expr, |part| seen.push(part.to_string()));
        assert_eq!(seen.len(), 15, "{seen:?}");
        assert!(!is_constant(&expr));
        assert!(is_constant(&r#"ip("::1") == ip("::2")"#.parse()?));
        Ok(())
    }
}
