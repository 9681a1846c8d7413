//! Reviews by handles: verbs and types of resources that are looked up once for the policies, and whoever
//! asked lately. A cluster has few that ask, and they ask again and again.
//!
//! INVARIANT: what is decided here is what [`Vocabulary::request`] makes of the same subject and
//! attributes. What is not plain is decided there.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, Hasher};
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use cedar_policy::EntityUid;
use foldhash::quality::RandomState;
use hashbrown::HashTable;
use stagedoor_core::{Action, Engine, Outcome, PreparedRequest, ResourceType, ValueRef};

use crate::attributes::{Attributes, NonResourceAttributes, ResourceAttributes};
use crate::mentions::{ExtraMentions, Mentions};
use crate::names::NAMES;
use crate::resource::{PATH, RESOURCE_ATTRIBUTES, ResourceKind, resource_path, resource_values};
use crate::subject::{Principal, PrincipalIds, Subject};
use crate::undecided::UndecidedError;
use crate::vocabulary::{ReviewParts, Vocabulary};

/// So many entities of those who asked lately are kept, twice at the most: some megabytes.
const ROOM: usize = 4096;

/// Of longer names, all of somebody's taken together, nobody is kept.
const NAMES_BYTES: usize = 8192;

/// What reviews have in common, for the policies of one engine.
pub(crate) struct PreparedReviews {
    actions: HashMap<EntityUid, Action>,
    resources: ResourceType,
    urls: ResourceType,
    asked: Mutex<Recent>,
    hasher: RandomState,
}

/// Somebody who asks.
pub(crate) struct KnownSubject {
    pub(crate) principal: Principal,
    handle: stagedoor_core::Principal,
}

/// A subject that asked, with what is mentioned of its `extra`.
struct Entry {
    hash: u64,
    ids: PrincipalIds,
    subject: Subject,
    /// Also where nothing of it is mentioned: a policy may ask whether there is any.
    has_extra: bool,
    known: Arc<KnownSubject>,
}

/// Those who asked lately: a generation that is full becomes the old one, whose entries come back
/// when they ask again.
#[derive(Default)]
struct Recent {
    young: HashTable<Entry>,
    old: HashTable<Entry>,
    /// How many entities the young ones have.
    entities: usize,
}

impl PreparedReviews {
    /// Returns what reviews have in common; `None` for policies without a schema, which are decided
    /// with the actions as entities.
    pub(crate) fn of(engine: &Engine) -> Option<Self> {
        let schema = engine.schema().filter(|_| !engine.is_exact_cedar())?;
        let actions = schema.actions().map(|uid| Some((uid.clone(), engine.action(uid).ok()?)));
        Some(Self {
            actions: actions.collect::<Option<_>>()?,
            resources: engine.resource_type(&NAMES.resource, &RESOURCE_ATTRIBUTES, &[]).ok()?,
            urls: engine.resource_type(&NAMES.non_resource_url, &[PATH], &[]).ok()?,
            asked: Mutex::default(),
            hasher: RandomState::default(),
        })
    }

    /// Returns the principal that a subject is.
    ///
    /// # Errors
    ///
    /// [`UndecidedError`] if it is none that the policies take.
    pub(crate) fn subject(
        &self,
        subject: &Subject,
        vocabulary: &Vocabulary,
        mentions: &Mentions,
        engine: &Engine,
    ) -> Result<Arc<KnownSubject>, UndecidedError> {
        let ids = vocabulary.principal_ids();
        let hash = self.hasher.hash_one(Asker { subject, ids, extra: &mentions.extra });
        let is_it = |entry: &Entry| entry.is_of(subject, ids, &mentions.extra);
        let lock = || self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(hash, is_it) {
            return Ok(known);
        }
        let principal = vocabulary.mentioned_principal(subject, mentions)?;
        let handle = engine.principal(principal.uid(), principal.entities())?;
        let known = Arc::new(KnownSubject { principal, handle });
        if bytes(subject) <= NAMES_BYTES {
            let (has_extra, known) = (!subject.extra.is_empty(), Arc::clone(&known));
            let subject = mentioned(subject, &mentions.extra);
            lock().put(Entry { hash, ids, subject, has_extra, known });
        }
        Ok(known)
    }

    /// Decides a review; `None` where it is not plain.
    ///
    /// # Errors
    ///
    /// [`UndecidedError`], which must count as a refusal.
    pub(crate) fn decide(
        &self,
        known: &KnownSubject,
        vocabulary: &Vocabulary,
        attributes: &Attributes,
        engine: &Engine,
    ) -> Result<Option<Outcome>, UndecidedError> {
        let ReviewParts { kind, action, context } =
            vocabulary.asked(known.principal.kind(), attributes)?;
        let Some(action) = self.actions.get(&action) else { return Ok(None) };
        let decide = |type_: &ResourceType,
                      id: &str,
                      values: &[Option<ValueRef<'_>>],
                      namespace: Option<&str>| {
            let parent = namespace.map(|namespace| (&NAMES.namespace, namespace));
            let resource = type_.resource(id, values).with_parents(parent.as_slice());
            let request = PreparedRequest::new(&known.handle, action, resource);
            engine.decide_prepared(&request.with_context(&context)).map(Some)
        };
        Ok(match (kind, attributes) {
            (ResourceKind::Resource, Attributes::Resource(of)) if !has_selector(of) => {
                let values = resource_values(of);
                let [_, _, namespace, ..] = values;
                let values = values.map(|value| value.map(ValueRef::String));
                decide(&self.resources, &resource_path(of), &values, namespace)?
            }
            (ResourceKind::NonResourceUrl, Attributes::NonResource(of)) => {
                let NonResourceAttributes { path, .. } = of;
                decide(&self.urls, path, &[Some(ValueRef::String(path))], None)?
            }
            _ => None,
        })
    }
}

fn has_selector(of: &ResourceAttributes) -> bool {
    of.label_selector.is_some() || of.field_selector.is_some()
}

/// A subject as policies see it.
struct Asker<'a> {
    subject: &'a Subject,
    ids: PrincipalIds,
    extra: &'a ExtraMentions,
}

impl Hash for Asker<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Subject { user, groups, uid, extra } = self.subject;
        (user, groups, uid, extra.is_empty(), self.ids == PrincipalIds::UserName).hash(state);
        extra.iter().filter(|(key, _)| self.extra.contains(key)).for_each(|e| e.hash(state));
    }
}

impl Entry {
    /// Compared part by part, so that nobody is taken for somebody else.
    fn is_of(&self, subject: &Subject, ids: PrincipalIds, mentions: &ExtraMentions) -> bool {
        let Subject { user, groups, uid, extra } = subject;
        self.ids == ids
            && self.subject.user == *user
            && self.subject.groups == *groups
            && self.subject.uid == *uid
            && self.has_extra != extra.is_empty()
            && self.subject.extra.iter().eq(extra.iter().filter(|(key, _)| mentions.contains(key)))
    }

    fn entities(&self) -> usize {
        self.known.principal.entities().len()
    }
}

/// Returns a subject without what is not mentioned of it.
fn mentioned(subject: &Subject, mentions: &ExtraMentions) -> Subject {
    let Subject { user, groups, uid, extra } = subject;
    let extra = extra.iter().filter(|(key, _)| mentions.contains(key));
    Subject {
        user: user.clone(),
        groups: groups.clone(),
        uid: uid.clone(),
        extra: extra.map(|(key, values)| (key.clone(), values.clone())).collect(),
    }
}

/// Returns how long the names of somebody are.
fn bytes(subject: &Subject) -> usize {
    let Subject { user, groups, uid, extra } = subject;
    let extra = extra.iter().flat_map(|(key, values)| values.iter().chain([key]));
    extra.chain(groups).chain([user, uid]).map(String::len).sum()
}

impl Recent {
    fn get(&mut self, hash: u64, is_it: impl Fn(&Entry) -> bool) -> Option<Arc<KnownSubject>> {
        if let Some(entry) = self.young.find(hash, &is_it) {
            return Some(Arc::clone(&entry.known));
        }
        let (entry, _) = self.old.find_entry(hash, &is_it).ok()?.remove();
        let known = Arc::clone(&entry.known);
        self.put(entry);
        Some(known)
    }

    fn put(&mut self, entry: Entry) {
        let is_it = |other: &Entry| Arc::ptr_eq(&other.known, &entry.known);
        if self.young.find(entry.hash, is_it).is_some() {
            return;
        }
        if self.entities + entry.entities() > ROOM {
            (self.old, self.entities) = (mem::take(&mut self.young), 0);
        }
        self.entities += entry.entities();
        self.young.insert_unique(entry.hash, entry, |entry| entry.hash);
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, Result, ensure};

    use super::*;
    use crate::{Reviewer, SCHEMA};

    const POLICIES: &str = r#"
        permit(principal in k8s::Group::"dev", action, resource is k8s::Resource)
        when { resource has namespace && resource.namespace == "dev" };
        permit(principal in k8s::Namespace::"ci", action in k8s::Action::"readOnly", resource);
        permit(principal, action == k8s::Action::"unlistedVerb", resource)
        when { context.verb == "approve" };
        permit(principal, action, resource is k8s::NonResourceURL)
        when { resource.path == "/healthz" };
        permit(principal, action == k8s::Action::"get", resource)
        when { principal has extra };
        permit(principal, action, resource)
        when { principal has extra && principal.extra.contains({"key": "team", "values": ["a"]}) };
        forbid(principal is k8s::User, action, resource is k8s::Resource)
        when { resource has labelSelector };
        forbid(principal == k8s::User::"eve", action, resource);"#;

    fn reviewer() -> Result<Reviewer> {
        let engine = Engine::builder().schema("k8s.cedarschema", SCHEMA);
        Ok(Reviewer::new(engine.policies("p.cedar", POLICIES).build()?)?)
    }

    fn subjects() -> Vec<Subject> {
        let bo = Subject::new("bo");
        vec![
            Subject::default(),
            bo.clone(),
            bo.clone().with_uid("1"),
            bo.clone().with_uid("eve"),
            bo.clone().with_group("dev"),
            bo.clone().with_group("dev").with_group("ops"),
            bo.clone().with_group("devops"),
            bo.clone().with_extra("team", ["a"]),
            bo.clone().with_extra("team", ["a", "b"]),
            bo.clone().with_extra("token", ["1"]),
            bo.with_extra("token", ["2"]).with_extra("team", ["a"]),
            Subject::new("eve").with_group("dev"),
            Subject::new("system:serviceaccount:ci:bot"),
            Subject::new("system:serviceaccount:dev:bot").with_group("dev"),
            Subject::new("system:node:n1").with_group("dev"),
        ]
    }

    fn questions() -> Vec<Attributes> {
        let pods = |verb| ResourceAttributes::new(verb, "", "pods");
        let mut selecting = pods("list");
        selecting.label_selector = Some(crate::LabelSelectorAttributes::default());
        let resources = ["get", "approve", "impersonate", "unlistedVerb", "readOnly", ""]
            .into_iter()
            .flat_map(|verb| [pods(verb), pods(verb).with_namespace("dev").with_name("p")])
            .chain([selecting, pods("get").with_namespace("ci").with_subresource("log")]);
        let users = ResourceAttributes::new("impersonate", "", "users").with_name("eve");
        let urls = ["/healthz", "/", ""].map(|path| NonResourceAttributes::new("get", path));
        resources.chain([users]).map(Attributes::from).chain(urls.map(Attributes::from)).collect()
    }

    /// By handles and as whole requests everybody gets one answer, the first time and later.
    #[test]
    fn handles_decide_as_whole_requests_do() -> Result<()> {
        let by_handles = reviewer()?;
        ensure!(by_handles.prepared.is_some());
        let mut whole = by_handles.clone();
        whole.prepared = None;
        let (mut allowed, mut denied) = (0, 0);
        for _ in 0..2 {
            for subject in subjects() {
                for attributes in questions() {
                    let given = by_handles.ruling(&subject, &attributes);
                    let told = || format!("{subject:?} {attributes:?}");
                    ensure!(given == whole.ruling(&subject, &attributes), "{given:?}: {}", told());
                    allowed += usize::from(given.allowed);
                    denied += usize::from(given.denied);
                }
            }
        }
        ensure!(allowed > 60 && denied > 60, "{allowed} allowed, {denied} denied");
        Ok(())
    }

    #[test]
    fn nobody_is_taken_for_somebody_else() -> Result<()> {
        let reviewer = reviewer()?;
        let prepared = reviewer.prepared.as_deref().context("handles")?;
        let known = |subject: &Subject, vocabulary: &Vocabulary| {
            prepared.subject(subject, vocabulary, &reviewer.mentions, reviewer.enforced())
        };
        let by_name = reviewer.vocabulary().clone().with_principal_ids(PrincipalIds::UserName);
        for subject in subjects() {
            for vocabulary in [reviewer.vocabulary(), &by_name] {
                let expected = vocabulary.mentioned_principal(&subject, &reviewer.mentions)?;
                for _ in 0..2 {
                    let known = known(&subject, vocabulary)?;
                    ensure!(known.principal.uid() == expected.uid(), "{subject:?}");
                    let entity =
                        |principal: &Principal| principal.entities().get(principal.uid()).cloned();
                    ensure!(entity(&known.principal) == entity(&expected), "{subject:?}");
                }
            }
        }
        // What no policy mentions tells nobody apart.
        let bo = |token: &str| known(&Subject::new("bo").with_extra("token", [token]), &by_name);
        ensure!(Arc::ptr_eq(&bo("1")?, &bo("2")?));
        Ok(())
    }

    #[test]
    fn those_who_asked_lately_stay_within_their_room() -> Result<()> {
        let reviewer = reviewer()?;
        let prepared = reviewer.prepared.as_deref().context("handles")?;
        let ask = |subject: &Subject| {
            prepared.subject(
                subject,
                reviewer.vocabulary(),
                &reviewer.mentions,
                reviewer.enforced(),
            )
        };
        let first = ask(&Subject::new("first"))?;
        for number in 0..ROOM / 2 {
            ask(&Subject::new(format!("user-{number}")).with_group("a").with_group("b"))?;
            ensure!(Arc::ptr_eq(&first, &ask(&Subject::new("first"))?), "who asks often is kept");
            let recent = prepared.asked.lock().unwrap_or_else(PoisonError::into_inner);
            let kept = recent.young.iter().chain(&recent.old).map(Entry::entities).sum::<usize>();
            ensure!(kept <= 2 * ROOM, "{kept} entities");
        }
        let long = Subject::new("x".repeat(NAMES_BYTES + 1));
        ensure!(!Arc::ptr_eq(&ask(&long)?, &ask(&long)?), "long names are not kept");
        Ok(())
    }
}
