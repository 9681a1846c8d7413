//! How large conditions may be.

use crate::criteria::Criteria;
use crate::policy_answer::{Finding, FindingCode};

/// How large conditions may be. Larger ones are answered by a denial.
///
/// Backstage sends conditions once for each resource of a request, at most 100 KiB in all;
/// its databases suffer from many rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Number of rules (64): PostgreSQL takes 0.2 s for so many.
    pub leaves: usize,
    /// How deep they nest (16).
    pub depth: usize,
    /// Bytes of JSON (3,800): a page of 25 search results then fits one request.
    pub bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { leaves: 64, depth: 16, bytes: 3_800 }
    }
}

impl Budget {
    /// Returns what is too large about the criteria, if anything is.
    pub(crate) fn exceeded_by(self, criteria: &Criteria) -> Option<Finding> {
        let Budget { leaves, depth, bytes } = self;
        let counted = |given: usize, limit: usize, of: &str| {
            (given > limit).then(|| format!("{given} {of} are more than the limit of {limit}"))
        };
        let message = counted(criteria.leaves(), leaves, "rules")
            .or_else(|| counted(criteria.depth(), depth, "levels"))
            .or_else(|| {
                let length = serde_json::to_string(criteria).map_or(usize::MAX, |json| json.len());
                counted(length, bytes, "bytes")
            })?;
        Some(Finding {
            code: FindingCode::OverBudget,
            policy: None,
            file: None,
            line: None,
            clause: None,
            message: format!(
                "the conditions are too large, so that the answer is a denial: {message}"
            ),
            help: "write policies about labels, kinds and owners rather than one for each \
                   entity; let users sign in with fewer groups; or raise the budget"
                .to_owned(),
        })
    }
}
