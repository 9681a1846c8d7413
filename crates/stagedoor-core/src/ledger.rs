//! What is in force, as one hash that follows every change in little time.
//!
//! Each policy, template and link has a digest of its own. These lie in a tree of two levels, by
//! their first bits and sorted, so that the same set has the same hash however it came about, and a
//! change hashes three short lists anew.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::policy::{Body, Slots, StoredPolicy};

/// How many children a node has.
const FAN: usize = 64;

pub(crate) type Digest = [u8; 32];

/// The digests of everything in force.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    groups: Vec<Option<Arc<Group>>>,
}

#[derive(Debug, Clone, Default)]
struct Group {
    digest: Digest,
    lists: Vec<Option<Arc<List>>>,
}

#[derive(Debug, Clone, Default)]
struct List {
    digest: Digest,
    /// Sorted.
    entries: Vec<Digest>,
}

impl Ledger {
    /// Returns the ledger of these digests.
    pub(crate) fn of(entries: impl IntoIterator<Item = Digest>) -> Self {
        let mut entries: Vec<Digest> = entries.into_iter().collect();
        entries.sort_unstable_by_key(|entry| (place(entry), *entry));
        let mut groups = vec![None; FAN];
        for entries in entries.chunk_by(|one, other| place(one).0 == place(other).0) {
            let mut lists = vec![None; FAN];
            for entries in entries.chunk_by(|one, other| place(one).1 == place(other).1) {
                if let Some(slot) = entries.first().and_then(|e| lists.get_mut(place(e).1)) {
                    *slot = List::of(entries.to_vec());
                }
            }
            if let Some(slot) = entries.first().and_then(|e| groups.get_mut(place(e).0)) {
                *slot = Group::of(lists);
            }
        }
        Self { groups }
    }

    pub(crate) fn add(&mut self, entry: Digest) {
        self.change(&entry, |entries| {
            let at = entries.partition_point(|other| *other < entry);
            entries.insert(at, entry);
        });
    }

    pub(crate) fn remove(&mut self, entry: &Digest) {
        self.change(entry, |entries| {
            if let Ok(at) = entries.binary_search(entry) {
                entries.remove(at);
            }
        });
    }

    fn change(&mut self, entry: &Digest, change: impl FnOnce(&mut Vec<Digest>)) {
        let (group, list) = place(entry);
        self.groups.resize(FAN, None);
        let Some(changed) = self.groups.get_mut(group) else { return };
        let mut lists = changed.as_ref().map(|group| group.lists.clone()).unwrap_or_default();
        lists.resize(FAN, None);
        if let Some(slot) = lists.get_mut(list) {
            let mut entries = slot.as_ref().map(|list| list.entries.clone()).unwrap_or_default();
            change(&mut entries);
            *slot = List::of(entries);
        }
        *changed = Group::of(lists);
    }

    /// Returns the hash of everything, after that of what does not change.
    pub(crate) fn revision(&self, head: &Digest) -> String {
        let mut hash = Sha256::new();
        hash.update(head);
        let groups = self.groups.iter().map(|group| group.as_ref().map(|group| group.digest));
        groups.for_each(|digest| hash.update(digest.unwrap_or_default()));
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Group {
    fn of(lists: Vec<Option<Arc<List>>>) -> Option<Arc<Self>> {
        if lists.iter().all(Option::is_none) {
            return None;
        }
        let mut hash = Sha256::new();
        for list in &lists {
            hash.update(list.as_ref().map(|list| list.digest).unwrap_or_default());
        }
        Some(Arc::new(Self { digest: hash.finalize().into(), lists }))
    }
}

impl List {
    fn of(entries: Vec<Digest>) -> Option<Arc<Self>> {
        if entries.is_empty() {
            return None;
        }
        let mut hash = Sha256::new();
        entries.iter().for_each(|entry| hash.update(entry));
        Some(Arc::new(Self { digest: hash.finalize().into(), entries }))
    }
}

/// Returns the group and the list that a digest belongs to.
fn place(digest: &Digest) -> (usize, usize) {
    let [first, second, ..] = *digest;
    (first as usize % FAN, second as usize % FAN)
}

/// Hashes parts, each preceded by its length, so that no two different ones run together.
pub(crate) struct Parts(Sha256);

impl Parts {
    pub(crate) fn of(kind: &str) -> Self {
        let mut parts = Self(Sha256::new());
        parts.add(kind.as_bytes());
        parts
    }

    pub(crate) fn add(&mut self, part: &[u8]) {
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
    }

    pub(crate) fn digest(self) -> Digest {
        self.0.finalize().into()
    }

    fn body(&mut self, body: &Body) {
        self.add(body.text().as_bytes());
        for guard in &body.guards {
            self.add(guard.rule.as_bytes());
            self.add(guard.arguments.as_bytes());
            self.add(guard.guard.digest().as_bytes());
        }
    }
}

/// Returns the digest of a policy or a link: of its id, its text, the rules that guard it, and what
/// fills the slots. Where it stands is not part of it.
pub(crate) fn of_policy(policy: &StoredPolicy) -> Digest {
    let mut parts = Parts::of(if policy.slots.is_some() { "link" } else { "policy" });
    parts.add(policy.id.as_bytes());
    if let Some(Slots { template, principal, resource }) = policy.slots.as_deref() {
        parts.add(template.as_bytes());
        for slot in [principal, resource] {
            // An absent one is not the empty text, which no id is.
            parts.add(slot.as_ref().map(ToString::to_string).unwrap_or_default().as_bytes());
        }
    }
    parts.body(&policy.body);
    parts.digest()
}

/// As [`of_policy`], of a template.
pub(crate) fn of_template(id: &str, body: &Body) -> Digest {
    let mut parts = Parts::of("template");
    parts.add(id.as_bytes());
    parts.body(body);
    parts.digest()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_of_the_set_however_it_came_about() {
        let digest = |n: u32| {
            let mut parts = Parts::of("test");
            parts.add(&n.to_le_bytes());
            parts.digest()
        };
        let head = Digest::default();
        let mut ledger = Ledger::default();
        let mut seen = std::collections::BTreeSet::new();
        for n in 0..3_000 {
            ledger.add(digest(n));
            assert!(seen.insert(ledger.revision(&head)), "{n}");
        }
        assert_eq!(
            ledger.revision(&head),
            Ledger::of((0..3_000).rev().map(digest)).revision(&head)
        );
        for n in (0..3_000).filter(|n| n % 7 != 0) {
            ledger.remove(&digest(n));
        }
        let left = (0..3_000).filter(|n| n % 7 == 0).map(digest);
        assert_eq!(ledger.revision(&head), Ledger::of(left).revision(&head));
        assert_ne!(ledger.revision(&head), ledger.revision(&digest(0)));
    }
}
