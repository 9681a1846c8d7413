//! Finds the policies that can matter to a request without looking at the others.
//!
//! Cedar walks all policies for each request. Its proof of
//! [policy slicing](https://docs.cedarpolicy.com/) says that a policy may be left out
//! when its scope cannot match; [`keys`] extends that to clauses of the condition,
//! [`arrange`] orders policies by whichever of these tell them apart best, and [`tree`] is
//! what a request walks. What edits add lies beside it, by one key each ([`recent`]); what they
//! take out is passed over.
//!
//! INVARIANT: a policy that is left out is neither satisfied nor errs for the request.

mod build;
mod keys;
mod recent;
mod shared;
#[cfg(test)]
mod tests;
mod tree;

use std::ops::ControlFlow;
use std::sync::Arc;

use cedar_policy::Effect;
use smallvec::SmallVec;

use crate::context::EvalContext;
use crate::hash::FastMap;
use crate::ir::Predicate;
use crate::number::PolicyNumber;
use crate::path_set::PathSet;
use crate::policy::StoredPolicy;
use crate::policy_list::{PolicyList, RemovedPolicies};

use build::{IndexedPolicy, TreeBuilder};
pub(crate) use keys::IndexInput;
use keys::{PolicyKeys, RequiredPath};
use recent::Recent;
use shared::SharedTests;
use tree::Tree;
pub(crate) use tree::Visitor;

/// A policy that can matter to a request, in 32 bits: policies are far fewer than 2³¹.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Candidate(u32);

impl Candidate {
    /// Returns a candidate. Of a `satisfied` one the index has decided every part.
    pub(crate) fn new(policy: PolicyNumber, satisfied: bool) -> Self {
        Self(policy.get() << 1 | u32::from(!satisfied))
    }

    pub(crate) fn policy(self) -> PolicyNumber {
        PolicyNumber::new(self.0 >> 1)
    }

    pub(crate) fn is_satisfied(self) -> bool {
        self.0 & 1 == 0
    }
}

/// The policies of one effect that can matter to one request.
pub(crate) type Candidates = SmallVec<[Candidate; 16]>;

/// So many policies that require the same paths, of all policies, are a group of their own.
const OWN_GROUP: usize = 64;

/// The index over one engine's policies, forbids and permits apart.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    forbids: Groups,
    permits: Groups,
    /// None where nothing was edited.
    edits: Option<Arc<Edits>>,
}

/// What edits changed of an index.
#[derive(Debug, Clone, Default)]
struct Edits {
    removed: RemovedPolicies,
    forbids: Recent,
    permits: Recent,
}

/// Policies grouped by the paths that they require: a request without one of these
/// affects that group and no other.
#[derive(Debug, Clone)]
struct Groups(Arc<[Group]>);

#[derive(Debug)]
struct Group {
    required: Box<[RequiredPath]>,
    /// The same paths, if to be there is all that is required of them.
    there: Option<PathSet>,
    /// Everything known of a policy, sound where all required paths are there.
    tree: Tree,
    /// Only what holds whatever is there.
    fallback: Tree,
}

type KeyedPolicy = (PolicyNumber, PolicyKeys);

/// Policies by the paths that they require.
type PoliciesAlike = FastMap<SmallVec<[RequiredPath; 4]>, Vec<KeyedPolicy>>;

/// Returns the policies of an effect with their keys.
fn keyed(
    effect: Effect,
    policies: &PolicyList,
    world: IndexInput<'_>,
    shared: &SharedTests,
) -> PoliciesAlike {
    let mut alike = PoliciesAlike::default();
    for (number, policy) in policies.iter().filter(|(_, policy)| policy.effect == effect) {
        let keys = keys::of(policy, world, Some(shared));
        alike.entry(keys.requires.clone()).or_default().push((number, keys));
    }
    alike
}

impl Index {
    /// Indexes policies.
    pub(crate) fn new(policies: &PolicyList, world: IndexInput<'_>) -> Self {
        let shared = SharedTests::of(policies);
        let keyed = |effect: Effect| keyed(effect, policies, world, &shared);
        let (forbids, permits) = (keyed(Effect::Forbid), keyed(Effect::Permit));
        let tests = shared.into_tests();
        let of = |keyed| Groups::new(keyed, policies.len(), &tests);
        Self { forbids: of(forbids), permits: of(permits), edits: None }
    }

    /// Adds a policy.
    pub(crate) fn add(
        &mut self,
        number: PolicyNumber,
        policy: &StoredPolicy,
        world: IndexInput<'_>,
    ) {
        self.edits().recent(policy.effect).add(number, &keys::of(policy, world, None));
    }

    /// Takes out a policy; `removed` are the loaded ones that are out, this one among them if it
    /// was loaded.
    pub(crate) fn remove(
        &mut self,
        number: PolicyNumber,
        policy: &StoredPolicy,
        removed: &RemovedPolicies,
        world: IndexInput<'_>,
    ) {
        let edits = self.edits();
        edits.removed = removed.clone();
        if !removed.contains(number) {
            edits.recent(policy.effect).remove(number, &keys::of(policy, world, None));
        }
    }

    fn edits(&mut self) -> &mut Edits {
        Arc::make_mut(self.edits.get_or_insert_default())
    }

    /// Hands over the policies of an effect that can matter, until `take` breaks off. One may come
    /// more than once.
    pub(crate) fn walk(
        &self,
        effect: Effect,
        view: &EvalContext<'_>,
        take: &mut impl Visitor,
    ) -> ControlFlow<()> {
        let groups = match effect {
            Effect::Forbid => &self.forbids,
            Effect::Permit => &self.permits,
        };
        let Some(edits) = &self.edits else { return groups.walk(view, take) };
        groups.walk(view, &mut |candidate: Candidate| {
            if edits.removed.contains(candidate.policy()) {
                return ControlFlow::Continue(());
            }
            take(candidate)
        })?;
        match effect {
            Effect::Forbid => edits.forbids.walk(view, take),
            Effect::Permit => edits.permits.walk(view, take),
        }
    }

    /// Adds the policies of an effect that can matter, in their order in the policy set.
    pub(crate) fn candidates(
        &self,
        effect: Effect,
        view: &EvalContext<'_>,
        found: &mut Candidates,
    ) {
        // Nothing breaks off.
        let _ = self.walk(effect, view, &mut |candidate| {
            found.push(candidate);
            ControlFlow::Continue(())
        });
        if found.len() > 1 {
            found.sort_unstable();
            // Of a policy's places one where it is satisfied comes first.
            found.dedup_by_key(|candidate| candidate.policy());
        }
    }
}

impl Edits {
    fn recent(&mut self, effect: Effect) -> &mut Recent {
        match effect {
            Effect::Forbid => &mut self.forbids,
            Effect::Permit => &mut self.permits,
        }
    }
}

impl Groups {
    #[inline]
    fn walk(&self, view: &EvalContext<'_>, take: &mut impl Visitor) -> ControlFlow<()> {
        self.0.iter().try_for_each(|group| {
            let is_met = group.there.is_some_and(|there| view.there.contains(there))
                || group.required.iter().all(|required| required.is_met(view));
            let tree = if is_met { &group.tree } else { &group.fallback };
            tree.walk(view, take)
        })
    }

    fn new(keyed: PoliciesAlike, policies: usize, tests: &Arc<[Predicate]>) -> Self {
        let own = OWN_GROUP.max(policies / OWN_GROUP);
        let mut groups = Vec::new();
        let mut others = Vec::new();
        for (required, keyed) in keyed {
            // Policies that require nothing must not suffer from others' requirements.
            if required.is_empty() || keyed.len() >= own {
                groups.push(Group::new(keyed, tests));
            } else {
                others.extend(keyed);
            }
        }
        if !others.is_empty() {
            groups.push(Group::new(others, tests));
        }
        Self(groups.into())
    }
}

impl Group {
    fn new(policies: Vec<KeyedPolicy>, tests: &Arc<[Predicate]>) -> Self {
        let mut required: Vec<RequiredPath> =
            policies.iter().flat_map(|(_, keys)| keys.requires.iter().copied()).collect();
        required.sort_unstable();
        required.dedup();
        // Of nothing required nothing is missing.
        let careful: &[KeyedPolicy] = if required.is_empty() { &[] } else { &policies };
        let mut there = required.iter().map(|required| required.as_set());
        Self {
            there: there.try_fold(PathSet::default(), |all, one| Some(all.with(one?))),
            fallback: TreeBuilder::tree(careful.iter().flat_map(IndexedPolicy::careful), tests),
            tree: TreeBuilder::tree(policies.into_iter().flat_map(IndexedPolicy::whole), tests),
            required: required.into_boxed_slice(),
        }
    }
}
