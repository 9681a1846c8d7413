//! The policies of an engine by number and by id: what was loaded, which never changes, and what
//! edits took out of it and added to it.
//!
//! Copies share nearly everything, so that each edit makes a list of its own.

use std::hash::BuildHasher as _;
use std::sync::{Arc, OnceLock};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use smol_str::SmolStr;

use crate::hash::PersistentMap;
use crate::number::PolicyNumber;
use crate::policy::StoredPolicy;

/// Policies in the order in which they were loaded or added.
///
/// INVARIANT: numbers are given out once, so that the order of numbers is that of policies.
#[derive(Clone)]
pub(crate) struct PolicyList {
    loaded: Arc<[StoredPolicy]>,
    /// The numbers of those by their ids, made for the first edit.
    loaded_ids: Arc<OnceLock<HashTable<PolicyNumber>>>,
    hasher: RandomState,
    removed: RemovedPolicies,
    added: imbl::OrdMap<PolicyNumber, Arc<StoredPolicy>>,
    added_ids: PersistentMap<SmolStr, PolicyNumber>,
    /// The number of the next policy.
    next: u32,
    len: usize,
}

/// The loaded policies that were taken out, by number; copied whole, a bit each.
#[derive(Debug, Clone, Default)]
pub(crate) struct RemovedPolicies(Arc<[u64]>);

impl RemovedPolicies {
    #[inline]
    pub(crate) fn contains(&self, number: PolicyNumber) -> bool {
        self.0.get(number.index() / 64).is_some_and(|word| word >> (number.get() % 64) & 1 == 1)
    }

    fn with(&self, number: PolicyNumber) -> Self {
        let at = number.index() / 64;
        let mut words = self.0.to_vec();
        words.resize(words.len().max(at + 1), 0);
        if let Some(word) = words.get_mut(at) {
            *word |= 1 << (number.get() % 64);
        }
        Self(words.into())
    }
}

impl PolicyList {
    pub(crate) fn new(policies: Vec<StoredPolicy>) -> Self {
        let loaded: Arc<[StoredPolicy]> = policies.into();
        Self {
            // Limits keep policies far below 2³¹.
            next: u32::try_from(loaded.len()).unwrap_or(u32::MAX),
            len: loaded.len(),
            loaded,
            loaded_ids: Arc::default(),
            hasher: RandomState::default(),
            removed: RemovedPolicies::default(),
            added: imbl::OrdMap::new(),
            added_ids: PersistentMap::default(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Returns how many changes lie over what was loaded.
    pub(crate) fn changes(&self) -> usize {
        self.added.len() + (self.loaded.len() + self.added.len() - self.len)
    }

    /// Returns the loaded policies that are not in force any more.
    pub(crate) fn removed(&self) -> &RemovedPolicies {
        &self.removed
    }

    /// Returns the policy with this number. Of one that was taken out only what is in force may be
    /// asked.
    #[inline]
    pub(crate) fn get(&self, number: PolicyNumber) -> Option<&StoredPolicy> {
        self.loaded.get(number.index()).or_else(|| self.later(number))
    }

    #[cold]
    fn later(&self, number: PolicyNumber) -> Option<&StoredPolicy> {
        self.added.get(&number).map(AsRef::as_ref)
    }

    /// Returns all policies with their numbers, in order.
    pub(crate) fn iter(&self) -> Iter<'_> {
        Iter { list: self, next: 0, added: self.added.iter(), left: self.len }
    }

    /// Returns the policies that were added, in order.
    pub(crate) fn added(&self) -> impl Iterator<Item = &StoredPolicy> {
        self.added.values().map(AsRef::as_ref)
    }

    /// Returns the number of the policy with this id.
    pub(crate) fn number(&self, id: &str) -> Option<PolicyNumber> {
        if let Some(number) = self.added_ids.get(id) {
            return Some(*number);
        }
        let id_of =
            |number: &PolicyNumber| self.loaded.get(number.index()).map(|policy| &policy.id);
        let ids = self.loaded_ids.get_or_init(|| {
            let mut ids = HashTable::with_capacity(self.loaded.len());
            for (number, policy) in (0_u32..).map(PolicyNumber::new).zip(self.loaded.iter()) {
                let hash = |number: &PolicyNumber| self.hasher.hash_one(id_of(number));
                ids.insert_unique(self.hasher.hash_one(Some(&policy.id)), number, hash);
            }
            ids
        });
        let hash = self.hasher.hash_one(Some(id));
        let found = ids.find(hash, |number| id_of(number).is_some_and(|known| known == id));
        found.copied().filter(|number| !self.removed.contains(*number))
    }

    /// Adds a policy whose id no other has; returns its number.
    pub(crate) fn add(&mut self, policy: StoredPolicy) -> PolicyNumber {
        let number = PolicyNumber::new(self.next);
        self.next = self.next.saturating_add(1);
        self.len += 1;
        self.added_ids.insert(policy.id.clone(), number);
        self.added.insert(number, Arc::new(policy));
        number
    }

    /// Takes out the policy with this number, which is in force.
    pub(crate) fn remove(&mut self, number: PolicyNumber) {
        if number.index() < self.loaded.len() {
            self.removed = self.removed.with(number);
        } else if let Some(policy) = self.added.remove(&number) {
            self.added_ids.remove(&policy.id);
        }
        self.len -= 1;
    }

    /// Returns the same policies, as if they had been loaded: numbered anew, nothing over them.
    pub(crate) fn settled(&self) -> Self {
        Self::new(self.iter().map(|(_, policy)| policy.clone()).collect())
    }

    /// Whether there are numbers left for some more policies.
    pub(crate) fn has_numbers_left(&self) -> bool {
        self.next < u32::MAX / 4
    }
}

/// Iterates over policies and their numbers.
pub(crate) struct Iter<'a> {
    list: &'a PolicyList,
    next: u32,
    added:
        imbl::ordmap::Iter<'a, PolicyNumber, Arc<StoredPolicy>, imbl::shared_ptr::DefaultSharedPtr>,
    left: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (PolicyNumber, &'a StoredPolicy);

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(policy) = self.list.loaded.get(self.next as usize) {
            let number = PolicyNumber::new(self.next);
            self.next += 1;
            if !self.list.removed.contains(number) {
                self.left = self.left.saturating_sub(1);
                return Some((number, policy));
            }
        }
        let (number, policy) = self.added.next()?;
        self.left = self.left.saturating_sub(1);
        Some((*number, policy.as_ref()))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Iter<'_> {}
