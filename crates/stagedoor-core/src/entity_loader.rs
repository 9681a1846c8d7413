//! Entities that are loaded when a decision needs them.

use std::error::Error;
use std::sync::Arc;

use cedar_policy::EntityUid;

use crate::engine::Engine;
use crate::entities::Entities;
use crate::entity::Entity;
use crate::error::{DecideError, EntitiesError, cut, error_chain};
use crate::hash::FastMap;
use crate::outcome::Outcome;
use crate::request::Request;

/// Gives entities by their ids, from a database say.
///
/// # Examples
///
/// ```
/// use std::error::Error;
///
/// use stagedoor_core::{Decision, Engine, Entities, Entity, EntityLoader, EntityUid, Request};
///
/// /// Asks for each user's team.
/// struct Teams;
///
/// impl EntityLoader for Teams {
///     fn load(&self, uids: &[EntityUid]) -> Result<Vec<Entity>, Box<dyn Error + Send + Sync>> {
///         let users = uids.iter().filter(|uid| uid.type_name().basename() == "User");
///         let team: EntityUid = r#"Team::"ops""#.parse()?;
///         Ok(users.map(|uid| Entity::new(uid.clone()).with_parent(team.clone())).collect())
///     }
/// }
///
/// let engine = Engine::builder()
///     .schema("s.cedarschema", "entity Team; entity User in [Team]; entity Doc;
///         action view appliesTo { principal: User, resource: Doc };")
///     .policies("p.cedar", r#"permit(principal in Team::"ops", action, resource);"#)
///     .build()?;
/// let request = Request::new(
///     r#"User::"ana""#.parse()?,
///     r#"Action::"view""#.parse()?,
///     r#"Doc::"1""#.parse()?,
/// );
/// let outcome = engine.decide_with_loader(&request, &Entities::empty(), &Teams)?;
/// assert_eq!(outcome.decision(), Decision::Allow);
/// # Ok::<(), Box<dyn Error>>(())
/// ```
pub trait EntityLoader {
    /// Returns the entities that have these ids. One that is left out does not exist.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from telling; the request is then refused.
    fn load(&self, uids: &[EntityUid]) -> Result<Vec<Entity>, Box<dyn Error + Send + Sync>>;
}

/// The most ids that one call asks for.
const BATCH: usize = 1_000;

impl Engine {
    /// Decides a request as [`decide`](Self::decide) does, about entities of which those that are
    /// missing are asked of `loader`, in batches.
    ///
    /// Asked for are the principal, the resource, what they are members of, what the context and the
    /// conditions name, and, as many steps as a condition of the policy set makes, what is reached from
    /// these by attributes and tags. None is asked for twice, and nothing is kept for the next decision:
    /// a loader that knows what may be kept keeps it.
    ///
    /// # Errors
    ///
    /// As [`decide`](Self::decide); [`EntitiesError::Loading`] if the loader fails, or gives what it
    /// was not asked for.
    pub fn decide_with_loader(
        &self,
        request: &Request,
        entities: &Entities,
        loader: &dyn EntityLoader,
    ) -> Result<Outcome, DecideError> {
        request.check(&self.0.limits)?;
        let mut search = Search { engine: self, entities, loaded: FastMap::default() };
        search.run(request, loader)?;
        let loaded = search.loaded.into_values().flatten();
        let entities = if entities.is_empty() {
            Entities::within(loaded, &self.0.limits)?
        } else {
            entities.with(loaded)?
        };
        self.decide(request, &entities)
    }
}

/// What was loaded for one decision.
struct Search<'a> {
    engine: &'a Engine,
    entities: &'a Entities,
    /// `None` where the loader has none.
    loaded: FastMap<EntityUid, Option<Entity>>,
}

impl Search<'_> {
    fn run(&mut self, request: &Request, loader: &dyn EntityLoader) -> Result<(), EntitiesError> {
        let snapshot = &self.engine.0;
        let mut roots = vec![&request.principal, &request.resource];
        // Actions come from the schema, if there is one.
        roots.extend((!snapshot.actions.contains_key(&request.action)).then_some(&request.action));
        request.context.values().for_each(|value| value.add_uids(&mut roots));
        roots.extend(snapshot.dereferenced.iter());
        let mut open: Vec<(EntityUid, usize)> =
            roots.into_iter().map(|uid| (uid.clone(), snapshot.hops)).collect();
        // How many more steps were made from each.
        let mut reached: FastMap<EntityUid, usize> = FastMap::default();
        let limit = snapshot.limits.ancestors;
        // INVARIANT: whatever the loader gives, this ends: so many steps lead to everything that may
        // be reached, and groups of groups to no more than may be an entity's.
        let mut rounds = snapshot.hops.saturating_add(limit).saturating_add(1);
        while let Some((uid, _)) = open.first() {
            rounds = match rounds.checked_sub(1) {
                Some(left) => left,
                None => return Err(EntitiesError::TooManyAncestors { uid: cut(uid), limit }),
            };
            open.retain(|(uid, hops)| match reached.get_mut(uid) {
                Some(known) if *known >= *hops => false,
                Some(known) => {
                    *known = *hops;
                    true
                }
                None => {
                    reached.insert(uid.clone(), *hops);
                    true
                }
            });
            self.load(&open, loader)?;
            let mut next = Vec::new();
            for (uid, hops) in open {
                let Some(entity) = self.get(&uid) else { continue };
                // Whatever an ancestor has is not read, but for its own ancestors.
                next.extend(entity.parents.iter().map(|parent| (parent.clone(), 0)));
                if let Some(hops) = hops.checked_sub(1) {
                    let mut uids = Vec::new();
                    let values = entity.attributes.values().chain(entity.tags.values());
                    values.for_each(|value| value.add_uids(&mut uids));
                    next.extend(uids.into_iter().map(|uid| (uid.clone(), hops)));
                }
            }
            open = next;
        }
        Ok(())
    }

    fn get(&self, uid: &EntityUid) -> Option<&Entity> {
        self.entities.get(uid).or_else(|| self.loaded.get(uid)?.as_ref())
    }

    /// Loads those that are not known yet.
    fn load(
        &mut self,
        wanted: &[(EntityUid, usize)],
        loader: &dyn EntityLoader,
    ) -> Result<(), EntitiesError> {
        let mut missing: Vec<EntityUid> = Vec::new();
        for (uid, _) in wanted {
            if self.entities.get(uid).is_none() && !self.loaded.contains_key(uid) {
                self.loaded.insert(uid.clone(), None);
                missing.push(uid.clone());
            }
        }
        let (given, limit) = (self.loaded.len(), self.engine.0.limits.entities);
        if given > limit {
            return Err(EntitiesError::TooMany { given, limit });
        }
        for batch in missing.chunks(BATCH) {
            let entities = loader.load(batch).map_err(|cause| EntitiesError::Loading {
                reason: error_chain(&*cause),
                cause: Some(Arc::from(cause)),
            })?;
            for entity in entities {
                entity.check(&self.engine.0.limits)?;
                let uid = cut(&entity.uid);
                match self.loaded.get_mut(&entity.uid) {
                    Some(slot @ None) => *slot = Some(entity),
                    Some(Some(_)) => return Err(EntitiesError::Duplicate(uid)),
                    None => {
                        let reason = format!("`{uid}` was given, which was not asked for");
                        return Err(EntitiesError::Loading { reason, cause: None });
                    }
                }
            }
        }
        Ok(())
    }
}
