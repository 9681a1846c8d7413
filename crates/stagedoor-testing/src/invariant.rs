//! Invariants: one statement about every request of a matrix.

use std::collections::BTreeMap;

use stagedoor_core::{Decision, nearest_name};

use crate::environment::TestEnvironment;
use crate::expectation::Expectation;
use crate::file::{Case, Invariant, Never, Words};
use crate::table::set;

/// A matrix has no more requests than this.
const REQUESTS: usize = 1_000_000;

/// The word for all values that are known.
const ALL: &str = "all";

/// Returns a case for each request of the matrix.
pub(crate) fn cases(invariant: &Invariant, world: &TestEnvironment) -> Result<Vec<Case>, String> {
    let axes = invariant
        .over
        .iter()
        .map(|(key, words)| Ok((key.as_str(), values(key, words, world)?)))
        .collect::<Result<Vec<_>, String>>()?;
    if axes.is_empty() {
        return Err("`over` is empty: state the values of at least one key".to_owned());
    }
    let count = axes.iter().try_fold(1_usize, |count, (_, values)| count.checked_mul(values.len()));
    let count = count.filter(|count| *count <= REQUESTS).ok_or_else(|| {
        format!("the matrix has more than {REQUESTS} requests: state fewer values")
    })?;
    let expected = match invariant.never {
        Never::Allow => Decision::Deny,
        Never::Deny => Decision::Allow,
    };
    let mut cases = Vec::new();
    let mut excludes = vec![false; invariant.except.len()];
    for number in 0..count {
        let chosen = combination(number, &axes);
        let mut is_left_out = false;
        for (except, excludes) in invariant.except.iter().zip(&mut excludes) {
            let applies = is_excepted(except, &chosen);
            *excludes |= applies;
            is_left_out |= applies;
        }
        if is_left_out {
            continue;
        }
        let Some(chosen) = applicable(chosen, invariant, world) else { continue };
        let words: Vec<&str> = chosen.values().flat_map(|v| v.iter().map(String::as_str)).collect();
        let mut case =
            Case { name: words.join(" "), expect: Expectation::of(expected), ..Case::default() };
        for (key, words) in &chosen {
            set(&mut case, key, words)?;
        }
        cases.push(case);
    }
    if let Some((except, _)) = invariant.except.iter().zip(&excludes).find(|(_, any)| !**any) {
        return Err(without_effect(except, &axes));
    }
    if cases.is_empty() {
        return Err("no request is left that the invariant is about".to_owned());
    }
    Ok(cases)
}

type Combination<'a> = BTreeMap<&'a str, Vec<String>>;

/// Returns the values of a key; each is one word, but for lists of groups.
fn values(key: &str, words: &Words, world: &TestEnvironment) -> Result<Vec<String>, String> {
    if words.as_slice() != [ALL] {
        return Ok(words.as_slice().to_vec());
    }
    let all: Vec<String> = match key {
        "user" => {
            let named = world.fixtures.users.keys().cloned();
            let catalog = world.catalog.users().map(ToString::to_string);
            named.chain(catalog).collect()
        }
        "entity" => world.catalog.references().map(ToString::to_string).collect(),
        "permission" => world.permissions.iter().map(|p| p.name().to_owned()).collect(),
        "groups" => world.fixtures.groups.keys().cloned().collect(),
        _ => return Err(format!("`all` does not stand for values of `{key}`: list them")),
    };
    if all.is_empty() {
        return Err(format!("`all` stands for no value of `{key}`: the fixtures have none"));
    }
    Ok(all)
}

/// Returns the combination of this number, the last key varying fastest.
fn combination<'a>(number: usize, axes: &[(&'a str, Vec<String>)]) -> Combination<'a> {
    let mut rest = number;
    let mut chosen = Combination::new();
    for (key, values) in axes.iter().rev() {
        let value = values.get(rest % values.len().max(1)).cloned();
        rest /= values.len().max(1);
        chosen.insert(key, value.into_iter().collect());
    }
    chosen
}

fn is_excepted(except: &BTreeMap<String, Words>, chosen: &Combination<'_>) -> bool {
    !except.is_empty()
        && except.iter().all(|(key, words)| {
            let chosen = chosen.get(key.as_str()).and_then(|words| words.first());
            chosen.is_some_and(|word| words.as_slice().contains(word))
        })
}

/// Returns why an exception excludes nothing: a misspelt one would seem to.
fn without_effect(except: &BTreeMap<String, Words>, axes: &[(&str, Vec<String>)]) -> String {
    if except.is_empty() {
        return "an exception in `except` is empty: name keys of `over` with values".to_owned();
    }
    for (key, words) in except {
        let Some((_, values)) = axes.iter().find(|(axis, _)| axis == key) else {
            let keys = axes.iter().map(|(axis, _)| *axis);
            return match nearest_name(key, keys) {
                Some(near) => {
                    format!("`except`: `over` has no key `{key}`: did you mean `{near}`?")
                }
                None => format!("`except`: `over` has no key `{key}`"),
            };
        };
        let is_none_of = |word: &&String| !values.contains(word);
        if let Some(word) = words.as_slice().iter().find(is_none_of) {
            let near = nearest_name(word, values.iter().map(String::as_str));
            let near = near.map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
            return format!("`except`: `{word}` is not a value of `{key}` in `over`{near}");
        }
    }
    let said: Vec<String> = except
        .iter()
        .map(|(key, words)| format!("{key}: {}", words.as_slice().join(", ")))
        .collect();
    format!("`except`: `{}` excludes no request", said.join("; "))
}

/// Leaves out what a permission has no use for; `None` if the combination is none, or is
/// asked already with another entity.
fn applicable<'a>(
    mut chosen: Combination<'a>,
    invariant: &Invariant,
    world: &TestEnvironment,
) -> Option<Combination<'a>> {
    let permission = chosen.get("permission").and_then(|words| words.first());
    let known = permission.and_then(|name| world.permissions.get(name).ok());
    let (Some(known), Some(entities)) = (known, invariant.over.get("entity")) else {
        return Some(chosen);
    };
    match known.resource_type() {
        Some("catalog-entity") => Some(chosen),
        // About a resource that is no catalog entity, so that there is nothing to ask.
        Some(_) => None,
        None => {
            let entity = chosen.remove("entity");
            let first = values("entity", entities, world).ok()?.into_iter().next();
            (entity.and_then(|words| words.into_iter().next()) == first).then_some(chosen)
        }
    }
}
