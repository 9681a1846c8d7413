//! What an engine stands on, and every engine that edits make of it: all but its policies.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::condition_cache::ConditionCache;
use crate::hash::FastSet;
use crate::ledger::Digest;
use crate::number::EntityNumber;
use crate::validation::Validation;

static NEXT_SCHEMA: AtomicU64 = AtomicU64::new(1);

pub(crate) struct Ground {
    /// Tells the schema from those of other engines that were loaded: entities remember it as the
    /// one that they conform to.
    pub(crate) schema_number: u64,
    /// The digest of the mode and the schema's texts.
    pub(crate) head: Digest,
    /// Cedar's expressions are not needed beside what is made of them.
    pub(crate) compiled: bool,
    /// Actions that have no members, where a schema tells.
    pub(crate) single_actions: FastSet<EntityNumber>,
    /// The rules that policies were shipped with, by name and digest.
    pub(crate) pinned_rules: Vec<(String, String)>,
    /// Of policies that partial evaluation has looked at.
    pub(crate) conditions: ConditionCache,
    /// Made for the first edit.
    pub(crate) validation: OnceLock<Validation>,
}

impl Ground {
    pub(crate) fn new(
        head: Digest,
        compiled: bool,
        single_actions: FastSet<EntityNumber>,
        pinned_rules: Vec<(String, String)>,
    ) -> Self {
        let schema_number = NEXT_SCHEMA.fetch_add(1, Ordering::Relaxed);
        let (conditions, validation) = (ConditionCache::default(), OnceLock::new());
        Self { schema_number, head, compiled, single_actions, pinned_rules, conditions, validation }
    }
}
