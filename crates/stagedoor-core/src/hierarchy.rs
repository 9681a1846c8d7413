//! Every entity's ancestors, computed in bounded time and without recursion.

use cedar_policy::EntityUid;

use crate::entity::Entity;
use crate::error::EntitiesError;
use crate::hash::{FastMap, FastSet};
use crate::limits::Limits;

/// Returns the ancestors of every entity. Hierarchies may be long, and parents may be
/// missing from `entities`.
pub(crate) fn closure(
    entities: &FastMap<EntityUid, Entity>,
    limits: &Limits,
) -> Result<FastMap<EntityUid, Vec<EntityUid>>, EntitiesError> {
    let mut done: FastMap<EntityUid, Vec<EntityUid>> =
        FastMap::with_capacity_and_hasher(entities.len(), Default::default());
    let mut open: FastSet<&EntityUid> = FastSet::default();
    let mut steps = 0;
    for start in entities.values() {
        let mut stack: Vec<(&Entity, bool)> = vec![(start, false)];
        while let Some((entity, parents_done)) = stack.pop() {
            if done.contains_key(&entity.uid) {
                continue;
            }
            if parents_done {
                open.remove(&entity.uid);
                let beyond = |uid: &EntityUid| done.get(uid).map(Vec::as_slice);
                let above = above(entity, beyond, limits, &mut steps)?;
                done.insert(entity.uid.clone(), above);
                continue;
            }
            if !open.insert(&entity.uid) {
                return Err(EntitiesError::Cycle(entity.uid.to_string()));
            }
            stack.push((entity, true));
            for parent in &entity.parents {
                if open.contains(parent) {
                    return Err(EntitiesError::Cycle(parent.to_string()));
                }
                if let Some(parent) = entities.get(parent).filter(|p| !done.contains_key(&p.uid)) {
                    stack.push((parent, false));
                }
            }
        }
    }
    Ok(done)
}

/// Returns the ancestors of one entity: its parents and what is `beyond` each of them.
/// `steps` counts the work, over all entities of a store.
pub(crate) fn above<'a>(
    entity: &'a Entity,
    beyond: impl Fn(&EntityUid) -> Option<&'a [EntityUid]>,
    limits: &Limits,
    steps: &mut usize,
) -> Result<Vec<EntityUid>, EntitiesError> {
    let mut seen: FastSet<&EntityUid> = FastSet::default();
    for parent in &entity.parents {
        let beyond = beyond(parent).unwrap_or_default();
        *steps += 1 + beyond.len();
        if *steps > limits.memberships {
            return Err(EntitiesError::TooManyMemberships { limit: limits.memberships });
        }
        seen.insert(parent);
        seen.extend(beyond);
        if seen.len() > limits.ancestors {
            let (uid, limit) = (entity.uid.to_string(), limits.ancestors);
            return Err(EntitiesError::TooManyAncestors { uid, limit });
        }
    }
    Ok(seen.into_iter().cloned().collect())
}
