//! Propositional formulas over facts about a resource, in a canonical and small form.
//!
//! Formulas are in negation normal form: only facts are negated. Every constructor
//! simplifies, so that facts about one facet merge into one (claims, kinds), factors that
//! alternatives have in common are pulled out, and equal formulas compare equal.

use std::collections::{BTreeMap, BTreeSet};

use smol_str::SmolStr;

use super::facet::Facet;

/// A set of values of which a resource has at least one.
pub(crate) type Values = BTreeSet<SmolStr>;

/// Something that is true or false of a resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fact {
    /// The facet is there.
    Present(Facet),
    /// The facet has one of these values.
    OneOf(Facet, Values),
    /// What no rule says, by its number in the list of those.
    NotSayable(usize),
}

/// A fact or its negation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Literal {
    pub(crate) fact: Fact,
    pub(crate) holds: bool,
}

/// A formula.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Formula {
    Constant(bool),
    Literal(Literal),
    /// All (`true`) or any (`false`) of at least two, sorted, none of them of this sort.
    Many(bool, Vec<Formula>),
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

    pub(crate) fn not_sayable(number: usize) -> Self {
        Self::fact(Fact::NotSayable(number))
    }

    fn fact(fact: Fact) -> Self {
        Self::Literal(Literal { fact, holds: true })
    }

    pub(crate) fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        many(true, parts.into_iter().collect())
    }

    pub(crate) fn any(parts: impl IntoIterator<Item = Self>) -> Self {
        many(false, parts.into_iter().collect())
    }

    /// Returns the negation. What is not sayable must be in neither of a formula that is
    /// negated: it stands for two formulas, which are not each other's negation.
    pub(crate) fn not(&self) -> Self {
        match self {
            Self::Constant(value) => Self::Constant(!value),
            Self::Literal(literal) => Self::Literal(literal.not()),
            Self::Many(all, parts) => many(!all, parts.iter().map(Self::not).collect()),
        }
    }

    /// Returns whether it always holds.
    pub(crate) fn is_true(&self) -> bool {
        *self == Self::TRUE
    }

    /// Returns how many facts are in it.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Constant(_) => 0,
            Self::Literal(_) => 1,
            Self::Many(_, parts) => parts.iter().map(Self::size).sum(),
        }
    }

    /// Adds what is not sayable in the formula: numbers, and facets whose presence is asked.
    pub(crate) fn not_sayables(&self, numbers: &mut BTreeSet<usize>, facets: &mut BTreeSet<Facet>) {
        match self {
            Self::Constant(_) => {}
            Self::Literal(literal) => match &literal.fact {
                Fact::NotSayable(number) => {
                    numbers.insert(*number);
                }
                Fact::Present(facet) if !literal.is_sayable() => {
                    facets.insert(facet.clone());
                }
                _ => {}
            },
            Self::Many(_, parts) => parts.iter().for_each(|p| p.not_sayables(numbers, facets)),
        }
    }

    /// Returns a formula without what is not sayable, which holds for no resource for which
    /// this one does not.
    pub(crate) fn narrowed(&self) -> Self {
        match self {
            Self::Literal(literal) if !literal.is_sayable() => Self::FALSE,
            Self::Constant(_) | Self::Literal(_) => self.clone(),
            Self::Many(all, parts) => many(*all, parts.iter().map(Self::narrowed).collect()),
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
            Self::Many(all, parts) => {
                let left: Vec<Self> = parts.iter().map(|part| part.given(known)).collect();
                if left == *parts { self.clone() } else { many(*all, left) }
            }
        }
    }
}

impl Literal {
    fn not(&self) -> Self {
        Self { fact: self.fact.clone(), holds: !self.holds }
    }

    fn is_sayable(&self) -> bool {
        use super::facet::Sayable;
        match &self.fact {
            Fact::Present(facet) => !matches!(facet.presence(), Sayable::No(_)),
            Fact::OneOf(..) => true,
            Fact::NotSayable(_) => false,
        }
    }

    /// Returns whether `other` holds wherever this does.
    fn implies(&self, other: &Self) -> bool {
        use Fact::{OneOf, Present};
        match (&self.fact, self.holds, &other.fact, other.holds) {
            (a, true, b, true) if a == b => true,
            // What is not sayable stands for two formulas.
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

/// Returns all or any of `parts`, simplified.
fn many(all: bool, parts: Vec<Formula>) -> Formula {
    let mut literals: Vec<Literal> = Vec::new();
    let mut compound: BTreeSet<Formula> = BTreeSet::new();
    let mut open = parts;
    while let Some(part) = open.pop() {
        match part {
            Formula::Constant(value) if value == all => {}
            Formula::Constant(value) => return Formula::Constant(value),
            Formula::Literal(literal) => literals.push(literal),
            Formula::Many(of, parts) if of == all => open.extend(parts),
            compound_part => {
                compound.insert(compound_part);
            }
        }
    }
    let Some(literals) = merged(all, literals) else { return Formula::Constant(!all) };

    // `a and (not a or b)` is `a and b`; `a or (not a and b)` is `a or b`.
    if !compound.is_empty() && !literals.is_empty() {
        let known = literals.iter().map(|l| if all { l.clone() } else { l.not() });
        let known: Vec<Literal> = known.collect();
        let left: Vec<Formula> = compound.iter().map(|part| part.given(&known)).collect();
        let is_changed = left.iter().any(|part| !compound.contains(part));
        if is_changed || left.len() != compound.len() {
            let again = left.into_iter().chain(literals.into_iter().map(Formula::Literal));
            return many(all, again.collect());
        }
    }
    if let Some(factored) = factored(all, &compound) {
        let again = factored.into_iter().chain(literals.into_iter().map(Formula::Literal));
        return many(all, again.collect());
    }
    let mut parts: Vec<Formula> =
        literals.into_iter().map(Formula::Literal).chain(compound).collect();
    parts.sort_unstable();
    match parts.len() {
        0 => Formula::Constant(all),
        1 => parts.pop().unwrap_or(Formula::Constant(all)),
        _ => Formula::Many(all, parts),
    }
}

/// Merges facts about the same facet; `None` if all of them cannot hold together, or any of
/// them always holds.
fn merged(all: bool, literals: Vec<Literal>) -> Option<Vec<Literal>> {
    // Any of some is not all of their negations.
    let literals = literals.into_iter().map(|literal| if all { literal } else { literal.not() });
    let mut not_sayable: BTreeSet<Literal> = BTreeSet::new();
    let mut facets: BTreeMap<Facet, OfFacet> = BTreeMap::new();
    for Literal { fact, holds } in literals {
        match fact {
            // Neither of the two formulas that this stands for follows from the other.
            Fact::NotSayable(_) => {
                not_sayable.insert(Literal { fact, holds });
            }
            Fact::Present(facet) => {
                let of = facets.entry(facet).or_default();
                if holds { of.is_there = true } else { of.is_missing = true }
            }
            Fact::OneOf(facet, values) => {
                let of = facets.entry(facet).or_default();
                if holds { of.some.push(values) } else { of.none.extend(values) }
            }
        }
    }
    let mut result: Vec<Literal> = not_sayable.into_iter().collect();
    for (facet, of) in facets {
        of.merge(&facet, &mut result)?;
    }
    if !all {
        result = result.iter().map(Literal::not).collect();
    }
    Some(result)
}

/// What holds of one facet at once.
#[derive(Default)]
struct OfFacet {
    is_there: bool,
    is_missing: bool,
    /// The facet has one value of each.
    some: Vec<Values>,
    /// The facet has none of these.
    none: Values,
}

impl OfFacet {
    /// Adds the facts; `None` if they contradict each other.
    fn merge(mut self, facet: &Facet, result: &mut Vec<Literal>) -> Option<()> {
        if self.is_missing && (self.is_there || !self.some.is_empty()) {
            return None;
        }
        for values in &mut self.some {
            values.retain(|value| !self.none.contains(value));
        }
        if facet.is_single()
            && let Some((first, others)) = self.some.split_first_mut()
        {
            first.retain(|value| others.iter().all(|other| other.contains(value)));
            self.some.truncate(1);
            // Another value than these has none of those.
            self.none.clear();
        }
        if self.some.iter().any(Values::is_empty) {
            return None;
        }
        self.some.sort_unstable();
        self.some.dedup();
        let is_weaker = |values: &Values| {
            self.some.iter().any(|other| other != values && other.is_subset(values))
        };
        let some: Vec<Values> = self.some.iter().filter(|v| !is_weaker(v)).cloned().collect();
        let mut add = |fact, holds| result.push(Literal { fact, holds });
        if self.is_missing {
            add(Fact::Present(facet.clone()), false);
            return Some(());
        }
        if self.is_there && some.is_empty() {
            add(Fact::Present(facet.clone()), true);
        }
        if !self.none.is_empty() {
            add(Fact::OneOf(facet.clone(), self.none), false);
        }
        some.into_iter().for_each(|values| add(Fact::OneOf(facet.clone(), values), true));
        Some(())
    }
}

/// Pulls out the part that most of the alternatives (or of the requirements) share, and
/// drops those that say more than another; `None` if there is nothing to do.
fn factored(all: bool, compound: &BTreeSet<Formula>) -> Option<Vec<Formula>> {
    if compound.len() < 2 {
        return None;
    }
    let mut counts: BTreeMap<&Formula, usize> = BTreeMap::new();
    for part in compound {
        let Formula::Many(_, inner) = part else { continue };
        for part in inner {
            *counts.entry(part).or_default() += 1;
        }
    }
    let (shared, count) =
        counts.into_iter().max_by(|a, b| a.1.cmp(&b.1).then_with(|| b.0.cmp(a.0)))?;
    if count < 2 {
        return None;
    }
    let shared = shared.clone();
    let (mut rest, mut inner) = (Vec::new(), Vec::new());
    for part in compound {
        match part {
            Formula::Many(of, parts) if parts.contains(&shared) => {
                let others = parts.iter().filter(|part| **part != shared).cloned();
                inner.push(many(*of, others.collect()));
            }
            other => rest.push(other.clone()),
        }
    }
    rest.push(many(!all, vec![shared, many(all, inner)]));
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(values: &[&str]) -> Formula {
        Formula::one_of(Facet::Owner, values.iter().map(|v| SmolStr::from(*v)).collect())
    }

    fn kind(values: &[&str]) -> Formula {
        Formula::one_of(Facet::Kind, values.iter().map(|v| SmolStr::from(*v)).collect())
    }

    fn row(value: &str) -> Formula {
        let facet = Facet::Row("spec.lifecycle".into());
        Formula::one_of(facet, Values::from([value.into()]))
    }

    #[test]
    fn grants_merge_into_one_fact() {
        let grants =
            (0..500).map(|n| Formula::all([kind(&["component"]), owner(&[&format!("g{n:03}")])]));
        let formula = Formula::any(grants);
        assert_eq!(formula.size(), 2);
        let Formula::Many(true, parts) = &formula else {
            assert_eq!(formula.size(), 0, "{formula:?}");
            return;
        };
        assert_eq!(parts.len(), 2);
    }

    #[test]
    fn what_follows_is_left_out() {
        let (a, b) = (owner(&["a"]), owner(&["b"]));
        let lifecycle = Formula::present(Facet::Row("spec.lifecycle".into()));
        for (given, expected) in [
            (Formula::all([lifecycle.clone(), row("x")]), row("x")),
            (Formula::any([lifecycle.clone(), row("x")]), lifecycle.clone()),
            (Formula::all([lifecycle.not(), row("x")]), Formula::FALSE),
            (Formula::all([kind(&["a", "b"]), kind(&["b", "c"])]), kind(&["b"])),
            (Formula::all([kind(&["a"]), kind(&["b"])]), Formula::FALSE),
            (Formula::all([kind(&["a", "b"]), kind(&["b"]).not()]), kind(&["a"])),
            (Formula::any([kind(&["a"]).not(), kind(&["a", "b"])]), Formula::TRUE),
            (Formula::any([a.clone(), b.clone()]), owner(&["a", "b"])),
            (Formula::all([a.clone(), owner(&["a", "b"])]), a.clone()),
            (Formula::any([a.clone(), a.not()]), Formula::TRUE),
            (
                Formula::any([a.clone(), Formula::all([a.not(), row("x")])]),
                Formula::any([a.clone(), row("x")]),
            ),
            (Formula::any([a.clone(), Formula::all([a.clone(), row("x")])]), a.clone()),
            (
                Formula::all([
                    Formula::any([a.clone(), row("x")]),
                    Formula::any([a.clone(), row("y")]),
                ]),
                Formula::any([a.clone(), Formula::all([row("x"), row("y")])]),
            ),
        ] {
            assert_eq!(given, expected);
        }
        // One entity may have both owners.
        assert_eq!(Formula::all([a, b]).size(), 2);
    }

    #[test]
    fn narrowing_never_widens() {
        let unknown = Formula::not_sayable(0);
        let formula = Formula::any([row("x"), Formula::all([unknown.clone(), owner(&["a"])])]);
        assert_eq!(formula.narrowed(), row("x"));
        assert_eq!(Formula::all([unknown, row("x")]).narrowed(), Formula::FALSE);
    }
}
