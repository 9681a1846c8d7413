//! Chooses which features a tree's branches ask, and lays the tree out in tables.

use std::sync::Arc;

use smallvec::SmallVec;

use super::keys::{Feature, FeatureKeys, Parts};
use super::tree::{Check, LeafEntry, Member, Node, Slot, Span, Table, Tree};
use super::{Candidate, KeyedPolicy};
use crate::hash::FastMap;
use crate::ir::Predicate;
use crate::number::{CheckListNumber, NodeNumber, PolicyNumber};
use crate::symbols::{Key, KeyMap};

/// So few policies are checked one by one.
const SMALL: usize = 4;
/// So many policies are told apart by their principals within a leaf.
const LEAF: usize = 64;
/// A policy with more keys than this is kept with those that the feature does not tell apart.
const MANY_KEYS: usize = 8;
/// From so many policies a feature is judged by a sample.
const SAMPLE: usize = 2_048;
/// In so many places a policy may stand at the most; past that its keys are left unused.
const COPIES: usize = 64;
/// For so many policies a test is asked before any of them is looked at.
const SHARED: usize = 8;
/// From so many groups on, a branch first asks which of a user's groups it can know at all.
const MANY_CHILDREN: usize = 8;

type KeySets = Vec<SmallVec<[FeatureKeys; 4]>>;

/// A policy of the index and what must hold for it to matter.
pub(super) struct IndexedPolicy {
    policy: PolicyNumber,
    keys: SmallVec<[FeatureKeys; 4]>,
    parts: Option<Parts>,
    /// In how many places it may stand.
    copies: usize,
}

impl IndexedPolicy {
    /// Returns a policy with the keys that are sound for every request: one for each set of
    /// alternatives.
    pub(super) fn careful((policy, keys): &KeyedPolicy) -> impl Iterator<Item = Self> + use<> {
        Self::each(*policy, keys.all_parts(), keys.safe_sets())
    }

    /// Returns a policy with all its keys.
    pub(super) fn whole((policy, keys): KeyedPolicy) -> impl Iterator<Item = Self> {
        Self::each(policy, keys.all_parts(), keys.sets())
    }

    fn each(
        policy: PolicyNumber,
        parts: Option<Parts>,
        sets: KeySets,
    ) -> impl Iterator<Item = Self> {
        let copies = COPIES / sets.len().max(1);
        sets.into_iter().map(move |keys| Self { policy, keys, parts, copies })
    }
}

/// A policy, its keys, and in how many places below it may still stand.
struct PolicyEntry {
    policy: PolicyNumber,
    keys: SmallVec<[FeatureKeys; 4]>,
    copies: usize,
    /// What holds of the policy for requests that come here.
    implied: Parts,
    /// What has to; `None` if that cannot be told.
    parts: Option<Parts>,
}

impl PolicyEntry {
    /// Returns where among the keys those of `feature` are, if they can tell policies apart.
    fn usable(&self, feature: Feature) -> Option<usize> {
        let most = self.copies.min(MANY_KEYS);
        self.keys.iter().position(|keys| keys.feature == feature && keys.keys.len() <= most)
    }
}

/// What a list of checks asks: for each feature, one of these keys.
type CheckKey = Vec<(Feature, Box<[Key]>)>;

/// A tree in the making.
#[derive(Default)]
pub(super) struct TreeBuilder {
    nodes: Vec<Node>,
    slots: Vec<Slot>,
    words: Vec<u64>,
    places: Vec<LeafEntry>,
    members: Vec<Member>,
    lists: Vec<Span>,
    checks: Vec<Check>,
    keys: Vec<Key>,
    /// Lists of checks by what they ask: most are asked of many policies.
    known: FastMap<CheckKey, CheckListNumber>,
    /// Whether all policies together are no more than a leaf takes: then a policy may stand once for each
    /// of its actions, and memory does not matter.
    is_small: bool,
}

impl TreeBuilder {
    /// Arranges policies with their keys.
    pub(super) fn tree(
        policies: impl Iterator<Item = IndexedPolicy>,
        tests: &Arc<[Predicate]>,
    ) -> Tree {
        let entry = |IndexedPolicy { policy, keys, parts, copies }| {
            let implied = Parts::default();
            PolicyEntry { policy, keys, copies, implied, parts }
        };
        let entries: Vec<PolicyEntry> = policies.map(entry).collect();
        let mut made = Self { is_small: entries.len() <= LEAF, ..Self::default() };
        let root = made.arrange(entries);
        Tree {
            root,
            nodes: made.nodes.into_boxed_slice(),
            slots: made.slots.into_boxed_slice(),
            words: made.words.into_boxed_slice(),
            places: made.places.into_boxed_slice(),
            members: made.members.into_boxed_slice(),
            lists: made.lists.into_boxed_slice(),
            checks: made.checks.into_boxed_slice(),
            keys: made.keys.into_boxed_slice(),
            tests: Arc::clone(tests),
        }
    }

    /// Returns the number of a node for these policies; `None` where there are none.
    fn arrange(&mut self, entries: Vec<PolicyEntry>) -> Option<NodeNumber> {
        if entries.is_empty() {
            return None;
        }
        let feature =
            if entries.len() <= SMALL { None } else { best_feature(&entries, self.is_small) };
        let Some(feature) = feature.filter(|f| entries.len() > LEAF || !has_many_values(*f)) else {
            let leaf = self.leaf(entries);
            return Some(self.node(leaf));
        };
        let mut groups: KeyMap<Vec<PolicyEntry>> = KeyMap::default();
        let mut rest = Vec::new();
        for mut entry in entries {
            let Some(at) = entry.usable(feature) else {
                rest.push(entry);
                continue;
            };
            // INVARIANT: the question may be taken off the policy, since only requests that have one
            // of its keys come to these children. A policy without it goes to `rest`, which every
            // request is taken to.
            let FeatureKeys { keys: values, implied, .. } = entry.keys.remove(at);
            let PolicyEntry { policy, parts, .. } = entry;
            let copies = entry.copies / values.len().max(1);
            let implied = entry.implied.with(implied);
            for key in &values {
                let keys = entry.keys.clone();
                let entry = PolicyEntry { policy, keys, copies, implied, parts };
                groups.entry(*key).or_default().push(entry);
            }
        }
        // Children come in the order of their keys, so that equal policies make equal trees.
        let mut groups: Vec<(Key, Vec<PolicyEntry>)> = groups.into_iter().collect();
        groups.sort_unstable_by_key(|(key, _)| *key);
        let children = groups.into_iter();
        let children: Vec<(Key, NodeNumber)> =
            children.filter_map(|(key, entries)| Some((key, self.arrange(entries)?))).collect();
        let table = self.table(&children, has_many_values(feature));
        let rest = self.arrange(rest);
        Some(self.node(Node::Branch { feature, table, rest }))
    }

    fn node(&mut self, node: Node) -> NodeNumber {
        let number = NodeNumber::after(self.nodes.len());
        self.nodes.push(node);
        number
    }

    /// Adds a table of children, and a filter for it where many values are looked up.
    fn table(&mut self, children: &[(Key, NodeNumber)], many: bool) -> Table {
        // Half of the slots stay free, so that a search ends soon.
        let room = (2 * children.len()).next_power_of_two();
        let mut slots = vec![Slot::default(); room];
        for (key, child) in children {
            let mut at = Slot::first(*key, room);
            while slots.get(at).is_some_and(|slot| slot.key.is_some()) {
                at = (at + 1) & (room - 1);
            }
            if let Some(slot) = slots.get_mut(at) {
                *slot = Slot { key: Some(*key), child: *child };
            }
        }
        let filter = if many && children.len() >= MANY_CHILDREN {
            let mut words = vec![0_u64; (children.len() / 8).next_power_of_two()];
            for uid in children.iter().filter_map(|(key, _)| key.as_uid()) {
                let (word, bit) = Table::place(uid, words.len());
                if let Some(word) = words.get_mut(word) {
                    *word |= bit;
                }
            }
            Span::append(&mut self.words, words)
        } else {
            Span::default()
        };
        let count = u32::try_from(children.len()).unwrap_or(u32::MAX);
        Table { slots: Span::append(&mut self.slots, slots), filter, count }
    }

    fn leaf(&mut self, entries: Vec<PolicyEntry>) -> Node {
        let few = entries.len() <= SMALL;
        let (mut all, mut members) = (Vec::new(), Vec::new());
        for mut entry in entries {
            // Few are checked as they are; of more, those of other principals are passed over.
            let at = entry.usable(Feature::Principal).filter(|_| !few);
            let own = at.map(|at| entry.keys.remove(at));
            if let Some(own) = &own {
                entry.implied = entry.implied.with(own.implied);
            }
            let place = self.place(entry);
            let Some(own) = own else {
                all.push(place);
                continue;
            };
            let uids = own.keys.iter().filter_map(|key| key.as_uid());
            members.extend(uids.map(|uid| Member { uid, place }));
        }
        members.sort_unstable();
        let all = Span::append(&mut self.places, all);
        Node::Leaf { all, members: Span::append(&mut self.members, members) }
    }

    /// Returns a policy with the checks that are left of it.
    fn place(&mut self, entry: PolicyEntry) -> LeafEntry {
        let PolicyEntry { policy, keys, implied, parts, .. } = entry;
        let implied = keys.iter().fold(implied, |implied, keys| implied.with(keys.implied));
        // INVARIANT: satisfied is who has had every part implied by keys that were asked, on the way
        // here or by the checks below. Guarded policies have no parts, so that none of them is.
        let is_satisfied = parts.is_some_and(|parts| implied.contains(parts));
        let mut left: CheckKey = keys
            .into_iter()
            .map(|FeatureKeys { feature, mut keys, .. }| {
                keys.sort_unstable();
                (feature, keys)
            })
            .collect();
        // Policies that ask the same share a list. Numbers come before what is looked up.
        left.sort_unstable();
        LeafEntry { candidate: Candidate::new(policy, is_satisfied), checks: self.checks(left) }
    }

    /// Returns the number of a list of checks.
    fn checks(&mut self, left: CheckKey) -> CheckListNumber {
        if let Some(number) = self.known.get(&left) {
            return *number;
        }
        let checks: Vec<Check> = left
            .iter()
            .map(|(feature, keys)| {
                let keys = Span::append(&mut self.keys, keys.iter().copied());
                Check { feature: *feature, keys }
            })
            .collect();
        let list = Span::append(&mut self.checks, checks);
        let number = CheckListNumber::after(self.lists.len());
        self.lists.push(list);
        self.known.insert(left, number);
        number
    }
}

/// Returns the feature that leaves the fewest policies to check, if any helps.
///
/// The principal comes last if it can: all of a user's groups are looked up, so that
/// what follows is done for each of them.
fn best_feature(entries: &[PolicyEntry], is_small: bool) -> Option<Feature> {
    let stride = entries.len().div_ceil(SAMPLE);
    let mut sampled = 0_usize;
    let mut tallies: FastMap<Feature, KeyCounts> = FastMap::default();
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
    let left = |feature: Feature, tally: &KeyCounts| {
        // A request that some policy is meant for falls into a group as often as the
        // group is large.
        let squares: f64 = tally.keys.values().map(|n| f64::from(*n) * f64::from(*n)).sum();
        let constrained = tally.policies as f64;
        if is_test(feature) {
            // Nobody knows how often it holds; it is asked once and not of each policy.
            return total - constrained / 2.0;
        }
        (total - constrained) + values_a_request(feature, is_small) * squares / constrained
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
    best(0.5, false)
        .or_else(|| best(0.9, true))
        .or_else(|| {
            // Of very many policies a part is worth a question, however small a share it is: those of
            // `a || b || c …` that one alternative leads to.
            let many = entries.len() > 2 * LEAF;
            many.then(|| best(1.0 - LEAF as f64 / entries.len() as f64, false)).flatten()
        })
        .or_else(|| {
            // A test is asked once for all that share it, few as they may be among the others.
            let tests = tallies
                .iter()
                .filter(|(feature, tally)| is_test(**feature) && tally.policies * stride >= SHARED);
            tests.max_by_key(|(feature, tally)| (tally.policies, **feature)).map(|(test, _)| *test)
        })
}

fn is_test(feature: Feature) -> bool {
    matches!(feature, Feature::Test(_))
}

#[derive(Default)]
struct KeyCounts {
    policies: usize,
    keys: KeyMap<u32>,
}

fn has_many_values(feature: Feature) -> bool {
    feature == Feature::Principal
}

/// How many values a request has of a feature, by rule of thumb. Users are in many groups,
/// of which few are among those that a branch knows.
fn values_a_request(feature: Feature, is_small: bool) -> f64 {
    match feature {
        Feature::Principal => 4.0,
        // Of actions in groups the policies of either are few here.
        Feature::Action if is_small => 1.0,
        Feature::Action | Feature::Resource => 2.0,
        Feature::Elements(_) => 3.0,
        Feature::PrincipalType | Feature::ResourceType | Feature::Path(_) | Feature::Test(_) => 1.0,
    }
}
