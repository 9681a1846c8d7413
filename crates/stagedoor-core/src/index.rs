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

use crate::hash::FastMap;
use crate::policy::StoredPolicy;
use crate::symbols::Symbols;
use crate::view::View;

use keys::{PolicyKeys, Required};
use tree::Tree;

/// The policies that can matter to one request.
pub(crate) type Candidates = SmallVec<[u32; 32]>;

/// So many policies that require the same paths, of all policies, are a group of their own.
const OWN_GROUP: usize = 64;

/// The index over one engine's policies.
///
/// They are grouped by the paths that they require: a request without one of these
/// affects that group and no other.
#[derive(Debug)]
pub(crate) struct Index(Box<[Group]>);

#[derive(Debug)]
struct Group {
    required: Box<[Required]>,
    /// Everything known of a policy, sound where all required paths are there.
    tree: Tree,
    /// Only what holds whatever is there.
    fallback: Tree,
}

type Keyed = (u32, PolicyKeys);

impl Index {
    /// Indexes policies. `validated` tells that policies and data are well typed.
    pub(crate) fn new(policies: &[StoredPolicy], symbols: &Symbols, validated: bool) -> Self {
        let mut alike: FastMap<SmallVec<[Required; 4]>, Vec<Keyed>> = FastMap::default();
        for (number, policy) in (0_u32..).zip(policies) {
            let keys = keys::of(policy, symbols, validated);
            alike.entry(keys.requires.clone()).or_default().push((number, keys));
        }
        let own = OWN_GROUP.max(policies.len() / OWN_GROUP);
        let mut groups = Vec::new();
        let mut others = Vec::new();
        for (required, keyed) in alike {
            // Policies that require nothing must not suffer from others' requirements.
            if required.is_empty() || keyed.len() >= own {
                groups.push(Group::new(keyed));
            } else {
                others.extend(keyed);
            }
        }
        if !others.is_empty() {
            groups.push(Group::new(others));
        }
        Self(groups.into_boxed_slice())
    }

    /// Returns the policies that can matter, in their order in the policy set.
    pub(crate) fn candidates(&self, view: &View<'_>, candidates: &mut Candidates) {
        for group in &self.0 {
            let is_met = group.required.iter().all(|required| required.is_met(view));
            let tree = if is_met { &group.tree } else { &group.fallback };
            tree.collect(view, candidates);
        }
        candidates.sort_unstable();
        candidates.dedup();
    }
}

impl Group {
    fn new(policies: Vec<Keyed>) -> Self {
        let mut required: Vec<Required> = Vec::new();
        let mut indexed = Vec::with_capacity(policies.len());
        let mut careful = Vec::new();
        for (number, PolicyKeys { safe, late, requires, .. }) in policies {
            required.extend(requires);
            careful.push((number, safe.clone()));
            let mut all = safe;
            all.extend(late);
            indexed.push((number, all));
        }
        required.sort_unstable();
        required.dedup();
        if required.is_empty() {
            careful.clear();
        }
        Self {
            required: required.into_boxed_slice(),
            tree: Tree::build(indexed),
            fallback: Tree::build(careful),
        }
    }
}
