//! Policies that others make needless: duplicates, subsumed ones, permits under a forbid.
//!
//! Each policy is compared only with those that are filed under one of its own facts, so that a
//! hundred thousand policies about as many groups cost no more than a hundred thousand look-ups.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher as _};

use stagedoor_analysis::{Fact, Implication, Library, follows};

use super::environments::{is_within, numbers};
use super::normal::Normal;

/// The analysis is asked about at most so many others.
const ASKED: usize = 4;

/// A policy is compared with at most so many others.
const COMPARED: usize = 256;

/// A policy without facts is filed under its combinations if it has no more than these.
const FILED: usize = 8;

/// What one policy is to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pair {
    /// It says the same; sure or not.
    Duplicate { sure: bool },
    /// It says less.
    Subsumed { sure: bool },
    /// It is a permit that the other forbids.
    Shadowed,
}

/// Finds for each policy the first that makes it needless.
pub(super) struct Pairs {
    /// Per policy: its relation, and the number of the other.
    pub(super) found: Vec<Option<(Pair, usize)>>,
    /// How many comparisons were left out.
    pub(super) skipped: usize,
}

impl Pairs {
    /// Compares policies; those that are `dead` never apply and are left out.
    pub(super) fn of(policies: &[Normal<'_>], dead: &[bool], library: &Library<'_>) -> Self {
        let is_dead = |number: usize| dead.get(number).copied().unwrap_or_default();
        let files = Files::of(policies, is_dead);
        let mut pairs = Self { found: Vec::with_capacity(policies.len()), skipped: 0 };
        for (number, policy) in policies.iter().enumerate() {
            let found = if is_dead(number) {
                None
            } else {
                pairs.compare(number, policy, policies, &files, library)
            };
            pairs.found.push(found);
        }
        pairs
    }

    fn compare(
        &mut self,
        number: usize,
        policy: &Normal<'_>,
        policies: &[Normal<'_>],
        files: &Files,
        library: &Library<'_>,
    ) -> Option<(Pair, usize)> {
        let mut compared = 0;
        let mut found = None;
        let mut alike = Vec::new();
        for others in files.candidates(policy) {
            let room = COMPARED - compared;
            compared += others.len().min(room);
            self.skipped += others.len().saturating_sub(room);
            found = found.or_else(|| {
                others.iter().take(room).filter(|other| **other != number).find_map(|other| {
                    let near = policies.get(*other)?;
                    let relation = relation(policy, near, number < *other);
                    if relation.is_none() && alike.len() < ASKED && speaks_of_the_same(policy, near)
                    {
                        alike.push(*other);
                    }
                    Some((relation?, *other))
                })
            });
        }
        found.or_else(|| {
            let narrow = library.number_of(policy.info.id())?;
            let wide = |other: usize| {
                let wide = library.number_of(policies.get(other)?.info.id())?;
                library.covers(wide, narrow).then_some((other, wide))
            };
            let (other, wide) = alike.into_iter().find_map(wide)?;
            if policies.get(other)?.info.effect() != policy.info.effect() {
                return Some((Pair::Shadowed, other));
            }
            // Of two that say the same, only the later is told of.
            match library.covers(narrow, wide) {
                true if number < other => None,
                true => Some((Pair::Duplicate { sure: true }, other)),
                false => Some((Pair::Subsumed { sure: true }, other)),
            }
        })
    }
}

/// Returns whether another policy may cover one though that does not follow fact by fact: it has no
/// fewer combinations, and as many facts about the same terms.
fn speaks_of_the_same(policy: &Normal<'_>, other: &Normal<'_>) -> bool {
    let (own, theirs) = (policy.facts(), other.facts());
    let is_meant = policy.is_permit() || !other.is_permit();
    is_meant
        && own.len() == theirs.len()
        && is_within(&policy.combinations, &other.combinations)
        && theirs.iter().zip(&own).all(|(theirs, own)| {
            follows(&[*own], theirs) != Implication::Unknown || theirs.term() == own.term()
        })
        && theirs.iter().zip(&own).any(|(theirs, own)| theirs != own)
}

/// Returns what `policy` is to `other`. Of two that say the same, only the later is told of.
fn relation(policy: &Normal<'_>, other: &Normal<'_>, is_earlier: bool) -> Option<Pair> {
    let same_effect = policy.info.effect() == other.info.effect();
    if !same_effect && !policy.is_permit() {
        return None;
    }
    let covered = covers(other, policy);
    if covered == Implication::Unknown {
        return None;
    }
    if !same_effect {
        // A forbid that fails where the permit holds denies as well.
        return Some(Pair::Shadowed);
    }
    let back = covers(policy, other);
    let in_order = policy.facts().starts_with(&other.facts());
    // A forbid that cannot be evaluated denies: what is evaluated first matters.
    let sure = covered == Implication::Yes && (policy.is_permit() || in_order);
    match back {
        Implication::Unknown => Some(Pair::Subsumed { sure }),
        _ if is_earlier => None,
        _ => Some(Pair::Duplicate { sure: sure && back == Implication::Yes }),
    }
}

/// Returns whether `wide` is satisfied whenever `narrow` is.
fn covers(wide: &Normal<'_>, narrow: &Normal<'_>) -> Implication {
    if !is_within(&narrow.combinations, &wide.combinations) {
        return Implication::Unknown;
    }
    let given = narrow.facts();
    wide.facts().into_iter().map(|fact| follows(&given, fact)).min().unwrap_or(Implication::Yes)
}

/// How many policies of a key are still compared one by one.
const SHORT: usize = 64;

/// Policies of either effect, by a fact that each of them needs.
#[derive(Default)]
struct Files {
    permits: Drawer,
    forbids: Drawer,
}

#[derive(Default)]
struct Drawer {
    by_key: HashMap<u64, Vec<usize>>,
    /// Policies that need no fact that can be looked up.
    broad: Vec<usize>,
}

impl Files {
    fn of(policies: &[Normal<'_>], is_dead: impl Fn(usize) -> bool) -> Self {
        let mut frequency: HashMap<u64, usize> = HashMap::new();
        for policy in policies {
            for key in policy.facts().into_iter().flat_map(filed_under) {
                *frequency.entry(key).or_default() += 1;
            }
        }
        let mut files = Self::default();
        let rarity =
            |keys: &Vec<u64>| -> usize { keys.iter().filter_map(|key| frequency.get(key)).sum() };
        for (number, policy) in policies.iter().enumerate().filter(|(n, _)| !is_dead(*n)) {
            // What another fact says may follow from a different text: a short drawer of values
            // or groups comes before it.
            let order = |(fact, keys): &(&Fact, Vec<u64>)| {
                let rarity = rarity(keys);
                (matches!(fact, Fact::Other { .. }) || rarity > SHORT, rarity)
            };
            let facts = policy.facts().into_iter().map(|fact| (fact, filed_under(fact)));
            let keys = facts.filter(|(_, keys)| !keys.is_empty()).min_by_key(order);
            let keys = keys.map(|(_, keys)| keys).or_else(|| by_combinations(policy));
            let drawer = if policy.is_permit() { &mut files.permits } else { &mut files.forbids };
            match keys {
                Some(keys) => {
                    keys.into_iter()
                        .for_each(|key| drawer.by_key.entry(key).or_default().push(number));
                }
                None => drawer.broad.push(number),
            }
        }
        files
    }

    /// Returns lists of policies that may make a policy needless. What shadows it comes before
    /// what merely repeats it.
    fn candidates<'f>(&'f self, policy: &Normal<'_>) -> impl Iterator<Item = &'f [usize]> {
        let first = numbers(&policy.combinations).next().map(combination);
        let mut keys: Vec<u64> =
            policy.facts().into_iter().flat_map(looked_up).chain(first).collect();
        keys.sort_unstable();
        keys.dedup();
        let drawers = [(&self.forbids, true), (&self.permits, policy.is_permit())];
        drawers.into_iter().filter(|(_, counts)| *counts).flat_map(move |(drawer, _)| {
            let filed: Vec<&[usize]> =
                keys.iter().filter_map(|key| drawer.by_key.get(key)).map(Vec::as_slice).collect();
            std::iter::once(drawer.broad.as_slice()).chain(filed)
        })
    }
}

/// Returns the keys of a policy that needs no fact: what its scope matches, if that is little.
fn by_combinations(policy: &Normal<'_>) -> Option<Vec<u64>> {
    let combinations: Vec<usize> = numbers(&policy.combinations).take(FILED + 1).collect();
    (combinations.len() <= FILED).then(|| combinations.into_iter().map(combination).collect())
}

/// Returns the keys under which a policy that needs the fact is filed; none if what implies the
/// fact cannot be looked up.
fn filed_under(fact: &Fact) -> Vec<u64> {
    match fact {
        Fact::OneOf { term, values, holds: true } => {
            values.iter().map(|value| key(0, term, value)).collect()
        }
        Fact::Within { term, groups, holds: true } => {
            groups.iter().map(|group| key(1, term, group)).collect()
        }
        Fact::Other { text, holds, .. } => vec![key(2 + u8::from(*holds), text, ())],
        _ => Vec::new(),
    }
}

/// Returns keys of which a policy has one whose fact this one implies.
fn looked_up(fact: &Fact) -> Vec<u64> {
    match fact {
        Fact::OneOf { term, values, holds: true } => {
            let first = values.first().map(|value| key(0, term, value));
            first.into_iter().chain(fact.entities().next().map(|uid| key(1, term, uid))).collect()
        }
        Fact::Within { term, groups, holds: true } => {
            groups.first().map(|group| vec![key(1, term, group)]).unwrap_or_default()
        }
        _ => filed_under(fact),
    }
}

fn key(kind: u8, term: &str, value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    (kind, term, value).hash(&mut hasher);
    hasher.finish()
}

fn combination(number: usize) -> u64 {
    let mut hasher = DefaultHasher::new();
    (u8::MAX, number).hash(&mut hasher);
    hasher.finish()
}
