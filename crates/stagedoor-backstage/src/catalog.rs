//! A catalog read from files: entities as resources, groups, and users.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::EntityUid;
use stagedoor_core::Entity;

use crate::catalog_entity::CatalogEntity;
use crate::circles::{circles, straightened};
use crate::entity_ref::EntityRef;
use crate::file_error::{FileError, FileProblem, Report};
use crate::groups::{CIRCLE_HELP, circle_message, distinct};
use crate::names;
use crate::owners::OwnerCounts;
use crate::principal::User;
use crate::relations::UnreadableRelation;
use crate::request::Resource;
use crate::yaml::{Content, Node, Position, documents};

/// The entities of a software catalog.
///
/// Read from `catalog-info.yaml` files as people write them, or from what the
/// catalog's API returns (`GET /api/catalog/entities`). Files alone do not tell
/// everything: entities that processors and providers add, custom relations, the
/// contents of `$text` and the annotations that the catalog itself sets are not
/// in them.
///
/// # Examples
///
/// ```
/// use stagedoor_backstage::Catalog;
///
/// let catalog = Catalog::from_files([(
///     "catalog-info.yaml",
///     "
/// apiVersion: backstage.io/v1alpha1
/// kind: Component
/// metadata: {name: Ledger}
/// spec: {type: service, lifecycle: production, owner: payments}
/// ---
/// apiVersion: backstage.io/v1alpha1
/// kind: User
/// metadata: {name: alice}
/// spec: {memberOf: [payments]}
/// ",
/// )])?;
/// let alice = catalog.user(&"user:default/alice".parse()?).ok_or("no such user")?;
/// assert_eq!(alice.ownership_entity_refs().len(), 2);
/// assert!(catalog.resource(&"component:default/ledger".parse()?).is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    entities: BTreeMap<EntityRef, CatalogEntity>,
    /// Every group that is there or spoken of, with the groups it is below.
    groups: BTreeMap<EntityRef, BTreeSet<EntityRef>>,
    /// For each group on a circle, all that are on it.
    circles: BTreeMap<EntityRef, BTreeSet<EntityRef>>,
    /// Every user, with the groups that name it or that it names.
    users: BTreeMap<EntityRef, BTreeSet<EntityRef>>,
    warnings: FileError,
}

/// A reference to an entity that the catalog does not hold.
///
/// Backstage denies every permission on an entity that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown entity `{0}`: denied, as it is in none of the catalog files given")]
pub struct UnknownEntity(pub EntityRef);

impl Catalog {
    /// Reads files, each given as its name (for messages) and its text.
    ///
    /// # Errors
    ///
    /// [`FileError`] with everything that is wrong; then nothing is loaded. A relation that
    /// cannot be read, and groups that are above each other, stop nothing else: see
    /// [`warnings`](Self::warnings).
    pub fn from_files<N: AsRef<str>, T: AsRef<str>>(
        files: impl IntoIterator<Item = (N, T)>,
    ) -> Result<Self, FileError> {
        let mut reader = Reader::default();
        for (name, text) in files {
            reader.file(name.as_ref(), text.as_ref());
        }
        reader.finish()
    }

    /// Returns the catalog's entities in Cedar's words: each as a resource, with
    /// its labels and annotations, and the hierarchy of groups.
    ///
    /// Users are principals only by [`user`](Self::user), so that a request may
    /// state other groups than the catalog does.
    pub fn entities(&self) -> impl Iterator<Item = Entity> {
        let resources = self.entities.values().flat_map(CatalogEntity::to_entities);
        resources.chain(self.hierarchy())
    }

    /// Returns the groups with what is above them, circles in one place.
    pub(crate) fn hierarchy(&self) -> impl Iterator<Item = Entity> + use<> {
        let straight = straightened(&self.groups, &self.circles);
        straight.into_iter().map(|(group, above)| group_entity(&group, &above))
    }

    /// Returns what was set aside: memberships that cannot be read, entities whose owners cannot,
    /// groups that are above each other. The first hundred.
    #[must_use]
    pub fn warnings(&self) -> &[FileProblem] {
        self.warnings.problems()
    }

    /// Returns how many entities each owner has.
    #[must_use]
    pub fn owners(&self) -> OwnerCounts {
        let owners = self.entities.values().flat_map(|entity| &entity.relations.owned_by);
        owners.map(|owner| (owner.to_string(), 1)).collect()
    }

    /// Returns the groups in Cedar's words, each with those right above it, for
    /// [`PolicyEngine::with_groups`](crate::PolicyEngine::with_groups). Some may be above each
    /// other, which [`entities`](Self::entities) are not.
    pub fn groups(&self) -> impl Iterator<Item = Entity> {
        self.groups.iter().map(|(group, above)| group_entity(group, above))
    }

    /// Returns the references of all entities, sorted.
    pub fn references(&self) -> impl Iterator<Item = &EntityRef> {
        self.entities.keys()
    }

    /// Returns a user with the ownership references that Backstage's default
    /// sign-in gives: the user and the groups it is directly a member of.
    #[must_use]
    pub fn user(&self, reference: &EntityRef) -> Option<User> {
        let groups = self.users.get(reference)?;
        let user = User::new(reference.clone()).with_ownership(groups.iter().cloned());
        Some(self.with_circles(user))
    }

    /// Returns a user in all groups of a circle, if it is in one of them.
    #[must_use]
    pub fn with_circles(&self, user: User) -> User {
        let owned = user.ownership_entity_refs();
        let beside = owned.iter().filter_map(|group| self.circles.get(group)).flatten();
        let beside: Vec<EntityRef> = beside.cloned().collect();
        user.with_memberships(beside)
    }

    /// Returns the references of all users, sorted.
    pub fn users(&self) -> impl Iterator<Item = &EntityRef> {
        self.users.keys()
    }

    /// Returns an entity of this catalog as the resource of a request.
    ///
    /// # Errors
    ///
    /// [`UnknownEntity`] if the catalog does not hold it.
    pub fn resource(&self, reference: &EntityRef) -> Result<Resource, UnknownEntity> {
        match self.entities.contains_key(reference) {
            true => Ok(Resource::known(names::catalog_entity(reference))),
            false => Err(UnknownEntity(reference.clone())),
        }
    }

    /// Returns an entity of this catalog as the resource of a request, described by what this
    /// catalog says of it: for decisions whose entities do not hold the catalog.
    ///
    /// # Errors
    ///
    /// [`UnknownEntity`] if the catalog does not hold it.
    pub fn described(&self, reference: &EntityRef) -> Result<Resource, UnknownEntity> {
        let entity = self.entities.get(reference);
        let entity = entity.ok_or_else(|| UnknownEntity(reference.clone()))?;
        let mut entities = entity.to_entities().into_iter();
        // The entity itself comes first, before its labels and annotations.
        let described = entities.next().map(|entity| Resource::described(entity, entities));
        described.ok_or_else(|| UnknownEntity(reference.clone()))
    }

    /// Returns the entities themselves.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &CatalogEntity> {
        self.entities.values()
    }

    /// Returns the groups that a user is a member of, and all above them.
    pub(crate) fn groups_of(&self, user: &EntityRef) -> BTreeSet<EntityRef> {
        let mut found = BTreeSet::new();
        let mut open: Vec<&EntityRef> = self.users.get(user).into_iter().flatten().collect();
        while let Some(group) = open.pop() {
            if found.insert(group.clone()) {
                open.extend(self.groups.get(group).into_iter().flatten());
            }
        }
        found
    }

    /// Returns how many entities the catalog holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entities.len()
    }

    /// Returns whether the catalog holds no entity.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entities.is_empty()
    }

    /// Returns the Cedar id of a catalog entity.
    #[must_use]
    pub fn uid(reference: &EntityRef) -> EntityUid {
        names::catalog_entity(reference)
    }
}

/// Where an entity was read from, for problems that show later.
struct Source {
    file: String,
    document: usize,
    place: Position,
}

#[derive(Default)]
struct Reader {
    entities: BTreeMap<EntityRef, (CatalogEntity, Source)>,
    error: FileError,
    warnings: FileError,
}

impl Reader {
    fn file(&mut self, file: &str, text: &str) {
        let documents = match documents(text) {
            Ok(documents) => documents,
            Err(error) => return self.error.yaml(file, error),
        };
        for document in documents {
            match &document.root.content {
                // As the catalog's API returns them.
                Content::List(items) => {
                    items.iter().for_each(|item| self.entity(file, document.number, item));
                }
                _ => self.entity(file, document.number, &document.root),
            }
        }
    }

    fn entity(&mut self, file: &str, document: usize, node: &Node) {
        let mut report = Report { file, document, error: &mut self.error };
        let Some(entity) = CatalogEntity::read(node, &mut report) else {
            return;
        };
        if let Some((_, first)) = self.entities.get(&entity.reference) {
            let message = format!("`{}` is given twice", entity.reference);
            let help = format!("it is already in {}:{}", first.file, first.place.line);
            report.problem(node.place, message, &help);
            return;
        }
        let mut warnings = Report { file, document, error: &mut self.warnings };
        let mut is_whole = true;
        for UnreadableRelation { place, message, help, may_be_owner } in &entity.relations.set_aside
        {
            let what = if *may_be_owner { "the entity" } else { "this" };
            let message = format!("`{}`: {message}: {what} is left out", entity.reference);
            warnings.problem(*place, message, help);
            is_whole &= !may_be_owner;
        }
        if !is_whole {
            return;
        }
        let source = Source { file: file.to_owned(), document, place: node.place };
        self.entities.insert(entity.reference.clone(), (entity, source));
    }

    fn finish(mut self) -> Result<Catalog, FileError> {
        let mut groups: BTreeMap<EntityRef, BTreeSet<EntityRef>> = BTreeMap::new();
        let mut users: BTreeMap<EntityRef, BTreeSet<EntityRef>> = BTreeMap::new();
        let mut memberships: Vec<(&EntityRef, &EntityRef)> = Vec::new();
        for (reference, (entity, _)) in &self.entities {
            let relations = &entity.relations;
            match reference.kind() {
                "user" => {
                    users.entry(reference.clone()).or_default();
                    memberships.extend(relations.member_of.iter().map(|g| (reference, g)));
                }
                "group" => {
                    let above = groups.entry(reference.clone()).or_default();
                    above.extend(relations.child_of.iter().cloned());
                    for below in &relations.parent_of {
                        groups.entry(below.clone()).or_default().insert(reference.clone());
                    }
                    memberships.extend(relations.has_member.iter().map(|u| (u, reference)));
                }
                _ => {}
            }
        }
        for (user, group) in memberships {
            // A group may name members that the catalog does not know: they cannot sign in.
            if let Some(of_user) = users.get_mut(user) {
                of_user.insert(group.clone());
            }
        }
        let circles = circles(&groups);
        for circle in distinct(&circles) {
            let Some((_, source)) = circle.iter().find_map(|group| self.entities.get(group)) else {
                continue;
            };
            let Source { file, document, place } = source;
            let mut report = Report { file, document: *document, error: &mut self.warnings };
            let names: Vec<String> = circle.iter().map(ToString::to_string).collect();
            let message = circle_message(names.iter().map(String::as_str));
            report.problem(*place, message, CIRCLE_HELP);
        }
        let entities = self.entities.into_iter().map(|(k, (entity, _))| (k, entity)).collect();
        let warnings = self.warnings;
        self.error.or(Catalog { entities, groups, circles, users, warnings })
    }
}

fn group_entity(group: &EntityRef, above: &BTreeSet<EntityRef>) -> Entity {
    let entity = Entity::new(names::group(group));
    above.iter().fold(entity, |entity, above| entity.with_parent(names::group(above)))
}
