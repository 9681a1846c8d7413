//! What would have to be different for a denied request to be allowed.

use std::fmt;
use std::sync::Arc;

use cedar_policy::{Decision, Effect};

use super::clause::{PolicyPart, Reader, failed_parts};
use super::edit::{Edit, Edits, current, scope_ways, together, ways};
use crate::context::EvalContext;
use crate::entities::Entities;
use crate::error::{DecideError, cut};
use crate::evaluate::Evaluation;
use crate::outcome::Outcome;
use crate::policy::PolicyInfo;
use crate::request::Request;
use crate::snapshot::Snapshot;
use crate::stack::with_stack;
use crate::symbols::{Path, Var};

/// So many changed requests are decided.
const TRIES: usize = 48;
/// So many denials are looked into, each of which goes over all policies.
const DENIALS: usize = 6;
/// So many changes are proposed together.
const CHANGES: usize = 4;
/// So many permits are tried that nothing but a few clauses keeps from permitting.
const PERMITS: usize = 4;
/// So many counterfactuals are told.
const TOLD: usize = 3;

/// A change of a request or its entities with which the request would be allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counterfactual {
    changes: Vec<Change>,
    permits: Vec<String>,
}

impl Counterfactual {
    /// Returns what would have to change, all of it together.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Returns the ids of the policies that would permit the request then.
    #[must_use]
    pub fn permits(&self) -> &[String] {
        &self.permits
    }
}

/// One thing that would have to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    subject: String,
    from: Option<String>,
    to: ChangedTo,
}

impl Change {
    /// Returns what would have to change, as Cedar text: `resource.tier`, `principal`.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Returns what it is now, as Cedar text; none where there is nothing.
    #[must_use]
    pub fn from(&self) -> Option<&str> {
        self.from.as_deref()
    }

    /// Returns what it would have to be.
    #[must_use]
    pub fn to(&self) -> &ChangedTo {
        &self.to
    }
}

/// What something would have to be, in Cedar text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangedTo {
    /// This value.
    Value(String),
    /// Some other value than this.
    OtherThan(String),
    /// Not there.
    Absent,
    /// A member of this entity, directly or not.
    MemberOf(String),
    /// No member of this entity.
    NotMemberOf(String),
}

/// Says what would have to be: `` `resource.tier` were `"gold"` ``.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = &self.subject;
        match &self.to {
            ChangedTo::Value(value) => write!(f, "`{subject}` were `{value}`"),
            ChangedTo::OtherThan(value) => write!(f, "`{subject}` were not `{value}`"),
            ChangedTo::Absent => write!(f, "`{subject}` were not there"),
            ChangedTo::MemberOf(group) => write!(f, "`{subject}` were in `{group}`"),
            ChangedTo::NotMemberOf(group) => write!(f, "`{subject}` were not in `{group}`"),
        }
    }
}

/// A request with some edits, and what is decided about it.
struct Attempt {
    request: Request,
    entities: Entities,
    edits: Edits,
    outcome: Outcome,
}

/// Returns the smallest changes that were found with which a denied request would be allowed.
pub(super) fn search(
    outcome: &Outcome,
    request: &Request,
    entities: &Entities,
) -> Vec<Counterfactual> {
    if outcome.decision() == Decision::Allow {
        return Vec::new();
    }
    let engine = &outcome.engine;
    let (request, entities) = (request.clone(), entities.clone());
    let start = Attempt { request, entities, edits: Vec::new(), outcome: outcome.clone() };
    let (mut tries, mut denials) = (TRIES, DENIALS);
    let mut open = vec![start.again()];
    let mut found: Vec<Attempt> = Vec::new();
    while let Some(attempt) = smallest(&mut open) {
        // What follows of it is larger than what was found.
        if found.iter().any(|known| known.edits.len() <= attempt.edits.len()) || denials == 0 {
            break;
        }
        denials -= 1;
        for more in with_stack(|| attempt.ways_on(engine)).unwrap_or_default() {
            let edits: Edits = attempt.edits.iter().cloned().chain(more).collect();
            if edits.len() > CHANGES || tries == 0 {
                continue;
            }
            tries -= 1;
            let Some(next) = start.with(edits, engine) else { continue };
            match next.outcome.decision() {
                Decision::Allow => found.push(start.least(next, engine)),
                Decision::Deny => open.push(next),
            }
        }
    }
    let least = found.iter().map(|attempt| attempt.edits.len()).min();
    found.retain(|attempt| Some(attempt.edits.len()) == least);
    let mut told: Vec<Counterfactual> = Vec::new();
    for attempt in found {
        let counterfactual = start.tell(&attempt, engine);
        if !told.iter().any(|known| known.changes == counterfactual.changes) {
            told.push(counterfactual);
        }
    }
    told.truncate(TOLD);
    told
}

fn smallest(open: &mut Vec<Attempt>) -> Option<Attempt> {
    let at = open.iter().enumerate().min_by_key(|(_, attempt)| attempt.edits.len())?.0;
    Some(open.remove(at))
}

impl Attempt {
    fn again(&self) -> Self {
        Self {
            request: self.request.clone(),
            entities: self.entities.clone(),
            edits: self.edits.clone(),
            outcome: self.outcome.clone(),
        }
    }

    /// Returns this request with edits, decided; `None` where that is no request.
    fn with(&self, edits: Edits, engine: &Arc<Snapshot>) -> Option<Self> {
        let (mut request, mut entities) = (self.request.clone(), self.entities.clone());
        edits.iter().try_for_each(|edit| edit.apply(&mut request, &mut entities))?;
        let outcome = engine.decide(&request, &entities).ok()?;
        Some(Self { request, entities, edits, outcome })
    }

    /// Leaves out the edits without which an attempt is allowed as well.
    fn least(&self, mut attempt: Self, engine: &Arc<Snapshot>) -> Self {
        let mut at = 0;
        while at < attempt.edits.len() {
            let mut fewer = attempt.edits.clone();
            fewer.remove(at);
            match self.with(fewer, engine) {
                Some(less) if less.outcome.decision() == Decision::Allow => attempt = less,
                _ => at += 1,
            }
        }
        attempt
    }

    /// Returns edits that take away what stands in the way of an allowance.
    fn ways_on(&self, engine: &Arc<Snapshot>) -> Result<Vec<Edits>, DecideError> {
        let view = engine.view(&self.request, &self.entities);
        let evaluation = Evaluation::new(&view, engine);
        match self.outcome.reasons().next() {
            Some(forbid) => Ok(against(forbid, &view)),
            None => towards(engine, &evaluation),
        }
    }

    fn tell(&self, attempt: &Self, engine: &Arc<Snapshot>) -> Counterfactual {
        let view = engine.view(&self.request, &self.entities);
        Counterfactual {
            changes: attempt.edits.iter().map(|edit| change(edit, &view)).collect(),
            permits: attempt.outcome.reasons().map(|policy| policy.id().to_owned()).collect(),
        }
    }
}

/// Returns edits with which a forbid does not hold.
fn against(forbid: PolicyInfo<'_>, view: &EvalContext<'_>) -> Vec<Edits> {
    let reader = Reader::new(forbid);
    let mut edits: Vec<Edits> = Vec::new();
    for clause in &reader.clauses {
        edits.extend(ways(clause, false, view));
    }
    if let Some(tree) = &reader.tree {
        let (principal, resource) = (tree.principal_constraint(), tree.resource_constraint());
        edits.extend(scope_ways(principal.as_inner(), Var::Principal, false, view));
        edits.extend(scope_ways(resource.as_inner(), Var::Resource, false, view));
    }
    edits.sort_by_key(Vec::len);
    edits
}

/// Returns edits with which one of the nearest permits holds.
fn towards(
    engine: &Arc<Snapshot>,
    evaluation: &Evaluation<'_, '_>,
) -> Result<Vec<Edits>, DecideError> {
    let mut near: Vec<(PolicyInfo<'_>, Vec<PolicyPart>)> = Vec::new();
    for (_, policy) in engine.numbered_policies() {
        if policy.effect() != Effect::Permit || !evaluation.action_scope(policy.policy) {
            continue;
        }
        let failed = failed_parts(policy, evaluation)?;
        if !failed.is_empty() && failed.len() <= CHANGES {
            near.push((policy, failed));
        }
        if near.len() > 64 {
            near.sort_by_key(|(_, failed)| failed.len());
            near.truncate(PERMITS);
        }
    }
    near.sort_by_key(|(_, failed)| failed.len());
    let mut edits: Vec<Edits> = Vec::new();
    for (policy, failed) in near.into_iter().take(PERMITS) {
        let reader = Reader::new(policy);
        let view = evaluation.view;
        edits.extend(together(failed.into_iter().map(|part| match part {
            PolicyPart::Principal => scope(&reader, Var::Principal, view),
            PolicyPart::Resource => scope(&reader, Var::Resource, view),
            PolicyPart::Clause(number) => {
                reader.clauses.get(number).map(|e| ways(e, true, view)).unwrap_or_default()
            }
            PolicyPart::Guard => Vec::new(),
        })));
    }
    edits.sort_by_key(Vec::len);
    Ok(edits)
}

fn scope(reader: &Reader<'_>, var: Var, view: &EvalContext<'_>) -> Vec<Edits> {
    let Some(tree) = &reader.tree else { return Vec::new() };
    match var {
        Var::Principal => scope_ways(tree.principal_constraint().as_inner(), var, true, view),
        _ => scope_ways(tree.resource_constraint().as_inner(), var, true, view),
    }
}

fn change(edit: &Edit, view: &EvalContext<'_>) -> Change {
    let of = |path: &Path, to: ChangedTo| {
        let from = current(path, view).map(|value| cut(&value));
        Change { subject: cut(path), from, to }
    };
    let named = |member: &cedar_policy::EntityUid, to: ChangedTo| {
        // As the request names it.
        let var = [Var::Principal, Var::Resource].into_iter().find(|var| {
            let path = Path { var: *var, steps: smallvec::SmallVec::new() };
            current(&path, view).is_some_and(|now| now == member.clone().into())
        });
        match var {
            Some(var) => of(&Path { var, steps: smallvec::SmallVec::new() }, to),
            None => Change { subject: cut(member), from: None, to },
        }
    };
    match edit {
        Edit::Entity(var, uid) => {
            of(&Path { var: *var, steps: smallvec::SmallVec::new() }, ChangedTo::Value(cut(uid)))
        }
        Edit::Set { path, other_than: Some(value), .. } => {
            of(path, ChangedTo::OtherThan(cut(value)))
        }
        Edit::Set { path, value, .. } => of(path, ChangedTo::Value(cut(value))),
        Edit::Remove(path) => of(path, ChangedTo::Absent),
        Edit::Join(member, group) => named(member, ChangedTo::MemberOf(cut(group))),
        Edit::Leave(member, group) => named(member, ChangedTo::NotMemberOf(cut(group))),
    }
}
