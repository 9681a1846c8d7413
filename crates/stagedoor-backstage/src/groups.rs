//! The groups above groups, as a policy engine keeps them.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::EntityUid;
use stagedoor_core::{Entities, EntitiesError, Entity, Limits};

use crate::circles::{Above, circles, straightened};
use crate::names;
use crate::policy_answer::{Finding, FindingCode};

/// Groups with what is above them, circles in one place.
#[derive(Debug, Clone, Default)]
pub(crate) struct Groups {
    pub(crate) entities: Entities,
    /// For each group on a circle, all that are on it.
    circles: BTreeMap<EntityUid, BTreeSet<EntityUid>>,
    pub(crate) findings: Vec<Finding>,
}

impl Groups {
    /// Returns the hierarchy of the groups. One that is given twice has the parents of both.
    pub(crate) fn new(
        groups: impl IntoIterator<Item = Entity>,
        limits: &Limits,
    ) -> Result<Self, EntitiesError> {
        let mut above: Above<EntityUid> = Above::new();
        for group in groups {
            above.entry(group.uid).or_default().extend(group.parents);
        }
        let circles = circles(&above);
        let straight = straightened(&above, &circles);
        let entities = straight.into_iter().map(|(group, parents)| {
            parents.into_iter().fold(Entity::new(group), Entity::with_parent)
        });
        let findings = distinct(&circles).map(circle_finding).collect();
        Ok(Self { entities: Entities::within(entities, limits)?, circles, findings })
    }

    /// Returns the groups that are on a circle with one of these.
    pub(crate) fn beside<'a>(
        &'a self,
        groups: &'a [EntityUid],
    ) -> impl Iterator<Item = &'a EntityUid> {
        let circles = groups.iter().filter_map(|group| self.circles.get(group)).flatten();
        circles.collect::<BTreeSet<&EntityUid>>().into_iter()
    }
}

/// Reads groups, each as its reference and those of the groups right above it.
///
/// What is no full reference is kept as it is written, so that a policy which names it holds,
/// and told.
#[must_use]
pub fn read_groups<T: AsRef<str>>(
    groups: impl IntoIterator<Item = (T, Vec<T>)>,
) -> (Vec<Entity>, Vec<Finding>) {
    let mut findings = Vec::new();
    let mut uid = |text: &str, of: Option<&str>| match text.parse() {
        Ok(reference) => names::group(&reference),
        Err(_) => {
            let of = of.map(|group| format!(", above `{group}`,")).unwrap_or_default();
            let message = format!("group `{text}`{of} is not a full entity reference");
            let help = "look at the relations of the catalog's groups";
            findings.push(Finding::general(FindingCode::UnreadableReference, message, help));
            names::unreadable_group(&text.to_lowercase())
        }
    };
    let entity = |(group, parents): (T, Vec<T>)| {
        let group = group.as_ref();
        let entity = Entity::new(uid(group, None));
        let above = parents.iter().map(|above| uid(above.as_ref(), Some(group)));
        above.fold(entity, Entity::with_parent)
    };
    let entities = groups.into_iter().map(entity).collect();
    (entities, findings)
}

/// Returns each circle once.
pub(crate) fn distinct<K: Ord>(
    circles: &BTreeMap<K, BTreeSet<K>>,
) -> impl Iterator<Item = &BTreeSet<K>> {
    circles.iter().filter(|(name, circle)| circle.first() == Some(*name)).map(|(_, circle)| circle)
}

/// What is told of groups that are above each other.
pub(crate) fn circle_message<'a>(groups: impl Iterator<Item = &'a str>) -> String {
    const NAMES: usize = 5;
    let names: Vec<String> = groups.map(|group| format!("`{group}`")).collect();
    let shown = names.get(..NAMES).unwrap_or(&names).join(", ");
    let more = match names.len().saturating_sub(NAMES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "groups {shown}{more} are above each other: a member of one counts as a member of all of \
         them"
    )
}

/// What to do about groups that are above each other.
pub(crate) const CIRCLE_HELP: &str = "look at `spec.parent` and `spec.children` of these groups";

fn circle_finding(circle: &BTreeSet<EntityUid>) -> Finding {
    let names = circle.iter().map(|group| group.id().unescaped());
    Finding::general(FindingCode::GroupCircle, circle_message(names), CIRCLE_HELP)
}
