//! Memberships: who is in which group, with nothing known of the groups beforehand.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use cedar_policy_core::ast::EntityUID;

use super::{Lit, Model, Theory, fresh_entity, values};
use crate::atom::{Atom, Predicate, Relation, TermId};
use crate::constant::Constant;
use crate::schema::ValueType;

type Edges = BTreeMap<EntityUID, BTreeMap<EntityUID, BTreeSet<Lit>>>;

/// Adds the memberships, and the members of sets that other terms are in, to a model; returns the
/// literals that contradict each other.
pub(super) fn place(
    theory: &mut Theory<'_>,
    assigned: &[(Lit, &Atom)],
    model: &mut Model,
) -> Vec<Vec<Lit>> {
    let mut edges = Edges::new();
    let mut conflicts = Vec::new();
    for (lit, atom) in assigned.iter().filter(|((_, value), _)| *value) {
        let (term, to, mut reasons) = match atom {
            Atom::Is(term, Predicate::In(uid)) => (*term, uid.clone(), theory.reasons(*term)),
            Atom::Related(Relation::Within, a, b) => {
                let Some(to) = model.entity(*b).cloned() else { continue };
                let mut reasons = theory.reasons(*a);
                reasons.extend(theory.reasons(*b));
                (*a, to, reasons)
            }
            _ => continue,
        };
        let Some(from) = model.entity(term).cloned() else { continue };
        if from == to {
            continue;
        }
        reasons.insert(*lit);
        // Only an entity that is there has memberships.
        if let Some(exists) = theory.class(term).and_then(|class| class.exists).filter(|e| !e.1) {
            conflicts.push(reasons.iter().copied().chain([exists]).collect());
        }
        edges.entry(from).or_default().entry(to).or_insert(reasons);
    }
    relate(theory, assigned, model, &mut edges);
    for (lit, atom) in assigned {
        let (term, to) = match atom {
            Atom::Is(term, Predicate::In(uid)) if !lit.1 => (*term, uid.clone()),
            Atom::Related(Relation::Within, a, b) if !lit.1 => {
                let Some(to) = model.entity(*b).cloned() else { continue };
                (*a, to)
            }
            _ => continue,
        };
        let Some(from) = model.entity(term) else { continue };
        let path = if *from == to { Some(BTreeSet::new()) } else { path(&edges, from, &to) };
        if let Some(mut lits) = path {
            lits.extend(theory.reasons(term));
            if let Atom::Related(_, _, b) = atom {
                lits.extend(theory.reasons(*b));
            }
            lits.insert(*lit);
            conflicts.push(lits.into_iter().collect());
        }
    }
    for from in edges.keys() {
        for (to, lits) in edges.get(from).into_iter().flatten() {
            if let Some(mut back) = path(&edges, to, from) {
                back.extend(lits);
                conflicts.push(back.into_iter().collect());
            }
        }
    }
    let all =
        edges.into_iter().flat_map(|(from, to)| to.into_keys().map(move |to| (from.clone(), to)));
    model.edges.extend(all);
    conflicts
}

/// Returns what leads from one entity to another, if anything does.
fn path(edges: &Edges, from: &EntityUID, to: &EntityUID) -> Option<BTreeSet<Lit>> {
    let mut reached: HashMap<&EntityUID, BTreeSet<Lit>> = HashMap::from([(from, BTreeSet::new())]);
    let mut open = VecDeque::from([from]);
    while let Some(at) = open.pop_front() {
        for (next, lits) in edges.get(at).into_iter().flatten() {
            if reached.contains_key(next) {
                continue;
            }
            let mut all = reached.get(at).cloned().unwrap_or_default();
            all.extend(lits);
            if next == to {
                return Some(all);
            }
            reached.insert(next, all);
            open.push_back(next);
        }
    }
    None
}

/// Adds to sets what relations between terms ask for, as well as that goes: what comes of it is
/// tried on the policies before it is told.
fn relate(theory: &Theory<'_>, assigned: &[(Lit, &Atom)], model: &mut Model, edges: &mut Edges) {
    let mut used: BTreeSet<EntityUID> = model
        .scalars
        .values()
        .filter_map(|value| match value {
            Constant::Entity(uid) => Some(uid.clone()),
            _ => None,
        })
        .collect();
    let related = |wanted: bool| {
        assigned.iter().filter(move |(lit, _)| lit.1 == wanted).filter_map(|(_, atom)| match atom {
            Atom::Related(relation, a, b) => Some((*relation, *a, *b)),
            _ => None,
        })
    };
    let excluded = |model: &Model, set: TermId| -> BTreeSet<Constant> {
        let class = theory.class(set);
        let tests = class.map(|class| class.tests.as_slice()).unwrap_or_default();
        let by_tests = tests.iter().filter_map(|(_, test, wanted)| match test {
            Predicate::Contains(constant) if !wanted => Some(constant.clone()),
            _ => None,
        });
        let by_terms = related(false).filter_map(|(relation, a, b)| match relation {
            Relation::Has if theory.find(a) == theory.find(set) => model.scalar(b).cloned(),
            Relation::WithinAny if theory.find(b) == theory.find(set) => model.scalar(a).cloned(),
            _ => None,
        });
        by_tests.chain(by_terms).collect()
    };
    for (relation, a, b) in related(true) {
        match relation {
            Relation::Has => {
                let ty = theory.atoms.ty(b);
                let member = model.scalar(b).cloned().or_else(|| {
                    let plain = values::fresh(ty, &BTreeSet::new())?;
                    model.scalars.insert(theory.find(b), plain.clone());
                    Some(plain)
                });
                if let Some(member) = member {
                    add(theory, model, a, member);
                }
            }
            Relation::WithinAny => {
                let ValueType::Set(element) = theory.atoms.ty(b) else { continue };
                let (ValueType::Entity(group), ValueType::Entity(own)) =
                    (element.as_ref(), theory.atoms.ty(a))
                else {
                    continue;
                };
                let Some(from) = model.entity(a).cloned() else { continue };
                let members = model.set(b).map(|set| set.members.clone()).unwrap_or_default();
                let is_in = |member: &Constant| match member {
                    Constant::Entity(uid) => *uid == from || path(edges, &from, uid).is_some(),
                    _ => false,
                };
                if members.iter().any(is_in) {
                    continue;
                }
                let shape = theory.schema.entity(own);
                let may_be_member = shape.is_some_and(|shape| shape.ancestors.contains(group));
                if may_be_member {
                    let some = members.iter().find_map(|member| match member {
                        Constant::Entity(uid) => Some(uid.clone()),
                        _ => None,
                    });
                    let to = some.unwrap_or_else(|| fresh_entity(group, theory.schema, &mut used));
                    edges.entry(from).or_default().entry(to.clone()).or_default();
                    add(theory, model, b, Constant::Entity(to));
                } else {
                    add(theory, model, b, Constant::Entity(from));
                }
            }
            Relation::Overlaps => {
                let of = |model: &Model, term| {
                    model.set(term).map(|set| set.members.clone()).unwrap_or_default()
                };
                let (first, second) = (of(model, a), of(model, b));
                if !first.is_disjoint(&second) {
                    continue;
                }
                let (not_first, not_second) = (excluded(model, a), excluded(model, b));
                let shared = first
                    .iter()
                    .find(|member| !not_second.contains(member))
                    .or_else(|| second.iter().find(|member| !not_first.contains(member)))
                    .cloned();
                let shared = shared.or_else(|| {
                    let ValueType::Set(element) = theory.atoms.ty(a) else { return None };
                    let taken = not_first.union(&not_second).cloned().collect();
                    match element.as_ref() {
                        ValueType::Entity(name) => {
                            Some(Constant::Entity(fresh_entity(name, theory.schema, &mut used)))
                        }
                        ty => values::fresh(ty, &taken),
                    }
                });
                if let Some(shared) = shared {
                    add(theory, model, a, shared.clone());
                    add(theory, model, b, shared);
                }
            }
            Relation::Same | Relation::Within | Relation::Includes => {}
        }
    }
    for (relation, a, b) in related(true).chain(related(true)) {
        if relation == Relation::Includes {
            let members = model.set(b).cloned().unwrap_or_default();
            members.members.into_iter().for_each(|member| add(theory, model, a, member));
            if members.more {
                model.sets.entry(theory.find(a)).or_default().more = true;
            }
        }
    }
    // A set that must not be within another has something of its own.
    for (relation, a, b) in related(false) {
        if relation != Relation::Includes {
            continue;
        }
        let of = |model: &Model, term| model.set(term).cloned().unwrap_or_default().members;
        let (outer, inner) = (of(model, a), of(model, b));
        if !inner.is_subset(&outer) {
            continue;
        }
        let ValueType::Set(element) = theory.atoms.ty(b) else { continue };
        let taken: BTreeSet<Constant> = excluded(model, b).union(&outer).cloned().collect();
        let own = match element.as_ref() {
            ValueType::Entity(name) => {
                Some(Constant::Entity(fresh_entity(name, theory.schema, &mut used)))
            }
            ty => values::fresh(ty, &taken),
        };
        if let Some(own) = own {
            add(theory, model, b, own);
        }
    }
}

fn add(theory: &Theory<'_>, model: &mut Model, set: TermId, member: Constant) {
    model.sets.entry(theory.find(set)).or_default().members.insert(member);
}
