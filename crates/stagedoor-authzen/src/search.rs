//! Lists of what is allowed: every stored entity, or every action, for which a single evaluation
//! says yes. The engine finds entities; actions are tried by the names that callers use.

use std::collections::HashSet;

use stagedoor_core::{Decision, EntityUid, ListError, Party, Query, Request};

use crate::answer::{ActionResult, EntityResult, PageInfo, Results};
use crate::json::{Json, Object};
use crate::page::Page;
use crate::query::{
    ActionRef, BadRequest, EntityRef, QueryParts, action, context, entity, entity_type,
};
use crate::reader::Reader;
use crate::world::{EntityInput, Undecidable, World};

/// The most results of one page, and of an answer for which no page was asked.
const RESULTS: usize = 10_000;
/// The most entities that are decided one by one for a page. What is left is in the pages after it.
const EVALUATIONS: usize = 20_000;

/// Which of subject and resource is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SearchTarget {
    Subject,
    Resource,
}

/// A list, with what is told of it in the record.
pub(crate) struct SearchResponse<R> {
    pub(crate) results: Results<R>,
    pub(crate) summary: Summary,
}

/// What is told of a search in its record.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    pub(crate) results: usize,
    pub(crate) evaluations: usize,
    pub(crate) errors: u64,
    pub(crate) error: Option<Undecidable>,
    pub(crate) pruned: (Vec<String>, usize),
}

/// Lists the subjects who may do this to this resource.
pub(crate) fn subjects(
    world: &World,
    object: &Object,
) -> Result<SearchResponse<EntityResult>, BadRequest> {
    let given = QueryParts::of(object);
    let sought = entity_type("subject", given.subject)?;
    let asked = EntitySearch {
        sought: SearchTarget::Subject,
        type_: sought,
        other: entity("resource", given.resource)?,
        action: action(given.action)?,
        context: context(given.context)?,
    };
    let type_ = Json::String(sought.to_owned());
    entities(world, object, &asked, [Some(&type_), given.action, given.resource, given.context])
}

/// Lists the resources to which this subject may do this.
pub(crate) fn resources(
    world: &World,
    object: &Object,
) -> Result<SearchResponse<EntityResult>, BadRequest> {
    let given = QueryParts::of(object);
    let sought = entity_type("resource", given.resource)?;
    let asked = EntitySearch {
        sought: SearchTarget::Resource,
        type_: sought,
        other: entity("subject", given.subject)?,
        action: action(given.action)?,
        context: context(given.context)?,
    };
    let type_ = Json::String(sought.to_owned());
    entities(world, object, &asked, [given.subject, given.action, Some(&type_), given.context])
}

/// A search for entities.
struct EntitySearch<'a> {
    sought: SearchTarget,
    type_: &'a str,
    /// The entity that is given.
    other: EntityRef<'a>,
    action: ActionRef<'a>,
    context: Option<&'a Object>,
}

fn entities(
    world: &World,
    object: &Object,
    asked: &EntitySearch<'_>,
    query: [Option<&Json>; 4],
) -> Result<SearchResponse<EntityResult>, BadRequest> {
    let null = Json::Null;
    let page = Page::of(object, &query.map(|part| part.unwrap_or(&null)))?;
    let mut reader = Reader::new(&world.names);
    let (found, error) = match listed(world, asked, &page, &mut reader) {
        Ok(found) => (found, None),
        Err(error) => (Entities::default(), Some(error)),
    };
    let summary = Summary {
        results: found.uids.len(),
        evaluations: found.single,
        errors: found.errors,
        error,
        pruned: reader.into_pruned(),
    };
    let results = found
        .uids
        .iter()
        .map(|uid| EntityResult {
            type_: asked.type_.to_owned(),
            id: uid.id().unescaped().to_owned(),
        })
        .collect();
    Ok(SearchResponse { results: page_of(&page, results, found.next), summary })
}

/// Entities that were found.
#[derive(Default)]
struct Entities {
    uids: Vec<EntityUid>,
    /// The token of the next page, if there is more.
    next: Option<String>,
    /// How many could not be decided.
    errors: u64,
    /// How many were decided one by one.
    single: usize,
}

fn listed(
    world: &World,
    asked: &EntitySearch<'_>,
    page: &Page,
    reader: &mut Reader<'_>,
) -> Result<Entities, Undecidable> {
    let type_ = world.names.type_or_error(asked.type_)?;
    let action = world.names.action(asked.action.name)?;
    let (given, types) = match asked.sought {
        SearchTarget::Subject => ("resource", &action.principals),
        SearchTarget::Resource => ("subject", &action.resources),
    };
    let other = world.sent(given, asked.other, reader)?;
    let context = world.context(action, asked.action, asked.context, reader)?;
    // What is not stored could be anything: there is nothing to list for it.
    if world.entities.get(&other.uid).is_none() || !types.contains(type_) {
        return Ok(Entities::default());
    }
    let nobody = EntityInput { uid: other.uid.clone(), attributes: Default::default() };
    let entities = world.with(&nobody, &other)?;
    let any = Party::Any(type_.clone());
    let query = match asked.sought {
        SearchTarget::Subject => Query::new(any, other.uid),
        SearchTarget::Resource => Query::new(other.uid, any),
    };
    let query = query.with_action(action.uid.clone()).with_context(context);
    let limit = page.limit.unwrap_or(RESULTS).min(RESULTS);
    // Where no page was asked for, nobody would ask for the next one.
    let single = if page.is_asked { EVALUATIONS } else { usize::MAX };
    let mut wanted = stagedoor_core::Page::all().with_limit(limit).with_single(single);
    wanted.after.clone_from(&page.after);
    let found = world.engine.list(&query, &entities, &wanted).map_err(|error| match error {
        ListError::Decide(error) => Undecidable::from(error),
        other => Undecidable::List(other),
    })?;
    let mut uids: Vec<EntityUid> = found.entries.into_iter().map(|entry| entry.uid).collect();
    let mut next = found.next.map(|last| page.next(Some(last)));
    if limit == 0 && !uids.is_empty() {
        // A page of nothing: what was found is on the next one.
        uids.clear();
        next = Some(page.next(None));
    }
    let errors = u64::try_from(found.refused.len()).unwrap_or(u64::MAX);
    Ok(Entities { uids, next, errors, single: found.single })
}

/// Lists what this subject may do to this resource.
pub(crate) fn actions(
    world: &World,
    object: &Object,
) -> Result<SearchResponse<ActionResult>, BadRequest> {
    let given = QueryParts::of(object);
    let subject = entity("subject", given.subject)?;
    let resource = entity("resource", given.resource)?;
    let context = context(given.context)?;
    let null = Json::Null;
    let query = [given.subject, given.resource, given.context];
    let page = Page::of(object, &query.map(|part| part.unwrap_or(&null)))?;
    let mut summary = Summary::default();
    let names = match allowed(world, subject, resource, context, &mut summary) {
        Ok(names) => names,
        Err(error) => {
            summary.error = Some(error);
            Vec::new()
        }
    };
    let from = match &page.after {
        Some(after) => names.partition_point(|name| name <= after),
        None => 0,
    };
    let limit = page.limit.unwrap_or(RESULTS).min(RESULTS);
    let rest = names.get(from..).unwrap_or_default();
    let shown = rest.get(..limit.min(rest.len())).unwrap_or_default();
    let next = (shown.len() < rest.len()).then(|| page.next(shown.last().cloned()));
    summary.results = shown.len();
    let results = shown.iter().map(|name| ActionResult { name: name.clone() }).collect();
    Ok(SearchResponse { results: page_of(&page, results, next), summary })
}

fn allowed(
    world: &World,
    subject: EntityRef<'_>,
    resource: EntityRef<'_>,
    context: Option<&Object>,
    summary: &mut Summary,
) -> Result<Vec<String>, Undecidable> {
    let mut reader = Reader::new(&world.names);
    let subject = world.sent("subject", subject, &mut reader)?;
    let resource = world.sent("resource", resource, &mut reader)?;
    let is_stored = |sent: &EntityInput| world.entities.get(&sent.uid).is_some();
    if !is_stored(&subject) || !is_stored(&resource) {
        return Ok(Vec::new());
    }
    let entities = world.with(&subject, &resource)?;
    let mut pruned: HashSet<String> = HashSet::new();
    let mut names = Vec::new();
    for (name, action) in world.names.actions() {
        let applies = action.principals.contains(subject.uid.type_name())
            && action.resources.contains(resource.uid.type_name());
        if !applies {
            continue;
        }
        summary.evaluations += 1;
        let given = ActionRef { name, properties: None };
        let mut reader = Reader::new(&world.names);
        let decision = world.context(action, given, context, &mut reader).and_then(|context| {
            let (subject, resource) = (subject.uid.clone(), resource.uid.clone());
            let mut request = Request::new(subject, action.uid.clone(), resource);
            request.context = context;
            Ok(world.engine.ruling(&request, &entities)?.decision())
        });
        pruned.extend(reader.into_pruned().0);
        match decision {
            Ok(Decision::Allow) => names.push(name.to_owned()),
            Ok(Decision::Deny) => {}
            Err(_) => summary.errors += 1,
        }
    }
    let (mut paths, more) = reader.into_pruned();
    paths.extend(pruned);
    paths.sort_unstable();
    summary.pruned = (paths, more);
    Ok(names)
}

/// Returns a list, with a page where one was asked for or there is more.
fn page_of<R>(page: &Page, results: Vec<R>, next: Option<String>) -> Results<R> {
    let count = results.len();
    let has_page = page.is_asked || next.is_some();
    let info = PageInfo { next_token: next.unwrap_or_default(), count };
    Results { page: has_page.then_some(info), results }
}
