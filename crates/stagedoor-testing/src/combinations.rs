//! The requests that the fixtures of a test file make possible: everybody who is known, times
//! everything that can be asked for. It is where cases that are missing are looked for, and
//! what policies are compared by.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use stagedoor_backstage::EntityRef;

use crate::environment::{Platform, TestEnvironment};
use crate::file::{Action, Case};
use crate::sample::Sample;

/// The verbs that are asked about each resource of Kubernetes that cases name.
const VERBS: [&str; 8] =
    ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];

/// Who asks, times what is asked for. Of both, a case has only its own keys.
#[derive(Default)]
struct CaseProduct {
    subjects: Vec<Case>,
    objects: Vec<Case>,
}

/// Requests, by number; not every one can be asked: a path has no namespace.
pub(crate) struct Combinations {
    products: Vec<CaseProduct>,
    all: usize,
    limit: usize,
    sample: Sample,
}

impl Combinations {
    /// Returns the requests that the cases of a file and its fixtures span: so many of them at
    /// most, evenly chosen.
    pub(crate) fn of(cases: &[Case], world: &TestEnvironment, limit: usize) -> Self {
        let of_platform = |platform: Platform| -> Vec<&Case> {
            cases.iter().filter(|c| crate::resolve::platform(c) == Ok(platform)).collect()
        };
        let products = vec![
            backstage(&of_platform(Platform::Backstage), world),
            kubernetes(&of_platform(Platform::Kubernetes), world),
            admission(&of_platform(Platform::Admission), world),
            cedar(&of_platform(Platform::Cedar), world),
        ];
        let all = products.iter().map(|p| p.subjects.len() * p.objects.len()).sum();
        Self { products, all, limit, sample: Sample::of(all) }
    }

    /// Returns how many requests are chosen.
    pub(crate) fn len(&self) -> usize {
        self.all.min(self.limit)
    }

    /// Returns how many are not.
    pub(crate) fn left_out(&self) -> usize {
        self.all - self.len()
    }

    /// Returns a request as a case without name and expectation.
    pub(crate) fn case(&self, number: usize) -> Option<Case> {
        if number >= self.len() {
            return None;
        }
        let mut at = if self.all <= self.limit { number } else { self.sample.at(number) };
        for CaseProduct { subjects, objects } in &self.products {
            let all = subjects.len() * objects.len();
            if at < all {
                let subject = subjects.get(at / objects.len())?;
                let object = objects.get(at % objects.len())?;
                return Some(joined(subject, object));
            }
            at -= all;
        }
        None
    }
}

/// Returns a case with the keys of both.
fn joined(subject: &Case, object: &Case) -> Case {
    let mut entities = object.entities.clone();
    entities.extend(subject.entities.iter().filter(|own| !object.entities.contains(own)).cloned());
    Case {
        entities,
        user: subject.user.clone(),
        service: subject.service.clone(),
        groups: subject.groups.clone(),
        uid: subject.uid.clone(),
        extra: subject.extra.clone(),
        principal: subject.principal.clone(),
        ..object.clone()
    }
}

/// Returns who asks in a case.
fn subject(case: &Case) -> Case {
    joined(case, &Case::default())
}

/// Returns what a case asks for.
fn object(case: &Case) -> Case {
    let mut object = joined(&Case::default(), case);
    object.name.clear();
    object.expect = crate::expectation::Expectation::default();
    object
}

/// Cases that differ, in the order in which they were first seen.
#[derive(Default)]
struct DistinctCases {
    seen: BTreeSet<String>,
    cases: Vec<Case>,
}

impl DistinctCases {
    fn add(&mut self, case: Case) {
        if self.seen.insert(format!("{case:?}")) {
            self.cases.push(case);
        }
    }
}

impl Extend<Case> for DistinctCases {
    fn extend<I: IntoIterator<Item = Case>>(&mut self, cases: I) {
        cases.into_iter().for_each(|case| self.add(case));
    }
}

fn users(world: &TestEnvironment) -> impl Iterator<Item = Case> + '_ {
    let named = world.fixtures.users.keys();
    named.map(|name| Case { user: Some(name.clone()), ..Case::default() })
}

/// Returns whether who asks is named as Backstage names users, or is none.
fn is_reference(case: &Case, world: &TestEnvironment) -> bool {
    let Some(named) = &case.user else { return true };
    let user = world.fixtures.users.get(named).map_or(named, |user| &user.user);
    user.parse::<EntityRef>().is_ok()
}

fn backstage(cases: &[&Case], world: &TestEnvironment) -> CaseProduct {
    let (mut subjects, mut objects) = (DistinctCases::default(), DistinctCases::default());
    if cases.is_empty() {
        return CaseProduct::default();
    }
    subjects.extend(cases.iter().map(|case| subject(case)));
    subjects.extend(users(world));
    let in_catalog = world.catalog.users();
    subjects
        .extend(in_catalog.map(|user| Case { user: Some(user.to_string()), ..Case::default() }));
    // Among the fixtures are users of Kubernetes, too.
    subjects.cases.retain(|case| is_reference(case, world));

    objects.extend(cases.iter().map(|case| object(case)));
    for permission in world.permissions.iter() {
        let asked = Case { permission: Some(permission.name().to_owned()), ..Case::default() };
        match permission.resource_type() {
            None => objects.add(asked),
            Some("catalog-entity") => objects.extend(
                world
                    .catalog
                    .references()
                    .map(|entity| Case { entity: Some(entity.to_string()), ..asked.clone() }),
            ),
            Some(resource_type) => {
                let same_type = |case: &&&Case| {
                    let own = case.permission.as_deref();
                    let own = own.and_then(|name| world.permissions.get(name).ok());
                    own.and_then(|p| p.resource_type()) == Some(resource_type)
                };
                objects.extend(
                    cases
                        .iter()
                        .filter(same_type)
                        .map(|case| Case { permission: asked.permission.clone(), ..object(case) }),
                );
            }
        }
    }
    CaseProduct { subjects: subjects.cases, objects: objects.cases }
}

/// The values of one key in the cases, and that it is missing.
fn values(cases: &[&Case], key: impl Fn(&Case) -> &Option<String>) -> Vec<Option<String>> {
    let mut values: BTreeSet<Option<String>> = cases.iter().map(|case| key(case).clone()).collect();
    values.insert(None);
    values.into_iter().collect()
}

/// What is asked for in the cases, and that with one key as in another case.
fn kubernetes(cases: &[&Case], world: &TestEnvironment) -> CaseProduct {
    let (mut subjects, mut objects) = (DistinctCases::default(), DistinctCases::default());
    subjects.extend(cases.iter().map(|case| subject(case)));
    if !cases.is_empty() {
        subjects.extend(users(world));
    }
    objects.extend(cases.iter().map(|case| object(case)));
    let own = objects.cases.clone();
    let mut verbs = values(cases, |case| &case.verb);
    verbs.extend(VERBS.map(|verb| Some(verb.to_owned())));
    let subresources = values(cases, |case| &case.subresource);
    let namespaces = values(cases, |case| &case.namespace);
    let kinds: BTreeSet<_> =
        cases.iter().map(|case| (case.api_group.clone(), case.resource.clone())).collect();
    for case in &own {
        for verb in verbs.iter().filter(|verb| verb.is_some()) {
            objects.add(Case { verb: verb.clone(), ..case.clone() });
        }
        if case.path.is_some() {
            continue;
        }
        for subresource in &subresources {
            objects.add(Case { subresource: subresource.clone(), ..case.clone() });
        }
        for namespace in &namespaces {
            objects.add(Case { namespace: namespace.clone(), ..case.clone() });
        }
        objects.add(Case { resource_name: None, ..case.clone() });
        for (api_group, resource) in kinds.iter().filter(|(_, resource)| resource.is_some()) {
            let (api_group, resource) = (api_group.clone(), resource.clone());
            objects.add(Case { api_group, resource, ..case.clone() });
        }
    }
    CaseProduct { subjects: subjects.cases, objects: objects.cases }
}

/// What is to be admitted in the cases, and that with one key as in another case.
fn admission(cases: &[&Case], world: &TestEnvironment) -> CaseProduct {
    let (mut subjects, mut objects) = (DistinctCases::default(), DistinctCases::default());
    subjects.extend(cases.iter().map(|case| subject(case)));
    objects.extend(cases.iter().map(|case| object(case)));
    let own = objects.cases.clone();
    let operations = values(cases, |case| &case.operation);
    let subresources = values(cases, |case| &case.subresource);
    let namespaces = values(cases, |case| &case.namespace);
    let mut manifests: Vec<Option<Value>> =
        world.fixtures.objects.keys().map(|name| Some(name.as_str().into())).collect();
    manifests.push(None);
    for case in &own {
        for operation in operations.iter().filter(|operation| operation.is_some()) {
            objects.add(Case { operation: operation.clone(), ..case.clone() });
        }
        for subresource in &subresources {
            objects.add(Case { subresource: subresource.clone(), ..case.clone() });
        }
        for namespace in &namespaces {
            objects.add(Case { namespace: namespace.clone(), ..case.clone() });
        }
        for object in &manifests {
            objects.add(Case { object: object.clone(), ..case.clone() });
        }
    }
    CaseProduct { subjects: subjects.cases, objects: objects.cases }
}

fn cedar(cases: &[&Case], world: &TestEnvironment) -> CaseProduct {
    let (mut subjects, mut objects) = (DistinctCases::default(), DistinctCases::default());
    subjects.extend(cases.iter().map(|case| subject(case)));
    objects.extend(cases.iter().map(|case| object(case)));
    let Some(schema) = world.engine.schema().filter(|_| !cases.is_empty()) else {
        return CaseProduct { subjects: subjects.cases, objects: objects.cases };
    };
    // The fixtures' entities, by type.
    let mut by_type: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entity in world.entities.iter() {
        let of_type = by_type.entry(entity.uid.type_name().to_string()).or_default();
        of_type.push(entity.uid.to_string());
    }
    let of_type = |name: &str| by_type.get(name).into_iter().flatten().cloned();
    let contexts: Vec<BTreeMap<String, Value>> = {
        let mut distinct = DistinctCases::default();
        distinct
            .extend(cases.iter().map(|c| Case { context: c.context.clone(), ..Case::default() }));
        distinct.cases.into_iter().map(|case| case.context).collect()
    };
    let asked: BTreeSet<(String, String)> = schema
        .request_envs()
        .map(|env| (env.action().to_string(), env.resource().to_string()))
        .collect();
    let principals: BTreeSet<String> = schema.principals().map(ToString::to_string).collect();
    for principal in principals.iter().flat_map(|name| of_type(name)) {
        subjects.add(Case { principal: Some(principal), ..Case::default() });
    }
    for (action, resource_type) in asked {
        for resource in of_type(&resource_type) {
            for context in &contexts {
                objects.add(Case {
                    action: Some(Action::Cedar(action.clone())),
                    resource: Some(resource.clone()),
                    context: context.clone(),
                    ..Case::default()
                });
            }
        }
    }
    CaseProduct { subjects: subjects.cases, objects: objects.cases }
}
