//! Which policies came and went.

use std::collections::BTreeMap;

use stagedoor_core::{Effect, Engine};

/// What a new policy set has that the old one had not, and the other way round, by the policies'
/// ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicyChanges {
    /// Policies that came.
    pub added: Vec<String>,
    /// Policies that went.
    pub removed: Vec<String>,
    /// Policies whose text, links or effect changed.
    pub changed: Vec<String>,
    /// Forbids that went, or became permits.
    pub lost_forbids: Vec<String>,
}

impl PolicyChanges {
    /// Compares two sets.
    #[must_use]
    pub fn between(old: &Engine, new: &Engine) -> Self {
        let (before, after) = (policies(old), policies(new));
        let mut changes = Self::default();
        for (id, policy) in &before {
            let id = (*id).to_owned();
            let now = after.get(id.as_str());
            if policy.0 == Effect::Forbid && now.is_none_or(|now| now.0 != Effect::Forbid) {
                changes.lost_forbids.push(id.clone());
            }
            match now {
                None => changes.removed.push(id),
                Some(now) if now != policy => changes.changed.push(id),
                Some(_) => {}
            }
        }
        let is_new = |id: &&&str| !before.contains_key(**id);
        changes.added = after.keys().filter(is_new).map(|id| (*id).to_owned()).collect();
        changes
    }

    /// Returns whether nothing came, went or changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

type Policy<'e> = (Effect, &'e str, Option<String>);

fn policies(engine: &Engine) -> BTreeMap<&str, Policy<'_>> {
    let link =
        |uid: Option<&stagedoor_core::EntityUid>| uid.map(ToString::to_string).unwrap_or_default();
    let all = engine.policies().map(|policy| {
        let slots = policy.link().map(|(p, r)| format!("{} {}", link(p), link(r)));
        (policy.id(), (policy.effect(), policy.text(), slots))
    });
    all.collect()
}
