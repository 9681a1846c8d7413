//! Splits patterns that would be longer than a policy may be.

use std::collections::BTreeSet;

use super::pattern::{FieldPattern, Objects, Pattern, Target};
use super::verbs::Actions;

/// The most that one list takes of a policy's text, in bytes: five fit into a policy.
const LIST_BYTES: usize = 12 << 10;
/// What stands around a name in a list, at most.
const AROUND: usize = "k8s::NonResourceURL::\"\",\n    ".len();

/// Returns patterns that together say the same, each short enough for one policy.
pub(crate) fn split(pattern: Pattern) -> Vec<Pattern> {
    let Pattern { actions, target } = pattern;
    let targets = target_parts(target);
    let mut patterns = Vec::new();
    for actions in action_parts(actions) {
        for target in &targets {
            patterns.push(Pattern { actions: actions.clone(), target: target.clone() });
        }
    }
    patterns
}

fn action_parts(actions: Actions) -> Vec<Actions> {
    match actions {
        Actions::All => vec![Actions::All],
        Actions::Listed(verbs) => chunks(verbs).into_iter().map(Actions::Listed).collect(),
        Actions::Impersonate | Actions::Constrained(None) => vec![actions],
        Actions::Constrained(Some(verbs)) => {
            chunks(verbs).into_iter().map(|verbs| Actions::Constrained(Some(verbs))).collect()
        }
        Actions::Unlisted(verbs) => chunks(verbs).into_iter().map(Actions::Unlisted).collect(),
    }
}

fn target_parts(target: Target) -> Vec<Target> {
    let each = |names, make: fn(Option<BTreeSet<String>>) -> Target| {
        options(names).into_iter().map(make).collect()
    };
    match target {
        Target::Everything | Target::EveryPath => vec![target],
        Target::Objects(objects) => object_parts(objects),
        Target::Users(names) => each(names, Target::Users),
        Target::Nodes(names) => each(names, Target::Nodes),
        Target::Groups(names) => each(names, Target::Groups),
        Target::PrincipalUids(names) => each(names, Target::PrincipalUids),
        Target::ServiceAccounts(names) => each(names, Target::ServiceAccounts),
        Target::Extras { keys, value } => {
            let values = part_parts(value);
            let mut targets = Vec::new();
            for keys in options(keys) {
                for value in &values {
                    targets.push(Target::Extras { keys: keys.clone(), value: value.clone() });
                }
            }
            targets
        }
        Target::Paths(paths) => chunks(paths).into_iter().map(Target::Paths).collect(),
        Target::PathPrefixes(paths) => {
            chunks(paths).into_iter().map(Target::PathPrefixes).collect()
        }
    }
}

fn object_parts(objects: Objects) -> Vec<Target> {
    let (resources, names) = (options(objects.resources), part_parts(objects.name));
    let subresources = part_parts(objects.subresource);
    let mut targets = Vec::new();
    for groups in options(objects.groups) {
        for resources in &resources {
            for subresource in &subresources {
                for name in &names {
                    targets.push(Target::Objects(Objects {
                        groups: groups.clone(),
                        resources: resources.clone(),
                        subresource: subresource.clone(),
                        name: name.clone(),
                    }));
                }
            }
        }
    }
    targets
}

fn options(names: Option<BTreeSet<String>>) -> Vec<Option<BTreeSet<String>>> {
    match names {
        Some(names) => chunks(names).into_iter().map(Some).collect(),
        None => vec![None],
    }
}

fn part_parts(part: FieldPattern) -> Vec<FieldPattern> {
    match part {
        FieldPattern::OneOf(names) => chunks(names).into_iter().map(FieldPattern::OneOf).collect(),
        FieldPattern::Any | FieldPattern::Absent => vec![part],
    }
}

fn chunks(names: BTreeSet<String>) -> Vec<BTreeSet<String>> {
    let mut chunks = Vec::new();
    let (mut chunk, mut bytes) = (BTreeSet::new(), 0);
    for name in names {
        let more = name.escape_debug().count() + AROUND;
        if bytes + more > LIST_BYTES && !chunk.is_empty() {
            chunks.push(std::mem::take(&mut chunk));
            bytes = 0;
        }
        bytes += more;
        chunk.insert(name);
    }
    chunks.push(chunk);
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_split_and_nothing_is_lost() {
        let names: BTreeSet<String> = (0..2_000).map(|n| format!("config-map-{n}")).collect();
        let parts = chunks(names.clone());
        assert!(parts.len() > 5);
        assert!(
            parts.iter().all(|p| p.iter().map(|n| n.len() + AROUND).sum::<usize>() <= LIST_BYTES)
        );
        assert_eq!(parts.into_iter().flatten().collect::<BTreeSet<_>>(), names);
    }

    #[test]
    fn short_patterns_stay_whole() {
        let pattern = Pattern { actions: Actions::All, target: Target::Groups(None) };
        assert_eq!(split(pattern.clone()), [pattern]);
    }
}
