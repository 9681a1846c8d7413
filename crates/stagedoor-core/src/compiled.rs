//! Evaluates compiled conditions for a request, on typed attributes.
//!
//! INVARIANT: every answer here is Cedar's answer. Where Cedar would err (a missing attribute, a
//! wrong type, an overflow) there is no answer, and Cedar is asked.

mod fault;

use std::cmp::Ordering;
use std::sync::Arc;

use cedar_policy::EntityUid;
use cedar_policy_core::ast::{self, Literal, ValueKind};

use crate::context::EvalContext;
use crate::extension::{self, CedarExtension, Extension};
use crate::ir::{Operand, Predicate};
use crate::lookup::{Lookup, field, step_into};
use crate::node::same_uid;
use crate::symbols::{Step, Var};
use crate::value::{Value, ValueRef};

pub(crate) use fault::Fault;

/// The value of a term.
#[derive(Clone)]
enum Val<'x> {
    Bool(bool),
    Long(i64),
    String(&'x str),
    Uid(&'x EntityUid),
    /// A set, record or extension value of the request.
    Data(&'x Value),
    /// An extension value that a policy writes or that a function has made.
    Extension(CedarExtension),
    /// The request's context.
    Context,
    /// A set that a policy writes.
    Set(Vec<Self>),
}

impl EvalContext<'_> {
    /// Evaluates a predicate; `None` where Cedar has to.
    pub(crate) fn eval(&self, predicate: &Predicate) -> Option<bool> {
        match predicate {
            Predicate::OneOf { path, keys } => {
                let key = self.key(*path)?;
                Some(key.is_some_and(|key| keys.binary_search(&key).is_ok()))
            }
            Predicate::Contains { path, keys, all } => {
                let items = self.elements(*path)?;
                let mut known = items.iter().filter_map(|item| self.symbols.key(item.into()));
                if *all {
                    let mut known: Vec<_> = known.collect();
                    known.sort_unstable();
                    return Some(keys.iter().all(|key| known.binary_search(key).is_ok()));
                }
                Some(known.any(|key| keys.binary_search(&key).is_ok()))
            }
            Predicate::True { path } => match self.found(*path) {
                Lookup::Value(ValueRef::Bool(b)) => Some(b),
                _ => None,
            },
            Predicate::Has { path } => match self.found(*path) {
                Lookup::Value(_) => Some(true),
                Lookup::Missing => Some(false),
                Lookup::Broken => None,
            },
            Predicate::In { var, uids } => {
                let ids = self.ids(*var)?;
                Some(uids.iter().any(|uid| ids.contains(*uid)))
            }
            Predicate::Is { var, type_ } => Some(self.type_(*var) == Some(*type_)),
            Predicate::Not(test) => self.eval(test).map(|held| !held),
            Predicate::All(tests) => self.first(tests, false),
            Predicate::Any(tests) => self.first(tests, true),
            Predicate::If(tests) => {
                let [condition, then, otherwise] = tests.as_ref();
                self.eval(if self.eval(condition)? { then } else { otherwise })
            }
            Predicate::Equal(terms) => {
                let [left, right] = terms.as_ref();
                equal(&self.term(left)?, &self.term(right)?)
            }
            Predicate::Less { terms, or_equal } => {
                let [left, right] = terms.as_ref();
                match (self.term(left)?, self.term(right)?) {
                    (Val::Long(left), Val::Long(right)) => Some(match left.cmp(&right) {
                        Ordering::Less => true,
                        Ordering::Equal => *or_equal,
                        Ordering::Greater => false,
                    }),
                    (left, right) => {
                        extension::is_less(extension_of(&left)?, extension_of(&right)?, *or_equal)
                    }
                }
            }
            Predicate::Like { term, pattern } => match self.term(term)? {
                Val::String(text) => Some(pattern.matches(text)),
                _ => None,
            },
            Predicate::MemberOf(terms) => {
                let [member, group] = terms.as_ref();
                match self.term(member)? {
                    Val::Uid(member) => self.is_member(member, &self.term(group)?),
                    _ => None,
                }
            }
            Predicate::OfType { term, type_ } => match self.term(term)? {
                Val::Uid(uid) => Some(uid.type_name() == type_.as_ref()),
                _ => None,
            },
            Predicate::HasAttribute { term, name } => match self.attribute(&self.term(term)?, name)
            {
                Lookup::Value(_) => Some(true),
                Lookup::Missing => Some(false),
                Lookup::Broken => None,
            },
            Predicate::HasTag(terms) => {
                let [entity, tag] = terms.as_ref();
                match self.tag(&self.term(entity)?, &self.term(tag)?) {
                    Lookup::Value(_) => Some(true),
                    Lookup::Missing => Some(false),
                    Lookup::Broken => None,
                }
            }
            Predicate::Element(terms) => {
                let [set, item] = terms.as_ref();
                let (set, item) = (self.term(set)?, self.term(item)?);
                among(&item, &items(&set)?)
            }
            Predicate::Superset { terms, all } => {
                let [set, others] = terms.as_ref();
                let (set, others) = (self.term(set)?, self.term(others)?);
                if let Some((set, others)) = plain_items(&set).zip(plain_items(&others))
                    && set.len().saturating_mul(others.len()) <= FEW_PAIRS
                {
                    let mut among = others.iter().map(|item| set.contains(item));
                    return Some(if *all { among.all(|a| a) } else { among.any(|a| a) });
                }
                let (set, others) = (canonical_items(&set)?, canonical_items(&others)?);
                let mut among = others.iter().map(|item| set.binary_search(item).is_ok());
                Some(if *all { among.all(|is_in| is_in) } else { among.any(|is_in| is_in) })
            }
            Predicate::Empty(term) => Some(items(&self.term(term)?)?.is_empty()),
            Predicate::Value(term) => match self.term(term)? {
                Val::Bool(b) => Some(b),
                _ => None,
            },
        }
    }

    /// Evaluates in order up to the first test that gives `decisive`.
    fn first(&self, tests: &[Predicate], decisive: bool) -> Option<bool> {
        for test in tests {
            if self.eval(test)? == decisive {
                return Some(decisive);
            }
        }
        Some(!decisive)
    }

    /// Returns the entity that a term is; `None` where it is another value, or Cedar has to tell.
    pub(crate) fn entity<'x>(&'x self, term: &'x Operand) -> Option<&'x EntityUid> {
        match self.term(term)? {
            Val::Uid(uid) => Some(uid),
            _ => None,
        }
    }

    fn term<'x>(&'x self, term: &'x Operand) -> Option<Val<'x>> {
        match term {
            Operand::Path(path) => match self.found(*path) {
                Lookup::Value(value) => Some(of(value)),
                // The context as a whole is nothing that is found.
                Lookup::Missing | Lookup::Broken => {
                    let path = self.symbols.path(*path)?;
                    let is_context = path.steps.is_empty() && path.var == Var::Context;
                    is_context.then_some(Val::Context)
                }
            },
            Operand::Bool(b) => Some(Val::Bool(*b)),
            Operand::Long(n) => Some(Val::Long(*n)),
            Operand::String(s) => Some(Val::String(s)),
            Operand::Uid(uid) => Some(Val::Uid(uid)),
            Operand::Extension(value) => Some(Val::Extension(Arc::clone(value))),
            Operand::Set(terms) => {
                Some(Val::Set(terms.iter().map(|t| self.term(t)).collect::<Option<_>>()?))
            }
            Operand::Attribute(base, name) => {
                let base = self.term(base)?;
                val(self.attribute(&base, name))
            }
            Operand::Tag(terms) => {
                let [entity, tag] = terms.as_ref();
                val(self.tag(&self.term(entity)?, &self.term(tag)?))
            }
            Operand::Negative(term) => match self.term(term)? {
                Val::Long(n) => n.checked_neg().map(Val::Long),
                _ => None,
            },
            Operand::Arithmetic(operation, terms) => {
                let [left, right] = terms.as_ref();
                let (Val::Long(left), Val::Long(right)) = (self.term(left)?, self.term(right)?)
                else {
                    return None;
                };
                operation.apply(left, right).map(Val::Long)
            }
            Operand::Call(function, terms) => {
                let arguments = terms.iter().map(|term| argument(&self.term(term)?));
                result(function.call(&arguments.collect::<Option<Vec<_>>>()?)?)
            }
            Operand::If(test, terms) => {
                let [then, otherwise] = terms.as_ref();
                self.term(if self.eval(test)? { then } else { otherwise })
            }
            Operand::Predicate(test) => self.eval(test).map(Val::Bool),
        }
    }

    fn attribute<'x>(&'x self, base: &Val<'x>, name: &str) -> Lookup<'x> {
        match base {
            Val::Uid(uid) => match self.node(uid) {
                Some(Some(node)) => field(&node.entity.attributes, name),
                Some(None) => Lookup::Missing,
                None => Lookup::Broken,
            },
            Val::Data(Value::Record(fields)) => field(fields, name),
            Val::Context => self.context().map_or(Lookup::Broken, |fields| field(fields, name)),
            _ => Lookup::Broken,
        }
    }

    fn tag<'x>(&'x self, entity: &Val<'x>, tag: &Val<'x>) -> Lookup<'x> {
        match (entity, tag) {
            (Val::Uid(uid), Val::String(tag)) => match self.node(uid) {
                Some(node) => step_into(node, &Step::Tag((*tag).into())),
                None => Lookup::Broken,
            },
            _ => Lookup::Broken,
        }
    }

    fn is_member(&self, member: &EntityUid, group: &Val<'_>) -> Option<bool> {
        let node = self.node(member)?;
        // The schema tells of an action's groups, whether a store holds it or not.
        let may_be_action = node.is_none_or(|node| node.is_action);
        let action = || if may_be_action { self.actions.get(member) } else { None };
        let is_in = |group: &EntityUid| {
            same_uid(member, group)
                || node.is_some_and(|node| node.has_ancestor(group))
                || action().is_some_and(|action| action.is_descendant_of(group.as_ref()))
        };
        if let Val::Uid(group) = group {
            return Some(is_in(group));
        }
        // Cedar wants every element to be an entity, whichever one matches.
        let mut found = false;
        for item in items(group)? {
            let Val::Uid(group) = item else { return None };
            found |= is_in(group);
        }
        Some(found)
    }
}

fn val(found: Lookup<'_>) -> Option<Val<'_>> {
    match found {
        Lookup::Value(value) => Some(of(value)),
        Lookup::Missing | Lookup::Broken => None,
    }
}

fn of(value: ValueRef<'_>) -> Val<'_> {
    match value {
        ValueRef::Bool(b) => Val::Bool(b),
        ValueRef::Long(n) => Val::Long(n),
        ValueRef::String(s) => Val::String(s),
        ValueRef::Entity(uid) => Val::Uid(uid),
        ValueRef::Value(value) => Val::Data(value),
    }
}

/// Returns a value of an extension type; `None` for others.
fn extension_of<'v>(value: &'v Val<'_>) -> Option<&'v CedarExtension> {
    match value {
        Val::Extension(value) => Some(value),
        Val::Data(Value::Extension(value)) => Some(value.cedar()),
        _ => None,
    }
}

/// Returns an argument of an extension function; `None` for what none of them takes.
fn argument(value: &Val<'_>) -> Option<ast::Value> {
    Some(match value {
        Val::Bool(b) => ast::Value::from(*b),
        Val::Long(n) => ast::Value::from(*n),
        Val::String(s) => ast::Value::from(*s),
        other => ast::Value::new(ValueKind::ExtensionValue(Arc::clone(extension_of(other)?)), None),
    })
}

/// Returns what an extension function says; `None` for what none of them does.
fn result<'x>(value: ast::Value) -> Option<Val<'x>> {
    match value.value {
        ValueKind::Lit(Literal::Bool(b)) => Some(Val::Bool(b)),
        ValueKind::Lit(Literal::Long(n)) => Some(Val::Long(n)),
        ValueKind::ExtensionValue(value) => Some(Val::Extension(value)),
        _ => None,
    }
}

/// Returns a set's elements; `None` for what is no set.
fn items<'x>(value: &Val<'x>) -> Option<Vec<Val<'x>>> {
    match value {
        Val::Data(Value::Set(items)) => Some(items.iter().map(|item| of(item.into())).collect()),
        Val::Set(items) => Some(items.clone()),
        _ => None,
    }
}

/// Returns whether a value is among others.
fn among(value: &Val<'_>, others: &[Val<'_>]) -> Option<bool> {
    let mut unknown = false;
    for other in others {
        match equal(value, other) {
            Some(true) => return Some(true),
            Some(false) => {}
            None => unknown = true,
        }
    }
    if unknown { None } else { Some(false) }
}

/// Compares two values as Cedar does: across types they differ, sets have no order.
fn equal(left: &Val<'_>, right: &Val<'_>) -> Option<bool> {
    match (left, right) {
        (Val::Bool(left), Val::Bool(right)) => Some(left == right),
        (Val::Long(left), Val::Long(right)) => Some(left == right),
        (Val::String(left), Val::String(right)) => Some(left == right),
        (Val::Uid(left), Val::Uid(right)) => Some(same_uid(left, right)),
        _ if is_extension(left) && is_extension(right) => {
            Some(extension_of(left)? == extension_of(right)?)
        }
        (Val::Context, _) | (_, Val::Context) => None,
        _ if is_set(left) && is_set(right) => {
            Some(canonical_items(left)? == canonical_items(right)?)
        }
        (Val::Data(left @ Value::Record(_)), Val::Data(right @ Value::Record(_))) => {
            Some(canonical(left)? == canonical(right)?)
        }
        _ => Some(false),
    }
}

fn is_extension(value: &Val<'_>) -> bool {
    matches!(value, Val::Extension(_) | Val::Data(Value::Extension(_)))
}

fn is_set(value: &Val<'_>) -> bool {
    matches!(value, Val::Set(_) | Val::Data(Value::Set(_)))
}

/// Up to so many pairs of elements are compared one by one.
const FEW_PAIRS: usize = 512;

/// Returns the elements of a set of the request, if each equals only what is the same here.
fn plain_items<'x>(set: &Val<'x>) -> Option<&'x [Value]> {
    let Val::Data(Value::Set(items)) = set else { return None };
    let is_plain = |item: &Value| !matches!(item, Value::Set(_) | Value::Record(_));
    items.iter().all(is_plain).then_some(items)
}

/// Returns a set's elements in canonical form, sorted, each once.
fn canonical_items(set: &Val<'_>) -> Option<Vec<Value>> {
    let mut items: Vec<Value> = match set {
        Val::Data(Value::Set(items)) => items.iter().map(canonical).collect::<Option<_>>()?,
        Val::Set(items) => items.iter().map(canonical_val).collect::<Option<_>>()?,
        _ => return None,
    };
    items.sort_unstable();
    items.dedup();
    Some(items)
}

fn canonical_val(value: &Val<'_>) -> Option<Value> {
    match value {
        Val::Bool(b) => Some(Value::Bool(*b)),
        Val::Long(n) => Some(Value::Long(*n)),
        Val::String(s) => Some(Value::String((*s).into())),
        Val::Uid(uid) => Some(Value::Entity((*uid).clone())),
        Val::Data(value) => canonical(value),
        Val::Extension(value) => {
            Extension::from_cedar(Arc::clone(value)).ok().map(Value::Extension)
        }
        Val::Context => None,
        Val::Set(_) => canonical_items(value).map(Value::Set),
    }
}

/// Returns a value in the form in which equal values are the same: sets sorted, each
/// element once.
fn canonical(value: &Value) -> Option<Value> {
    match value {
        Value::Set(_) => canonical_items(&Val::Data(value)).map(Value::Set),
        Value::Record(fields) => {
            let fields = fields.iter().map(|(name, v)| Some((name.clone(), canonical(v)?)));
            fields.collect::<Option<_>>().map(Value::Record)
        }
        Value::Bool(_)
        | Value::Long(_)
        | Value::String(_)
        | Value::Entity(_)
        | Value::Extension(_) => Some(value.clone()),
    }
}
