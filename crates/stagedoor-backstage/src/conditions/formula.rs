//! Propositional formulas over facts about a resource, in a canonical and small form.
//!
//! Formulas are in negation normal form: only facts are negated. Every constructor
//! simplifies, so that facts about one facet merge into one (claims, kinds), factors that
//! alternatives have in common are pulled out, and equal formulas compare equal.

use std::collections::BTreeSet;

use smol_str::SmolStr;

use super::facet::{Expressible, Facet};

mod simplify;
#[cfg(test)]
mod tests;

use simplify::combine;

/// A set of values of which a resource has at least one.
pub(crate) type Values = BTreeSet<SmolStr>;

/// An expression that no rule can say, by its place in the list of those.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ExprId(pub(crate) usize);

/// Which of an expression's two formulas is meant: where Cedar says true, or where false.
/// Neither is the negation of the other, since Cedar may err.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Polarity {
    True,
    False,
}

/// Something that is true or false of a resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fact {
    /// The facet is there.
    Present(Facet),
    /// The facet has one of these values.
    OneOf(Facet, Values),
    /// Cedar's answer to an expression that no rule can say.
    Unsupported { expr: ExprId, polarity: Polarity },
}

/// A fact or its negation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Literal {
    pub(crate) fact: Fact,
    pub(crate) holds: bool,
}

/// A formula. Lists have at least two parts, sorted, none of them a list of the same sort.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Formula {
    Constant(bool),
    Literal(Literal),
    All(Vec<Formula>),
    Any(Vec<Formula>),
}

/// How a list of formulas is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Junction {
    All,
    Any,
}

/// What of a formula rules cannot say.
#[derive(Debug, Default)]
pub(crate) struct UnsupportedParts {
    pub(crate) exprs: BTreeSet<ExprId>,
    /// Facets whose presence is asked.
    pub(crate) facets: BTreeSet<Facet>,
}

impl UnsupportedParts {
    pub(crate) fn is_empty(&self) -> bool {
        self.exprs.is_empty() && self.facets.is_empty()
    }
}

impl Junction {
    fn dual(self) -> Self {
        match self {
            Self::All => Self::Any,
            Self::Any => Self::All,
        }
    }

    /// The value that a part may have without any effect on the whole.
    fn neutral(self) -> bool {
        self == Self::All
    }

    fn of(self, parts: Vec<Formula>) -> Formula {
        match self {
            Self::All => Formula::All(parts),
            Self::Any => Formula::Any(parts),
        }
    }
}

impl Formula {
    pub(crate) const TRUE: Self = Self::Constant(true);
    pub(crate) const FALSE: Self = Self::Constant(false);

    /// Returns the formula that the facet is there.
    pub(crate) fn present(facet: Facet) -> Self {
        if facet.is_always() { Self::TRUE } else { Self::fact(Fact::Present(facet)) }
    }

    /// Returns the formula that the facet has one of the values.
    pub(crate) fn one_of(facet: Facet, values: Values) -> Self {
        if values.is_empty() { Self::FALSE } else { Self::fact(Fact::OneOf(facet, values)) }
    }

    pub(crate) fn unsupported(expr: ExprId, polarity: Polarity) -> Self {
        Self::fact(Fact::Unsupported { expr, polarity })
    }

    fn fact(fact: Fact) -> Self {
        Self::Literal(Literal { fact, holds: true })
    }

    pub(crate) fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        combine(Junction::All, parts.into_iter().collect())
    }

    pub(crate) fn any(parts: impl IntoIterator<Item = Self>) -> Self {
        combine(Junction::Any, parts.into_iter().collect())
    }

    /// Returns the parts of a list.
    pub(crate) fn list(&self) -> Option<(Junction, &[Self])> {
        match self {
            Self::All(parts) => Some((Junction::All, parts)),
            Self::Any(parts) => Some((Junction::Any, parts)),
            Self::Constant(_) | Self::Literal(_) => None,
        }
    }

    /// Returns the formula with each part of its outermost list replaced.
    fn map(&self, replace: impl FnMut(&Self) -> Self) -> Self {
        match self.list() {
            Some((junction, parts)) => combine(junction, parts.iter().map(replace).collect()),
            None => self.clone(),
        }
    }

    /// Returns the negation. What is not supported must be in neither of a formula that is
    /// negated: it stands for two formulas, which are not each other's negation.
    pub(crate) fn not(&self) -> Self {
        match self {
            Self::Constant(value) => Self::Constant(!value),
            Self::Literal(literal) => Self::Literal(literal.not()),
            Self::All(parts) => Self::any(parts.iter().map(Self::not)),
            Self::Any(parts) => Self::all(parts.iter().map(Self::not)),
        }
    }

    /// Returns whether it always holds.
    pub(crate) fn is_true(&self) -> bool {
        *self == Self::TRUE
    }

    /// Returns whether it never holds.
    pub(crate) fn is_false(&self) -> bool {
        *self == Self::FALSE
    }

    /// Returns how many facts are in it.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Constant(_) => 0,
            Self::Literal(_) => 1,
            Self::All(parts) | Self::Any(parts) => parts.iter().map(Self::size).sum(),
        }
    }

    /// Adds what of the formula no rule can say.
    pub(crate) fn unsupported_parts(&self, found: &mut UnsupportedParts) {
        match self {
            Self::Constant(_) => {}
            Self::Literal(literal) => match &literal.fact {
                Fact::Unsupported { expr, .. } => {
                    found.exprs.insert(*expr);
                }
                Fact::Present(facet) if !literal.is_expressible() => {
                    found.facets.insert(facet.clone());
                }
                _ => {}
            },
            Self::All(parts) | Self::Any(parts) => {
                parts.iter().for_each(|part| part.unsupported_parts(found));
            }
        }
    }

    /// Returns a formula that rules can say, which holds for no resource for which this one
    /// does not.
    pub(crate) fn narrowed(&self) -> Self {
        match self {
            Self::Literal(literal) if !literal.is_expressible() => Self::FALSE,
            _ => self.map(Self::narrowed),
        }
    }

    /// Returns the formula with the values of each positive fact replaced by some of them.
    ///
    /// In negation normal form a formula grows with each of its literals, so that the result
    /// holds for no resource for which this formula does not. Values of a negated fact must
    /// stay: without them it would hold for more.
    pub(crate) fn with_fewer_values(&self, fewer: &impl Fn(&Facet, &Values) -> Values) -> Self {
        match self {
            Self::Literal(Literal { fact: Fact::OneOf(facet, values), holds: true }) => {
                let mut kept = fewer(facet, values);
                kept.retain(|value| values.contains(value));
                Self::one_of(facet.clone(), kept)
            }
            _ => self.map(|part| part.with_fewer_values(fewer)),
        }
    }

    /// Returns what is left of the formula where all of `known` hold.
    fn given(&self, known: &[Literal]) -> Self {
        match self {
            Self::Constant(_) => self.clone(),
            Self::Literal(literal) => {
                if known.iter().any(|k| k.implies(literal)) {
                    return Self::TRUE;
                }
                let not = literal.not();
                if known.iter().any(|k| k.implies(&not)) { Self::FALSE } else { self.clone() }
            }
            Self::All(parts) | Self::Any(parts) => {
                let left: Vec<Self> = parts.iter().map(|part| part.given(known)).collect();
                match self.list() {
                    Some((junction, _)) if left != *parts => combine(junction, left),
                    _ => self.clone(),
                }
            }
        }
    }
}

impl Literal {
    fn not(&self) -> Self {
        Self { fact: self.fact.clone(), holds: !self.holds }
    }

    fn is_expressible(&self) -> bool {
        match &self.fact {
            Fact::Present(facet) => !matches!(facet.presence(), Expressible::No(_)),
            Fact::OneOf(..) => true,
            Fact::Unsupported { .. } => false,
        }
    }

    /// Returns whether `other` holds wherever this does.
    fn implies(&self, other: &Self) -> bool {
        use Fact::{OneOf, Present};
        match (&self.fact, self.holds, &other.fact, other.holds) {
            (a, true, b, true) if a == b => true,
            // What is not supported stands for two formulas.
            (a, false, b, false) if a == b => true,
            (OneOf(a, _), true, Present(b), true) => a == b,
            (OneOf(a, va), true, OneOf(b, vb), true) => a == b && va.is_subset(vb),
            (OneOf(a, va), true, OneOf(b, vb), false) => {
                a == b && a.is_single() && va.is_disjoint(vb)
            }
            (OneOf(a, va), false, OneOf(b, vb), false) => a == b && vb.is_subset(va),
            (Present(a), false, OneOf(b, _), false) => a == b,
            _ => false,
        }
    }
}
