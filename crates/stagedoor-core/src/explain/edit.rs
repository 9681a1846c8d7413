//! Edits of a request and its entities that make an expression true, or false.
//!
//! They are guesses: whoever proposes one decides the edited request.

use std::sync::Arc;

use cedar_policy::EntityUid;
use cedar_policy_core::ast::{
    self, BinaryOp, EntityReference, Expr, ExprKind, Literal, PatternElem,
    PrincipalOrResourceConstraint, UnaryOp,
};

use crate::context::EvalContext;
use crate::entities::Entities;
use crate::entity::Entity;
use crate::expr::{conjuncts, disjuncts};
use crate::extension::Extension;
use crate::lookup::Lookup;
use crate::lower::path;
use crate::request::Request;
use crate::symbols::{Path, Step, Var};
use crate::value::{Record, Value, ValueRef};

/// So many ways to make one expression true are followed.
const WAYS: usize = 4;

/// One edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Edit {
    /// Another entity in place of principal, action or resource.
    Entity(Var, EntityUid),
    /// A value at a path; `other_than` tells that any but this would do.
    Set { path: Path, value: Value, other_than: Option<Value> },
    /// Nothing at a path.
    Remove(Path),
    /// An entity becomes a member of another.
    Join(EntityUid, EntityUid),
    /// It is a member no more.
    Leave(EntityUid, EntityUid),
}

/// Edits that are made together.
pub(super) type Edits = Vec<Edit>;

/// Returns ways to make an expression true, or else false; none where it is not known how.
pub(super) fn ways(expr: &Expr, to: bool, view: &EvalContext<'_>) -> Vec<Edits> {
    let mut ways = match expr.expr_kind() {
        ExprKind::Lit(Literal::Bool(held)) if *held == to => vec![Vec::new()],
        ExprKind::UnaryApp { op: UnaryOp::Not, arg } => ways(arg, !to, view),
        ExprKind::And { .. } => joined(&conjuncts(expr), to, to, view),
        ExprKind::Or { .. } => joined(&disjuncts(expr), !to, to, view),
        ExprKind::GetAttr { .. } => one(path(expr).map(|path| set(path, to.into()))),
        ExprKind::HasAttr { expr: base, attr } => match path(base) {
            // What is there once another clause has its value.
            _ if to => vec![Vec::new()],
            Some(mut path) => {
                path.steps.push(Step::Attribute(attr.clone()));
                vec![vec![Edit::Remove(path)]]
            }
            None => Vec::new(),
        },
        ExprKind::Like { expr, pattern } if to => {
            let characters = pattern.iter().filter_map(|element| match element {
                PatternElem::Char(c) => Some(*c),
                PatternElem::Wildcard => None,
            });
            let text: String = characters.collect();
            one(path(expr).map(|path| set(path, text.into())))
        }
        ExprKind::BinaryApp { op, arg1, arg2 } => relation(*op, arg1, arg2, to, view),
        _ => Vec::new(),
    };
    ways.truncate(WAYS);
    ways
}

/// All of several expressions, or any of them.
fn joined(operands: &[&Expr], all: bool, to: bool, view: &EvalContext<'_>) -> Vec<Edits> {
    if all {
        let open = operands.iter().filter(|operand| held(operand, view) != Some(to));
        return together(open.map(|operand| ways(operand, to, view)));
    }
    let mut any: Vec<Edits> = operands.iter().flat_map(|operand| ways(operand, to, view)).collect();
    any.sort_by_key(Vec::len);
    any
}

/// Returns whether a comparison with a literal holds now, where that is quick to tell.
fn held(expr: &Expr, view: &EvalContext<'_>) -> Option<bool> {
    match expr.expr_kind() {
        ExprKind::BinaryApp { op: BinaryOp::Eq, arg1, arg2 } => {
            let now = current(&path(arg1)?, view)?;
            Some(now == literal(arg2)?)
        }
        ExprKind::GetAttr { .. } => match current(&path(expr)?, view)? {
            Value::Bool(held) => Some(held),
            _ => None,
        },
        ExprKind::UnaryApp { op: UnaryOp::Not, arg } => held(arg, view).map(|held| !held),
        _ => None,
    }
}

/// Returns ways to do several things at once.
pub(super) fn together(parts: impl Iterator<Item = Vec<Edits>>) -> Vec<Edits> {
    let mut all: Vec<Edits> = vec![Vec::new()];
    for ways in parts {
        let mut next: Vec<Edits> = Vec::new();
        for edits in &all {
            for way in &ways {
                let new = way.iter().filter(|edit| !edits.contains(edit)).cloned();
                next.push(edits.iter().cloned().chain(new).collect());
            }
        }
        next.sort_by_key(Vec::len);
        next.truncate(WAYS);
        all = next;
    }
    all
}

fn relation(
    op: BinaryOp,
    left: &Expr,
    right: &Expr,
    to: bool,
    view: &EvalContext<'_>,
) -> Vec<Edits> {
    match op {
        BinaryOp::Eq => match (path(left), path(right)) {
            (Some(at), None) => literal(right).map(|v| equal(at, v, to)).unwrap_or_default(),
            (None, Some(at)) => literal(left).map(|v| equal(at, v, to)).unwrap_or_default(),
            (Some(at), Some(other)) => {
                let mut ways: Vec<Edits> = Vec::new();
                for (at, other) in [(&at, &other), (&other, &at)] {
                    let value = current(other, view);
                    ways.extend(value.into_iter().flat_map(|v| equal(at.clone(), v, to)));
                }
                ways
            }
            (None, None) => Vec::new(),
        },
        BinaryOp::In => {
            let Some(Value::Entity(member)) = path(left).and_then(|at| current(&at, view)) else {
                return Vec::new();
            };
            let groups = match (literal(right), path(right)) {
                (Some(group), _) => vec![group],
                (None, Some(at)) => current(&at, view).into_iter().collect(),
                (None, None) => Vec::new(),
            };
            let groups = groups.into_iter().flat_map(|group| match group {
                Value::Set(groups) => groups,
                group => vec![group],
            });
            let groups = groups.filter_map(|group| match group {
                Value::Entity(group) => Some(group),
                _ => None,
            });
            if to {
                groups.map(|group| vec![Edit::Join(member.clone(), group)]).collect()
            } else {
                vec![groups.map(|group| Edit::Leave(member.clone(), group)).collect()]
            }
        }
        BinaryOp::Less | BinaryOp::LessEq => {
            let is_strict = (op == BinaryOp::Less) == to;
            let less = |at: Path, bound: i64| {
                // `at < n` becomes true by `n - 1`, and false by `n`; `at <= n` by `n` and `n + 1`.
                let value = match (to, is_strict) {
                    (true, true) => bound.checked_sub(1),
                    (true, false) | (false, false) => Some(bound),
                    (false, true) => bound.checked_add(1),
                };
                value.map(|n| set(at, n.into()))
            };
            let more = |at: Path, bound: i64| {
                let value = match (to, is_strict) {
                    (true, true) => bound.checked_add(1),
                    (true, false) | (false, false) => Some(bound),
                    (false, true) => bound.checked_sub(1),
                };
                value.map(|n| set(at, n.into()))
            };
            one(match (path(left), literal(right), literal(left), path(right)) {
                (Some(at), Some(Value::Long(bound)), ..) => less(at, bound),
                (.., Some(Value::Long(bound)), Some(at)) => more(at, bound),
                _ => None,
            })
        }
        BinaryOp::Contains => match (path(left), literal(right), literal(left), path(right)) {
            (Some(set), Some(item), ..) => member(set, [item], to, view),
            (.., Some(Value::Set(items)), Some(at)) if to => {
                items.into_iter().flat_map(|item| equal(at.clone(), item, true)).collect()
            }
            (.., Some(Value::Set(items)), Some(at)) => {
                let other = items.into_iter().next_back();
                other.map(|item| equal(at, item, false)).unwrap_or_default()
            }
            (Some(set), None, _, Some(at)) => {
                current(&at, view).map(|item| member(set, [item], to, view)).unwrap_or_default()
            }
            _ => Vec::new(),
        },
        BinaryOp::ContainsAll => match (path(left), literal(right)) {
            (Some(set), Some(Value::Set(items))) if to => member(set, items, true, view),
            (Some(set), Some(Value::Set(items))) => {
                member(set, items.into_iter().take(1), false, view)
            }
            _ => Vec::new(),
        },
        BinaryOp::ContainsAny => match (path(left), literal(right)) {
            (Some(set), Some(Value::Set(items))) if to => {
                let one = |item| member(set.clone(), [item], true, view);
                items.into_iter().flat_map(one).collect()
            }
            (Some(set), Some(Value::Set(items))) => member(set, items, false, view),
            _ => Vec::new(),
        },
        BinaryOp::HasTag => match (path(left), literal(right)) {
            _ if to => vec![Vec::new()],
            (Some(mut path), Some(Value::String(tag))) => {
                path.steps.push(Step::Tag(tag));
                vec![vec![Edit::Remove(path)]]
            }
            _ => Vec::new(),
        },
        BinaryOp::GetTag => Vec::new(),
        BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul => Vec::new(),
    }
}

/// Returns ways to make a scope constraint match, or not match.
pub(super) fn scope_ways(
    constraint: &PrincipalOrResourceConstraint,
    var: Var,
    to: bool,
    view: &EvalContext<'_>,
) -> Vec<Edits> {
    let variable = Path { var, steps: smallvec::SmallVec::new() };
    let Some(Value::Entity(now)) = current(&variable, view) else { return Vec::new() };
    match constraint {
        PrincipalOrResourceConstraint::Eq(EntityReference::EUID(uid)) if to => {
            vec![vec![Edit::Entity(var, own(uid))]]
        }
        PrincipalOrResourceConstraint::In(EntityReference::EUID(uid)) => {
            membership(now, own(uid), to)
        }
        PrincipalOrResourceConstraint::IsIn(type_, EntityReference::EUID(uid)) => {
            let is_of_type = AsRef::<ast::EntityUID>::as_ref(&now).entity_type() == type_.as_ref();
            if is_of_type { membership(now, own(uid), to) } else { Vec::new() }
        }
        _ => Vec::new(),
    }
}

fn membership(member: EntityUid, group: EntityUid, to: bool) -> Vec<Edits> {
    vec![vec![if to { Edit::Join(member, group) } else { Edit::Leave(member, group) }]]
}

fn own(uid: &Arc<ast::EntityUID>) -> EntityUid {
    ast::EntityUID::clone(uid).into()
}

fn one(edit: Option<Edit>) -> Vec<Edits> {
    edit.into_iter().map(|edit| vec![edit]).collect()
}

fn set(path: Path, value: Value) -> Edit {
    Edit::Set { path, value, other_than: None }
}

/// Returns ways to have a value at a path, or any other.
fn equal(path: Path, value: Value, to: bool) -> Vec<Edits> {
    if let ([], Value::Entity(uid)) = (path.steps.as_slice(), &value) {
        return if to { vec![vec![Edit::Entity(path.var, uid.clone())]] } else { Vec::new() };
    }
    if to {
        return vec![vec![set(path, value)]];
    }
    let other = match &value {
        Value::Bool(held) => return vec![vec![set(path, (!held).into())]],
        Value::Long(n) => n.checked_add(1).or(n.checked_sub(1)).map(Value::Long),
        Value::String(s) => Some(format!("other than {s}").into()),
        Value::Entity(uid) => {
            let id = cedar_policy::EntityId::new(format!("other than {}", uid.id().unescaped()));
            Some(EntityUid::from_type_name_and_id(uid.type_name().clone(), id).into())
        }
        Value::Set(_) | Value::Record(_) | Value::Extension(_) => None,
    };
    one(other.map(|other| Edit::Set { path, value: other, other_than: Some(value) }))
}

/// Returns the way to have items in the set at a path, or not.
fn member(
    path: Path,
    items: impl IntoIterator<Item = Value>,
    to: bool,
    view: &EvalContext<'_>,
) -> Vec<Edits> {
    let mut set_now = match current(&path, view) {
        Some(Value::Set(items)) => items,
        Some(_) => return Vec::new(),
        None => Vec::new(),
    };
    for item in items {
        if !to {
            set_now.retain(|known| *known != item);
        } else if !set_now.contains(&item) {
            set_now.push(item);
        }
    }
    vec![vec![set(path, Value::Set(set_now))]]
}

/// Returns the value at a path.
pub(super) fn current(path: &Path, view: &EvalContext<'_>) -> Option<Value> {
    match view.resolve(path) {
        Lookup::Value(value) => Some(ValueRef::to_value(value)),
        Lookup::Missing | Lookup::Broken => None,
    }
}

fn literal(expr: &Expr) -> Option<Value> {
    Some(match expr.expr_kind() {
        ExprKind::Lit(Literal::Bool(b)) => Value::Bool(*b),
        ExprKind::Lit(Literal::Long(n)) => Value::Long(*n),
        ExprKind::Lit(Literal::String(s)) => Value::String(s.clone()),
        ExprKind::Lit(Literal::EntityUID(uid)) => Value::Entity(own(uid)),
        ExprKind::Set(items) => Value::Set(items.iter().map(literal).collect::<Option<_>>()?),
        ExprKind::ExtensionFunctionApp { .. } => {
            Value::Extension(expr.to_string().parse::<Extension>().ok()?)
        }
        _ => return None,
    })
}

impl Edit {
    /// Makes the edit; `None` where it cannot be made.
    pub(super) fn apply(&self, request: &mut Request, entities: &mut Entities) -> Option<()> {
        match self {
            Self::Entity(var, uid) => match var {
                Var::Principal => request.principal = uid.clone(),
                Var::Resource => request.resource = uid.clone(),
                Var::Action | Var::Context => return None,
            },
            Self::Set { path, value, .. } => put(path, Some(value), request, entities)?,
            Self::Remove(path) => put(path, None, request, entities)?,
            Self::Join(member, group) => {
                let entity = known(member, entities).with_parent(group.clone());
                *entities = entities.upsert(entity).ok()?;
            }
            Self::Leave(member, group) => {
                let mut entity = known(member, entities);
                let is_by = |parent: &EntityUid| {
                    parent == group || entities.ancestors(parent).any(|above| above == group)
                };
                entity.parents.retain(|parent| !is_by(parent));
                *entities = entities.upsert(entity).ok()?;
            }
        }
        Some(())
    }
}

fn known(uid: &EntityUid, entities: &Entities) -> Entity {
    entities.get(uid).cloned().unwrap_or_else(|| Entity::new(uid.clone()))
}

/// Puts a value at a path, or takes away what is there.
fn put(
    path: &Path,
    value: Option<&Value>,
    request: &mut Request,
    entities: &mut Entities,
) -> Option<()> {
    let (mut uid, mut steps) = match path.var {
        Var::Context => match put_in(&mut request.context, &path.steps, value)? {
            None => return Some(()),
            Some(next) => next,
        },
        Var::Principal => (request.principal.clone(), path.steps.as_slice()),
        Var::Resource => (request.resource.clone(), path.steps.as_slice()),
        Var::Action => return None,
    };
    loop {
        let mut entity = known(&uid, entities);
        let (fields, name) = match steps.first()? {
            Step::Attribute(name) => (&mut entity.attributes, name),
            Step::Tag(name) => (&mut entity.tags, name),
        };
        let as_field = Step::Attribute(name.clone());
        let rest = steps.get(1..)?;
        let next = match (rest, fields.get_mut(name)) {
            ([], _) => put_in(fields, &[as_field], value)?.map(|(uid, _)| (uid, rest)),
            (_, Some(Value::Record(inner))) => put_in(inner, rest, value)?,
            (_, Some(Value::Entity(uid))) => Some((uid.clone(), rest)),
            _ => return None,
        };
        match next {
            Some(next) => (uid, steps) = next,
            None => {
                *entities = entities.upsert(entity).ok()?;
                return Some(());
            }
        }
    }
}

/// Puts a value into a record; returns where to go on where the path leads to an entity.
#[expect(clippy::option_option, reason = "no way, the end of the way, or where it goes on")]
fn put_in<'s>(
    fields: &mut Record,
    steps: &'s [Step],
    value: Option<&Value>,
) -> Option<Option<(EntityUid, &'s [Step])>> {
    let (Step::Attribute(name), rest) = steps.split_first()? else { return None };
    if rest.is_empty() {
        match value {
            Some(value) => drop(fields.insert(name.clone(), value.clone())),
            None => drop(fields.remove(name)),
        }
        return Some(None);
    }
    match fields.get_mut(name)? {
        Value::Record(inner) => put_in(inner, rest, value),
        Value::Entity(uid) => Some(Some((uid.clone(), rest))),
        _ => None,
    }
}
