//! Parts of Cedar's expressions: conjuncts, disjuncts, operands, a walk over all, and how they are
//! written.

use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, UnaryOp};
use cedar_policy_core::est;
use cedar_policy_core::expr_builder::ExprBuilder as _;

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

/// Writes an expression as people do. Cedar keeps no more of `a != b`, `a > b`, `a >= b` and
/// `a is T in b` than what they are short for.
#[must_use]
pub fn written(expr: &Expr) -> String {
    to_est(expr).to_string()
}

fn to_est(expr: &Expr) -> est::Expr {
    let build = || est::Builder;
    let as_it_is = |expr: &Expr| expr.clone().into_expr::<est::Builder>();
    match expr.expr_kind() {
        ExprKind::And { .. } => {
            let mut parts = conjuncts(expr).into_iter().peekable();
            let mut all: Option<est::Expr> = None;
            while let Some(part) = parts.next() {
                let part = match parts.peek().and_then(|next| is_in(part, next)) {
                    Some(relation) => {
                        parts.next();
                        relation
                    }
                    None => to_est(part),
                };
                all = Some(match all {
                    None => part,
                    Some(before) => build().and(before, part),
                });
            }
            all.unwrap_or_else(|| as_it_is(expr))
        }
        ExprKind::Or { left, right } => build().or(to_est(left), to_est(right)),
        ExprKind::If { test_expr, then_expr, else_expr } => {
            build().ite(to_est(test_expr), to_est(then_expr), to_est(else_expr))
        }
        ExprKind::UnaryApp { op: UnaryOp::Not, arg } => {
            let ExprKind::BinaryApp { op, arg1, arg2 } = arg.expr_kind() else {
                return build().not(to_est(arg));
            };
            let (left, right) = (as_it_is(arg1), as_it_is(arg2));
            match op {
                BinaryOp::Eq => build().noteq(left, right),
                BinaryOp::Less => build().greatereq(left, right),
                BinaryOp::LessEq => build().greater(left, right),
                _ => build().not(as_it_is(arg)),
            }
        }
        _ => as_it_is(expr),
    }
}

/// Returns `a is T && a in b` as the one relation that it is.
fn is_in(is: &Expr, within: &Expr) -> Option<est::Expr> {
    let ExprKind::Is { expr, entity_type } = is.expr_kind() else { return None };
    let ExprKind::BinaryApp { op: BinaryOp::In, arg1, arg2 } = within.expr_kind() else {
        return None;
    };
    let as_it_is = |expr: &Expr| expr.clone().into_expr::<est::Builder>();
    expr.eq_shape(arg1).then(|| {
        est::Builder.is_in_entity_type(as_it_is(expr), entity_type.clone(), as_it_is(arg2))
    })
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

    #[test]
    fn what_is_written_is_what_people_write() -> Result<(), Box<dyn std::error::Error>> {
        for text in [
            "principal.a != principal.b",
            r#"(context.n > 5) && (context.n >= 7 || !(context.n in 5))"#,
            r#"if principal is User in Group::"a" then !context.a else context.b != 1"#,
            r#"(resource has name) && (resource.name like "web-*")"#,
        ] {
            let (expr, again): (Expr, Expr) = (text.parse()?, written(&text.parse()?).parse()?);
            assert!(expr.eq_shape(&again), "{text}: {}", written(&expr));
            assert!(!written(&expr).contains("!(context.n <"), "{}", written(&expr));
        }
        assert_eq!(written(&"!(context.a == 1)".parse()?), "context.a != 1");
        Ok(())
    }
}
