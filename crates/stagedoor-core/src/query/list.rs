//! Lists: which entities of a store, or which actions, a request is allowed for.
//!
//! Entities are not decided one by one. The index gives the policies that may matter whichever
//! entity it is; what their scopes and conditions ask of the entity is answered for a block of
//! entities at once, by columns of the store ([`columns`](super::columns)). Only where a column
//! does not tell (a missing attribute, what is left to Cedar, a guard) an entity is looked at
//! alone.
//!
//! INVARIANT: an entity is listed exactly if a request with it is allowed.

use std::collections::BTreeMap;

use cedar_policy::{Decision, Effect, EntityTypeName, EntityUid};

use super::{Extent, Party, Query, QueryAnswer, Question, Unknown};
use crate::columns::Table;
use crate::columns::{BLOCK, Rows};
use crate::engine::Engine;
use crate::entities::Entities;
use crate::error::DecideError;
use crate::evaluate::{Evaluation, Verdict};
use crate::index::Candidate;
use crate::policy::PolicyInfo;
use crate::request::Request;
use crate::symbols::Var;

mod block;
mod entity_index;
mod inputs;

use block::{Block, Sets};
pub use entity_index::EntityIndex;

/// What of a list is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page {
    /// The id after which the page begins; none for the first.
    pub after: Option<String>,
    /// The most entries; 0 is taken as 1.
    pub limit: usize,
    /// The most entities that are decided one by one, as where guards are asked. A page that
    /// comes to it ends there, and the next one goes on. 0 is taken as 1.
    pub single: usize,
}

impl Page {
    /// Returns a page of everything.
    #[must_use]
    pub const fn all() -> Self {
        Self { after: None, limit: usize::MAX, single: usize::MAX }
    }

    /// Sets the most entries.
    #[must_use]
    pub const fn with_limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Sets the most entities that are decided one by one.
    #[must_use]
    pub const fn with_single(mut self, single: usize) -> Self {
        self.single = single;
        self
    }

    /// Sets the id after which the page begins.
    #[must_use]
    pub fn after(mut self, id: impl Into<String>) -> Self {
        self.after = Some(id.into());
        self
    }
}

/// An entity or action of a list.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ListEntry<'e> {
    /// The entity or action.
    pub uid: EntityUid,
    /// None where it is allowed; else what that depends on, since not all of the context is known.
    pub condition: Option<QueryAnswer<'e>>,
}

/// A page of a list.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ListPage<'e> {
    /// What is allowed, or may be, in the order of ids.
    pub entries: Vec<ListEntry<'e>>,
    /// After which id the next page begins, if there may be more.
    pub next: Option<String>,
    /// What could not be decided, and is therefore not listed.
    pub refused: Vec<(EntityUid, DecideError)>,
    /// How many entities or actions were decided one by one.
    pub single: usize,
}

/// Failure to make a list.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// Nothing is unknown.
    #[error("nothing is looked for: leave principal, action or resource open")]
    Nothing,
    /// More than one thing is unknown.
    #[error("a list has one of principals, actions and resources: give the other two")]
    Several,
    /// What is known, or the entities, do not conform to the schema.
    #[error(transparent)]
    Decide(#[from] DecideError),
}

impl Engine {
    /// Lists for which entities of the store, or for which actions, a request is allowed: for
    /// those that the query leaves open.
    ///
    /// Exactly one of principal, action and resource is open. Where not all of the context is
    /// known, the list also has what may be allowed, with what that depends on.
    ///
    /// # Errors
    ///
    /// [`ListError`] if the query leaves nothing open or too much, or does not conform.
    ///
    /// # Examples
    ///
    /// ```
    /// use stagedoor_core::{Engine, Entities, Entity, Page, Party, Query, uid};
    ///
    /// let engine = Engine::builder()
    ///     .schema("app.cedarschema", "
    ///         entity User;
    ///         entity Doc { kind: String };
    ///         action read appliesTo { principal: User, resource: Doc };")
    ///     .policies("app.cedar", r#"
    ///         permit(principal, action, resource) when { resource.kind == "public" };"#)
    ///     .build()?;
    /// let doc = |id, kind| Ok::<_, stagedoor_core::ValueError>(
    ///     Entity::new(uid("Doc", id)?).with_attribute("kind", kind));
    /// let entities = Entities::from_entities([doc("a", "public")?, doc("b", "secret")?])?;
    /// let query = Query::new(uid("User", "alice")?, Party::Any("Doc".parse()?))
    ///     .with_action(uid("Action", "read")?);
    /// let listed = engine.list(&query, &entities, &Page::all())?;
    /// let ids: Vec<_> = listed.entries.iter().map(|entry| entry.uid.to_string()).collect();
    /// assert_eq!(ids, [r#"Doc::"a""#]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn list(
        &self,
        query: &Query,
        entities: &Entities,
        page: &Page,
    ) -> Result<ListPage<'_>, ListError> {
        let var = match (&query.principal, &query.action, &query.resource) {
            (Party::Known(_), None, Party::Known(_)) => {
                return self.list_actions(query, entities, page);
            }
            (Party::Known(_), Some(_), Party::Known(_)) => return Err(ListError::Nothing),
            (Party::Any(_), Some(_), Party::Known(_)) => Var::Principal,
            (Party::Known(_), Some(_), Party::Any(_)) => Var::Resource,
            _ => return Err(ListError::Several),
        };
        Ok(Lister::new(self, query, entities, var)?.page(page)?)
    }

    fn list_actions(
        &self,
        query: &Query,
        entities: &Entities,
        page: &Page,
    ) -> Result<ListPage<'_>, ListError> {
        let mut listed = ListPage::default();
        let question = Question::new(self, query, entities)?;
        for action in self.actions_of(query)? {
            let id = action.to_string();
            if page.after.as_ref().is_some_and(|after| id <= *after) {
                continue;
            }
            if listed.is_full(page) || listed.single >= page.single.max(1) {
                listed.next = Some(listed.last(page));
                break;
            }
            listed.single += 1;
            let decided = question.decided(&action);
            listed.add(action, decided);
        }
        Ok(listed)
    }
}

impl<'e> ListPage<'e> {
    /// Adds what was decided about one entity or action.
    fn add(&mut self, uid: EntityUid, decided: Result<Option<ListEntry<'e>>, DecideError>) {
        match decided {
            Ok(Some(shown)) => self.entries.push(ListEntry { uid, ..shown }),
            Ok(None) => {}
            Err(error) => self.refused.push((uid, error)),
        }
    }
}

impl<'e> Question<'e> {
    /// Decides about one action, or tells what that depends on; `None` where it is denied.
    fn decided(&self, action: &EntityUid) -> Result<Option<ListEntry<'e>>, DecideError> {
        let shown = |condition| Some(ListEntry { uid: action.clone(), condition });
        if self.unknown == Unknown::default() {
            let request = self.request(action.clone());
            let decision = self.engine.ruling(&request, &self.entities)?.decision();
            return Ok(if decision == Decision::Allow { shown(None) } else { None });
        }
        let answer = self.about(action.clone())?;
        Ok(match answer.decision() {
            Some(Decision::Allow) => shown(None),
            Some(Decision::Deny) => None,
            None => shown(Some(answer)),
        })
    }
}

/// Lists the entities of one type.
struct Lister<'e, 'a> {
    engine: &'e Engine,
    entities: &'a Entities,
    /// The request with an entity that stands for all.
    request: Request,
    query: Query,
    var: Var,
    unknown: Unknown,
    table: std::sync::Arc<Table>,
    /// Entities of the type that are laid over the store, by id.
    laid_over: BTreeMap<String, EntityUid>,
}

impl<'e, 'a> Lister<'e, 'a> {
    fn new(
        engine: &'e Engine,
        query: &Query,
        entities: &'a Entities,
        var: Var,
    ) -> Result<Self, DecideError> {
        let question = Question::new(engine, query, entities)?;
        let action = query.action.clone().ok_or(DecideError::SchemaMissing)?;
        let request = question.request(action);
        question.check(&request)?;
        let type_: &EntityTypeName = match var {
            Var::Principal => query.principal.type_name(),
            _ => query.resource.type_name(),
        };
        let laid_over = entities
            .added()
            .iter()
            .map(|node| &node.entity.uid)
            .filter(|uid| uid.type_name() == type_)
            .map(|uid| (uid.id().unescaped().to_owned(), uid.clone()))
            .collect();
        Ok(Self {
            engine,
            entities,
            request,
            query: query.clone(),
            var,
            unknown: question.unknown,
            table: entities.table(type_, &engine.0.symbols),
            laid_over,
        })
    }

    fn page(&self, page: &Page) -> Result<ListPage<'e>, DecideError> {
        let mut view = self.engine.0.view(&self.request, self.entities);
        view.unknown = Some(&self.unknown);
        let evaluation = Evaluation::new(&view, &self.engine.0);
        let candidates = [Effect::Forbid, Effect::Permit].map(|effect| {
            let found = self.engine.0.candidates(effect, &view).into_iter();
            let policies = found.map(Candidate::policy).filter_map(|n| self.engine.0.policy(n));
            policies.collect::<Vec<PolicyInfo<'_>>>()
        });
        let mut start = page.after.as_deref().map_or(0, |last| self.table.after(last));
        let mut laid_over = match &page.after {
            None => self.laid_over.range::<String, _>(..),
            Some(last) => {
                let after = (std::ops::Bound::Excluded(last), std::ops::Bound::Unbounded);
                self.laid_over.range::<String, _>(after)
            }
        }
        .peekable();
        let mut listed = ListPage::default();
        let mut last = page.after.clone();
        loop {
            let rows = self.rows_from(start);
            let block = Block { lister: self, evaluation: &evaluation, view: &view, start };
            let Sets { allowed, alone } = block.sets(&candidates, &rows)?;
            let end = start + BLOCK;
            let is_last = end >= self.table.len();
            let mut rows = allowed.or(&alone).iter().collect::<Vec<_>>().into_iter().peekable();
            // Rows and what is laid over, as one list in the order of ids.
            loop {
                let row = rows.peek().and_then(|row| self.table.uid(start + row));
                let over = laid_over.peek().map(|(_, uid)| *uid);
                let bound = if is_last { None } else { self.table.uid(end - 1) };
                let over = over.filter(|uid| bound.is_none_or(|bound| id(uid) <= id(bound)));
                let (uid, is_alone) = match (row, over) {
                    (Some(row), Some(over)) if id(over) < id(row) => (over, true),
                    (Some(row), _) => (row, rows.peek().is_some_and(|row| alone.contains(*row))),
                    (None, Some(over)) => (over, true),
                    (None, None) => break,
                };
                let is_spent = is_alone && listed.single >= page.single.max(1);
                if is_spent || listed.is_full(page) {
                    // A page that has shown nothing still has come further.
                    listed.next = Some(last.unwrap_or_default());
                    return Ok(listed);
                }
                if is_alone {
                    listed.single += 1;
                    listed.add(uid.clone(), self.alone(uid));
                } else {
                    listed.entries.push(ListEntry { uid: uid.clone(), condition: None });
                }
                last = Some(id(uid).to_owned());
                if row == Some(uid) {
                    rows.next();
                } else {
                    laid_over.next();
                }
            }
            if is_last {
                return Ok(listed);
            }
            start = end;
        }
    }

    /// Returns the rows of a block, but those that something is laid over.
    fn rows_from(&self, start: usize) -> Rows {
        let mut rows = Rows::first(self.table.len().saturating_sub(start));
        let covered = self.laid_over.keys().filter_map(|id| self.table.row(id));
        for row in covered.filter_map(|row| row.checked_sub(start)) {
            rows.remove(row);
        }
        rows
    }

    /// Decides about one entity alone; `None` where it is denied.
    fn alone(&self, uid: &EntityUid) -> Result<Option<ListEntry<'e>>, DecideError> {
        let shown = |condition| Some(ListEntry { uid: uid.clone(), condition });
        if self.unknown.context.is_all() {
            let decision = self.engine.ruling(&self.request_of(uid), self.entities)?.decision();
            return Ok(if decision == Decision::Allow { shown(None) } else { None });
        }
        let mut query = self.query.clone();
        match self.var {
            Var::Principal => query.principal = uid.clone().into(),
            _ => query.resource = uid.clone().into(),
        }
        let question = Question::new(self.engine, &query, self.entities)?;
        question.decided(&self.request.action).map(|found| found.and_then(|s| shown(s.condition)))
    }

    fn request_of(&self, uid: &EntityUid) -> Request {
        let mut request = self.request.clone();
        match self.var {
            Var::Principal => request.principal = uid.clone(),
            _ => request.resource = uid.clone(),
        }
        request
    }

    /// Returns what a policy says to one entity.
    fn says(&self, policy: PolicyInfo<'_>, uid: &EntityUid) -> Result<PolicyVerdict, DecideError> {
        let request = self.request_of(uid);
        let view = self.engine.0.view(&request, self.entities);
        let evaluation = Evaluation::new(&view, &self.engine.0);
        Ok(match evaluation.policy(policy)? {
            Verdict::Satisfied => PolicyVerdict::Satisfied,
            Verdict::NotSatisfied => PolicyVerdict::NotSatisfied,
            Verdict::Errored(_) => PolicyVerdict::Errored,
        })
    }

    fn extent(&self) -> &Extent {
        &self.unknown.context
    }
}

/// What one policy says to one entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PolicyVerdict {
    Satisfied,
    NotSatisfied,
    Errored,
}

impl ListPage<'_> {
    fn is_full(&self, page: &Page) -> bool {
        self.entries.len() >= page.limit.max(1)
    }

    /// Returns where a list of actions that goes on has come to.
    fn last(&self, page: &Page) -> String {
        let last = self.entries.last().map(|entry| entry.uid.to_string());
        let refused = self.refused.last().map(|(uid, _)| uid.to_string());
        last.max(refused).or_else(|| page.after.clone()).unwrap_or_default()
    }
}

fn id(uid: &EntityUid) -> &str {
    uid.id().unescaped()
}
