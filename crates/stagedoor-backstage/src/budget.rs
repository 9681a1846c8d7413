//! How large conditions may be.

use crate::criteria::Criteria;

/// How large conditions may be. What is larger is cut on the side that narrows, and told.
///
/// Backstage's permission backend sends conditions to the plugin that applies them once for each
/// resource of a request, and the plugin refuses a body of over 102,400 bytes: the whole request
/// fails then. So the bytes are what [`for_items`](Self::for_items) leaves each of 50 items.
/// Databases suffer from many rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Number of rules (64): PostgreSQL takes 0.2 s for so many.
    pub leaves: usize,
    /// How deep they nest (16).
    pub depth: usize,
    /// Bytes of JSON (1,647).
    pub bytes: usize,
}

/// What a plugin's router takes as a body.
const BODY_BYTES: usize = 100 << 10;
/// What is around the items: `{"items":[]}`.
const AROUND_ITEMS: usize = 12;
/// What is around the conditions of an item: its id, the longest reference that the catalog
/// accepts, the names of the resource type and the plugin.
const AROUND_CONDITIONS: usize = 400;
/// Items of a request, unless the settings say otherwise.
const ITEMS: usize = 50;

impl Default for Budget {
    fn default() -> Self {
        Self::for_items(ITEMS)
    }
}

impl Budget {
    /// Returns the budget with which a request of so many resources fits one body. For more than
    /// 160 the conditions would have no room; it is that of 160.
    ///
    /// # Examples
    ///
    /// ```
    /// use stagedoor_backstage::Budget;
    ///
    /// assert_eq!(Budget::for_items(50), Budget::default());
    /// assert!(Budget::for_items(10).bytes > 9_000);
    /// ```
    #[must_use]
    pub fn for_items(items: usize) -> Self {
        let each = (BODY_BYTES - AROUND_ITEMS) / items.clamp(1, 160);
        Self { leaves: 64, depth: 16, bytes: each - AROUND_CONDITIONS }
    }

    /// Returns what is too large about the criteria, if anything is.
    pub(crate) fn excess(self, criteria: &Criteria) -> Option<String> {
        let Self { leaves, depth, bytes } = self;
        let counted = |given: usize, limit: usize, of: &str| {
            (given > limit).then(|| format!("{given} {of} are more than the limit of {limit}"))
        };
        counted(criteria.leaves(), leaves, "rules")
            .or_else(|| counted(criteria.depth(), depth, "levels"))
            .or_else(|| counted(criteria.json_length(), bytes, "bytes"))
    }
}
