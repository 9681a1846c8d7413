//! Answers that were worked out already, for as long as there is room.

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::mem;
use std::sync::{Mutex, PoisonError};

use hashbrown::{Equivalent, HashMap};
use smol_str::SmolStr;

use crate::policy_answer::PolicyAnswer;
use crate::principal::Principal;

/// Locks that different keys spread over.
const SHARDS: usize = 16;

/// What an answer depends on beside the policies. Compared part by part, so that no two
/// different questions share an answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    permission: SmolStr,
    principal: Principal,
}

#[derive(Hash)]
struct KeyRef<'a> {
    permission: &'a str,
    principal: &'a Principal,
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        key.permission == self.permission && key.principal == *self.principal
    }
}

/// A bounded cache. The newest half of its entries are always there: a generation that is
/// full becomes the old one, whose entries come back when they are asked for.
#[derive(Debug)]
pub(crate) struct DecisionCache {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    /// Entries of one generation of one shard.
    room: usize,
}

#[derive(Debug, Default)]
struct Shard {
    young: HashMap<Key, PolicyAnswer, RandomState>,
    old: HashMap<Key, PolicyAnswer, RandomState>,
}

impl DecisionCache {
    /// Returns a cache of about this many entries at the most; of none for 0.
    pub(crate) fn new(entries: usize) -> Self {
        let hasher = RandomState::new();
        let empty = || HashMap::with_hasher(hasher.clone());
        let shards = (0..SHARDS).map(|_| Mutex::new(Shard { young: empty(), old: empty() }));
        let room = if entries == 0 { 0 } else { entries.div_ceil(2 * SHARDS) };
        Self { shards: shards.collect(), hasher: hasher.clone(), room }
    }

    pub(crate) fn get(&self, permission: &str, principal: &Principal) -> Option<PolicyAnswer> {
        if self.room == 0 {
            return None;
        }
        let key = KeyRef { permission, principal };
        let shard = self.shard(self.hasher.hash_one(&key))?;
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = shard.young.get(&key) {
            return Some(answer.clone());
        }
        let (key, answer) = shard.old.remove_entry(&key)?;
        shard.add(key, answer.clone(), self.room);
        Some(answer)
    }

    pub(crate) fn put(&self, permission: &SmolStr, principal: &Principal, answer: &PolicyAnswer) {
        if self.room == 0 {
            return;
        }
        let key = Key { permission: permission.clone(), principal: principal.clone() };
        if let Some(shard) = self.shard(self.hasher.hash_one(&key)) {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.add(key, answer.clone(), self.room);
        }
    }

    /// Returns how many answers are kept.
    pub(crate) fn len(&self) -> usize {
        let shards = self.shards.iter().map(|s| s.lock().unwrap_or_else(PoisonError::into_inner));
        shards.map(|shard| shard.young.len() + shard.old.len()).sum()
    }

    fn shard(&self, hash: u64) -> Option<&Mutex<Shard>> {
        // The maps take the hash's other end.
        self.shards.get((hash >> 32) as usize % SHARDS)
    }
}

impl Shard {
    fn add(&mut self, key: Key, answer: PolicyAnswer, room: usize) {
        if self.young.len() >= room {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(key, answer);
    }
}
