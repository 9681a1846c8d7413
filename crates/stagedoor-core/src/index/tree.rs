//! A decision tree over policies: each branch asks one feature of the request.

use std::ops::ControlFlow;

use smallvec::SmallVec;

use super::Candidate;
use super::keys::{Feature, FeatureKeys, Parts, PolicyKeys};
use crate::hash::{FastMap, KeyMap};
use crate::symbols::{Key, Var};
use crate::view::{Ids, View};

/// So few policies are checked one by one, where a request meets one leaf.
const SMALL: usize = 4;
/// The same below a branch on the principal: a request meets a leaf for each group.
const SMALL_OF_MANY: usize = 1;
/// So many policies are told apart by their principals within a leaf.
const LEAF: usize = 64;
/// A policy with more keys than this is kept with those that the feature does not tell apart.
const MANY_KEYS: usize = 8;
/// From so many policies a feature is judged by a sample.
const SAMPLE: usize = 2_048;

/// In so many places a policy may stand at the most; past that its keys are left unused.
const COPIES: usize = 64;

/// A policy, its keys, and in how many places below it may still stand.
struct Entry {
    policy: u32,
    keys: SmallVec<[FeatureKeys; 4]>,
    copies: usize,
    /// What holds of the policy for requests that come here.
    settled: Parts,
    /// What has to; `None` if that cannot be told.
    parts: Option<Parts>,
}

impl Entry {
    /// Returns where among the keys those of `feature` are, if they can tell policies apart.
    fn usable(&self, feature: Feature) -> Option<usize> {
        let most = self.copies.min(MANY_KEYS);
        self.keys.iter().position(|keys| keys.feature == feature && keys.keys.len() <= most)
    }

    /// Returns the policy as a candidate, for requests of which `more` holds as well.
    fn candidate(&self, more: Parts) -> Candidate {
        let settled = self.settled.with(more);
        Candidate::new(self.policy, self.parts.is_some_and(|parts| settled.contains(parts)))
    }
}

/// Takes candidates until it breaks off.
pub(crate) trait Take: FnMut(Candidate) -> ControlFlow<()> {}

impl<F: FnMut(Candidate) -> ControlFlow<()>> Take for F {}

#[derive(Debug)]
pub(crate) enum Tree {
    Leaf {
        /// Policies for whoever comes here.
        all: Box<[Candidate]>,
        /// A principal or group, and a policy for it; sorted.
        members: Box<[(u32, Candidate)]>,
    },
    Branch(Box<Branch>),
}

#[derive(Debug)]
pub(crate) struct Branch {
    feature: Feature,
    children: KeyMap<Tree>,
    /// Policies that this feature says nothing about.
    rest: Tree,
}

/// A policy of the index and what must hold for it to matter.
pub(crate) struct Indexed {
    policy: u32,
    keys: SmallVec<[FeatureKeys; 4]>,
    parts: Option<Parts>,
}

impl Indexed {
    /// Returns a policy with the keys that are sound for every request.
    pub(crate) fn careful((policy, keys): &(u32, PolicyKeys)) -> Self {
        Self { policy: *policy, keys: keys.safe.clone(), parts: keys.all_parts() }
    }

    /// Returns a policy with all its keys.
    pub(crate) fn whole((policy, keys): (u32, PolicyKeys)) -> Self {
        let parts = keys.all_parts();
        let mut all = keys.safe;
        all.extend(keys.late);
        Self { policy, keys: all, parts }
    }
}

impl Tree {
    /// Arranges policies with their keys.
    pub(crate) fn build(policies: Vec<Indexed>) -> Self {
        let entry = |Indexed { policy, keys, parts }| {
            let settled = Parts::default();
            Entry { policy, keys, copies: COPIES, settled, parts }
        };
        Self::arrange(policies.into_iter().map(entry).collect(), SMALL)
    }

    fn arrange(entries: Vec<Entry>, small: usize) -> Self {
        let feature = if entries.len() <= small { None } else { best_feature(&entries) };
        let Some(feature) = feature.filter(|f| entries.len() > LEAF || !has_many_values(*f)) else {
            return Self::leaf(&entries);
        };
        let mut groups: KeyMap<Vec<Entry>> = KeyMap::default();
        let mut rest = Vec::new();
        for mut entry in entries {
            let Some(at) = entry.usable(feature) else {
                rest.push(entry);
                continue;
            };
            let FeatureKeys { keys: values, settles, .. } = entry.keys.remove(at);
            let Entry { policy, parts, .. } = entry;
            let copies = entry.copies / values.len().max(1);
            let settled = entry.settled.with(settles);
            for key in &values {
                let keys = entry.keys.clone();
                let entry = Entry { policy, keys, copies, settled, parts };
                groups.entry(*key).or_default().push(entry);
            }
        }
        let below = if has_many_values(feature) { SMALL_OF_MANY } else { small };
        let mut children: KeyMap<Self> =
            groups.into_iter().map(|(key, entries)| (key, Self::arrange(entries, below))).collect();
        children.shrink_to_fit();
        Self::Branch(Box::new(Branch { feature, children, rest: Self::arrange(rest, small) }))
    }

    fn leaf(entries: &[Entry]) -> Self {
        let (mut all, mut members) = (Vec::new(), Vec::new());
        for entry in entries {
            let keys = entry.usable(Feature::Principal).and_then(|at| entry.keys.get(at));
            let Some(FeatureKeys { keys, settles, .. }) = keys else {
                all.push(entry.candidate(Parts::default()));
                continue;
            };
            let candidate = entry.candidate(*settles);
            members.extend(keys.iter().filter_map(|key| Some((key.as_uid()?, candidate))));
        }
        members.sort_unstable();
        Self::Leaf { all: all.into_boxed_slice(), members: members.into_boxed_slice() }
    }

    /// Hands over the policies whose keys the request has, until `take` breaks off. One may come
    /// more than once.
    pub(crate) fn walk(&self, view: &View<'_>, take: &mut impl Take) -> ControlFlow<()> {
        let branch = match self {
            Self::Leaf { all, members } => {
                all.iter().try_for_each(|candidate| take(*candidate))?;
                return walk_members(members, view, take);
            }
            Self::Branch(branch) => branch,
        };
        if is_open(branch.feature, view) {
            branch.children.values().try_for_each(|child| child.walk(view, take))?;
            return branch.rest.walk(view, take);
        }
        match branch.feature {
            Feature::Principal => branch.any_of(view, Var::Principal, take),
            Feature::Action => branch.any_of(view, Var::Action, take),
            Feature::Resource => branch.any_of(view, Var::Resource, take),
            Feature::PrincipalType => {
                branch.child(view.type_(Var::Principal).map(Key::type_), view, take)
            }
            Feature::ResourceType => {
                branch.child(view.type_(Var::Resource).map(Key::type_), view, take)
            }
            Feature::Path(path) => branch.child(view.key(path).flatten(), view, take),
            Feature::Elements(path) => {
                let items = view.elements(path).unwrap_or_default().iter();
                let mut keys: SmallVec<[Key; 8]> =
                    items.filter_map(|item| view.symbols.key(item.into())).collect();
                keys.sort_unstable();
                keys.dedup();
                keys.into_iter().try_for_each(|key| branch.child(Some(key), view, take))
            }
        }?;
        branch.rest.walk(view, take)
    }
}

impl Branch {
    fn child(&self, key: Option<Key>, view: &View<'_>, take: &mut impl Take) -> ControlFlow<()> {
        match key.and_then(|key| self.children.get(&key)) {
            Some(child) => child.walk(view, take),
            None => ControlFlow::Continue(()),
        }
    }

    fn any_of(&self, view: &View<'_>, var: Var, take: &mut impl Take) -> ControlFlow<()> {
        let Some(ids) = view.ids(var).and_then(Ids::get) else { return ControlFlow::Continue(()) };
        if self.children.len() < ids.ids.len() {
            let mut children = self.children.iter();
            children.try_for_each(|(key, child)| match key.as_uid() {
                Some(uid) if ids.contains(uid) => child.walk(view, take),
                _ => ControlFlow::Continue(()),
            })
        } else {
            ids.ids.iter().try_for_each(|uid| self.child(Some(Key::uid(*uid)), view, take))
        }
    }
}

/// Returns whether the request has every value of the feature: it is about any resource.
fn is_open(feature: Feature, view: &View<'_>) -> bool {
    match feature {
        Feature::Resource => view.any_resource,
        Feature::Path(path) | Feature::Elements(path) => view.is_open(path),
        Feature::Principal | Feature::Action => false,
        // The type is known.
        Feature::PrincipalType | Feature::ResourceType => false,
    }
}

/// Hands over the policies for the principal and its groups.
fn walk_members(
    members: &[(u32, Candidate)],
    view: &View<'_>,
    take: &mut impl Take,
) -> ControlFlow<()> {
    let Some(ids) = view.ids(Var::Principal).and_then(Ids::get) else {
        return ControlFlow::Continue(());
    };
    let mut own = members.iter().filter(|(uid, _)| ids.contains(*uid));
    own.try_for_each(|(_, candidate)| take(*candidate))
}

/// Returns the feature that leaves the fewest policies to check, if any helps.
///
/// The principal comes last if it can: all of a user's groups are looked up, so that
/// what follows is done for each of them.
fn best_feature(entries: &[Entry]) -> Option<Feature> {
    let stride = entries.len().div_ceil(SAMPLE);
    let mut sampled = 0_usize;
    let mut tallies: FastMap<Feature, Tally> = FastMap::default();
    for entry in entries.iter().step_by(stride) {
        sampled += 1;
        for FeatureKeys { feature, keys: values, .. } in &entry.keys {
            if entry.usable(*feature).is_none() {
                continue;
            }
            let tally = tallies.entry(*feature).or_default();
            tally.policies += 1;
            for key in values {
                *tally.keys.entry(*key).or_default() += 1;
            }
        }
    }
    let total = sampled as f64;
    let left = |feature: Feature, tally: &Tally| {
        // A request that some policy is meant for falls into a group as often as the
        // group is large.
        let squares: f64 = tally.keys.values().map(|n| f64::from(*n) * f64::from(*n)).sum();
        let constrained = tally.policies as f64;
        (total - constrained) + values_a_request(feature) * squares / constrained
    };
    let best = |most: f64, many: bool| {
        tallies
            .iter()
            .filter(|(feature, _)| many || !has_many_values(**feature))
            .map(|(feature, tally)| (left(*feature, tally), *feature))
            .filter(|(left, _)| *left < most * total)
            .min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)))
            .map(|(_, feature)| feature)
    };
    best(0.5, false).or_else(|| best(0.9, true))
}

#[derive(Default)]
struct Tally {
    policies: usize,
    keys: KeyMap<u32>,
}

fn has_many_values(feature: Feature) -> bool {
    feature == Feature::Principal
}

/// How many values a request has of a feature, by rule of thumb. Users are in many groups,
/// of which few are among those that a branch knows.
fn values_a_request(feature: Feature) -> f64 {
    match feature {
        Feature::Principal => 4.0,
        Feature::Action | Feature::Resource => 2.0,
        Feature::Elements(_) => 3.0,
        Feature::PrincipalType | Feature::ResourceType | Feature::Path(_) => 1.0,
    }
}
