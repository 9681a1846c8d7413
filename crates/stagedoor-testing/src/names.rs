//! Names in cases that nobody has: a misspelt name would pass for a denial.
//!
//! A name is known if the fixtures, the catalog, the schema or Kubernetes itself has it, or if a
//! policy writes it. Where there is nothing to hold names of a kind against (no catalog, no entity
//! of the type) nothing is said of them. Who is meant to be unknown is listed among
//! `fixtures: strangers`.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use stagedoor_backstage::EntityRef;
use stagedoor_core::{EntityUid, nearest_name};
use stagedoor_kubernetes::rbac::{unmatchable_path, unmatchable_resource};

use crate::environment::{Platform, TestEnvironment};
use crate::file::{Case, UserFixture};
use crate::resolve::Question;

/// What to do about a name that is unknown on purpose.
const ON_PURPOSE: &str = "where that is meant, list it under `fixtures: strangers`";

/// The names that a test file's cases may use.
pub(crate) struct Names<'w> {
    world: &'w TestEnvironment,
    /// The users and the groups of the catalog.
    users: BTreeSet<String>,
    groups: BTreeSet<String>,
    /// The groups that policies name.
    named_groups: BTreeSet<String>,
    /// Whether a text is excused, once it was asked for.
    excused: RefCell<HashMap<String, bool>>,
}

impl<'w> Names<'w> {
    pub(crate) fn of(world: &'w TestEnvironment) -> Self {
        let references = || world.catalog.references();
        Self {
            world,
            users: world.catalog.users().map(ToString::to_string).collect(),
            groups: references()
                .filter(|reference| reference.kind() == "group")
                .map(ToString::to_string)
                .collect(),
            named_groups: world
                .engine
                .policies()
                .flat_map(|policy| policy.text().split("Group::\"").skip(1))
                .filter_map(|rest| rest.split_once('"').map(|(name, _)| name.to_owned()))
                .collect(),
            excused: RefCell::default(),
        }
    }

    /// Returns what is wrong with the names of a case, a message each.
    pub(crate) fn unknown(
        &self,
        case: &Case,
        platform: Platform,
        question: &Question,
    ) -> Vec<String> {
        match platform {
            Platform::Backstage => self.backstage(case),
            Platform::Kubernetes | Platform::Admission => self.kubernetes(case),
            // Cedar's own test files say all of a request, and entities need not be given.
            Platform::Cedar if self.is_cedars_own() => Vec::new(),
            Platform::Cedar => self.cedar(question),
        }
    }

    /// Whether the file is one of Cedar's own test formats, or is decided exactly as Cedar does.
    fn is_cedars_own(&self) -> bool {
        self.world.checks_requests || self.world.engine.is_exact_cedar()
    }

    /// Returns whether a text is meant to be unknown, or a policy writes it.
    fn is_excused(&self, name: &str, written: &str) -> bool {
        if let Some(known) = self.excused.borrow().get(written) {
            return *known;
        }
        let is_excused = self.world.fixtures.strangers.iter().any(|stranger| stranger == name)
            || self.world.engine.policies().any(|policy| policy.text().contains(written));
        self.excused.borrow_mut().insert(written.to_owned(), is_excused);
        is_excused
    }

    /// Returns what is wrong with a name that `whose` do not have.
    fn told<'n>(
        &self,
        key: &str,
        whose: &str,
        name: &str,
        known: impl IntoIterator<Item = &'n str>,
    ) -> Option<String> {
        if self.is_excused(name, &format!("{name:?}")) {
            return None;
        }
        Some(match nearest_name(name, known) {
            Some(near) => format!("`{key}`: {whose} no `{name}`: did you mean `{near}`?"),
            None => format!("`{key}`: {whose} no `{name}`; {ON_PURPOSE}"),
        })
    }

    pub(crate) fn backstage(&self, case: &Case) -> Vec<String> {
        let mut wrong = Vec::new();
        let fixtures = &self.world.fixtures;
        let fixture = case.user.as_ref().map(|name| {
            fixtures
                .users
                .get(name)
                .cloned()
                .unwrap_or_else(|| UserFixture { user: name.clone(), ..UserFixture::default() })
        });
        if let Some(UserFixture { user, groups, .. }) = &fixture {
            // Whoever comes with groups need not be in the catalog, unless that is nearly somebody.
            let has_groups = groups.is_some() || case.groups.is_some();
            if !has_groups || nearest_reference(user, &self.users).is_some() {
                wrong.extend(self.reference("user", user, &self.users));
            }
        }
        let own = fixture.and_then(|fixture| fixture.groups);
        for group in case.groups.iter().chain(own.iter()).flatten() {
            let list =
                fixtures.groups.get(group).map_or(std::slice::from_ref(group), Vec::as_slice);
            let unknown = list.iter().filter_map(|g| self.reference("groups", g, &self.groups));
            wrong.extend(unknown);
        }
        let creator = case.task.as_ref().and_then(|task| task.created_by.as_ref());
        wrong.extend(creator.and_then(|user| self.reference("task", user, &self.users)));
        wrong
    }

    /// Holds a reference against those of the catalog, if it has any of the kind.
    fn reference(&self, key: &str, name: &str, known: &BTreeSet<String>) -> Option<String> {
        // What is no reference is told where it is read.
        let reference = name.parse::<EntityRef>().ok()?.to_string();
        if known.is_empty() || known.contains(&reference) {
            return None;
        }
        let near = nearest_reference(&reference, known);
        self.told(key, "the catalog has", &reference, near.map(String::as_str))
    }

    fn cedar(&self, question: &Question) -> Vec<String> {
        let request = &question.request;
        let unknown = |(key, uid): (&str, &EntityUid)| {
            if question.entities.get(uid).is_some() {
                return None;
            }
            let type_ = uid.type_name();
            let same = || {
                let entities = self.world.entities.iter().map(|entity| &entity.uid);
                entities.filter(|other| other.type_name() == type_)
            };
            let text = uid.to_string();
            if same().next().is_none() || self.is_excused(&text, &text) {
                return None;
            }
            let ids = same().map(|other| other.id().unescaped());
            Some(match nearest_name(uid.id().unescaped(), ids) {
                Some(near) => {
                    format!("`{key}`: no fixture is `{uid}`: did you mean `{type_}::{near:?}`?")
                }
                None => format!("`{key}`: no fixture is `{uid}`; {ON_PURPOSE}"),
            })
        };
        let parties = [("principal", &request.principal), ("resource", &request.resource)];
        parties.into_iter().filter_map(unknown).collect()
    }

    fn kubernetes(&self, case: &Case) -> Vec<String> {
        let verb = case.verb.as_deref();
        let mut wrong: Vec<String> = match (&case.path, &case.resource) {
            (Some(path), _) => unmatchable_path(verb.unwrap_or("*"), path),
            (None, Some(resource)) if resource.contains('/') => {
                let (of, subresource) = resource.split_once('/').unwrap_or_default();
                vec![format!("write `resource: {of}` and `subresource: {subresource}`")]
            }
            (None, Some(resource)) => {
                let whole = match case.subresource.as_deref() {
                    Some(subresource) if !subresource.is_empty() => {
                        format!("{resource}/{subresource}")
                    }
                    _ => resource.clone(),
                };
                let group = case.api_group.as_deref().unwrap_or_default();
                unmatchable_resource(verb.unwrap_or("*"), group, &whole)
            }
            (None, None) => Vec::new(),
        };
        let whole = match (&case.path, &case.resource, case.subresource.as_deref()) {
            (Some(path), ..) => path.clone(),
            (None, Some(resource), None | Some("")) => resource.clone(),
            (None, Some(resource), Some(subresource)) => format!("{resource}/{subresource}"),
            (None, None, _) => String::new(),
        };
        let asked = format!("{} {whole}", verb.unwrap_or_default()).trim().to_owned();
        let group = case.api_group.as_deref();
        let words = [verb, group, Some(whole.as_str()), Some(asked.as_str())];
        let is_stranger =
            |word: &str| self.world.fixtures.strangers.iter().any(|stranger| stranger == word);
        if words.into_iter().flatten().any(is_stranger) {
            wrong.clear();
        }
        for message in &mut wrong {
            message.push_str(&format!(
                "; where that is meant, list `{asked}` under `fixtures: strangers`"
            ));
        }
        let users = &self.world.fixtures.users;
        // Where the fixtures have users, a name that is none of theirs is a mistake.
        if let Some(user) = &case.user
            && !users.is_empty()
            && !users.contains_key(user)
            && !users.values().any(|fixture| fixture.user == *user)
            && !user.starts_with("system:")
        {
            wrong.extend(self.told(
                "user",
                "the fixtures have",
                user,
                users.keys().map(String::as_str),
            ));
        }
        for group in case.groups.iter().flatten() {
            let list = self.world.fixtures.groups.contains_key(group);
            // Only what is nearly a group of the policies: there may be any others.
            let near = nearest_name(group, self.named_groups.iter().map(String::as_str));
            let is_own = list || group.starts_with("system:") || self.named_groups.contains(group);
            if !is_own && near.is_some() {
                let known = self.named_groups.iter().map(String::as_str);
                wrong.extend(self.told("groups", "the policies name", group, known));
            }
        }
        wrong
    }
}

/// Returns the reference of the same kind and namespace whose name is nearly this one's.
fn nearest_reference<'n>(given: &str, known: &'n BTreeSet<String>) -> Option<&'n String> {
    let (place, name) = given.rsplit_once('/')?;
    let names = known.iter().filter_map(|other| {
        other.rsplit_once('/').filter(|(of, _)| *of == place).map(|(_, name)| name)
    });
    let near = nearest_name(name, names)?;
    known.get(&format!("{place}/{near}"))
}
