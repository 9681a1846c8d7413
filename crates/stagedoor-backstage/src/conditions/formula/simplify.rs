//! Making formulas small: facts about one facet merge, common parts are pulled out.

use std::collections::{BTreeMap, BTreeSet};

use super::{Fact, Formula, Junction, Literal, Values};
use crate::conditions::facet::Facet;

/// Returns all or any of `parts`, simplified.
pub(super) fn combine(junction: Junction, parts: Vec<Formula>) -> Formula {
    let mut literals: Vec<Literal> = Vec::new();
    let mut compound: BTreeSet<Formula> = BTreeSet::new();
    let mut open = parts;
    while let Some(part) = open.pop() {
        match (part, junction) {
            (Formula::Constant(value), _) if value == junction.neutral() => {}
            (Formula::Constant(value), _) => return Formula::Constant(value),
            (Formula::Literal(literal), _) => literals.push(literal),
            (Formula::All(parts), Junction::All) | (Formula::Any(parts), Junction::Any) => {
                open.extend(parts);
            }
            (compound_part, _) => {
                compound.insert(compound_part);
            }
        }
    }
    let Some(literals) = merged(junction, literals) else {
        return Formula::Constant(!junction.neutral());
    };

    // `a and (not a or b)` is `a and b`; `a or (not a and b)` is `a or b`.
    if !compound.is_empty() && !literals.is_empty() {
        let known = literals.iter().map(|literal| match junction {
            Junction::All => literal.clone(),
            Junction::Any => literal.not(),
        });
        let known: Vec<Literal> = known.collect();
        let left: Vec<Formula> = compound.iter().map(|part| part.given(&known)).collect();
        let is_changed = left.iter().any(|part| !compound.contains(part));
        if is_changed || left.len() != compound.len() {
            let again = left.into_iter().chain(literals.into_iter().map(Formula::Literal));
            return combine(junction, again.collect());
        }
    }
    if let Some(factored) = factored(junction, &compound) {
        let again = factored.into_iter().chain(literals.into_iter().map(Formula::Literal));
        return combine(junction, again.collect());
    }
    let mut parts: Vec<Formula> =
        literals.into_iter().map(Formula::Literal).chain(compound).collect();
    parts.sort_unstable();
    match parts.len() {
        0 => Formula::Constant(junction.neutral()),
        1 => parts.pop().unwrap_or(Formula::Constant(junction.neutral())),
        _ => junction.of(parts),
    }
}

/// Merges facts about the same facet; `None` if all of them cannot hold together, or any of
/// them always holds.
fn merged(junction: Junction, literals: Vec<Literal>) -> Option<Vec<Literal>> {
    // Any of some is not all of their negations.
    let literals = literals.into_iter().map(|literal| match junction {
        Junction::All => literal,
        Junction::Any => literal.not(),
    });
    let mut unsupported: BTreeSet<Literal> = BTreeSet::new();
    let mut facets: BTreeMap<Facet, OfFacet> = BTreeMap::new();
    for Literal { fact, holds } in literals {
        match fact {
            // Neither of the two formulas that this stands for follows from the other.
            Fact::Unsupported { .. } => {
                unsupported.insert(Literal { fact, holds });
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
    let mut result: Vec<Literal> = unsupported.into_iter().collect();
    for (facet, of) in facets {
        of.merge(&facet, &mut result)?;
    }
    if junction == Junction::Any {
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

/// Pulls out the part that most of the alternatives (or of the requirements) share;
/// `None` if there is nothing to do.
fn factored(junction: Junction, compound: &BTreeSet<Formula>) -> Option<Vec<Formula>> {
    if compound.len() < 2 {
        return None;
    }
    let mut counts: BTreeMap<&Formula, usize> = BTreeMap::new();
    for part in compound {
        let Some((_, inner)) = part.list() else { continue };
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
        match part.list() {
            Some((of, parts)) if parts.contains(&shared) => {
                let others = parts.iter().filter(|part| **part != shared).cloned();
                inner.push(combine(of, others.collect()));
            }
            _ => rest.push(part.clone()),
        }
    }
    let common = vec![shared, combine(junction, inner)];
    rest.push(combine(junction.dual(), common));
    Some(rest)
}
