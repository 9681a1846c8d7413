//! Conditions as facts that imply or contradict each other.
//!
//! A policy's scope and clauses become a list of facts that must all hold. A fact is about a
//! term, which is known by its text: equal texts have equal values within one request, since
//! Cedar's expressions have no side effects. What is not understood here is a fact known by its
//! text alone, so that nothing is concluded from it but that it equals itself.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use stagedoor_core::pst::{BinaryOp, Expr, Literal, UnaryOp};

/// Terms and values are shared by many facts.
pub(crate) type Text = Arc<str>;

/// Alternatives beyond this are not taken apart.
const ALTERNATIVES: usize = 32;

/// Something that holds for a request or does not.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Fact {
    /// The term is one of the literals, or (unless `holds`) none of them.
    OneOf { term: Text, values: BTreeSet<Text>, holds: bool },
    /// The entity is one of these or a member of one, or (unless `holds`) of none.
    Within { term: Text, groups: BTreeSet<Text>, holds: bool },
    /// The integer is within these bounds, both included.
    Range { term: Text, least: i64, most: i64 },
    /// All facts of one of these lists hold. Without any list, nothing satisfies it.
    Any(Vec<Vec<Self>>),
    /// Whatever the text says, or (unless `holds`) its contrary.
    Other { text: Text, holds: bool },
}

/// Whether one fact follows from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Implication {
    /// It may or may not.
    Unknown,
    /// It does, if what stands before it in its policy can be evaluated.
    IfEvaluated,
    /// It does.
    Yes,
}

impl Fact {
    /// Returns the facts that hold where the expression is true, or (unless `holds`) false.
    pub(crate) fn all_of(expr: &Expr, holds: bool) -> Vec<Self> {
        match expr {
            Expr::UnaryOp { op: UnaryOp::Not, expr } => Self::all_of(expr, !holds),
            Expr::Literal(Literal::Bool(value)) if *value == holds => Vec::new(),
            Expr::Literal(Literal::Bool(_)) => vec![Self::never()],
            Expr::BinaryOp { op: op @ (BinaryOp::And | BinaryOp::Or), left, right } => {
                let is_conjunction = (*op == BinaryOp::And) == holds;
                let (left, right) = (Self::all_of(left, holds), Self::all_of(right, holds));
                if is_conjunction { [left, right].concat() } else { vec![Self::any(left, right)] }
            }
            Expr::BinaryOp { op, left, right } => Self::binary(*op, left, right, holds),
            Expr::Is { expr: of, entity_type, in_expr: Some(within) } => {
                let is = Expr::Is {
                    expr: Arc::clone(of),
                    entity_type: entity_type.clone(),
                    in_expr: None,
                };
                let is = vec![Self::other(&is, holds)];
                let within = Self::binary(BinaryOp::In, of, within, holds);
                if holds { [is, within].concat() } else { vec![Self::any(is, within)] }
            }
            other => vec![Self::other(other, holds)],
        }
    }

    /// Returns what the fact is about, as a text: of what is only known by its text, that up to the
    /// first constant.
    pub(crate) fn term(&self) -> &str {
        match self {
            Self::OneOf { term, .. } | Self::Within { term, .. } | Self::Range { term, .. } => term,
            Self::Any(_) => "",
            Self::Other { text, .. } => {
                let end = text.find(['"', '(']).unwrap_or(text.len());
                text.get(..end).unwrap_or_default()
            }
        }
    }

    /// Returns the fact that an entity is this one.
    pub(crate) fn is_entity(term: &str, uid: &str) -> Self {
        Self::OneOf { term: term.into(), values: BTreeSet::from([uid.into()]), holds: true }
    }

    /// Returns the fact that an entity is a member of this one.
    pub(crate) fn in_entity(term: &str, uid: &str) -> Self {
        Self::Within { term: term.into(), groups: BTreeSet::from([uid.into()]), holds: true }
    }

    fn never() -> Self {
        Self::Any(Vec::new())
    }

    fn other(expr: &Expr, holds: bool) -> Self {
        Self::Other { text: expr.to_string().into(), holds }
    }

    fn binary(op: BinaryOp, left: &Expr, right: &Expr, holds: bool) -> Vec<Self> {
        let fact = match op {
            BinaryOp::Eq => Self::equal(left, right, holds),
            BinaryOp::NotEq => return Self::binary(BinaryOp::Eq, left, right, !holds),
            BinaryOp::In => {
                literals(right).map(|groups| Self::Within { term: text(left), groups, holds })
            }
            BinaryOp::Contains => literals(left)
                .filter(|_| literal(right).is_none() && matches!(left, Expr::Set(_)))
                .map(|values| Self::OneOf { term: text(right), values, holds }),
            BinaryOp::Less | BinaryOp::LessEq | BinaryOp::Greater | BinaryOp::GreaterEq => {
                Self::range(op, left, right, holds)
            }
            _ => None,
        };
        if op == BinaryOp::Eq
            && let Some((of, value)) = boolean(left, right)
        {
            return Self::all_of(of, value == holds);
        }
        let whole =
            || Expr::BinaryOp { op, left: Arc::new(left.clone()), right: Arc::new(right.clone()) };
        vec![fact.unwrap_or_else(|| Self::other(&whole(), holds))]
    }

    fn equal(left: &Expr, right: &Expr, holds: bool) -> Option<Self> {
        let (term, value) = match (literal(left), literal(right)) {
            (None, Some(value)) => (text(left), value),
            (Some(value), None) => (text(right), value),
            (None, None) => {
                let (left, right) = (left.to_string(), right.to_string());
                let (first, second) = if left <= right { (left, right) } else { (right, left) };
                return Some(Self::Other { text: format!("{first} == {second}").into(), holds });
            }
            (Some(_), Some(_)) => return None,
        };
        Some(Self::OneOf { term, values: BTreeSet::from([value]), holds })
    }

    fn range(op: BinaryOp, left: &Expr, right: &Expr, holds: bool) -> Option<Self> {
        let (term, op, bound) = match (left, right) {
            (term, Expr::Literal(Literal::Long(bound))) => (term, op, *bound),
            (Expr::Literal(Literal::Long(bound)), term) => (term, mirrored(op)?, *bound),
            _ => return None,
        };
        let op = if holds { op } else { contrary(op)? };
        let bounds = match op {
            BinaryOp::Less => bound.checked_sub(1).map(|most| (i64::MIN, most)),
            BinaryOp::LessEq => Some((i64::MIN, bound)),
            BinaryOp::Greater => bound.checked_add(1).map(|least| (least, i64::MAX)),
            BinaryOp::GreaterEq => Some((bound, i64::MAX)),
            _ => return None,
        };
        Some(match bounds {
            Some((least, most)) => Self::Range { term: text(term), least, most },
            None => Self::never(),
        })
    }

    /// Returns the fact that one of two lists holds: one list of literals where both are.
    fn any(left: Vec<Self>, right: Vec<Self>) -> Self {
        if let ([left], [right]) = (left.as_slice(), right.as_slice())
            && let Some(merged) = left.or(right)
        {
            return merged;
        }
        let mut alternatives = Vec::new();
        for facts in [left, right] {
            match <[Self; 1]>::try_from(facts) {
                Ok([Self::Any(nested)]) => alternatives.extend(nested),
                Ok([fact]) => alternatives.push(vec![fact]),
                Err(facts) => alternatives.push(facts),
            }
        }
        Self::Any(alternatives)
    }

    fn or(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (
                Self::OneOf { term, values, holds: true },
                Self::OneOf { term: same, values: more, holds: true },
            ) if term == same => {
                Some(Self::OneOf { term: term.clone(), values: values | more, holds: true })
            }
            (
                Self::Within { term, groups, holds: true },
                Self::Within { term: same, groups: more, holds: true },
            ) if term == same => {
                Some(Self::Within { term: term.clone(), groups: groups | more, holds: true })
            }
            _ => None,
        }
    }

    /// Returns whether this fact speaks of the variable.
    pub(crate) fn mentions(&self, variable: &str) -> bool {
        match self {
            Self::OneOf { term, .. } | Self::Within { term, .. } | Self::Range { term, .. } => {
                names(term, variable)
            }
            Self::Other { text, .. } => names(text, variable),
            Self::Any(lists) => lists.iter().flatten().any(|fact| fact.mentions(variable)),
        }
    }

    /// Returns whether this fact alone implies the other.
    fn implies(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::OneOf { term, values, holds },
                Self::OneOf { term: same, values: wider, holds: same_way },
            ) if term == same => match (holds, same_way) {
                (true, true) => values.is_subset(wider),
                (false, false) => wider.is_subset(values),
                (true, false) => values.is_disjoint(wider),
                (false, true) => false,
            },
            (
                Self::Within { term, groups, holds },
                Self::Within { term: same, groups: wider, holds: same_way },
            ) if term == same && holds == same_way => {
                if *holds {
                    groups.is_subset(wider)
                } else {
                    wider.is_subset(groups)
                }
            }
            (
                Self::OneOf { term, values, holds: true },
                Self::Within { term: same, groups, holds: true },
            ) => term == same && values.is_subset(groups),
            (
                Self::Range { term, least, most },
                Self::Range { term: same, least: lower, most: higher },
            ) => term == same && lower <= least && most <= higher,
            _ => self == other,
        }
    }

    /// Returns whether both cannot hold at once.
    fn contradicts(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::OneOf { term, values, holds: true },
                Self::OneOf { term: same, values: others, holds },
            ) if term == same => {
                if *holds {
                    values.is_disjoint(others)
                } else {
                    values.is_subset(others)
                }
            }
            (
                Self::OneOf { term, values, holds: true },
                Self::Within { term: same, groups, holds: false },
            ) => term == same && values.is_subset(groups),
            (
                Self::Within { term, groups, holds: true },
                Self::Within { term: same, groups: others, holds: false },
            ) => term == same && groups.is_subset(others),
            (
                Self::Range { term, least, most },
                Self::Range { term: same, least: lower, most: higher },
            ) => term == same && (most < lower || higher < least),
            (Self::Other { text, holds }, Self::Other { text: same, holds: way }) => {
                text == same && holds != way
            }
            _ => false,
        }
    }
}

/// Returns two facts of the list that cannot both hold, or one twice that never holds itself.
pub(crate) fn contradiction(facts: &[&Fact]) -> Option<(Fact, Fact)> {
    for (number, fact) in facts.iter().enumerate() {
        let later = facts.get(number + 1..).unwrap_or_default();
        for other in later {
            if fact.contradicts(other) || other.contradicts(fact) {
                return Some(((*fact).clone(), (*other).clone()));
            }
        }
        let Fact::Any(lists) = fact else { continue };
        let rest: Vec<&Fact> =
            facts.iter().enumerate().filter(|(n, _)| *n != number).map(|(_, f)| *f).collect();
        let dead = |list: &Vec<Fact>| {
            let own: Vec<&Fact> = list.iter().collect();
            contradiction(&own).is_some()
                || list.iter().any(|a| rest.iter().any(|b| a.contradicts(b) || b.contradicts(a)))
        };
        if lists.len() <= ALTERNATIVES && lists.iter().all(dead) {
            let against = rest
                .iter()
                .find(|b| lists.iter().flatten().any(|a| a.contradicts(b) || b.contradicts(a)));
            return Some((
                (*fact).clone(),
                against.map_or_else(|| (*fact).clone(), |b| (*b).clone()),
            ));
        }
    }
    None
}

/// Returns whether a fact holds wherever all of these do.
pub(crate) fn follows(facts: &[&Fact], wanted: &Fact) -> Implication {
    if facts.iter().any(|fact| fact.implies(wanted)) {
        return Implication::Yes;
    }
    if let Fact::Any(lists) = wanted
        && lists.len() <= ALTERNATIVES
    {
        for (number, list) in lists.iter().enumerate() {
            let all =
                list.iter().map(|fact| follows(facts, fact)).min().unwrap_or(Implication::Yes);
            // An alternative before it is evaluated first, and may fail.
            let bound = if number == 0 { Implication::Yes } else { Implication::IfEvaluated };
            if all != Implication::Unknown {
                return all.min(bound);
            }
        }
    }
    let by_cases = facts.iter().any(|fact| match fact {
        Fact::Any(lists) => {
            lists.len() <= ALTERNATIVES
                && !lists.is_empty()
                && lists.iter().all(|list| list.iter().any(|fact| fact.implies(wanted)))
        }
        _ => false,
    });
    if by_cases { Implication::Yes } else { Implication::Unknown }
}

fn text(expr: &Expr) -> Text {
    expr.to_string().into()
}

/// Returns whether the variable stands in the text, and not merely its name as an attribute.
fn names(text: &str, variable: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || "_.\"".contains(c);
    text.match_indices(variable).any(|(at, _)| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let after = text.get(at + variable.len()..).and_then(|after| after.chars().next());
        !before.is_some_and(is_part) && !after.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

/// Returns a literal as its text.
fn literal(expr: &Expr) -> Option<Text> {
    matches!(expr, Expr::Literal(_)).then(|| text(expr))
}

/// Returns a literal, or all of a set of them.
fn literals(expr: &Expr) -> Option<BTreeSet<Text>> {
    match expr {
        Expr::Set(members) => members.iter().map(|member| literal(member)).collect(),
        other => literal(other).map(|one| BTreeSet::from([one])),
    }
}

/// Returns the side of a comparison that is not `true` or `false`, and the other.
fn boolean<'a>(left: &'a Expr, right: &'a Expr) -> Option<(&'a Expr, bool)> {
    match (left, right) {
        (of, Expr::Literal(Literal::Bool(value))) | (Expr::Literal(Literal::Bool(value)), of) => {
            Some((of, *value))
        }
        _ => None,
    }
}

fn mirrored(op: BinaryOp) -> Option<BinaryOp> {
    Some(match op {
        BinaryOp::Less => BinaryOp::Greater,
        BinaryOp::LessEq => BinaryOp::GreaterEq,
        BinaryOp::Greater => BinaryOp::Less,
        BinaryOp::GreaterEq => BinaryOp::LessEq,
        _ => return None,
    })
}

fn contrary(op: BinaryOp) -> Option<BinaryOp> {
    Some(match op {
        BinaryOp::Less => BinaryOp::GreaterEq,
        BinaryOp::LessEq => BinaryOp::Greater,
        BinaryOp::Greater => BinaryOp::LessEq,
        BinaryOp::GreaterEq => BinaryOp::Less,
        _ => return None,
    })
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |values: &BTreeSet<Text>| {
            values.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join(", ")
        };
        match self {
            Self::OneOf { term, values, holds } if values.len() == 1 => {
                write!(f, "{term} {} {}", if *holds { "==" } else { "!=" }, list(values))
            }
            Self::OneOf { term, values, holds } => {
                write!(f, "{}[{}].contains({term})", if *holds { "" } else { "!" }, list(values))
            }
            Self::Within { term, groups, holds } => {
                let within = match groups.len() {
                    1 => format!("{term} in {}", list(groups)),
                    _ => format!("{term} in [{}]", list(groups)),
                };
                if *holds { f.write_str(&within) } else { write!(f, "!({within})") }
            }
            Self::Range { term, least: i64::MIN, most } => write!(f, "{term} <= {most}"),
            Self::Range { term, least, .. } => write!(f, "{term} >= {least}"),
            Self::Any(lists) if lists.is_empty() => f.write_str("false"),
            Self::Any(lists) => {
                let list = |facts: &Vec<Self>| {
                    facts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" && ")
                };
                f.write_str(&lists.iter().map(list).collect::<Vec<_>>().join(" || "))
            }
            Self::Other { text, holds: true } => f.write_str(text),
            Self::Other { text, holds: false } => write!(f, "!({text})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(condition: &str) -> anyhow::Result<Vec<Fact>> {
        let text = format!("permit (principal, action, resource) when {{ {condition} }};");
        let policy = cedar_policy::Policy::parse(None, text)?.to_pst()?;
        let mut facts = Vec::new();
        for clause in policy.body().clauses() {
            if let stagedoor_core::pst::Clause::When(expr) = clause {
                facts.extend(Fact::all_of(expr, true));
            }
        }
        Ok(facts)
    }

    #[test]
    fn what_cannot_hold_at_once_is_found() -> anyhow::Result<()> {
        for (condition, contradictory) in [
            (r#"resource.kind == "a" && resource.kind == "b""#, true),
            (r#"resource.kind == "a" && ["b", "c"].contains(resource.kind)"#, true),
            (r#"resource.kind == "a" || resource.kind == "b""#, false),
            (r#"(resource.kind == "a" || resource.kind == "b") && resource.kind == "c""#, true),
            (r#"resource.kind == "a" && resource.name == "b""#, false),
            (r#"resource.kind == "a" && !(resource.kind == "a")"#, true),
            (r#"resource.kind != "a" && resource.kind != "b""#, false),
            (r#"principal in G::"a" && !(principal in G::"a")"#, true),
            (r#"principal in G::"a" && !(principal in G::"b")"#, false),
            (r#"principal == U::"a" && !(principal in [U::"a", G::"b"])"#, true),
            ("context.n > 5 && context.n < 5", true),
            ("context.n >= 5 && 5 >= context.n", false),
            ("context.n > 5 && !(context.n > 3)", true),
            ("context.n > 9223372036854775807", true),
            ("context.a && !context.a", true),
            ("context.a == true && context.a == false", true),
            ("context.a || !context.a", false),
            ("(context.a && context.b) || (context.c && !context.c)", false),
            ("(context.a && !context.a) || (context.c && !context.c)", true),
            ("false", true),
        ] {
            let facts = facts(condition)?;
            let found = contradiction(&facts.iter().collect::<Vec<_>>());
            assert_eq!(found.is_some(), contradictory, "{condition}: {found:?}");
        }
        Ok(())
    }

    #[test]
    fn what_follows_is_found() -> anyhow::Result<()> {
        use Implication::{IfEvaluated, Unknown, Yes};
        for (given, wanted, expected) in [
            (r#"resource.kind == "a""#, r#"["a", "b"].contains(resource.kind)"#, Yes),
            (r#"resource.kind == "a""#, r#""a" == resource.kind"#, Yes),
            (r#"resource.kind == "a""#, r#"resource.kind != "b""#, Yes),
            (r#"["a", "b"].contains(resource.kind)"#, r#"resource.kind == "a""#, Unknown),
            (r#"principal == G::"a""#, r#"principal in G::"a""#, Yes),
            (r#"principal in G::"a""#, r#"principal in [G::"a", G::"b"]"#, Yes),
            (r#"principal in G::"a""#, r#"principal in G::"b""#, Unknown),
            ("context.n > 5", "context.n > 3", Yes),
            ("context.n > 3", "context.n > 5", Unknown),
            ("context.a && context.b", "context.b", Yes),
            ("context.a", "context.a || context.b", Yes),
            ("context.b", "context.a || context.b", IfEvaluated),
            ("context.a || context.b", "context.b", Unknown),
            (r#"(context.a && context.b) || (context.b && context.c)"#, "context.b", Yes),
            ("!(context.a || context.b)", "!context.b", Yes),
            ("context.a == context.b", "context.b == context.a", Yes),
        ] {
            let (given_facts, wanted_facts) = (facts(given)?, facts(wanted)?);
            let given_facts: Vec<&Fact> = given_facts.iter().collect();
            let found = wanted_facts.iter().map(|fact| follows(&given_facts, fact)).min();
            assert_eq!(found, Some(expected), "{given} ⇒ {wanted}");
        }
        Ok(())
    }
}
