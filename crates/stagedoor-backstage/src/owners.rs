//! How many entities each owner has.

use std::collections::HashMap;

use foldhash::quality::RandomState;
use smol_str::SmolStr;

/// How many entities of the catalog each owner has, by its reference.
///
/// With it, conditions that are too large lose the claims that own nothing, and keep those that
/// own most.
///
/// # Examples
///
/// ```
/// use stagedoor_backstage::OwnerCounts;
///
/// let owners: OwnerCounts = [("Group:default/Web".to_owned(), 12)].into_iter().collect();
/// assert_eq!((owners.count("group:default/web"), owners.count("group:default/ops")), (12, 0));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnerCounts(HashMap<SmolStr, u64, RandomState>);

impl OwnerCounts {
    /// Returns how many entities the owner has.
    #[must_use]
    pub fn count(&self, owner: &str) -> u64 {
        self.0.get(owner).copied().unwrap_or_default()
    }

    /// Returns whether nothing is known: an empty catalog has not been read yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: AsRef<str>> FromIterator<(T, u64)> for OwnerCounts {
    fn from_iter<I: IntoIterator<Item = (T, u64)>>(owners: I) -> Self {
        let mut counts: HashMap<SmolStr, u64, RandomState> = HashMap::default();
        for (owner, count) in owners {
            // The catalog's database knows no case, as references have none here.
            *counts.entry(owner.as_ref().to_lowercase().into()).or_default() += count;
        }
        Self(counts)
    }
}
