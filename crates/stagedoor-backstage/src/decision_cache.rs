//! Answers that were worked out already, for as long as there is room.

use std::hash::BuildHasher as _;
use std::mem;
use std::sync::{Mutex, PoisonError};

use foldhash::quality::RandomState;
use hashbrown::HashTable;
use smol_str::SmolStr;

use crate::policy_answer::PolicyAnswer;
use crate::principal::Principal;

/// Locks that different keys spread over.
const SHARDS: usize = 16;

/// An answer, and what it depends on beside the policies. Compared part by part, so that no
/// two different questions share an answer.
#[derive(Debug)]
struct CachedAnswer {
    hash: u64,
    permission: SmolStr,
    principal: Principal,
    answer: PolicyAnswer,
}

impl CachedAnswer {
    fn is_about(&self, permission: &str, principal: &Principal) -> bool {
        self.permission == permission && self.principal == *principal
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
    young: HashTable<CachedAnswer>,
    old: HashTable<CachedAnswer>,
}

impl DecisionCache {
    /// Returns a cache of about this many entries at the most; of none for 0.
    pub(crate) fn new(entries: usize) -> Self {
        Self::with_room(entries.div_ceil(2 * SHARDS))
    }

    /// Returns a cache of the same size without entries.
    pub(crate) fn emptied(&self) -> Self {
        Self::with_room(self.room)
    }

    fn with_room(room: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, hasher: RandomState::default(), room }
    }

    pub(crate) fn get(&self, permission: &str, principal: &Principal) -> Option<PolicyAnswer> {
        if self.room == 0 {
            return None;
        }
        let hash = self.hasher.hash_one((permission, principal));
        let mut shard = self.shard(hash)?.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |entry: &CachedAnswer| entry.is_about(permission, principal);
        if let Some(entry) = shard.young.find(hash, is_it) {
            return Some(entry.answer.clone());
        }
        let (entry, _) = shard.old.find_entry(hash, is_it).ok()?.remove();
        let answer = entry.answer.clone();
        shard.add(entry, self.room);
        Some(answer)
    }

    pub(crate) fn put(&self, permission: &SmolStr, principal: &Principal, answer: &PolicyAnswer) {
        if self.room == 0 {
            return;
        }
        let hash = self.hasher.hash_one((permission.as_str(), principal));
        let Some(shard) = self.shard(hash) else { return };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have worked it out meanwhile.
        if shard.young.find(hash, |entry| entry.is_about(permission, principal)).is_none() {
            let (permission, principal) = (permission.clone(), principal.clone());
            shard.add(
                CachedAnswer { hash, permission, principal, answer: answer.clone() },
                self.room,
            );
        }
    }

    /// Returns how many answers are kept.
    pub(crate) fn len(&self) -> usize {
        let shards = self.shards.iter().map(|s| s.lock().unwrap_or_else(PoisonError::into_inner));
        shards.map(|shard| shard.young.len() + shard.old.len()).sum()
    }

    fn shard(&self, hash: u64) -> Option<&Mutex<Shard>> {
        // The tables take the hash's other bits.
        self.shards.get((hash >> 24) as usize % SHARDS)
    }
}

impl Shard {
    fn add(&mut self, entry: CachedAnswer, room: usize) {
        if self.young.len() >= room {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert_unique(entry.hash, entry, |entry| entry.hash);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::User;
    use crate::criteria::PolicyDecision;
    use crate::policy_answer::AnswerInner;

    fn answer(revision: &str) -> PolicyAnswer {
        PolicyAnswer(Arc::new(AnswerInner {
            decision: PolicyDecision::Deny,
            reasons: Vec::new(),
            errors: Vec::new(),
            findings: Vec::new(),
            revision: revision.into(),
        }))
    }

    fn user(name: &str, groups: &[&str]) -> Result<Principal, crate::EntityRefError> {
        let groups: Result<Vec<_>, _> = groups.iter().map(|group| group.parse()).collect();
        Ok(User::new(name.parse()?).with_ownership(groups?).into())
    }

    #[test]
    fn every_part_of_the_question_counts() -> Result<(), crate::EntityRefError> {
        let cache = DecisionCache::new(1_000);
        let ana = user("user:default/ana", &["group:default/a"])?;
        let permission = SmolStr::from("p");
        cache.put(&permission, &ana, &answer("ana"));
        assert!(cache.get("p", &ana).is_some());
        for other in [
            user("user:default/ana", &[])?,
            user("user:default/ana", &["group:default/b"])?,
            user("user:default/an", &["group:default/a"])?,
            user("group:default/a", &["user:default/ana"])?,
            Principal::Service("user:default/ana".into()),
        ] {
            assert!(cache.get("p", &other).is_none(), "{other:?}");
        }
        assert!(cache.get("q", &ana).is_none());
        Ok(())
    }

    #[test]
    fn it_stays_within_its_room() -> Result<(), crate::EntityRefError> {
        let cache = DecisionCache::new(320);
        let permission = SmolStr::from("p");
        for number in 0..5_000 {
            cache.put(&permission, &user(&format!("user:default/u{number}"), &[])?, &answer("x"));
            assert!(cache.len() <= 320);
        }
        assert!(cache.get("p", &user("user:default/u4999", &[])?).is_some());
        assert!(cache.get("p", &user("user:default/u0", &[])?).is_none());
        let none = DecisionCache::new(0);
        none.put(&permission, &user("user:default/u", &[])?, &answer("x"));
        assert_eq!(none.len(), 0);
        Ok(())
    }
}
