//! What fixtures make it possible to ask: all users, all permissions or verbs, all resources.
//!
//! Cases ask what their author thought of. The space of a suite is everything else that its
//! fixtures can be asked about, to compare policies by.

use std::collections::{BTreeMap, BTreeSet};

use stagedoor_backstage::{Catalog, EntityRef, Permission};
use stagedoor_core::{Entities, Entity, EntityUid, Request};

use crate::combinations::Combinations;
use crate::file::{Action, Case};
use crate::resolve::question;
use crate::sample::Sample;
use crate::suite::{LoadedFile, TestSuite};

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
pub struct RequestSpace {
    /// The requests.
    pub requests: Vec<SpaceRequest>,
    /// How many more there would be.
    pub left_out: usize,
}

impl TestSuite {
    /// Returns the requests that the fixtures make possible: at most about `limit` of them,
    /// evenly chosen.
    #[must_use]
    pub fn space(&self, limit: usize) -> RequestSpace {
        let mut space = RequestSpace::default();
        let mut seen = BTreeSet::new();
        let limit = limit / self.files.len().max(1);
        for file in &self.files {
            let asked = Combinations::of(&file.cases(), &file.world, limit);
            space.left_out += asked.left_out();
            for case in (0..asked.len()).filter_map(|number| asked.case(number)) {
                // What cannot be asked, such as a permission on no resource, is no request.
                let Ok(question) = question(&case, &file.world) else { continue };
                let request = SpaceRequest::of(&case, question.request, question.entities);
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

impl RequestSpace {
    /// Returns what the users of a catalog can ask of Backstage: every permission, about every
    /// entity; at most about `limit` requests, evenly chosen.
    #[must_use]
    pub fn of_catalog<'p>(
        catalog: &Catalog,
        permissions: impl IntoIterator<Item = &'p Permission>,
        limit: usize,
    ) -> Self {
        let mut space = Self::default();
        let Ok(store) = Entities::from_entities(catalog.entities()) else { return space };
        let users: Vec<_> = catalog.users().filter_map(|user| catalog.user(user)).collect();
        let entities: Vec<&EntityRef> = catalog.references().collect();
        let about = |permission: &Permission| match permission.resource_type() {
            None => 1,
            Some("catalog-entity") => entities.len(),
            Some(_) => 0,
        };
        let permissions: Vec<(&Permission, usize)> =
            permissions.into_iter().map(|permission| (permission, about(permission))).collect();
        let total = permissions.iter().map(|(_, about)| about).sum::<usize>() * users.len();
        let (asked, sample) = (total.min(limit), Sample::of(total));
        space.left_out = total - asked;
        let mut numbers: Vec<usize> = (0..asked).map(|place| sample.at(place)).collect();
        numbers.sort_unstable();
        for number in numbers {
            let Some(user) = users.get(number % users.len()) else { continue };
            // INVARIANT: with no users there are no numbers.
            let mut rest = number / users.len();
            let found = permissions.iter().find(|(_, about)| {
                let here = rest < *about;
                rest -= if here { 0 } else { *about };
                here
            });
            let Some((permission, _)) = found else { continue };
            let resource = permission.resource_type().and_then(|_| entities.get(rest).copied());
            let known = resource.and_then(|entity| catalog.resource(entity).ok());
            let Ok(asked) = permission.request(&user.clone().into(), known) else { continue };
            let Ok(entities) = store.with(asked.entities) else { continue };
            space.requests.push(SpaceRequest::new(asked.request, entities));
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
        let action = match (&case.verb, &case.operation) {
            (Some(verb), _) => verb.clone(),
            (None, Some(operation)) => format!("{} (admission)", operation.to_lowercase()),
            (None, None) => request.action.id().unescaped().to_owned(),
        };
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
    if case.verb.is_some() || case.operation.is_some() {
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
