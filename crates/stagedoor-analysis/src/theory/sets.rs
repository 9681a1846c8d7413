//! Sets that contain some constants, not others, and nothing but some.

use std::collections::BTreeSet;

use super::Lit;
use crate::atom::Predicate;
use crate::constant::Constant;
use crate::schema::{SchemaView, ValueType};

/// A set as far as tests ask for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SetValue {
    pub(crate) members: BTreeSet<Constant>,
    /// Whether something is in it beside the members that no test speaks of.
    pub(crate) more: bool,
    /// The constants that tests speak of.
    pub(crate) named: BTreeSet<Constant>,
}

/// Returns all values of a type that has but few.
pub(super) fn all_values(ty: &ValueType, schema: &SchemaView) -> Option<BTreeSet<Constant>> {
    match ty {
        ValueType::Bool => Some(BTreeSet::from([Constant::Bool(false), Constant::Bool(true)])),
        ValueType::Entity(name) => {
            let choices = schema.entity(name)?.choices.as_ref()?;
            let uid = |id: &smol_str::SmolStr| {
                cedar_policy_core::ast::EntityUID::from_components(
                    name.clone(),
                    cedar_policy_core::ast::Eid::new(id.clone()),
                    None,
                )
            };
            Some(choices.iter().map(uid).map(Constant::Entity).collect())
        }
        _ => None,
    }
}

/// Returns a set of which every test says what it must, or the literals that contradict each other.
pub(super) fn solve(
    element: &ValueType,
    tests: &[(Lit, &Predicate, bool)],
    schema: &SchemaView,
) -> Result<SetValue, Vec<Lit>> {
    let mut set = SetValue::default();
    let (mut excluded, mut within) = (Vec::new(), Vec::new());
    for (lit, test, wanted) in tests {
        match test {
            Predicate::Contains(constant) => {
                set.named.insert(constant.clone());
            }
            Predicate::Subset(of) => set.named.extend(of.iter().cloned()),
            _ => {}
        }
        match (test, wanted) {
            (Predicate::Contains(constant), true) => {
                set.members.insert(constant.clone());
            }
            (Predicate::Contains(constant), false) => excluded.push((*lit, constant)),
            (Predicate::Subset(of), true) => within.push((*lit, of)),
            _ => {}
        }
    }
    let contains = |constant: &Constant| {
        tests.iter().find_map(|(lit, test, wanted)| match test {
            Predicate::Contains(own) if *wanted && own == constant => Some(*lit),
            _ => None,
        })
    };
    for member in &set.members {
        for (lit, of) in &within {
            if !of.contains(member) {
                return Err([Some(*lit), contains(member)].into_iter().flatten().collect());
            }
        }
    }
    let every = all_values(element, schema);
    for (lit, test, wanted) in tests {
        let Predicate::Subset(of) = test else { continue };
        if *wanted || set.more || set.members.iter().any(|member| !of.contains(member)) {
            continue;
        }
        // Something beyond `of` has to be in it.
        let mut candidates: Option<BTreeSet<Constant>> = every.clone();
        for (_, allowed) in &within {
            candidates = Some(match candidates {
                None => (*allowed).clone(),
                Some(known) => known.intersection(allowed).cloned().collect(),
            });
        }
        match candidates {
            None => set.more = true,
            Some(candidates) => {
                let fits = |candidate: &&Constant| {
                    !of.contains(*candidate) && excluded.iter().all(|(_, no)| *no != *candidate)
                };
                match candidates.iter().find(fits) {
                    Some(candidate) => {
                        set.members.insert(candidate.clone());
                    }
                    None => {
                        let lits = within.iter().map(|(lit, _)| *lit);
                        let not = excluded.iter().map(|(lit, _)| *lit);
                        return Err(lits.chain(not).chain([*lit]).collect());
                    }
                }
            }
        }
    }
    Ok(set)
}
