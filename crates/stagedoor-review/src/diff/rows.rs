//! A thousand changes as a few rows.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Comparison, Direction};

/// So many names are listed before the rest is counted.
const NAMED: usize = 3;

/// Changes that are alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AccessRow {
    /// Which way they go.
    pub direction: Direction,
    /// Whom they concern: groups, or users that no group describes.
    pub who: Vec<String>,
    /// How many users these are.
    pub users: usize,
    /// How many users were asked for.
    pub all_users: usize,
    /// The permissions, verbs or actions.
    pub actions: Vec<String>,
    /// What they are about, by kind. None where there is no resource.
    pub resources: Vec<ResourceGroup>,
    /// How many requests they are.
    pub requests: usize,
    /// The policies that determined the old decisions.
    pub before: Vec<String>,
    /// The policies that determine the new ones.
    pub after: Vec<String>,
}

/// Resources of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ResourceGroup {
    /// The kind.
    pub kind: String,
    /// The resources.
    pub names: Vec<String>,
    /// How many of the kind were asked about.
    pub of: usize,
}

type Person<'r> = (&'r str, &'r [String]);
type Resource<'r> = (&'r str, &'r str);

#[derive(Default)]
struct Cell<'r> {
    resources: BTreeSet<Resource<'r>>,
    before: BTreeSet<&'r str>,
    after: BTreeSet<&'r str>,
}

pub(super) fn of(comparison: &Comparison<'_>) -> Vec<AccessRow> {
    let world = ComparedRequests::of(comparison);
    let mut rows: Vec<AccessRow> = [Direction::Widened, Direction::Narrowed]
        .into_iter()
        .flat_map(|direction| of_direction(comparison, direction, &world))
        .collect();
    rows.sort_by(|a, b| {
        (a.direction, std::cmp::Reverse(a.requests))
            .cmp(&(b.direction, std::cmp::Reverse(b.requests)))
    });
    rows
}

fn of_direction(
    comparison: &Comparison<'_>,
    direction: Direction,
    world: &ComparedRequests<'_>,
) -> Vec<AccessRow> {
    // What each person gains or loses by each action.
    let mut cells: BTreeMap<(Person<'_>, &str), Cell<'_>> = BTreeMap::new();
    for change in comparison.changes.iter().filter(|change| change.direction == direction) {
        let Some(request) = comparison.requests.get(change.request) else { continue };
        let person = (request.who.as_str(), request.groups.as_slice());
        let cell = cells.entry((person, &request.action)).or_default();
        cell.resources.insert((&request.kind, &request.resource));
        cell.before.extend(change.before.iter().map(String::as_str));
        cell.after.extend(change.after.iter().map(String::as_str));
    }
    // Actions by which a person gains or loses the same, for the same reasons.
    type What<'r> = (BTreeSet<Resource<'r>>, BTreeSet<&'r str>, BTreeSet<&'r str>);
    let mut of_person: BTreeMap<(Person<'_>, What<'_>), BTreeSet<&str>> = BTreeMap::new();
    for ((person, action), Cell { resources, before, after }) in cells {
        of_person.entry((person, (resources, before, after))).or_default().insert(action);
    }
    // People who gain or lose the same.
    let mut alike: BTreeMap<(BTreeSet<&str>, What<'_>), BTreeSet<Person<'_>>> = BTreeMap::new();
    for ((person, what), actions) in of_person {
        alike.entry((actions, what)).or_default().insert(person);
    }
    alike
        .into_iter()
        .map(|((actions, (resources, before, after)), people)| {
            let owned = |words: BTreeSet<&str>| words.into_iter().map(str::to_owned).collect();
            let asked = actions.len() * resources.len() * people.len();
            AccessRow {
                direction,
                who: world.described(&people),
                users: people.len(),
                all_users: world.people.len(),
                actions: owned(actions),
                resources: world.grouped(&resources),
                requests: asked,
                before: owned(before),
                after: owned(after),
            }
        })
        .collect()
}

/// Everybody and everything that was asked about.
struct ComparedRequests<'r> {
    people: BTreeSet<Person<'r>>,
    members: BTreeMap<&'r str, BTreeSet<Person<'r>>>,
    kinds: BTreeMap<&'r str, BTreeSet<&'r str>>,
}

impl<'r> ComparedRequests<'r> {
    fn of(comparison: &Comparison<'r>) -> Self {
        let mut world =
            Self { people: BTreeSet::new(), members: BTreeMap::new(), kinds: BTreeMap::new() };
        for request in comparison.requests {
            let person = (request.who.as_str(), request.groups.as_slice());
            if world.people.insert(person) {
                for group in &request.groups {
                    world.members.entry(group).or_default().insert(person);
                }
            }
            world.kinds.entry(&request.kind).or_default().insert(&request.resource);
        }
        world
    }

    /// Returns few names for people: the groups whose members they are, then those left over.
    fn described(&self, people: &BTreeSet<Person<'r>>) -> Vec<String> {
        if people.len() == self.people.len() && people.len() > 1 {
            return vec!["everybody".to_owned()];
        }
        let mut within: Vec<(&str, &BTreeSet<Person<'_>>)> = self
            .members
            .iter()
            .filter(|(_, members)| members.is_subset(people))
            .map(|(group, members)| (*group, members))
            .collect();
        within.sort_by_key(|(group, members)| (std::cmp::Reverse(members.len()), *group));
        let mut left = people.clone();
        let mut names = Vec::new();
        for (group, members) in within {
            // A group of one says less than the name.
            if members.len() > 1 && !members.is_disjoint(&left) {
                left.retain(|person| !members.contains(person));
                names.push(group.to_owned());
            }
        }
        names.extend(left.iter().map(|(who, groups)| match self.is_ambiguous(who) {
            true => format!("{who} in {}", groups.join(", ")),
            false => (*who).to_owned(),
        }));
        names
    }

    /// Returns whether somebody was asked for with different groups.
    fn is_ambiguous(&self, who: &str) -> bool {
        let from: Person<'_> = (who, &[]);
        self.people.range(from..).take_while(|(other, _)| *other == who).nth(1).is_some()
    }

    fn grouped(&self, resources: &BTreeSet<Resource<'r>>) -> Vec<ResourceGroup> {
        let mut by_kind: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (kind, name) in resources.iter().filter(|(_, name)| !name.is_empty()) {
            by_kind.entry(kind).or_default().push((*name).to_owned());
        }
        by_kind
            .into_iter()
            .map(|(kind, names)| ResourceGroup {
                kind: kind.to_owned(),
                names,
                of: self.kinds.get(kind).map_or(0, BTreeSet::len),
            })
            .collect()
    }
}

impl AccessRow {
    /// Returns whom the row concerns, in few words.
    #[must_use]
    pub fn whom(&self) -> String {
        let names = listed(&self.who);
        match (self.users, self.who.as_slice()) {
            (1, _) => names,
            (users, [one]) if *one == "everybody" => format!("everybody ({users} users)"),
            (users, _) => format!("{names} ({users} of {} users)", self.all_users),
        }
    }

    /// Returns what it is about, in few words; empty where there is no resource.
    #[must_use]
    pub fn about(&self) -> String {
        let group = |group: &ResourceGroup| {
            let (count, of) = (group.names.len(), group.of);
            match (count, of) {
                (1, _) => listed(&group.names),
                _ if count == of => format!("all {of} of kind {}", group.kind),
                _ => format!("{count} of {of} of kind {}: {}", group.kind, listed(&group.names)),
            }
        };
        self.resources.iter().map(group).collect::<Vec<_>>().join("; ")
    }

    /// Returns the policies behind it, in few words.
    #[must_use]
    pub fn because(&self) -> String {
        let (before, after) = (listed(&self.before), listed(&self.after));
        match (self.direction, before.is_empty(), after.is_empty()) {
            (Direction::Widened, true, _) => format!("by {after}"),
            (Direction::Widened, false, _) => {
                format!("by {after}; no longer forbidden by {before}")
            }
            (Direction::Narrowed, _, true) => format!("no longer by {before}"),
            (Direction::Narrowed, _, false) => format!("forbidden by {after}"),
        }
    }

    /// Returns the actions, in few words.
    #[must_use]
    pub fn does(&self) -> String {
        listed(&self.actions)
    }
}

fn listed(words: &[String]) -> String {
    let named = words.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match words.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}
