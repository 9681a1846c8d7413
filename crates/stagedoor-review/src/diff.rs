//! Who gains and who loses what between two policy sets.
//!
//! What policies mean for all requests is decided from policies and schemas alone ([`Meaning`]).
//! Beside that both sets decide requests that are known ([`SpaceRequest`]), so that what comes out
//! differently has names; it is grouped until a reviewer can read it ([`Comparison::rows`]).

pub mod format;
mod meaning;
mod rows;

pub use meaning::{Cases, Meaning, MeaningRow};
pub use rows::AccessRow;
pub use stagedoor_analysis::{Direction, ParseError, Verdict};

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use stagedoor_core::{Decision, Effect, Engine, EntityUid, PolicyInfo};
use stagedoor_testing::SpaceRequest;

/// So many requests are taken by a thread at once.
const AT_ONCE: usize = 256;

/// One request that is decided differently.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccessChange {
    /// Which way.
    pub direction: Direction,
    /// The request's number among those that were asked.
    pub request: usize,
    /// The determining policies of the old decision.
    pub before: Vec<String>,
    /// The determining policies of the new decision.
    pub after: Vec<String>,
}

/// Policies that were added, removed or written anew.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PolicyChanges {
    /// Ids that only the new set has.
    pub added: Vec<String>,
    /// Ids that only the old set has.
    pub removed: Vec<String>,
    /// Ids whose text or effect differs.
    pub changed: Vec<String>,
}

impl PolicyChanges {
    /// Returns whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }

    /// Returns how the policies of two engines differ.
    #[must_use]
    pub fn between(old: &Engine, new: &Engine) -> Self {
        type Slots<'a> = (Option<&'a EntityUid>, Option<&'a EntityUid>);
        type PolicyText<'a> = (&'a str, Effect, Option<Slots<'a>>);
        fn said(engine: &Engine) -> BTreeMap<&str, PolicyText<'_>> {
            fn of(policy: PolicyInfo<'_>) -> (&str, PolicyText<'_>) {
                (policy.id(), (policy.text(), policy.effect(), policy.link()))
            }
            engine.policies().map(of).collect()
        }
        let (old, new) = (said(old), said(new));
        let not_in = |some: &BTreeMap<&str, PolicyText<'_>>,
                      other: &BTreeMap<&str, PolicyText<'_>>| {
            some.keys().filter(|id| !other.contains_key(*id)).map(|id| (*id).to_owned()).collect()
        };
        let differs =
            |(id, said): &(&&str, &PolicyText<'_>)| old.get(*id).is_some_and(|old| old != *said);
        Self {
            added: not_in(&new, &old),
            removed: not_in(&old, &new),
            changed: new.iter().filter(differs).map(|(id, _)| (*id).to_owned()).collect(),
        }
    }
}

/// What differs between two policy sets.
#[derive(Debug)]
#[non_exhaustive]
pub struct Comparison<'r> {
    /// The requests that were asked.
    pub requests: &'r [SpaceRequest],
    /// What came out differently, in the order of the requests.
    pub changes: Vec<AccessChange>,
    /// How many requests the old set could not be asked, as they do not fit its schema: they
    /// count as denied.
    pub refused_before: usize,
    /// How many the new set could not be asked.
    pub refused_after: usize,
    /// The policies that differ.
    pub policies: PolicyChanges,
}

impl<'r> Comparison<'r> {
    /// Decides all requests by both sets, on all processors.
    #[must_use]
    pub fn of(old: &Engine, new: &Engine, requests: &'r [SpaceRequest]) -> Self {
        let chunks: Vec<&[SpaceRequest]> = requests.chunks(AT_ONCE).collect();
        let next = AtomicUsize::new(0);
        let all = Mutex::new(ChangeBatch::default());
        let work = || {
            let mut own = ChangeBatch::default();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(chunk) = chunks.get(number) else { break };
                for (place, request) in chunk.iter().enumerate() {
                    own.compare(old, new, number * AT_ONCE + place, request);
                }
            }
            all.lock().unwrap_or_else(PoisonError::into_inner).add(own);
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 1..threads.min(chunks.len()) {
                scope.spawn(work);
            }
            work();
        });
        let ChangeBatch { mut changes, refused: (refused_before, refused_after) } =
            all.into_inner().unwrap_or_else(PoisonError::into_inner);
        changes.sort_unstable_by_key(|change| change.request);
        let policies = PolicyChanges::between(old, new);
        Self { requests, changes, refused_before, refused_after, policies }
    }

    /// Returns how many requests went this way.
    #[must_use]
    pub fn count(&self, direction: Direction) -> usize {
        self.changes.iter().filter(|change| change.direction == direction).count()
    }

    /// Returns the changes grouped: whoever has the same changes, and what is changed alike,
    /// shares a row. The rows with the most requests come first, those that widen before those
    /// that narrow.
    #[must_use]
    pub fn rows(&self) -> Vec<AccessRow> {
        rows::of(self)
    }
}

#[derive(Default)]
struct ChangeBatch {
    changes: Vec<AccessChange>,
    refused: (usize, usize),
}

impl ChangeBatch {
    fn add(&mut self, other: Self) {
        self.changes.extend(other.changes);
        self.refused.0 += other.refused.0;
        self.refused.1 += other.refused.1;
    }

    fn compare(&mut self, old: &Engine, new: &Engine, number: usize, request: &SpaceRequest) {
        let decided = |engine: &Engine, refused: &mut usize| {
            // What cannot be decided is denied.
            let outcome = engine.decide(&request.request, &request.entities);
            *refused += usize::from(outcome.is_err());
            outcome.ok().map(|outcome| {
                let reasons = outcome.reasons().map(|policy| policy.id().to_owned()).collect();
                (outcome.decision(), reasons)
            })
        };
        let (before, reasons_before) =
            decided(old, &mut self.refused.0).unwrap_or((Decision::Deny, Vec::new()));
        let (after, reasons_after) =
            decided(new, &mut self.refused.1).unwrap_or((Decision::Deny, Vec::new()));
        let direction = match (before, after) {
            (Decision::Deny, Decision::Allow) => Direction::Widened,
            (Decision::Allow, Decision::Deny) => Direction::Narrowed,
            _ => return,
        };
        self.changes.push(AccessChange {
            direction,
            request: number,
            before: reasons_before,
            after: reasons_after,
        });
    }
}
