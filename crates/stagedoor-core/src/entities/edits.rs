//! Entities that change while decisions go on: each edit makes a set of its own, which shares what
//! it does not change.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cedar_policy::EntityUid;
use smallvec::SmallVec;

use super::{Entities, Store, TypesGiven, types_of};
use crate::entity::Entity;
use crate::error::{EntitiesError, cut};
use crate::hash::{FastMap, PersistentMap};
use crate::hierarchy;
use crate::node::Node;

/// What was changed of a store.
#[derive(Default)]
pub(super) struct Edits {
    /// Entities in the place of the store's; `None` of one that was taken out.
    pub(super) nodes: PersistentMap<EntityUid, Option<Arc<Node>>>,
    /// The members of each parent among `nodes`.
    members: PersistentMap<EntityUid, PersistentMap<EntityUid, ()>>,
    /// The types of `nodes`, and of what they name as parents.
    pub(super) types: Arc<TypesGiven>,
    /// How many entities there are, the store's among them.
    pub(super) len: usize,
    /// How many ancestors they have, taken together.
    memberships: usize,
    /// What changed since everything conformed to the schema of this number; 0 for none.
    changed: imbl::Vector<Arc<Node>>,
    conformed: u64,
    /// The schema that everything is known to conform to; 0 for none.
    conforms: AtomicU64,
}

impl Edits {
    fn of(entities: &Entities) -> Self {
        let Some(edits) = &entities.edits else {
            let store = &entities.store;
            let known = store.conforms.load();
            return Self {
                len: store.nodes.len(),
                memberships: store.memberships,
                conformed: known.as_ref().and_then(|k| k.first().copied()).unwrap_or_default(),
                ..Self::default()
            };
        };
        let conforms = edits.conforms.load(Ordering::Relaxed);
        let (changed, conformed) = match conforms {
            0 => (edits.changed.clone(), edits.conformed),
            schema => (imbl::Vector::new(), schema),
        };
        Self {
            nodes: edits.nodes.clone(),
            members: edits.members.clone(),
            types: Arc::clone(&edits.types),
            len: edits.len,
            memberships: edits.memberships,
            changed,
            conformed,
            conforms: AtomicU64::new(0),
        }
    }

    pub(super) fn conforms(&self, schema: u64) -> bool {
        self.conforms.load(Ordering::Relaxed) == schema
    }

    pub(super) fn set_conforms(&self, schema: u64) {
        self.conforms.store(schema, Ordering::Relaxed);
    }

    /// Returns the entities that may not conform to a schema; `None` where all may not.
    pub(super) fn unchecked(&self, schema: u64) -> Option<impl Iterator<Item = &Node>> {
        // What was changed again since is not asked.
        let is_in_force = |node: &&Arc<Node>| {
            let now = self.nodes.get(&node.entity.uid);
            now.is_some_and(|now| now.as_ref().is_some_and(|now| Arc::ptr_eq(now, node)))
        };
        let changed = || self.changed.iter().filter(is_in_force).map(AsRef::as_ref);
        (self.conformed == schema).then(changed)
    }

    /// Returns whether an entity that is not there may be named as a parent.
    pub(super) fn may_name(&self, uid: &EntityUid) -> bool {
        self.members.contains_key(uid) || self.nodes.contains_key(uid)
    }

    /// Puts an entity in the place of `old`, or takes `old` out.
    fn put(&mut self, uid: &EntityUid, old: Option<&Arc<Node>>, new: Option<Arc<Node>>) {
        if let Some(Some(edited)) = self.nodes.get(uid).cloned() {
            for parent in &edited.entity.parents {
                let Some(members) = self.members.get_mut(parent) else { continue };
                members.remove(uid);
                if members.is_empty() {
                    self.members.remove(parent);
                }
            }
        }
        let ancestors = |node: &Arc<Node>| node.ancestors.len();
        self.len = self.len + usize::from(new.is_some()) - usize::from(old.is_some());
        self.memberships += new.as_ref().map_or(0, ancestors);
        self.memberships = self.memberships.saturating_sub(old.map_or(0, ancestors));
        if let Some(node) = &new {
            for parent in &node.entity.parents {
                self.members.entry(parent.clone()).or_default().insert(uid.clone(), ());
            }
            for (type_name, is_given) in types_of(&node.entity) {
                let known = self.types.get(type_name).copied();
                if known.is_none_or(|known| is_given && !known) {
                    Arc::make_mut(&mut self.types).insert(type_name.clone(), is_given);
                }
            }
            if self.conformed != 0 {
                self.changed.push_back(Arc::clone(node));
            }
        }
        self.nodes.insert(uid.clone(), new);
    }

    /// Returns the entities that name one as a parent.
    fn members(&self, uid: &EntityUid, store: &Store) -> Vec<Arc<Node>> {
        let is_unedited = |node: &&Arc<Node>| !self.nodes.contains_key(&node.entity.uid);
        let given = store.members(uid).iter().filter(is_unedited).cloned();
        let edited = self.members.get(uid).into_iter().flat_map(|members| members.keys());
        let edited = edited.filter_map(|member| self.nodes.get(member)?.clone());
        given.chain(edited).collect()
    }

    /// Returns everything below an entity, each with how many of its parents are below it or it.
    fn below(&self, uid: &EntityUid, store: &Store) -> FastMap<EntityUid, (Arc<Node>, usize)> {
        let mut below: FastMap<EntityUid, (Arc<Node>, usize)> = FastMap::default();
        let mut open = vec![uid.clone()];
        while let Some(uid) = open.pop() {
            for member in self.members(&uid, store) {
                match below.get_mut(&member.entity.uid) {
                    Some((_, parents)) => *parents += 1,
                    None => {
                        open.push(member.entity.uid.clone());
                        below.insert(member.entity.uid.clone(), (member, 1));
                    }
                }
            }
        }
        below
    }
}

impl Entities {
    /// Returns this set with an entity in the place of the one that has its id, if one has. What are
    /// members of it are members of its groups then, and of no others by it.
    ///
    /// Costs time in proportion to what changes: to the entity, and, where its parents change, to its
    /// members. The first such edit of a set looks at all of it once.
    ///
    /// # Errors
    ///
    /// [`EntitiesError`] if the entity would be its own ancestor, or one of the set's limits is
    /// passed.
    ///
    /// # Examples
    ///
    /// ```
    /// use stagedoor_core::{Entities, Entity, EntityUid};
    ///
    /// let [ana, team, org]: [EntityUid; 3] =
    ///     [r#"User::"ana""#.parse()?, r#"Team::"a""#.parse()?, r#"Team::"all""#.parse()?];
    /// let people = Entities::from_entities([
    ///     Entity::new(ana.clone()).with_parent(team.clone()),
    ///     Entity::new(team.clone()),
    /// ])?;
    /// let edited = people.upsert(Entity::new(team.clone()).with_parent(org.clone()))?;
    /// assert!(edited.ancestors(&ana).any(|group| *group == org));
    /// assert!(!people.ancestors(&ana).any(|group| *group == org));
    ///
    /// let refused = edited.upsert(Entity::new(org).with_parent(ana));
    /// assert_eq!(refused.err().map(|e| e.code()), Some("entities::cycle"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use = "the set that was edited stays as it is"]
    pub fn upsert(&self, entity: Entity) -> Result<Self, EntitiesError> {
        entity.check(self.limits())?;
        let mut edits = self.lasting_edits();
        let uid = entity.uid.clone();
        let old = self.shared_node(&uid).cloned();
        let limit = self.limits().entities;
        if old.is_none() && edits.len >= limit {
            return Err(EntitiesError::TooMany { given: edits.len + 1, limit });
        }
        let ancestors = match &old {
            // Its ancestors stay, and with them those of all that are below it.
            Some(old) if same(&old.entity.parents, &entity.parents) => {
                let node = Node::new(entity, old.ancestors.clone());
                edits.put(&uid, Some(old), Some(node));
                return Ok(self.edited(edits));
            }
            _ => self.above(&entity, &edits)?,
        };
        if ancestors.iter().any(|ancestor| **ancestor == uid) {
            return Err(EntitiesError::Cycle(cut(&uid)));
        }
        let below = edits.below(&uid, &self.store);
        edits.put(&uid, old.as_ref(), Some(Node::new(entity, ancestors)));
        self.follow(edits, uid, below)
    }

    /// Returns this set without an entity; the same where it holds none with this id. What are members
    /// of it still name it as their parent, and are members of its groups no more.
    ///
    /// Costs time as [`upsert`](Self::upsert) does.
    ///
    /// # Errors
    ///
    /// [`EntitiesError`] if one of the set's limits is passed, which does not happen where less is
    /// left than there was.
    #[must_use = "the set that was edited stays as it is"]
    pub fn remove(&self, uid: &EntityUid) -> Result<Self, EntitiesError> {
        let Some(old) = self.shared_node(uid).cloned() else { return Ok(self.clone()) };
        let mut edits = self.lasting_edits();
        let below = edits.below(uid, &self.store);
        edits.put(uid, Some(&old), None);
        self.follow(edits, uid.clone(), below)
    }

    /// Works out anew what is below an entity whose ancestors have changed.
    fn follow(
        &self,
        mut edits: Edits,
        uid: EntityUid,
        mut below: FastMap<EntityUid, (Arc<Node>, usize)>,
    ) -> Result<Self, EntitiesError> {
        // Each after its last parent: ancestors have no cycles.
        let mut ready = vec![uid];
        while let Some(done) = ready.pop() {
            for member in edits.members(&done, &self.store) {
                let uid = &member.entity.uid;
                let Some((node, parents)) = below.get_mut(uid) else { continue };
                *parents -= 1;
                if *parents > 0 {
                    continue;
                }
                let node = Arc::clone(node);
                let entity = node.entity.clone();
                let ancestors = self.above(&entity, &edits)?;
                edits.put(uid, Some(&node), Some(Node::new(entity, ancestors)));
                ready.push(uid.clone());
            }
        }
        let limit = self.limits().memberships;
        if edits.memberships > limit {
            return Err(EntitiesError::TooManyMemberships { limit });
        }
        Ok(self.edited(edits))
    }

    /// Returns the ancestors that an entity has once edits are made.
    fn above(
        &self,
        entity: &Entity,
        edits: &Edits,
    ) -> Result<Box<[Arc<EntityUid>]>, EntitiesError> {
        let beyond = |uid: &EntityUid| {
            let node = match edits.nodes.get(uid) {
                Some(edited) => edited.as_ref(),
                None => self.store.nodes.get(uid),
            };
            node.map(|node| node.ancestors.as_ref())
        };
        hierarchy::above(entity, beyond, self.limits())
    }

    /// Returns the edits so far; what was laid over the set becomes one of them.
    fn lasting_edits(&self) -> Edits {
        let mut edits = Edits::of(self);
        for node in &self.added {
            let uid = &node.entity.uid;
            edits.put(uid, self.lasting(uid), Some(Arc::clone(node)));
        }
        edits
    }

    fn edited(&self, mut edits: Edits) -> Self {
        // Beyond that, to look at all is as quick.
        if edits.changed.len() > edits.len {
            edits.changed.clear();
            edits.conformed = 0;
        }
        Self {
            store: Arc::clone(&self.store),
            edits: Some(Arc::new(edits)),
            added: SmallVec::new(),
        }
    }
}

fn same(one: &[EntityUid], other: &[EntityUid]) -> bool {
    one.len() == other.len() && one.iter().all(|uid| other.contains(uid))
}
