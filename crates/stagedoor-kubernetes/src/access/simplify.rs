//! Simplifies conditions with what is known of a request.
//!
//! This is partial evaluation of the part of Cedar that is about names: comparisons, membership,
//! `has`, `like`, `is` and what joins them. Everything else stays as it is, so the outcome is
//! exact where it is a yes or a no. Policies were validated, so what comes before does not err.

use std::sync::Arc;

use cedar_policy::pst::{BinaryOp, EntityUID, Expr, Literal, PatternElem, UnaryOp, Var};
use stagedoor_core::joined_by;

use super::facts::{Facts, Party};

/// What a condition comes to.
#[derive(Debug, Clone)]
pub(crate) enum Truth {
    True,
    False,
    /// It depends on this.
    Open(Arc<Expr>),
}

impl From<bool> for Truth {
    fn from(held: bool) -> Self {
        if held { Self::True } else { Self::False }
    }
}

/// A value that is known.
#[derive(Debug, Clone, PartialEq)]
enum KnownValue {
    Literal(Literal),
    Set(Vec<KnownValue>),
}

impl Facts {
    /// Returns what a condition comes to.
    pub(crate) fn truth(&self, expr: &Arc<Expr>) -> Truth {
        let known = match expr.as_ref() {
            Expr::Literal(Literal::Bool(held)) => Some(*held),
            Expr::UnaryOp { op: UnaryOp::Not, expr: negated } => {
                return match self.truth(negated) {
                    Truth::True => Truth::False,
                    Truth::False => Truth::True,
                    Truth::Open(rest) => {
                        Truth::Open(Arc::new(Expr::UnaryOp { op: UnaryOp::Not, expr: rest }))
                    }
                };
            }
            Expr::BinaryOp { op: op @ (BinaryOp::And | BinaryOp::Or), .. } => {
                return self.joined(op, expr);
            }
            Expr::BinaryOp { op, left, right } => self.binary(op, left, right),
            Expr::HasAttr { expr, attrs } => self.has(expr, attrs.first(), attrs.len()),
            Expr::Like { expr, pattern } => match self.value(expr) {
                Some(KnownValue::Literal(Literal::String(text))) => Some(like(&text, pattern)),
                _ => None,
            },
            Expr::Is { expr, entity_type, in_expr } => {
                let party = self.party(expr);
                let is = party.and_then(|party| party.is_a(&entity_type.to_string()));
                match (is, in_expr) {
                    (Some(false), _) => Some(false),
                    (Some(true), None) => Some(true),
                    (Some(true), Some(within)) => self.binary(&BinaryOp::In, expr, within),
                    (None, _) => None,
                }
            }
            Expr::IfThenElse { cond, then_expr, else_expr } => {
                return match self.truth(cond) {
                    Truth::True => self.truth(then_expr),
                    Truth::False => self.truth(else_expr),
                    Truth::Open(_) => Truth::Open(Arc::clone(expr)),
                };
            }
            _ => match self.value(expr) {
                Some(KnownValue::Literal(Literal::Bool(held))) => Some(held),
                _ => None,
            },
        };
        known.map_or_else(|| Truth::Open(Arc::clone(expr)), Truth::from)
    }

    /// `&&` and `||`, a chain of them at a time.
    fn joined(&self, op: &BinaryOp, expr: &Arc<Expr>) -> Truth {
        let is_and = matches!(op, BinaryOp::And);
        let mut open: Option<Arc<Expr>> = None;
        for part in joined_by(*op, expr) {
            match self.truth(part) {
                Truth::True if is_and => {}
                Truth::False if !is_and => {}
                Truth::True => return Truth::True,
                Truth::False => return Truth::False,
                Truth::Open(rest) => {
                    open = Some(match open {
                        None => rest,
                        Some(left) => Arc::new(Expr::BinaryOp {
                            op: if is_and { BinaryOp::And } else { BinaryOp::Or },
                            left,
                            right: rest,
                        }),
                    });
                }
            }
        }
        open.map_or(Truth::from(is_and), Truth::Open)
    }

    fn binary(&self, op: &BinaryOp, left: &Arc<Expr>, right: &Arc<Expr>) -> Option<bool> {
        match op {
            BinaryOp::Eq => self.equal(left, right),
            BinaryOp::NotEq => self.equal(left, right).map(|equal| !equal),
            BinaryOp::In => {
                let party = self.party(left)?;
                let uids = uids(right)?;
                let each: Vec<Option<bool>> = uids.iter().map(|uid| party.is_in(uid)).collect();
                if each.contains(&Some(true)) {
                    Some(true)
                } else {
                    each.iter().all(|is| *is == Some(false)).then_some(false)
                }
            }
            BinaryOp::Contains => match (self.value(left)?, self.value(right)?) {
                (KnownValue::Set(items), item) => Some(items.contains(&item)),
                (KnownValue::Literal(_), _) => None,
            },
            _ => None,
        }
    }

    fn equal(&self, left: &Arc<Expr>, right: &Arc<Expr>) -> Option<bool> {
        for (one, other) in [(left, right), (right, left)] {
            if let (Some(party), Expr::Literal(Literal::EntityUID(uid))) =
                (self.party(one), other.as_ref())
            {
                return party.is(uid);
            }
        }
        match (self.value(left)?, self.value(right)?) {
            // Sets are equal whatever the order: left to Cedar.
            (KnownValue::Literal(one), KnownValue::Literal(other)) => Some(one == other),
            _ => None,
        }
    }

    fn has(&self, expr: &Expr, attribute: &str, steps: usize) -> Option<bool> {
        if steps > 1 {
            return None;
        }
        if matches!(expr, Expr::Var(Var::Context)) {
            let verb = self.verb.as_ref().filter(|_| attribute == "verb")?;
            return Some(verb.is_some());
        }
        let known = self.party(expr)?.attributes.get(attribute)?;
        Some(known.is_some())
    }

    /// Returns the value of an expression, where it is known.
    fn value(&self, expr: &Expr) -> Option<KnownValue> {
        match expr {
            Expr::Literal(literal) => Some(KnownValue::Literal(literal.clone())),
            Expr::Set(items) => {
                let items = items.iter().map(|item| self.value(item));
                Some(KnownValue::Set(items.collect::<Option<_>>()?))
            }
            Expr::GetAttr { expr, attr } => {
                let text = if matches!(expr.as_ref(), Expr::Var(Var::Context)) {
                    self.verb.as_ref().filter(|_| attr == "verb")?.as_ref()?
                } else {
                    self.party(expr)?.attributes.get(attr.as_str())?.as_ref()?
                };
                Some(KnownValue::Literal(Literal::String(text.as_str().into())))
            }
            _ => None,
        }
    }

    fn party(&self, expr: &Expr) -> Option<&Party> {
        match expr {
            Expr::Var(Var::Principal) => Some(&self.principal),
            Expr::Var(Var::Action) => Some(&self.action),
            Expr::Var(Var::Resource) => Some(&self.resource),
            _ => None,
        }
    }
}

/// Returns the entities of `in`'s right side, if they are literals.
pub(crate) fn uids(expr: &Expr) -> Option<Vec<&EntityUID>> {
    match expr {
        Expr::Literal(Literal::EntityUID(uid)) => Some(vec![uid]),
        Expr::Set(items) => items
            .iter()
            .map(|item| match item.as_ref() {
                Expr::Literal(Literal::EntityUID(uid)) => Some(uid),
                _ => None,
            })
            .collect(),
        _ => None,
    }
}

/// Matches a pattern, in time that the lengths of both bound.
fn like(text: &str, pattern: &[PatternElem]) -> bool {
    let text: Vec<char> = text.chars().collect();
    let (mut t, mut p) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        match (pattern.get(p), text.get(t)) {
            (Some(PatternElem::Wildcard), _) => {
                star = Some((p, t));
                p += 1;
            }
            (Some(PatternElem::Char(expected)), Some(c)) if expected == c => {
                p += 1;
                t += 1;
            }
            (None, None) => return true,
            _ => {
                let Some((star_at, taken)) = star.filter(|(_, taken)| *taken < text.len()) else {
                    return false;
                };
                star = Some((star_at, taken + 1));
                p = star_at + 1;
                t = taken + 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Vec<PatternElem> {
        let elem = |c| if c == '*' { PatternElem::Wildcard } else { PatternElem::Char(c) };
        text.chars().map(elem).collect()
    }

    #[test]
    fn patterns_match_as_cedar_has_them() {
        let cases = [
            ("/healthz/*", "/healthz/live", true),
            ("/healthz/*", "/healthz/", true),
            ("/healthz/*", "/healthz", false),
            ("*", "", true),
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXbXbX", false),
            ("", "", true),
            ("", "a", false),
            ("*a", "aaab", false),
            ("**", "x", true),
        ];
        for (given, text, matches) in cases {
            assert_eq!(like(text, &pattern(given)), matches, "{given} {text}");
        }
    }
}
