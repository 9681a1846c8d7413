//! Conditions that are too large for Backstage, made to fit.
//!
//! What does not fit is left out on the side that narrows: alternatives of permits, one grant
//! after the other, and values that make a permit (or the exception of a forbid) hold. A forbid
//! itself is never made smaller.
//!
//! INVARIANT: what is returned holds for no resource for which the formula given does not.
//! Formulas are in negation normal form, so that each of them grows with each of its parts.

use smol_str::SmolStr;

use super::facet::Facet;
use super::formula::{Fact, Formula, Junction, Literal, Values};
use super::render::Renderer;
use crate::budget::Budget;
use crate::criteria::Criteria;
use crate::owners::OwnerCounts;

/// So many parts that do not fit are tried before the rest is left out.
const MISSES: usize = 48;
/// So often parts that do not fit are taken apart.
const PASSES: usize = 8;
/// How many values forbids' exceptions keep, where they are too many: the first that fits.
const EXCEPTIONS: [usize; 3] = [32, 8, 1];

/// Makes conditions fit.
pub(crate) struct ConditionFitter<'a> {
    pub(crate) renderer: Renderer<'a>,
    pub(crate) budget: Budget,
    /// How many entities each owner has, where the catalog was asked.
    pub(crate) owners: Option<&'a OwnerCounts>,
    /// The principal's own reference, which is left out last.
    pub(crate) own: &'a str,
}

/// What fits.
#[derive(Debug)]
pub(crate) struct FittedConditions {
    pub(crate) formula: Formula,
    /// The rules that say the formula; none for a constant.
    pub(crate) criteria: Option<Criteria>,
    pub(crate) cut: Option<Omissions>,
}

/// What was left out.
#[derive(Debug)]
pub(crate) struct Omissions {
    /// Why the whole does not fit.
    pub(crate) excess: String,
    /// How many grants are answered.
    pub(crate) kept: usize,
    /// How many there are.
    pub(crate) grants: usize,
    /// Permits of which nothing is answered, by their place.
    pub(crate) dropped: Vec<usize>,
    /// Permits of which only a part is answered, by their place.
    pub(crate) shortened: Vec<usize>,
    /// Some of the values that are left out.
    pub(crate) values: Vec<SmolStr>,
    /// The exceptions of forbids hold for less.
    pub(crate) fewer_exceptions: bool,
}

/// A part of a permit.
#[derive(Debug, Clone)]
struct Grant {
    permit: usize,
    formula: Formula,
    /// The value that tells it from its neighbours.
    value: Option<SmolStr>,
}

/// Which grants fit, and which do not.
struct Selection {
    formula: Formula,
    criteria: Option<Criteria>,
    kept: Vec<Grant>,
    left: Vec<Grant>,
}

impl ConditionFitter<'_> {
    /// Returns the whole formula if it fits, or what of it does. `permits` and `forbids` are
    /// those it is made of, without what no rule says.
    pub(crate) fn fit(
        &self,
        whole: &Formula,
        permits: &[Formula],
        forbids: &Formula,
    ) -> FittedConditions {
        let excess = match self.criteria(whole) {
            Ok(criteria) => {
                return FittedConditions { formula: whole.clone(), criteria, cut: None };
            }
            Err(excess) => excess,
        };
        // Claims that own nothing take room and allow nothing.
        let owning = self.owning(whole);
        if let Ok(criteria) = self.criteria(&owning) {
            return FittedConditions { formula: owning, criteria, cut: None };
        }
        let permits: Vec<Formula> = permits.iter().map(|permit| self.owning(permit)).collect();
        let forbids = self.owning(forbids);
        // Forbids that leave room stay as they are.
        let mut choices = self.narrower(&forbids);
        let place = if self.leaves_room(&forbids) { 0 } else { choices.len() };
        choices.insert(place, (forbids, false));
        for (forbids, fewer_exceptions) in choices {
            let selection = self.selection(&permits, &forbids);
            if !selection.formula.is_false() {
                return Self::fitted(selection, excess, &permits, fewer_exceptions);
            }
        }
        let nothing = Selection {
            formula: Formula::FALSE,
            criteria: None,
            kept: Vec::new(),
            left: grants(&permits),
        };
        Self::fitted(nothing, excess, &permits, false)
    }

    fn fitted(
        selection: Selection,
        excess: String,
        permits: &[Formula],
        fewer_exceptions: bool,
    ) -> FittedConditions {
        let Selection { formula, criteria, kept, left } = selection;
        let is_kept = |permit: usize| kept.iter().any(|grant| grant.permit == permit);
        let is_left = |permit: usize| left.iter().any(|grant| grant.permit == permit);
        let (mut dropped, mut shortened) = (Vec::new(), Vec::new());
        for permit in (0..permits.len()).filter(|permit| is_left(*permit)) {
            if is_kept(permit) { shortened.push(permit) } else { dropped.push(permit) }
        }
        let grants = kept.len() + left.len();
        let values = left.iter().filter_map(|grant| grant.value.clone()).take(3).collect();
        let kept = kept.len();
        let cut = Omissions { excess, kept, grants, dropped, shortened, values, fewer_exceptions };
        FittedConditions { formula, criteria, cut: Some(cut) }
    }

    /// Returns the criteria that say the formula (none for a constant), or why they cannot be
    /// answered.
    fn criteria(&self, formula: &Formula) -> Result<Option<Criteria>, String> {
        if let Formula::Constant(_) = formula {
            return Ok(None);
        }
        let criteria = self.renderer.criteria(formula).filter(Criteria::is_definite);
        let criteria = criteria.ok_or_else(|| "no rule says all of them".to_owned())?;
        match self.budget.excess(&criteria) {
            None => Ok(Some(criteria)),
            Some(excess) => Err(excess),
        }
    }

    /// Returns whether the forbids take no more than three quarters of what there is.
    fn leaves_room(&self, forbids: &Formula) -> bool {
        let three_quarters = |of: usize| of / 4 * 3;
        let budget = Budget {
            leaves: three_quarters(self.budget.leaves),
            depth: self.budget.depth,
            bytes: three_quarters(self.budget.bytes),
        };
        ConditionFitter { renderer: self.renderer, budget, owners: None, own: self.own }
            .criteria(forbids)
            .is_ok()
    }

    /// Returns the formula without claims of which the catalog says that they own nothing.
    fn owning(&self, formula: &Formula) -> Formula {
        let Some(owners) = self.owners else { return formula.clone() };
        formula.with_fewer_values(&|facet, values| match facet {
            Facet::Owner => values.iter().filter(|v| owners.count(v) > 0).cloned().collect(),
            _ => values.clone(),
        })
    }

    /// Returns forbids that forbid more, those that do so least first.
    fn narrower(&self, forbids: &Formula) -> Vec<(Formula, bool)> {
        let fewer = |of: &Formula, count: usize| {
            of.with_fewer_values(&|_, values| {
                self.in_order(values).into_iter().take(count).collect()
            })
        };
        let strictest = strictest(forbids);
        let narrower = EXCEPTIONS.iter().map(|count| fewer(forbids, *count));
        let narrower = narrower.chain([strictest.clone()]);
        let narrower = narrower.chain(EXCEPTIONS.iter().map(|count| fewer(&strictest, *count)));
        let differs = |narrower: &Formula| narrower != forbids && !narrower.is_false();
        narrower.filter(differs).map(|narrower| (narrower, true)).collect()
    }

    /// Returns as many grants as fit beside the forbids, small permits first.
    fn selection(&self, permits: &[Formula], forbids: &Formula) -> Selection {
        let mut selection = Selection {
            formula: Formula::FALSE,
            criteria: None,
            kept: Vec::new(),
            left: Vec::new(),
        };
        let mut open = grants(permits);
        open.sort_by_cached_key(|grant| self.length(&grant.formula));
        let mut misses = 0;
        for _ in 0..PASSES {
            let mut parts: Vec<Vec<Grant>> = Vec::new();
            let mut rest = open.as_slice();
            while !rest.is_empty() {
                let taken = self.take(&mut selection, rest, forbids);
                rest = rest.get(taken..).unwrap_or_default();
                let Some((miss, after)) = rest.split_first() else { break };
                rest = after;
                misses += 1;
                match self.split(&miss.formula) {
                    Some(pieces) if misses <= MISSES => {
                        let grant =
                            |(formula, value)| Grant { permit: miss.permit, formula, value };
                        parts.push(pieces.into_iter().map(grant).collect());
                    }
                    _ => selection.left.push(miss.clone()),
                }
                if misses > MISSES {
                    selection.left.extend_from_slice(rest);
                    rest = &[];
                }
            }
            open = interleaved(parts);
            if open.is_empty() {
                break;
            }
        }
        selection.left.extend(open);
        selection
    }

    /// Takes as many of the first grants as fit; returns how many.
    fn take(&self, selection: &mut Selection, grants: &[Grant], forbids: &Formula) -> usize {
        let attempt = |count: usize| {
            let kept = selection.kept.iter().chain(grants.iter().take(count));
            let permits = Formula::any(kept.map(|grant| grant.formula.clone()));
            let formula = Formula::all([permits, forbids.clone()]);
            self.criteria(&formula).ok().map(|criteria| (count, formula, criteria))
        };
        type Attempt = (usize, Formula, Option<Criteria>);
        let (mut best, mut too_many) = (None::<Attempt>, grants.len() + 1);
        let mut step = 1;
        loop {
            let taken = best.as_ref().map_or(0, |(count, ..)| *count);
            let next = (taken + step).min(too_many - 1);
            if next <= taken {
                break;
            }
            match attempt(next) {
                Some(more) => {
                    best = Some(more);
                    step *= 2;
                }
                None => {
                    too_many = next;
                    step = ((too_many - taken) / 2).max(1);
                }
            }
        }
        let Some((count, formula, criteria)) = best else { return 0 };
        selection.kept.extend(grants.iter().take(count).cloned());
        (selection.formula, selection.criteria) = (formula, criteria);
        count
    }

    /// Returns formulas of which the formula is any, each with what tells it from the others;
    /// `None` if it cannot be taken apart.
    fn split(&self, formula: &Formula) -> Option<Vec<(Formula, Option<SmolStr>)>> {
        match formula {
            Formula::Literal(Literal { fact: Fact::OneOf(facet, values), holds: true })
                if values.len() > 1 =>
            {
                let one = |value: SmolStr| {
                    let values = Values::from([value.clone()]);
                    (Formula::one_of(facet.clone(), values), Some(value))
                };
                Some(self.in_order(values).into_iter().map(one).collect())
            }
            Formula::Any(parts) => Some(parts.iter().map(|part| (part.clone(), None)).collect()),
            Formula::All(parts) => {
                let alternatives = parts.iter().enumerate();
                let (place, _) = alternatives
                    .map(|(place, part)| (place, alternatives_of(part)))
                    .filter(|(_, count)| *count > 1)
                    .max_by_key(|(_, count)| *count)?;
                let pieces = self.split(parts.get(place)?)?;
                let others = || {
                    parts.iter().enumerate().filter(|(n, _)| *n != place).map(|(_, p)| p.clone())
                };
                let with = |(piece, value)| (Formula::all(others().chain([piece])), value);
                Some(pieces.into_iter().map(with).collect())
            }
            Formula::Constant(_) | Formula::Literal(_) => None,
        }
    }

    /// Returns values in the order in which they are kept: the principal's own reference, then
    /// those that own most.
    fn in_order(&self, values: &Values) -> Vec<SmolStr> {
        let mut values: Vec<SmolStr> = values.iter().cloned().collect();
        let count = |value: &str| self.owners.map_or(0, |owners| owners.count(value));
        values.sort_by_key(|value| (value.as_str() != self.own, std::cmp::Reverse(count(value))));
        values
    }

    /// Returns how long the formula is as criteria.
    fn length(&self, formula: &Formula) -> usize {
        let criteria = self.renderer.criteria(formula);
        criteria.map_or(usize::MAX, |criteria| criteria.json_length())
    }
}

/// Returns each permit as one grant.
fn grants(permits: &[Formula]) -> Vec<Grant> {
    let grant = |(permit, formula): (usize, &Formula)| Grant {
        permit,
        formula: formula.clone(),
        value: None,
    };
    permits.iter().enumerate().filter(|(_, permit)| !permit.is_false()).map(grant).collect()
}

/// Returns parts of permits in turns, so that none takes all the room.
fn interleaved(parts: Vec<Vec<Grant>>) -> Vec<Grant> {
    let mut parts: Vec<_> = parts.into_iter().map(Vec::into_iter).collect();
    let mut all = Vec::new();
    while !parts.is_empty() {
        parts.retain_mut(|part| match part.next() {
            Some(grant) => {
                all.push(grant);
                true
            }
            None => false,
        });
    }
    all
}

/// Returns into how many alternatives a formula can be taken apart at once.
fn alternatives_of(formula: &Formula) -> usize {
    match formula {
        Formula::Literal(Literal { fact: Fact::OneOf(_, values), holds: true }) => values.len(),
        Formula::Any(parts) => parts.len(),
        Formula::All(parts) => parts.iter().map(alternatives_of).max().unwrap_or(1),
        Formula::Constant(_) | Formula::Literal(_) => 1,
    }
}

/// Returns the formula with the smallest of each list of alternatives. What is not there holds
/// for more resources than what is, as a rule, so that it is preferred.
fn strictest(formula: &Formula) -> Formula {
    match formula.list() {
        Some((Junction::Any, parts)) => {
            let is_positive =
                |part: &Formula| matches!(part, Formula::Literal(literal) if literal.holds);
            let parts = parts.iter().map(strictest);
            let smallest = parts.min_by_key(|part| (part.size(), is_positive(part)));
            smallest.unwrap_or(Formula::FALSE)
        }
        Some((Junction::All, parts)) => Formula::all(parts.iter().map(strictest)),
        None => formula.clone(),
    }
}
