//! Entities that policies name, held against those that exist.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use stagedoor_analysis::{EntityUID, ExprKind, Fact, Literal};
use stagedoor_core::{Entity, EntityUid, Value};

use super::codes::{LintCode, LintLevel};
use super::finding::{LintFinding, LintPlace};
use super::normal::Normal;

/// So many names of a kind are looked at for one that is nearly the same.
const COMPARED: usize = 5_000;

/// Entities that exist: those that are given, and those that these name as parents.
pub(super) struct EntityIndex<'a> {
    by_uid: HashMap<&'a EntityUid, &'a Entity>,
    by_type: BTreeMap<String, Vec<&'a EntityUid>>,
    /// Those that are only named, as groups are where users come with theirs.
    named: BTreeMap<String, BTreeSet<&'a EntityUid>>,
}

impl<'a> EntityIndex<'a> {
    pub(super) fn of(entities: &'a [Entity]) -> Self {
        let mut by_type: BTreeMap<String, Vec<&EntityUid>> = BTreeMap::new();
        for entity in entities {
            by_type.entry(entity.uid.type_name().to_string()).or_default().push(&entity.uid);
        }
        let by_uid: HashMap<_, _> = entities.iter().map(|entity| (&entity.uid, entity)).collect();
        let mut named: BTreeMap<String, BTreeSet<&EntityUid>> = BTreeMap::new();
        for parent in entities.iter().flat_map(|entity| &entity.parents) {
            if !by_uid.contains_key(parent) {
                named.entry(parent.type_name().to_string()).or_default().insert(parent);
            }
        }
        Self { by_uid, by_type, named }
    }

    fn has(&self, uid: &EntityUid, of_type: &str) -> bool {
        let is_named = || self.named.get(of_type).is_some_and(|named| named.contains(uid));
        self.by_uid.contains_key(uid) || is_named()
    }

    /// Returns the entity of the type whose id is nearly this.
    fn nearly(&self, uid: &EntityUid, of_type: &str) -> Option<&'a EntityUid> {
        let id = uid.id().unescaped();
        let given = self.by_type.get(of_type).into_iter().flatten();
        let same_type = given.chain(self.named.get(of_type).into_iter().flatten());
        let distance = |other: &EntityUid| strsim::osa_distance(id, other.id().unescaped());
        let near = same_type.take(COMPARED).map(|other| (distance(other), *other));
        let bound = if id.chars().count() < 8 { 1 } else { 2 };
        near.filter(|(distance, _)| *distance <= bound).min().map(|(_, other)| other)
    }
}

/// Returns the findings about names.
pub(super) fn of(policies: &[Normal<'_>], entities: &[Entity]) -> Vec<LintFinding> {
    if entities.is_empty() {
        return Vec::new();
    }
    let known = EntityIndex::of(entities);
    let named = named(policies);
    let mut findings: Vec<LintFinding> =
        named.iter().filter_map(|(uid, policy)| unknown(uid, policy, &known)).collect();
    findings.extend(unused(policies, &named, &known, entities));
    findings
}

/// Returns the entities that policies name, each with the first policy that does.
pub(super) fn named<'p, 'e>(policies: &'p [Normal<'e>]) -> BTreeMap<EntityUid, &'p Normal<'e>> {
    let mut named = BTreeMap::new();
    let mut seen = HashSet::new();
    for policy in policies {
        let mut add = |uid: &EntityUID| {
            named.entry(EntityUid::from(uid.clone())).or_insert(policy);
        };
        for fact in policy.facts() {
            if matches!(fact.term(), "principal" | "resource") {
                fact.entities().for_each(&mut add);
            }
        }
        if policy.info.link().is_none() || seen.insert(policy.info.text()) {
            policy.visit(|expr| {
                if let ExprKind::Lit(Literal::EntityUID(uid)) = expr.expr_kind() {
                    add(uid);
                }
            });
        }
    }
    named
}

fn unknown(uid: &EntityUid, policy: &Normal<'_>, known: &EntityIndex<'_>) -> Option<LintFinding> {
    let of_type = uid.type_name().to_string();
    if known.has(uid, &of_type) {
        return None;
    }
    let near = known.nearly(uid, &of_type);
    // Where users come with groups that are not given, there may be more of those.
    if near.is_none() && !known.by_type.contains_key(&of_type) {
        return None;
    }
    let message = format!("`{uid}` is in neither catalog nor fixtures");
    let finding = LintFinding::new(LintCode::UnknownEntity, LintPlace::of(policy.info), message);
    Some(match near {
        Some(near) => finding.heuristic().with_help(format!("there is `{near}`")),
        None => finding.heuristic().at_level(LintLevel::Note),
    })
}

fn unused(
    policies: &[Normal<'_>],
    named: &BTreeMap<EntityUid, &Normal<'_>>,
    known: &EntityIndex<'_>,
    entities: &[Entity],
) -> Vec<LintFinding> {
    // What policies call groups: whatever they look for principals in.
    let mut group_types: BTreeSet<String> = BTreeSet::new();
    for fact in policies.iter().flat_map(Normal::facts) {
        if let Fact::Within { term, groups, .. } = fact
            && &**term == "principal"
        {
            group_types.extend(groups.iter().map(|uid| uid.entity_type().to_string()));
        }
    }
    let mut spoken_of: HashSet<&str> = HashSet::new();
    for entity in entities {
        let own = entity.uid.id().unescaped();
        let mut add = |text| {
            // A user's claims hold every group of the user, which is no use of the group.
            if !entity.parents.iter().any(|parent| parent.id().unescaped() == text) && text != own {
                spoken_of.insert(text);
            }
        };
        entity
            .attributes
            .values()
            .chain(entity.tags.values())
            .for_each(|value| strings(value, &mut add));
    }
    let is_used = |group: &EntityUid| {
        let mut open = vec![group];
        let mut seen = HashSet::new();
        while let Some(group) = open.pop() {
            if named.contains_key(group) || spoken_of.contains(group.id().unescaped()) {
                return true;
            }
            if seen.insert(group) {
                open.extend(known.by_uid.get(group).into_iter().flat_map(|entity| &entity.parents));
            }
        }
        false
    };
    let groups = group_types.iter().filter_map(|of| known.by_type.get(of)).flatten();
    groups
        .filter(|group| !is_used(group))
        .map(|group| {
            let message = format!("no policy is about `{group}`");
            LintFinding::new(LintCode::UnusedGroup, LintPlace::default(), message).heuristic()
        })
        .collect()
}

fn strings<'v>(value: &'v Value, add: &mut impl FnMut(&'v str)) {
    match value {
        Value::String(text) => add(text),
        Value::Set(values) => values.iter().for_each(|value| strings(value, add)),
        Value::Record(fields) => fields.values().for_each(|value| strings(value, add)),
        _ => {}
    }
}
