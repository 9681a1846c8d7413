//! Groups that are above each other.
//!
//! Cedar's hierarchies have no circles, and catalogs do: `a` names `b` as its parent, and `b`
//! names `a`. Whoever is in one of them is in all of them, as each of the two said. So a circle
//! is taken as one place in the hierarchy: what is above one of its groups is above all of them,
//! and what is below one is below all. That a member of one is in the others is said of the
//! member itself.

use std::collections::{BTreeMap, BTreeSet};

/// What is right above each.
pub(crate) type Above<K> = BTreeMap<K, BTreeSet<K>>;

/// Returns the circles: for each that is on one, all that are on it, itself included.
pub(crate) fn circles<K: Ord + Clone>(above: &Above<K>) -> BTreeMap<K, BTreeSet<K>> {
    let names: Vec<&K> = above.keys().collect();
    let numbers: BTreeMap<&K, usize> = names.iter().enumerate().map(|(n, k)| (*k, n)).collect();
    let edges: Vec<Vec<usize>> = above
        .values()
        .map(|parents| parents.iter().filter_map(|parent| numbers.get(parent).copied()).collect())
        .collect();
    let mut circles = BTreeMap::new();
    for component in components(&edges) {
        let members: BTreeSet<K> =
            component.iter().filter_map(|n| names.get(*n)).map(|name| (*name).clone()).collect();
        if members.len() > 1 {
            circles.extend(members.iter().map(|member| (member.clone(), members.clone())));
        }
    }
    circles
}

/// Returns the hierarchy with each circle in one place, and nothing above itself.
pub(crate) fn straightened<K: Ord + Clone>(
    above: &Above<K>,
    circles: &BTreeMap<K, BTreeSet<K>>,
) -> Above<K> {
    let with_circle = |parent: &K| -> BTreeSet<K> {
        circles.get(parent).cloned().unwrap_or_else(|| BTreeSet::from([parent.clone()]))
    };
    let mut straight = Above::new();
    for (name, parents) in above {
        let (circle, parents): (BTreeSet<K>, BTreeSet<K>) = match circles.get(name) {
            Some(circle) => {
                let all = circle.iter().filter_map(|member| above.get(member)).flatten();
                (circle.clone(), all.cloned().collect())
            }
            None => (BTreeSet::from([name.clone()]), parents.clone()),
        };
        let outside = parents.iter().filter(|parent| !circle.contains(*parent));
        straight.insert(name.clone(), outside.flat_map(with_circle).collect());
    }
    straight
}

/// Returns the strongly connected components (Tarjan's algorithm, without recursion).
fn components(edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
    #[derive(Clone, Copy)]
    struct Visit {
        index: usize,
        lowest: usize,
        is_open: bool,
    }
    let mut visits: Vec<Option<Visit>> = vec![None; edges.len()];
    let (mut open, mut found, mut count) = (Vec::new(), Vec::new(), 0);
    for start in 0..edges.len() {
        // A node, and how many of its edges were followed.
        let mut path = vec![(start, 0_usize)];
        while let Some((node, followed)) = path.pop() {
            let Some(visit) = visits.get_mut(node) else { continue };
            if followed == 0 {
                if visit.is_some() {
                    continue;
                }
                *visit = Some(Visit { index: count, lowest: count, is_open: true });
                count += 1;
                open.push(node);
            }
            let targets = edges.get(node).map(Vec::as_slice).unwrap_or_default();
            // The edge that led away has come back.
            let returned = followed.checked_sub(1).and_then(|last| targets.get(last));
            let lowest_of = |visits: &[Option<Visit>], target: usize| {
                let visit = visits.get(target).copied().flatten();
                visit.filter(|visit| visit.is_open).map(|visit| visit.lowest)
            };
            if let Some(lowest) = returned.and_then(|target| lowest_of(&visits, *target))
                && let Some(Some(visit)) = visits.get_mut(node)
            {
                visit.lowest = visit.lowest.min(lowest);
            }
            if let Some(target) = targets.get(followed) {
                path.push((node, followed + 1));
                path.push((*target, 0));
                continue;
            }
            let Some(Some(visit)) = visits.get(node).copied() else { continue };
            if visit.lowest == visit.index {
                let mut component = Vec::new();
                while let Some(member) = open.pop() {
                    if let Some(Some(visit)) = visits.get_mut(member) {
                        visit.is_open = false;
                    }
                    component.push(member);
                    if member == node {
                        break;
                    }
                }
                found.push(component);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn above(edges: &[(u32, u32)]) -> Above<u32> {
        let mut above = Above::new();
        for (name, parent) in edges {
            above.entry(*name).or_default().insert(*parent);
            above.entry(*parent).or_default();
        }
        above
    }

    /// Returns what is reached from each, by following edges.
    fn reached(above: &Above<u32>, start: u32) -> BTreeSet<u32> {
        let (mut seen, mut open) = (BTreeSet::new(), vec![start]);
        while let Some(name) = open.pop() {
            for parent in above.get(&name).into_iter().flatten() {
                if seen.insert(*parent) {
                    open.push(*parent);
                }
            }
        }
        seen
    }

    #[test]
    fn whoever_reaches_a_group_still_does() {
        let mut seed = 1_u64;
        let mut next = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            u32::try_from((seed >> 33) % below).unwrap_or_default()
        };
        for round in 0..300 {
            let edges: Vec<(u32, u32)> = (0..round % 25).map(|_| (next(10), next(10))).collect();
            let above = above(&edges);
            let circles = circles(&above);
            let straight = straightened(&above, &circles);
            for name in above.keys() {
                let mut expected = reached(&above, *name);
                let is_on_circle = expected.contains(name) && expected.len() > 1;
                let mut got = reached(&straight, *name);
                assert!(!got.contains(name), "{name} is above itself: {edges:?}");
                got.extend(circles.get(name).into_iter().flatten());
                expected.insert(*name);
                got.insert(*name);
                assert_eq!(got, expected, "{name} of {edges:?}");
                assert!(is_on_circle || !circles.contains_key(name), "{name} of {edges:?}");
            }
        }
    }
}
