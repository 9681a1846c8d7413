//! What fixtures make it possible to ask: all users, all permissions or verbs, all resources.
//!
//! Cases ask what their author thought of. The space of a suite is everything else that its
//! fixtures can be asked about, to compare policies by.

use std::collections::{BTreeMap, BTreeSet};

use stagedoor_backstage::{Catalog, EntityRef, Permission, Permissions};
use stagedoor_core::{Entities, Entity, EntityUid, Request};

use crate::ask::question;
use crate::file::{Action, Case, TestFile};
use crate::suite::{LoadedFile, TestSuite};
use crate::world::World;
use crate::{invariant, read, table};

/// The verbs that are asked about each resource of Kubernetes that cases name.
const VERBS: [&str; 8] =
    ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];

/// A request with the words that tell people what it is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SpaceRequest {
    /// Who asks: a user's reference or name, or Cedar's principal.
    pub who: String,
    /// The groups of whoever asks, those above groups included.
    pub groups: Vec<String>,
    /// The permission, verb or action.
    pub action: String,
    /// What it is asked about; empty where there is no resource.
    pub resource: String,
    /// The kind of resource: `component`, `pods`, `Doc`.
    pub kind: String,
    /// The request.
    pub request: Request,
    /// The entities that belong to it.
    pub entities: Entities,
}

/// Requests that fixtures make possible.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Space {
    /// The requests.
    pub requests: Vec<SpaceRequest>,
    /// How many more there would be.
    pub left_out: usize,
}

impl TestSuite {
    /// Returns the requests that the fixtures make possible: at most about `limit` of them,
    /// evenly chosen.
    #[must_use]
    pub fn space(&self, limit: usize) -> Space {
        let mut space = Space::default();
        let mut seen = BTreeSet::new();
        let limit = limit / self.files.len().max(1);
        for file in &self.files {
            let asked = Axes::of(file).cases(&file.world);
            let stride = asked.len().div_ceil(limit.max(1)).max(1);
            for (number, case) in asked.iter().enumerate() {
                if !number.is_multiple_of(stride) {
                    space.left_out += 1;
                    continue;
                }
                // What cannot be asked, such as a permission on no resource, is no request.
                let Ok(question) = question(case, &file.world) else { continue };
                let request = SpaceRequest::of(case, question.request, question.entities);
                let key = (request.who.clone(), request.groups.clone(), request.request.clone());
                let key = format!("{key:?} {}", request.resource);
                if seen.insert(key) {
                    space.requests.push(request);
                }
            }
        }
        space
    }

    /// Returns the entities that the fixtures hold, the groups of their users among them.
    pub fn entities(&self) -> impl Iterator<Item = Entity> {
        let of_file = |file: &LoadedFile| {
            let world = &file.world;
            let own = world.catalog_store.iter().chain(world.entities.iter()).cloned();
            own.collect::<Vec<_>>()
        };
        let mut all: BTreeMap<EntityUid, Entity> = BTreeMap::new();
        for entity in self.files.iter().flat_map(of_file) {
            all.entry(entity.uid.clone()).or_insert(entity);
        }
        all.into_values()
    }
}

impl Space {
    /// Returns what the users of a catalog can ask of Backstage: every permission, about every
    /// entity; at most about `limit` requests, evenly chosen.
    #[must_use]
    pub fn of_catalog(catalog: &Catalog, permissions: &Permissions, limit: usize) -> Self {
        let mut space = Self::default();
        let Ok(store) = Entities::from_entities(catalog.entities()) else { return space };
        let users: Vec<_> = catalog.users().filter_map(|user| catalog.user(user)).collect();
        let entities: Vec<&EntityRef> = catalog.references().collect();
        let about = |permission: &Permission| match permission.resource_type() {
            None => 1,
            Some("catalog-entity") => entities.len(),
            Some(_) => 0,
        };
        let total: usize = permissions.iter().map(about).sum::<usize>() * users.len();
        let stride = total.div_ceil(limit.max(1)).max(1);
        let mut number = 0;
        for permission in permissions.iter() {
            let resources: Vec<Option<&EntityRef>> = match permission.resource_type() {
                None => vec![None],
                Some("catalog-entity") => entities.iter().copied().map(Some).collect(),
                Some(_) => Vec::new(),
            };
            for (resource, user) in
                resources.iter().flat_map(|resource| users.iter().map(move |user| (resource, user)))
            {
                number += 1;
                if !usize::is_multiple_of(number, stride) {
                    space.left_out += 1;
                    continue;
                }
                let known = resource.and_then(|entity| catalog.resource(entity).ok());
                let Ok(asked) = permission.request(&user.clone().into(), known) else { continue };
                let Ok(entities) = store.with(asked.entities) else { continue };
                space.requests.push(SpaceRequest::new(asked.request, entities));
            }
        }
        space
    }
}

impl SpaceRequest {
    /// Returns a request in Cedar's own words.
    #[must_use]
    pub fn new(request: Request, entities: Entities) -> Self {
        let case = Case::default();
        let mut this = Self::of(&case, request, entities);
        let uid = &this.request.resource;
        match uid.type_name().to_string().as_str() {
            "Backstage::CatalogEntity" => {
                this.resource = uid.id().unescaped().to_owned();
                this.kind = this.resource.split(':').next().unwrap_or_default().to_owned();
            }
            "Backstage::Plugin" => (this.resource, this.kind) = (String::new(), String::new()),
            "k8s::Resource" | "k8s::NonResourceURL" => {
                this.resource = uid.id().unescaped().to_owned();
            }
            _ => {}
        }
        this
    }

    fn of(case: &Case, request: Request, entities: Entities) -> Self {
        let who = request.principal.id().unescaped().to_owned();
        let mut groups: Vec<String> = entities
            .ancestors(&request.principal)
            .map(|group| group.id().unescaped().to_owned())
            .filter(|group| *group != who)
            .collect();
        groups.sort_unstable();
        groups.dedup();
        let (resource, kind) = of_resource(case, &request.resource);
        let action = case.verb.clone();
        let action = action.unwrap_or_else(|| request.action.id().unescaped().to_owned());
        Self { who, groups, action, resource, kind, request, entities }
    }
}

/// Returns what a case is about, and the kind of that.
fn of_resource(case: &Case, uid: &EntityUid) -> (String, String) {
    if let Some(entity) = &case.entity {
        let kind = entity.split(':').next().unwrap_or_default();
        return (entity.clone(), kind.to_owned());
    }
    if let Some(template) = &case.template {
        return (format!("a part tagged {:?}", template.tags), "template".to_owned());
    }
    if let Some(task) = &case.task {
        let by = task.created_by.as_deref().unwrap_or("nobody");
        return (format!("a task of {by}"), "task".to_owned());
    }
    if let Some(Action::Scaffolder(action)) = &case.action {
        return (format!("{} {:?}", action.id, action.input), "scaffolder action".to_owned());
    }
    if case.permission.is_some() {
        return (String::new(), String::new());
    }
    if case.verb.is_some() {
        return of_kubernetes(case);
    }
    (uid.to_string(), uid.type_name().to_string())
}

fn of_kubernetes(case: &Case) -> (String, String) {
    if let Some(path) = &case.path {
        return (path.clone(), "path".to_owned());
    }
    let word = |word: &Option<String>| word.clone().unwrap_or_default();
    let mut kind = word(&case.resource);
    if !word(&case.subresource).is_empty() {
        kind = format!("{kind}/{}", word(&case.subresource));
    }
    if !word(&case.api_group).is_empty() {
        kind = format!("{kind}.{}", word(&case.api_group));
    }
    let mut resource = kind.clone();
    if !word(&case.resource_name).is_empty() {
        resource = format!("{resource} `{}`", word(&case.resource_name));
    }
    if !word(&case.namespace).is_empty() {
        resource = format!("{resource} in {}", word(&case.namespace));
    }
    (resource, kind)
}

/// Who may ask in a file, and what about.
struct Axes {
    /// Cases that differ in who asks alone.
    who: Vec<Case>,
    /// Cases that say everything but who asks.
    what: Vec<Case>,
}

impl Axes {
    fn of(file: &LoadedFile) -> Self {
        let world = &file.world;
        let cases = read::read(&file.path).map(|read| all_cases(&read, world)).unwrap_or_default();
        let mut axes = Self { who: Vec::new(), what: Vec::new() };
        axes.add_people(&cases, world);
        if cases.iter().any(|case| case.permission.is_some()) {
            axes.add_backstage(&cases, world);
        }
        if cases.iter().any(|case| case.verb.is_some()) {
            axes.add_kubernetes(&cases);
        }
        if cases.iter().any(|case| case.principal.is_some()) {
            axes.add_cedar(&cases, world);
        }
        axes
    }

    /// Returns everybody with everything, each in the words of its platform.
    fn cases(&self, world: &World) -> Vec<Case> {
        let mut cases = Vec::new();
        for what in &self.what {
            let is_cedar = what.permission.is_none() && what.verb.is_none();
            for who in self.who.iter().filter(|who| who.principal.is_some() == is_cedar) {
                let is_reference = |user: &str| user.contains(':') && !user.starts_with("system:");
                let named = who.user.as_deref().unwrap_or_default();
                let user = world.fixtures.users.get(named).map_or(named, |user| &user.user);
                if what.permission.is_some() && !is_reference(user) {
                    continue;
                }
                let mut case = what.clone();
                case.user.clone_from(&who.user);
                case.groups.clone_from(&who.groups);
                case.uid.clone_from(&who.uid);
                case.extra.clone_from(&who.extra);
                case.principal.clone_from(&who.principal);
                case.entities.extend(who.entities.iter().cloned());
                cases.push(case);
            }
        }
        cases
    }

    fn add_people(&mut self, cases: &[Case], world: &World) {
        let person = |user: String| Case { user: Some(user), ..Case::default() };
        self.who.extend(world.fixtures.users.keys().cloned().map(person));
        self.who.extend(world.catalog.users().map(|user| person(user.to_string())));
        let mut seen = BTreeSet::new();
        for case in cases {
            let Case { user, groups, uid, extra, principal, entities, .. } = case.clone();
            let is_fixture =
                user.as_ref().is_some_and(|user| world.fixtures.users.contains_key(user));
            if is_fixture && groups.is_none() && uid.is_none() && extra.is_empty() {
                continue;
            }
            if seen.insert(format!("{user:?} {groups:?} {uid:?} {extra:?} {principal:?}")) {
                let entities = if principal.is_some() { entities } else { Vec::new() };
                let who = Case { user, groups, uid, extra, principal, entities, ..Case::default() };
                self.who.push(who);
            }
        }
    }

    fn add_backstage(&mut self, cases: &[Case], world: &World) {
        let entities: Vec<String> = world.catalog.references().map(ToString::to_string).collect();
        for permission in world.permissions.iter() {
            let asked = Case { permission: Some(permission.name().to_owned()), ..Case::default() };
            match permission.resource_type() {
                None => self.what.push(asked),
                Some("catalog-entity") => self.what.extend(
                    entities
                        .iter()
                        .map(|entity| Case { entity: Some(entity.clone()), ..asked.clone() }),
                ),
                Some(_) => {}
            }
        }
        let other =
            |case: &&Case| case.template.is_some() || case.task.is_some() || case.action.is_some();
        self.add_distinct(cases.iter().filter(|case| case.permission.is_some()).filter(other));
    }

    fn add_kubernetes(&mut self, cases: &[Case]) {
        let asked: Vec<&Case> = cases.iter().filter(|case| case.verb.is_some()).collect();
        self.add_distinct(asked.iter().copied());
        let each_verb = |case: &&Case| {
            let case = (*case).clone();
            VERBS.map(|verb| Case { verb: Some(verb.to_owned()), ..case.clone() })
        };
        let on_objects = asked.iter().filter(|case| case.path.is_none());
        let with_verbs: Vec<Case> = on_objects.flat_map(each_verb).collect();
        self.add_distinct(with_verbs.iter());
    }

    fn add_cedar(&mut self, cases: &[Case], world: &World) {
        let asked = || cases.iter().filter(|case| case.principal.is_some());
        let Some(schema) = world.engine.schema() else {
            return self.add_distinct(asked());
        };
        let mut principals: BTreeSet<String> =
            asked().filter_map(|c| c.principal.clone()).collect();
        let is_principal = |uid: &EntityUid| schema.principals().any(|of| of == uid.type_name());
        let more = world.entities.iter().map(|entity| &entity.uid).filter(|uid| is_principal(uid));
        for uid in more.map(ToString::to_string) {
            if principals.insert(uid.clone()) {
                self.who.push(Case { principal: Some(uid), ..Case::default() });
            }
        }
        self.add_distinct(asked());
        for action in schema.actions() {
            let types: BTreeSet<_> =
                schema.resources_for_action(action).into_iter().flatten().collect();
            let resources = world.entities.iter().filter(|e| types.contains(e.uid.type_name()));
            let whats: Vec<Case> = resources
                .map(|entity| Case {
                    action: Some(Action::Cedar(action.to_string())),
                    resource: Some(entity.uid.to_string()),
                    ..Case::default()
                })
                .collect();
            self.add_distinct(whats.iter());
        }
    }

    /// Adds what cases are about, each once.
    fn add_distinct<'c>(&mut self, cases: impl IntoIterator<Item = &'c Case>) {
        let key = |case: &Case| format!("{case:?}");
        let mut seen: BTreeSet<String> = self.what.iter().map(key).collect();
        for case in cases {
            let what = Case {
                name: String::new(),
                expect: Default::default(),
                user: None,
                groups: None,
                uid: None,
                extra: BTreeMap::new(),
                principal: None,
                ..case.clone()
            };
            if seen.insert(key(&what)) {
                self.what.push(what);
            }
        }
    }
}

/// Returns the cases of a file, those of tables and invariants among them.
fn all_cases(file: &TestFile, world: &World) -> Vec<Case> {
    let suites = file.suites.iter().map(|s| (&s.cases, &s.tables, &s.invariants));
    let own = std::iter::once((&file.cases, &file.tables, &file.invariants));
    let mut all = Vec::new();
    for (cases, tables, invariants) in own.chain(suites) {
        all.extend(cases.iter().map(|case| case.value.clone()));
        all.extend(tables.iter().filter_map(|t| table::cases(&t.value).ok()).flatten());
        let of_invariant = |about| invariant::cases(about, world).ok();
        all.extend(invariants.iter().filter_map(|about| of_invariant(&about.value)).flatten());
    }
    all
}
