//! What conditions say at a glance, whatever the types are: facts that must hold, some of which
//! imply or contradict each other.
//!
//! A policy's scope and clauses become a list of facts that must all hold. A fact is about a
//! term, which is known by its text: equal texts have equal values within one request, since
//! Cedar's expressions have no side effects. What is not understood here is a fact known by its
//! text alone, so that nothing is concluded from it but that it equals itself.
//!
//! Facts know neither schema nor environment. What they find is so for every request; what they do
//! not find, the solver may.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use cedar_policy_core::ast::{
    BinaryOp, EntityType, EntityUID, Expr, ExprKind, Literal, Pattern, UnaryOp,
};
use smol_str::SmolStr;
use stagedoor_core::expr::{conjuncts, disjuncts, written};

/// The text of an expression; many facts share it.
pub type Text = Arc<str>;

/// Alternatives beyond this are not taken apart.
const ALTERNATIVES: usize = 32;

/// Something that holds for a request or does not.
///
/// # Examples
///
/// ```
/// use stagedoor_analysis::{Fact, Implication, contradiction, follows};
///
/// let condition = r#"context.kind == "pods" && !(context.name like "web-*")"#.parse()?;
/// let facts = Fact::all_of(&condition, true);
/// let given: Vec<&Fact> = facts.iter().collect();
/// assert_eq!(facts[0].to_string(), r#"context.kind == "pods""#);
/// let wanted = Fact::all_of(&r#"["pods", "nodes"].contains(context.kind)"#.parse()?, true);
/// assert_eq!(follows(&given, &wanted[0]), Implication::Yes);
/// assert!(contradiction(&given).is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Fact {
    /// The term is one of the literals, or (unless `holds`) none of them.
    OneOf {
        /// What has the value.
        term: Text,
        /// The literals.
        values: BTreeSet<Literal>,
        /// Whether it is one of them.
        holds: bool,
    },
    /// The entity is one of these or a member of one, or (unless `holds`) of none.
    Within {
        /// What the entity stands at.
        term: Text,
        /// The groups.
        groups: BTreeSet<EntityUID>,
        /// Whether it is in one of them.
        holds: bool,
    },
    /// The integer is within these bounds, both included.
    Range {
        /// What has the value.
        term: Text,
        /// The lower bound.
        least: i64,
        /// The upper bound.
        most: i64,
    },
    /// All facts of one of these lists hold. Without any list, nothing satisfies it.
    Any(Vec<Vec<Self>>),
    /// Whatever the text says, or (unless `holds`) its contrary.
    Other {
        /// The text.
        text: Text,
        /// What is understood of it.
        test: Test,
        /// Whether it says so.
        holds: bool,
    },
}

/// What is understood of an expression that is otherwise known by its text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Test {
    /// The attribute is there.
    Has {
        /// Of what.
        term: Text,
        /// The attribute.
        attribute: SmolStr,
    },
    /// The text matches the pattern.
    Like {
        /// What has the text.
        term: Text,
        /// The pattern.
        pattern: Pattern,
    },
    /// The entity is of the type.
    Is {
        /// What the entity stands at.
        term: Text,
        /// The type.
        type_name: EntityType,
    },
    /// One thing is less than another; the contrary is written so.
    Less {
        /// The contrary.
        contrary: Text,
    },
    /// Nothing.
    Opaque,
}

/// Whether one fact follows from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Implication {
    /// It may or may not.
    Unknown,
    /// It does, if what stands before it in its policy can be evaluated.
    IfEvaluated,
    /// It does.
    Yes,
}

impl Fact {
    /// Returns the facts that hold where the expression is true, or (unless `holds`) false.
    #[must_use]
    pub fn all_of(expr: &Expr, holds: bool) -> Vec<Self> {
        let parts = match expr.expr_kind() {
            ExprKind::UnaryApp { op: UnaryOp::Not, arg } => return Self::all_of(arg, !holds),
            ExprKind::Lit(Literal::Bool(value)) if *value == holds => return Vec::new(),
            ExprKind::Lit(Literal::Bool(_)) => return vec![Self::never()],
            ExprKind::And { .. } if holds => conjuncts(expr),
            ExprKind::Or { .. } if !holds => disjuncts(expr),
            ExprKind::And { .. } | ExprKind::Or { .. } => {
                let parts = if holds { disjuncts(expr) } else { conjuncts(expr) };
                return Self::any(parts.into_iter().map(|part| Self::all_of(part, holds)));
            }
            ExprKind::BinaryApp { op, arg1, arg2 } => {
                return Self::binary(expr, *op, arg1, arg2, holds);
            }
            _ => return vec![Self::other(expr, holds)],
        };
        parts.into_iter().flat_map(|part| Self::all_of(part, holds)).collect()
    }

    /// Returns what the fact is about, as a text: of what is only known by its text, that up to the
    /// first constant.
    #[must_use]
    pub fn term(&self) -> &str {
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
    #[must_use]
    pub fn is_entity(term: &str, uid: EntityUID) -> Self {
        let values = BTreeSet::from([Literal::EntityUID(Arc::new(uid))]);
        Self::OneOf { term: term.into(), values, holds: true }
    }

    /// Returns the fact that an entity is this one or a member of it.
    #[must_use]
    pub fn in_entity(term: &str, uid: EntityUID) -> Self {
        Self::Within { term: term.into(), groups: BTreeSet::from([uid]), holds: true }
    }

    /// Returns a fact that is known by a text alone.
    #[must_use]
    pub fn opaque(text: impl Into<Text>) -> Self {
        Self::Other { text: text.into(), test: Test::Opaque, holds: true }
    }

    /// Returns the entities that the fact compares a term with, be it or be it not one of them.
    pub fn entities(&self) -> impl Iterator<Item = &EntityUID> {
        let (values, groups) = match self {
            Self::OneOf { values, .. } => (Some(values), None),
            Self::Within { groups, .. } => (None, Some(groups)),
            _ => (None, None),
        };
        values.into_iter().flatten().filter_map(uid).chain(groups.into_iter().flatten())
    }

    fn never() -> Self {
        Self::Any(Vec::new())
    }

    fn other(expr: &Expr, holds: bool) -> Self {
        let test = match expr.expr_kind() {
            ExprKind::HasAttr { expr, attr } => {
                Test::Has { term: text(expr), attribute: attr.clone() }
            }
            ExprKind::Like { expr, pattern } => {
                Test::Like { term: text(expr), pattern: pattern.clone() }
            }
            ExprKind::Is { expr, entity_type } => {
                Test::Is { term: text(expr), type_name: entity_type.clone() }
            }
            ExprKind::BinaryApp { op: BinaryOp::Less | BinaryOp::LessEq, .. } => {
                Test::Less { contrary: written(&Expr::not(expr.clone())).into() }
            }
            _ => Test::Opaque,
        };
        Self::Other { text: text(expr), test, holds }
    }

    fn binary(whole: &Expr, op: BinaryOp, left: &Expr, right: &Expr, holds: bool) -> Vec<Self> {
        let fact = match op {
            BinaryOp::Eq => match boolean(left, right) {
                Some((of, value)) => return Self::all_of(of, value == holds),
                None => Self::equal(left, right, holds),
            },
            BinaryOp::In => {
                uids(right).map(|groups| Self::Within { term: text(left), groups, holds })
            }
            BinaryOp::Contains if literal(right).is_none() => {
                literals(left).map(|values| Self::OneOf { term: text(right), values, holds })
            }
            BinaryOp::Less | BinaryOp::LessEq => {
                Self::range(op == BinaryOp::Less, left, right, holds)
            }
            _ => None,
        };
        vec![fact.unwrap_or_else(|| Self::other(whole, holds))]
    }

    fn equal(left: &Expr, right: &Expr, holds: bool) -> Option<Self> {
        let (term, value) = match (literal(left), literal(right)) {
            (None, Some(value)) => (text(left), value),
            (Some(value), None) => (text(right), value),
            (None, None) => {
                let (left, right) = (left.to_string(), right.to_string());
                let (first, second) = if left <= right { (left, right) } else { (right, left) };
                let text = format!("{first} == {second}").into();
                return Some(Self::Other { text, test: Test::Opaque, holds });
            }
            (Some(_), Some(_)) => return None,
        };
        Some(Self::OneOf { term, values: BTreeSet::from([value.clone()]), holds })
    }

    /// `left < right`, or else `left <= right`, or the contrary.
    fn range(is_strict: bool, left: &Expr, right: &Expr, holds: bool) -> Option<Self> {
        // The contrary of `term < bound` is `bound <= term`.
        let is_strict = is_strict == holds;
        let (term, bound, is_below) = match (long(left), long(right)) {
            (None, Some(bound)) => (left, bound, holds),
            (Some(bound), None) => (right, bound, !holds),
            _ => return None,
        };
        let bounds = match (is_below, is_strict) {
            (true, true) => bound.checked_sub(1).map(|most| (i64::MIN, most)),
            (true, false) => Some((i64::MIN, bound)),
            (false, true) => bound.checked_add(1).map(|least| (least, i64::MAX)),
            (false, false) => Some((bound, i64::MAX)),
        };
        Some(match bounds {
            Some((least, most)) => Self::Range { term: text(term), least, most },
            None => Self::never(),
        })
    }

    /// Returns the fact that one of some lists holds: one list of literals where two are.
    fn any(lists: impl Iterator<Item = Vec<Self>>) -> Vec<Self> {
        let mut alternatives: Vec<Vec<Self>> = Vec::new();
        for facts in lists {
            match <[Self; 1]>::try_from(facts) {
                Ok([Self::Any(nested)]) => alternatives.extend(nested),
                Ok([fact]) => match alternatives.last_mut().map(Vec::as_mut_slice) {
                    Some([last]) if last.is_like(&fact) => last.extend(fact),
                    _ => alternatives.push(vec![fact]),
                },
                Err(facts) => alternatives.push(facts),
            }
        }
        match <[Vec<Self>; 1]>::try_from(alternatives) {
            Ok([only]) => only,
            Err(alternatives) => vec![Self::Any(alternatives)],
        }
    }

    /// Returns whether both are one list of literals or groups for the same term.
    fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::OneOf { term, holds: true, .. },
                Self::OneOf { term: same, holds: true, .. },
            )
            | (
                Self::Within { term, holds: true, .. },
                Self::Within { term: same, holds: true, .. },
            ) => term == same,
            _ => false,
        }
    }

    fn extend(&mut self, other: Self) {
        match (self, other) {
            (Self::OneOf { values, .. }, Self::OneOf { values: more, .. }) => values.extend(more),
            (Self::Within { groups, .. }, Self::Within { groups: more, .. }) => groups.extend(more),
            _ => {}
        }
    }

    /// Returns whether this fact speaks of the variable.
    #[must_use]
    pub fn mentions(&self, variable: &str) -> bool {
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
                Self::Range { term, least, most },
                Self::Range { term: same, least: lower, most: higher },
            ) => term == same && lower <= least && most <= higher,
            (Self::OneOf { term, values, holds: true }, other)
                if !matches!(other, Self::OneOf { .. }) =>
            {
                !values.is_empty() && values.iter().all(|v| other.given(term, v) == Some(true))
            }
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
                Self::Within { term, groups, holds: true },
                Self::Within { term: same, groups: others, holds: false },
            ) => term == same && groups.is_subset(others),
            (
                Self::Range { term, least, most },
                Self::Range { term: same, least: lower, most: higher },
            ) => term == same && (most < lower || higher < least),
            (
                Self::Other { text, test, holds },
                Self::Other { text: same, test: other, holds: way },
            ) => {
                let of_one_type = |test: &Test, other: &Test| match (test, other) {
                    (Test::Is { term, type_name }, Test::Is { term: same, type_name: other }) => {
                        term != same || type_name == other
                    }
                    _ => true,
                };
                text == same && holds != way || *holds && *way && !of_one_type(test, other)
            }
            (Self::OneOf { term, values, holds: true }, other)
                if !matches!(other, Self::OneOf { .. }) =>
            {
                !values.is_empty() && values.iter().all(|v| other.given(term, v) == Some(false))
            }
            _ => false,
        }
    }

    /// Returns whether the fact holds where a term has this value, as far as that tells.
    fn given(&self, of: &str, value: &Literal) -> Option<bool> {
        match (self, value) {
            (Self::Within { term, groups, holds }, Literal::EntityUID(uid)) if **term == *of => {
                // What it is a member of is not known.
                groups.contains(uid.as_ref()).then_some(*holds)
            }
            (Self::Range { term, least, most }, Literal::Long(value)) if **term == *of => {
                Some((least..=most).contains(&value))
            }
            (
                Self::Other { test: Test::Like { term, pattern }, holds, .. },
                Literal::String(text),
            ) if **term == *of => Some(pattern.wildcard_match(text) == *holds),
            (
                Self::Other { test: Test::Is { term, type_name }, holds, .. },
                Literal::EntityUID(uid),
            ) if **term == *of => Some((uid.entity_type() == type_name) == *holds),
            _ => None,
        }
    }
}

/// Returns two facts of the list that cannot both hold, or one twice that never holds itself.
#[must_use]
pub fn contradiction(facts: &[&Fact]) -> Option<(Fact, Fact)> {
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
#[must_use]
pub fn follows(facts: &[&Fact], wanted: &Fact) -> Implication {
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

fn literal(expr: &Expr) -> Option<&Literal> {
    match expr.expr_kind() {
        ExprKind::Lit(literal) => Some(literal),
        _ => None,
    }
}

fn long(expr: &Expr) -> Option<i64> {
    match literal(expr) {
        Some(Literal::Long(value)) => Some(*value),
        _ => None,
    }
}

/// Returns the literals that a set is written of.
fn literals(expr: &Expr) -> Option<BTreeSet<Literal>> {
    match expr.expr_kind() {
        ExprKind::Set(members) => members.iter().map(|member| literal(member).cloned()).collect(),
        _ => None,
    }
}

/// Returns an entity, or all of a set of them.
fn uids(expr: &Expr) -> Option<BTreeSet<EntityUID>> {
    let of = match literal(expr) {
        Some(one) => BTreeSet::from([one.clone()]),
        None => literals(expr)?,
    };
    of.iter().map(|literal| uid(literal).cloned()).collect()
}

fn uid(literal: &Literal) -> Option<&EntityUID> {
    match literal {
        Literal::EntityUID(uid) => Some(uid),
        _ => None,
    }
}

/// Returns the side of a comparison that is not `true` or `false`, and the other.
fn boolean<'a>(left: &'a Expr, right: &'a Expr) -> Option<(&'a Expr, bool)> {
    match (literal(left), literal(right)) {
        (_, Some(Literal::Bool(value))) => Some((left, *value)),
        (Some(Literal::Bool(value)), _) => Some((right, *value)),
        _ => None,
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneOf { term, values, holds } if values.len() == 1 => {
                write!(f, "{term} {} {}", if *holds { "==" } else { "!=" }, list(values.iter()))
            }
            Self::OneOf { term, values, holds } => {
                write!(
                    f,
                    "{}[{}].contains({term})",
                    if *holds { "" } else { "!" },
                    list(values.iter())
                )
            }
            Self::Within { term, groups, holds } => {
                let within = match groups.len() {
                    1 => format!("{term} in {}", list(groups.iter())),
                    _ => format!("{term} in [{}]", list(groups.iter())),
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
            Self::Other { text, holds: true, .. } => f.write_str(text),
            Self::Other { test: Test::Less { contrary }, .. } => f.write_str(contrary),
            Self::Other { text, .. } => write!(f, "!({text})"),
        }
    }
}

fn list(items: impl Iterator<Item = impl fmt::Display>) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
