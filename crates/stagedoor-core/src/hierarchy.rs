//! Every entity's ancestors, computed in bounded time and without recursion.

use std::sync::Arc;

use cedar_policy::EntityUid;

use crate::entity::Entity;
use crate::error::{EntitiesError, cut};
use crate::hash::{FastMap, FastSet};
use crate::limits::Limits;

/// The ancestors of each entity that was given; parents may be missing from `entities`.
pub(crate) fn closure(
    entities: &[Entity],
    limits: &Limits,
) -> Result<Vec<Box<[Arc<EntityUid>]>>, EntitiesError> {
    let mut names = Names::default();
    for entity in entities {
        names.number(&entity.uid);
    }
    let parents: Vec<Vec<usize>> = entities
        .iter()
        .map(|entity| entity.parents.iter().map(|parent| names.number(parent)).collect())
        .collect();
    let mut done: Vec<Option<Vec<usize>>> = vec![None; names.uids.len()];
    // Entities that were not given have no ancestors.
    done.iter_mut().skip(entities.len()).for_each(|above| *above = Some(Vec::new()));
    let mut open = vec![false; names.uids.len()];
    let mut walk = Walk { seen: vec![0; names.uids.len()], entity: 0, steps: 0 };
    for start in 0..entities.len() {
        let mut stack = vec![(start, false)];
        while let Some((number, parents_done)) = stack.pop() {
            let (Some(slot), Some(above)) = (open.get_mut(number), done.get(number)) else {
                continue;
            };
            if above.is_some() {
                continue;
            }
            let parents = parents.get(number).map(Vec::as_slice).unwrap_or_default();
            if parents_done {
                *slot = false;
                let above = walk.above(parents, &done, limits).map_err(|e| match e {
                    ExceededLimit::Ancestors => {
                        let (uid, limit) = (names.text(number), limits.ancestors);
                        EntitiesError::TooManyAncestors { uid, limit }
                    }
                    ExceededLimit::Memberships => {
                        EntitiesError::TooManyMemberships { limit: limits.memberships }
                    }
                })?;
                if let Some(slot) = done.get_mut(number) {
                    *slot = Some(above);
                }
                continue;
            }
            if std::mem::replace(slot, true) {
                return Err(EntitiesError::Cycle(names.text(number)));
            }
            stack.push((number, true));
            for parent in parents {
                if open.get(*parent).copied().unwrap_or_default() {
                    return Err(EntitiesError::Cycle(names.text(*parent)));
                }
                if done.get(*parent).is_some_and(Option::is_none) {
                    stack.push((*parent, false));
                }
            }
        }
    }
    let named = |above: Option<Vec<usize>>| {
        let above = above.unwrap_or_default().into_iter();
        above.filter_map(|number| names.uids.get(number).cloned()).collect()
    };
    Ok(done.into_iter().take(entities.len()).map(named).collect())
}

/// Returns the ancestors of one entity: its parents and what is `beyond` each of them.
pub(crate) fn above<'a>(
    entity: &'a Entity,
    beyond: impl Fn(&EntityUid) -> Option<&'a [Arc<EntityUid>]>,
    limits: &Limits,
) -> Result<Box<[Arc<EntityUid>]>, EntitiesError> {
    let mut seen: FastSet<Arc<EntityUid>> = FastSet::default();
    let mut steps = 0;
    for parent in &entity.parents {
        let beyond = beyond(parent).unwrap_or_default();
        steps += 1 + beyond.len();
        if steps > limits.memberships {
            return Err(EntitiesError::TooManyMemberships { limit: limits.memberships });
        }
        if !seen.contains(parent) {
            seen.insert(Arc::new(parent.clone()));
        }
        for uid in beyond {
            if !seen.contains(uid) {
                seen.insert(Arc::clone(uid));
            }
        }
        if seen.len() > limits.ancestors {
            let (uid, limit) = (cut(&entity.uid), limits.ancestors);
            return Err(EntitiesError::TooManyAncestors { uid, limit });
        }
    }
    Ok(seen.into_iter().collect())
}

/// Numbers for ids, and ids shared by all who have them as ancestors.
#[derive(Default)]
struct Names {
    numbers: FastMap<Arc<EntityUid>, usize>,
    uids: Vec<Arc<EntityUid>>,
}

impl Names {
    fn number(&mut self, uid: &EntityUid) -> usize {
        if let Some(number) = self.numbers.get(uid) {
            return *number;
        }
        let (number, uid) = (self.uids.len(), Arc::new(uid.clone()));
        self.uids.push(Arc::clone(&uid));
        self.numbers.insert(uid, number);
        number
    }

    fn text(&self, number: usize) -> String {
        self.uids.get(number).map(cut).unwrap_or_default()
    }
}

/// Which limit was passed.
enum ExceededLimit {
    Ancestors,
    Memberships,
}

/// The work of collecting ancestors, counted over all entities.
struct Walk {
    /// For which entity each ancestor was seen last.
    seen: Vec<usize>,
    entity: usize,
    steps: usize,
}

impl Walk {
    fn above(
        &mut self,
        parents: &[usize],
        done: &[Option<Vec<usize>>],
        limits: &Limits,
    ) -> Result<Vec<usize>, ExceededLimit> {
        self.entity += 1;
        let mut above = Vec::new();
        for parent in parents {
            let beyond = done.get(*parent).and_then(Option::as_deref).unwrap_or_default();
            self.steps += 1 + beyond.len();
            if self.steps > limits.memberships {
                return Err(ExceededLimit::Memberships);
            }
            for number in std::iter::once(parent).chain(beyond) {
                if let Some(seen) = self.seen.get_mut(*number)
                    && std::mem::replace(seen, self.entity) != self.entity
                {
                    above.push(*number);
                }
            }
            if above.len() > limits.ancestors {
                return Err(ExceededLimit::Ancestors);
            }
        }
        Ok(above)
    }
}
