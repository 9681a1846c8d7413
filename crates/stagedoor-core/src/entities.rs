//! The entities that decisions are about: prepared once, extended for one request, used often.
//!
//! A store is immutable. What belongs to one request (its resource, say) is laid
//! over it with [`Entities::with`], which copies nothing of the store. Edits ([`edits`]) lie
//! between the two.

mod edits;

use std::fmt;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use cedar_policy::{EntityTypeName, EntityUid, Schema};
use cedar_policy_core::ast;
use cedar_policy_core::entities::{
    Entities as CedarEntities, EntityJsonParser, NoEntitiesSchema, TCComputation,
};
use cedar_policy_core::extensions::Extensions;
use cedar_policy_core::validator::CoreSchema;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde::ser::{Serialize, Serializer};
use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::columns::{Table, Tables};
use crate::entity::Entity;
use crate::error::{EntitiesError, cut};
use crate::hash::{FastMap, FastSet};
use crate::hierarchy;
use crate::limits::Limits;
use crate::node::Node;
use crate::reason;
use crate::source::without_byte_order_mark;
use crate::symbols::Symbols;
use crate::value::{Value, has_misread_escape};

use edits::Edits;

/// The keys of an entity in JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    #[serde(rename = "uid")]
    _uid: IgnoredAny,
    #[serde(rename = "attrs")]
    _attrs: IgnoredAny,
    #[serde(rename = "parents")]
    _parents: IgnoredAny,
    #[serde(rename = "tags", default)]
    _tags: IgnoredAny,
}

/// The types of entities that are given (true), or that are only named as parents.
type TypesGiven = FastMap<EntityTypeName, bool>;

#[derive(Default)]
struct Store {
    nodes: FastMap<EntityUid, Arc<Node>>,
    /// Parents that are named but not given: an entity laid over may be one of them.
    absent: FastSet<EntityUid>,
    types: TypesGiven,
    /// The members of each parent, made for the first edit that needs them.
    members: OnceLock<FastMap<EntityUid, Vec<Arc<Node>>>>,
    /// How many ancestors the entities have, taken together.
    memberships: usize,
    /// What the store keeps to, and whatever is laid over it.
    limits: Limits,
    /// The schemas, by number, that this store is known to conform to.
    conforms: ArcSwapOption<Vec<u64>>,
    /// What lists have found out about the entities.
    tables: Tables,
}

/// A set of entities.
///
/// Cloning is cheap, and so is [`with`](Self::with). An entity that policies name
/// but the set does not hold exists for Cedar without attributes or ancestors.
///
/// # Examples
///
/// ```
/// use stagedoor_core::{Entities, Entity};
///
/// let alice = r#"User::"alice""#.parse()?;
/// let people = Entities::from_entities([
///     Entity::new(alice).with_parent(r#"Group::"ops""#.parse()?),
/// ])?;
/// let request_entities = people.with([Entity::new(r#"Host::"db1""#.parse()?)])?;
/// assert_eq!((people.len(), request_entities.len()), (1, 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Entities {
    store: Arc<Store>,
    /// What was changed of the store; none where nothing was.
    edits: Option<Arc<Edits>>,
    added: SmallVec<[Arc<Node>; 2]>,
}

impl Entities {
    /// Returns a set without entities.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Returns a set of the given entities, within the default [`Limits`].
    ///
    /// # Errors
    ///
    /// [`EntitiesError`] if an id is given twice, a hierarchy has a cycle, or a limit is passed.
    pub fn from_entities(
        entities: impl IntoIterator<Item = Entity>,
    ) -> Result<Self, EntitiesError> {
        Self::within(entities, &Limits::default())
    }

    /// Returns a set of the given entities, within `limits`.
    ///
    /// # Errors
    ///
    /// As [`from_entities`](Self::from_entities).
    pub fn within(
        entities: impl IntoIterator<Item = Entity>,
        limits: &Limits,
    ) -> Result<Self, EntitiesError> {
        let mut given: Vec<Entity> = Vec::new();
        let mut known: FastSet<EntityUid> = FastSet::default();
        for entity in entities {
            entity.check(limits)?;
            if given.len() >= limits.entities {
                let (given, limit) = (given.len() + 1, limits.entities);
                return Err(EntitiesError::TooMany { given, limit });
            }
            if !known.insert(entity.uid.clone()) {
                return Err(EntitiesError::Duplicate(cut(&entity.uid)));
            }
            given.push(entity);
        }
        let ancestors = hierarchy::closure(&given, limits)?;
        let mut store = Store { limits: limits.clone(), ..Store::default() };
        for (entity, ancestors) in given.into_iter().zip(ancestors) {
            for (type_name, is_given) in types_of(&entity) {
                match store.types.get_mut(type_name) {
                    Some(known) => *known |= is_given,
                    None => drop(store.types.insert(type_name.clone(), is_given)),
                }
            }
            let absent = entity.parents.iter().filter(|parent| !known.contains(*parent));
            store.absent.extend(absent.cloned());
            store.memberships += ancestors.len();
            store.nodes.insert(entity.uid.clone(), Node::new(entity, ancestors));
        }
        Ok(Self { store: Arc::new(store), edits: None, added: SmallVec::new() })
    }

    /// Reads entities in Cedar's JSON form, within the default [`Limits`].
    ///
    /// With a schema, values may leave out what the schema tells, the entities are
    /// validated, and the schema's actions are added.
    ///
    /// # Errors
    ///
    /// [`EntitiesError`], as [`from_entities`](Self::from_entities) and for JSON that is not Cedar's.
    pub fn from_json_str(json: &str, schema: Option<&Schema>) -> Result<Self, EntitiesError> {
        Self::from_json_within(json, schema, &Limits::default())
    }

    /// Reads entities in Cedar's JSON form, within `limits`.
    ///
    /// # Errors
    ///
    /// As [`from_json_str`](Self::from_json_str).
    pub fn from_json_within(
        json: &str,
        schema: Option<&Schema>,
        limits: &Limits,
    ) -> Result<Self, EntitiesError> {
        let json = without_byte_order_mark(json);
        if json.len() > limits.file_bytes {
            let (given, limit) = (json.len(), limits.file_bytes);
            return Err(EntitiesError::TooLarge { given, limit });
        }
        // Cedar passes over keys that it does not know: `tag` for `tags` would lose a forbid.
        let wrong = |cause: &str| EntitiesError::Json(reason::of_entities(json, cause));
        serde_json::from_str::<Vec<Keys>>(json).map_err(|e| wrong(&e.to_string()))?;
        // Cedar would compute all ancestors before a limit could refuse them.
        let read = EntityJsonParser::new(
            schema.map(|schema| CoreSchema::new(schema.as_ref())).as_ref(),
            Extensions::all_available(),
            TCComputation::AssumeAlreadyComputed,
        )
        .from_json_str(json)
        .map_err(|e| wrong(&crate::error::error_chain(&e)))?;
        let entities = cedar_policy::Entities::from(read);
        let entities = entities.iter().map(Entity::from_cedar).collect::<Result<Vec<_>, _>>()?;
        let is_misread =
            |e: &Entity| has_misread_escape(&e.attributes) || has_misread_escape(&e.tags);
        if entities.iter().any(is_misread) {
            return Err(wrong("a value is neither an entity id nor a call"));
        }
        Self::within(entities, limits)
    }

    /// Returns this set with more entities, for one request say.
    ///
    /// Costs time in proportion to what is added, and, where that has parents and is itself named as
    /// one already, to what its members are.
    ///
    /// # Errors
    ///
    /// [`EntitiesError`] if an entity is in the set already, or one of the set's limits is passed.
    pub fn with(&self, entities: impl IntoIterator<Item = Entity>) -> Result<Self, EntitiesError> {
        let limits = self.limits();
        let entities: SmallVec<[Entity; 2]> = entities.into_iter().collect();
        let mut all_simple = true;
        for (n, entity) in entities.iter().enumerate() {
            entity.check(limits)?;
            let uid = &entity.uid;
            if self.node(uid).is_some() || entities.iter().take(n).any(|e| e.uid == *uid) {
                return Err(EntitiesError::Duplicate(cut(uid)));
            }
            // Laid over without more ado: nothing known so far is a member of it.
            // Nor does what has no parents bring anything to those that name it as theirs.
            let is_named = || {
                self.store.absent.contains(uid)
                    || self.edits.as_ref().is_some_and(|edits| edits.may_name(uid))
                    || self.added.iter().any(|node| node.entity.parents.contains(uid))
                    || entities.iter().any(|e| e.parents.contains(uid))
            };
            all_simple &= entity.parents.is_empty() || !is_named();
        }
        if !all_simple {
            return entities.into_iter().try_fold(self.clone(), |set, entity| set.upsert(entity));
        }
        let mut added = self.added.clone();
        for entity in entities {
            let beyond = |uid: &EntityUid| self.node(uid).map(|node| node.ancestors.as_ref());
            let above = hierarchy::above(&entity, beyond, limits)?;
            added.push(Node::new(entity, above));
        }
        Ok(Self { added, ..self.clone() })
    }

    /// Returns this set with attributes laid over those of one entity, for one request say.
    /// An entity that the set does not hold comes to be in it; its tags and parents stay.
    ///
    /// # Errors
    ///
    /// [`EntitiesError`] if a limit is passed.
    ///
    /// # Examples
    ///
    /// ```
    /// use stagedoor_core::{Entities, Entity, Value};
    ///
    /// let alice = r#"User::"alice""#.parse()?;
    /// let people = Entities::from_entities([
    ///     Entity::new(alice).with_attribute("department", "ops").with_attribute("level", 3),
    /// ])?;
    /// let alice = r#"User::"alice""#.parse()?;
    /// let now = people.with_attributes(&alice, [("level".into(), Value::Long(4))])?;
    /// let attribute = |name| now.get(&alice).and_then(|e| e.attributes.get(name).cloned());
    /// assert_eq!(attribute("level"), Some(Value::Long(4)));
    /// assert_eq!(attribute("department"), Some("ops".into()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_attributes(
        &self,
        uid: &EntityUid,
        attributes: impl IntoIterator<Item = (SmolStr, Value)>,
    ) -> Result<Self, EntitiesError> {
        let Some(node) = self.node(uid) else {
            let mut entity = Entity::new(uid.clone());
            entity.attributes.extend(attributes);
            return self.with([entity]);
        };
        let mut entity = node.entity.clone();
        entity.attributes.extend(attributes);
        entity.check(self.limits())?;
        // The parents stay, and so do the ancestors: of this entity and of those below it.
        let node = Node::new(entity, node.ancestors.clone());
        let others = self.added.iter().filter(|other| other.entity.uid != *uid);
        let added = others.cloned().chain([node]).collect();
        Ok(Self { added, ..self.clone() })
    }

    /// Returns the entity with this id.
    #[must_use]
    pub fn get(&self, uid: &EntityUid) -> Option<&Entity> {
        self.node(uid).map(|node| &node.entity)
    }

    /// Returns every entity that `uid` is a member of, directly or not.
    pub fn ancestors(&self, uid: &EntityUid) -> impl Iterator<Item = &EntityUid> {
        let ancestors = self.node(uid).map(|node| node.ancestors.as_ref());
        ancestors.unwrap_or_default().iter().map(AsRef::as_ref)
    }

    /// Returns all entities, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Entity> {
        self.nodes().map(|node| &node.entity)
    }

    /// Returns how many entities the set holds.
    #[must_use]
    pub fn len(&self) -> usize {
        let laid_over = |node: &&Arc<Node>| self.lasting(&node.entity.uid).is_some();
        let lasting = self.edits.as_ref().map_or(self.store.nodes.len(), |edits| edits.len);
        lasting + self.added.len() - self.added.iter().filter(laid_over).count()
    }

    /// Returns whether the set holds no entity.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the limits that the set keeps to, and whatever is laid over it.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.store.limits
    }

    /// Returns whether both are one set, not only equal ones. Costs nothing.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let are_same_edits = match (&self.edits, &other.edits) {
            (Some(own), Some(others)) => Arc::ptr_eq(own, others),
            (None, None) => true,
            _ => false,
        };
        Arc::ptr_eq(&self.store, &other.store)
            && are_same_edits
            && self.added.len() == other.added.len()
            && self.added.iter().zip(&other.added).all(|(own, others)| Arc::ptr_eq(own, others))
    }

    pub(crate) fn node(&self, uid: &EntityUid) -> Option<&Node> {
        self.shared_node(uid).map(AsRef::as_ref)
    }

    pub(crate) fn shared_node(&self, uid: &EntityUid) -> Option<&Arc<Node>> {
        let added = self.added.iter().find(|node| node.entity.uid == *uid);
        added.or_else(|| self.lasting(uid))
    }

    /// Returns the entity with this id that is not one request's.
    #[inline]
    fn lasting(&self, uid: &EntityUid) -> Option<&Arc<Node>> {
        if let Some(edits) = &self.edits
            && let Some(edited) = edits.nodes.get(uid)
        {
            return edited.as_ref();
        }
        self.store.nodes.get(uid)
    }

    /// Returns the types of the entities and of those that they name as parents, and whether there is
    /// an entity of the type; one may come more than once.
    pub(crate) fn types(&self) -> impl Iterator<Item = (&EntityTypeName, bool)> {
        let added = self.added.iter().flat_map(|node| types_of(&node.entity));
        let edited = self.edits.iter().flat_map(|edits| edits.types.iter());
        let lasting = self.store.types.iter().chain(edited);
        lasting.map(|(type_name, is_given)| (type_name, *is_given)).chain(added)
    }

    /// Returns the entities that were laid over the store.
    pub(crate) fn added(&self) -> &[Arc<Node>] {
        &self.added
    }

    /// Returns the entities, without those laid over them for one request.
    fn stored(&self) -> impl Iterator<Item = &Node> {
        let edits = self.edits.as_deref();
        let is_unedited =
            move |(uid, _): &(&EntityUid, _)| edits.is_none_or(|e| !e.nodes.contains_key(*uid));
        let edited = edits.into_iter().flat_map(|edits| edits.nodes.values().flatten());
        let unedited = self.store.nodes.iter().filter(is_unedited).map(|(_, node)| node);
        unedited.chain(edited).map(AsRef::as_ref)
    }

    /// Returns the stored entities of a type, without those laid over the store.
    pub(crate) fn table(&self, type_: &EntityTypeName, symbols: &Symbols) -> Arc<Table> {
        self.store.tables.table(type_, symbols, self.store.nodes.values())
    }

    /// Returns how many columns there are of the store in an engine's numbering, and about how many
    /// bytes of memory they take.
    pub(crate) fn tables_size(&self, symbols: &Symbols) -> (usize, usize) {
        self.store.tables.size(symbols.numbering)
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Node> {
        let is_stored =
            |node: &&Node| !self.added.iter().any(|other| other.entity.uid == node.entity.uid);
        self.stored().filter(is_stored).chain(self.added.iter().map(AsRef::as_ref))
    }

    /// Hands over the lasting entities that are not known to conform to the schema of this number,
    /// and remembers that all of them do.
    ///
    /// # Errors
    ///
    /// As `conforms`.
    pub(crate) fn check_stored<E>(
        &self,
        schema: u64,
        conforms: impl FnMut(&Node) -> Result<(), E>,
    ) -> Result<(), E> {
        if let Some(edits) = &self.edits {
            if !edits.conforms(schema) {
                match edits.unchecked(schema) {
                    Some(mut unchecked) => unchecked.try_for_each(conforms)?,
                    None => self.stored().try_for_each(conforms)?,
                }
                edits.set_conforms(schema);
            }
            return Ok(());
        }
        if !self.store.conforms(schema) {
            self.stored().try_for_each(conforms)?;
            self.store.set_conforms(schema);
        }
        Ok(())
    }

    /// Returns, as Cedar's, the entities that can be reached from `roots` in so many steps by
    /// attributes and tags. Each carries all its ancestors.
    ///
    /// What stands in a set is left out: Cedar takes nothing out of a set, so that no policy can
    /// read it. What is built therefore does not grow with the store.
    ///
    /// # Errors
    ///
    /// [`EntitiesError::Value`] if a value is not one of Cedar's.
    pub(crate) fn to_cedar<'u>(
        &'u self,
        roots: impl IntoIterator<Item = &'u EntityUid>,
        hops: usize,
        actions: &FastMap<EntityUid, Arc<ast::Entity>>,
    ) -> Result<CedarEntities, EntitiesError> {
        let mut reached: FastSet<&EntityUid> = FastSet::default();
        let mut open: Vec<&EntityUid> = roots.into_iter().collect();
        let mut found = Vec::new();
        for _ in 0..=hops {
            let mut next = Vec::new();
            for uid in open {
                if !reached.insert(uid) {
                    continue;
                }
                // The schema knows all of an action's groups; who gives it may have told the first.
                if let Some(action) = actions.get(uid) {
                    found.push(Arc::clone(action));
                    continue;
                }
                let Some(node) = self.node(uid) else { continue };
                found.push(node.cedar()?);
                let attributes = node.entity.attributes.values();
                attributes.chain(node.entity.tags.values()).for_each(|v| v.add_uids(&mut next));
            }
            if next.is_empty() {
                break;
            }
            open = next;
        }
        CedarEntities::new()
            .add_entities(
                found,
                None::<&NoEntitiesSchema>,
                // Every node carries all its ancestors.
                TCComputation::AssumeAlreadyComputed,
                Extensions::all_available(),
            )
            .map_err(|e| EntitiesError::Value(crate::error::error_chain(&e)))
    }
}

impl Store {
    /// Returns whether the entities are known to conform to the schema of this number.
    fn conforms(&self, schema: u64) -> bool {
        self.nodes.is_empty()
            || self.conforms.load().as_ref().is_some_and(|known| known.contains(&schema))
    }

    fn set_conforms(&self, schema: u64) {
        // The last two: a reload keeps the old engine's requests and the new one's fast.
        let known = self.conforms.load();
        let last = known.as_ref().and_then(|known| known.first().copied());
        let now = std::iter::once(schema).chain(last).collect();
        self.conforms.store(Some(Arc::new(now)));
    }

    /// Returns the members of an entity as they were given.
    fn members(&self, uid: &EntityUid) -> &[Arc<Node>] {
        let members = self.members.get_or_init(|| {
            let mut members: FastMap<EntityUid, Vec<Arc<Node>>> = FastMap::default();
            for node in self.nodes.values() {
                for parent in &node.entity.parents {
                    members.entry_ref(parent).or_default().push(Arc::clone(node));
                }
            }
            members
        });
        members.get(uid).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Returns the types of an entity and of its parents, and whether it is the entity's.
fn types_of(entity: &Entity) -> impl Iterator<Item = (&EntityTypeName, bool)> {
    let named = entity.parents.iter().map(|parent| (parent.type_name(), false));
    named.chain([(entity.uid.type_name(), true)])
}

/// Writes Cedar's JSON form, in the order of the entities' ids: equal sets are written alike.
impl Serialize for Entities {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut entities: Vec<&Entity> = self.iter().collect();
        entities.sort_unstable_by(|a, b| a.uid.cmp(&b.uid));
        serializer.collect_seq(entities)
    }
}

impl fmt::Debug for Entities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
