//! Finds the policies that can matter to a request without looking at the others.
//!
//! Cedar walks all policies for each request. Its proof of
//! [policy slicing](https://docs.cedarpolicy.com/) says that a policy may be left out
//! when its scope cannot match; [`keys`] extends that to clauses of the condition, and
//! [`tree`] arranges policies by whichever of these tell them apart best.
//!
//! INVARIANT: a policy that is left out is neither satisfied nor errs for the request.

mod keys;
mod tree;

use smallvec::SmallVec;

use crate::policy::StoredPolicy;
use crate::symbols::Symbols;
use crate::view::View;

use keys::{PolicyKeys, Required};
use tree::Tree;

/// The policies that can matter to one request.
pub(crate) type Candidates = SmallVec<[u32; 32]>;

/// The index over one engine's policies.
#[derive(Debug)]
pub(crate) struct Index {
    /// Everything known of a policy, sound where all its required paths are there.
    tree: Tree,
    /// Only what holds whatever is there; the policies that require paths.
    fallback: Tree,
    required: Box<[Required]>,
}

impl Index {
    /// Indexes policies. `validated` tells that policies and data are well typed.
    pub(crate) fn new(policies: &[StoredPolicy], symbols: &Symbols, validated: bool) -> Self {
        let mut required: Vec<Required> = Vec::new();
        let mut indexed = Vec::with_capacity(policies.len());
        let mut careful = Vec::new();
        for (number, policy) in (0_u32..).zip(policies) {
            let PolicyKeys { safe, late, requires } = keys::of(policy, symbols, validated);
            if !requires.is_empty() {
                careful.push((number, safe.clone()));
                required.extend(requires);
            }
            let mut all = safe;
            all.extend(late);
            indexed.push((number, all));
        }
        required.sort_unstable();
        required.dedup();
        Self {
            tree: Tree::build(indexed),
            fallback: Tree::build(careful),
            required: required.into_boxed_slice(),
        }
    }

    /// Returns the policies that can matter, in their order in the policy set.
    pub(crate) fn candidates(&self, view: &View<'_>, candidates: &mut Candidates) {
        self.tree.collect(view, candidates);
        if !self.required.iter().all(|r| r.is_met(view)) {
            self.fallback.collect(view, candidates);
        }
        candidates.sort_unstable();
        candidates.dedup();
    }
}
