//! Why a test has no answer, in Cedar's words, where that is plain without Cedar.
//!
//! Anybody can ask about what a store does not know, so that a permit errs. Words for that must
//! cost no more than a decision, and none are made where nobody reads them.
//!
//! INVARIANT: a fault is told only where Cedar's evaluator errs, too, and for this reason. It
//! evaluates operands in the order in which they are looked at here, and up to the first that errs.

use std::fmt;

use cedar_policy::EntityUid;

use super::Val;
use crate::context::EvalContext;
use crate::ir::{Operand, Operation, Predicate};
use crate::lookup::{Lookup, field};
use crate::number::PathNumber;
use crate::symbols::{Path, Step, Var};
use crate::value::{Value, ValueRef};

/// Why a policy could not be evaluated.
pub(crate) enum Fault<'v> {
    /// A path of a policy leads nowhere.
    Path(&'v dyn PathFault, PathNumber),
    Missing(Missing<'v>),
    Overflow(Operation, i64, i64),
    Negation(i64),
    /// In Cedar's own words.
    Worded(String),
}

/// What is not there.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Missing<'v> {
    Entity(&'v EntityUid),
    Attribute(&'v EntityUid, &'v str),
    Tag(&'v EntityUid, &'v str),
    Field(&'v str),
}

/// Finds out where a path ends before it should.
pub(crate) trait PathFault {
    fn missing(&self, path: PathNumber) -> Option<Missing<'_>>;
}

impl PathFault for EvalContext<'_> {
    fn missing(&self, path: PathNumber) -> Option<Missing<'_>> {
        self.first_missing(self.symbols.path(path)?)
    }
}

impl EvalContext<'_> {
    /// Returns why a test has no answer; `None` where Cedar has to tell.
    pub(crate) fn fault<'x>(&'x self, test: &'x Predicate) -> Option<Fault<'x>> {
        match test {
            Predicate::OneOf { path, .. }
            | Predicate::Contains { path, .. }
            | Predicate::True { path }
            | Predicate::Has { path } => self.path_fault(*path),
            // Neither errs.
            Predicate::In { .. } | Predicate::Is { .. } => None,
            Predicate::Not(test) => self.fault(test),
            Predicate::All(tests) | Predicate::Any(tests) => {
                self.fault(tests.iter().find(|test| self.eval(test).is_none())?)
            }
            Predicate::If(tests) => {
                let [condition, then, otherwise] = tests.as_ref();
                self.fault(match self.eval(condition) {
                    None => condition,
                    Some(true) => then,
                    Some(false) => otherwise,
                })
            }
            Predicate::Equal(terms)
            | Predicate::Less { terms, .. }
            | Predicate::MemberOf(terms)
            | Predicate::HasTag(terms)
            | Predicate::Element(terms)
            | Predicate::Superset { terms, .. } => self.first_fault(terms.as_slice()),
            Predicate::Like { term, .. }
            | Predicate::OfType { term, .. }
            | Predicate::HasAttribute { term, .. }
            | Predicate::Empty(term)
            | Predicate::Value(term) => self.first_fault(std::slice::from_ref(term.as_ref())),
        }
    }

    /// Returns why the first term that has no value has none.
    fn first_fault<'x>(&'x self, terms: &'x [Operand]) -> Option<Fault<'x>> {
        self.term_fault(terms.iter().find(|term| self.term(term).is_none())?)
    }

    fn term_fault<'x>(&'x self, term: &'x Operand) -> Option<Fault<'x>> {
        match term {
            Operand::Path(path) => self.path_fault(*path),
            Operand::Attribute(base, name) => match self.term(base) {
                None => self.term_fault(base),
                Some(base) => self.attribute_fault(&base, name),
            },
            Operand::Tag(terms) => {
                let [entity, tag] = terms.as_ref();
                match (self.term(entity), self.term(tag)) {
                    (Some(Val::Uid(uid)), Some(Val::String(tag))) => {
                        let missing = match self.node(uid)? {
                            Some(_) => Missing::Tag(uid, tag),
                            None => no_entity(uid)?,
                        };
                        Some(Fault::Missing(missing))
                    }
                    _ => self.first_fault(terms.as_slice()),
                }
            }
            Operand::Negative(_) | Operand::Arithmetic(..) => self.number(term).err().flatten(),
            Operand::Set(terms) | Operand::Call(_, terms) => self.first_fault(terms),
            Operand::If(test, terms) => {
                let [then, otherwise] = terms.as_ref();
                match self.eval(test) {
                    None => self.fault(test),
                    Some(true) => self.term_fault(then),
                    Some(false) => self.term_fault(otherwise),
                }
            }
            Operand::Predicate(test) => self.fault(test),
            Operand::Bool(_)
            | Operand::Long(_)
            | Operand::String(_)
            | Operand::Uid(_)
            | Operand::Extension(_) => None,
        }
    }

    /// Returns what arithmetic comes to, or why it comes to nothing. In one go: chains of it are
    /// as long as policies may be.
    fn number<'x>(&'x self, term: &'x Operand) -> Result<i64, Option<Fault<'x>>> {
        match term {
            Operand::Negative(operand) => {
                let n = self.number(operand)?;
                n.checked_neg().ok_or(Some(Fault::Negation(n)))
            }
            Operand::Arithmetic(operation, terms) => {
                let [left, right] = terms.as_ref();
                let (left, right) = (self.number(left)?, self.number(right)?);
                operation.apply(left, right).ok_or(Some(Fault::Overflow(*operation, left, right)))
            }
            other => match self.term(other) {
                Some(Val::Long(n)) => Ok(n),
                Some(_) => Err(None),
                None => Err(self.term_fault(other)),
            },
        }
    }

    fn attribute_fault<'x>(&'x self, base: &Val<'x>, name: &'x str) -> Option<Fault<'x>> {
        Some(Fault::Missing(match base {
            Val::Uid(uid) => match self.node(uid)? {
                Some(_) => Missing::Attribute(uid, name),
                None => no_entity(uid)?,
            },
            Val::Data(Value::Record(_)) | Val::Context => Missing::Field(name),
            _ => return None,
        }))
    }

    fn path_fault(&self, path: PathNumber) -> Option<Fault<'_>> {
        let is_plain = match self.found(path) {
            Lookup::Missing => {
                // Cedar knows actions that no store holds.
                self.symbols.path(path).is_some_and(|p| p.steps.len() == 1 && p.var != Var::Action)
            }
            Lookup::Value(_) => return None,
            Lookup::Broken => false,
        };
        (is_plain || self.missing(path).is_some()).then_some(Fault::Path(self, path))
    }

    /// Returns what is missing first on the way along a path.
    fn first_missing<'x>(&'x self, path: &'x Path) -> Option<Missing<'x>> {
        let mut steps = path.steps.iter();
        let mut at = match path.var {
            Var::Context => match steps.next()? {
                Step::Attribute(name) => match field(self.context()?, name) {
                    Lookup::Value(value) => value,
                    Lookup::Missing | Lookup::Broken => return Some(Missing::Field(name)),
                },
                Step::Tag(_) => return None,
            },
            var => match self.variable(var) {
                Lookup::Value(value) => value,
                Lookup::Missing | Lookup::Broken => return None,
            },
        };
        for step in steps {
            at = match (at, step) {
                (ValueRef::Entity(uid), step) => match self.node(uid)? {
                    None => return no_entity(uid),
                    Some(node) => match crate::lookup::step_into(Some(node), step) {
                        Lookup::Value(value) => value,
                        Lookup::Missing | Lookup::Broken => {
                            return Some(match step {
                                Step::Attribute(name) => Missing::Attribute(uid, name),
                                Step::Tag(name) => Missing::Tag(uid, name),
                            });
                        }
                    },
                },
                (ValueRef::Value(Value::Record(fields)), Step::Attribute(name)) => {
                    match field(fields, name) {
                        Lookup::Value(value) => value,
                        Lookup::Missing | Lookup::Broken => return Some(Missing::Field(name)),
                    }
                }
                _ => return None,
            };
        }
        None
    }
}

/// Actions are known to Cedar from the schema, whether a store holds them or not.
fn no_entity(uid: &EntityUid) -> Option<Missing<'_>> {
    (uid.type_name().basename() != "Action").then_some(Missing::Entity(uid))
}

impl fmt::Display for Fault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(paths, path) => match paths.missing(*path) {
                Some(missing) => missing.fmt(f),
                None => f.write_str("an attribute does not exist"),
            },
            Self::Missing(missing) => missing.fmt(f),
            Self::Overflow(operation, left, right) => {
                let verb = match operation {
                    Operation::Add => "add",
                    Operation::Subtract => "subtract",
                    Operation::Multiply => "multiply",
                };
                write!(
                    f,
                    "integer overflow while attempting to {verb} the values `{left}` and `{right}`"
                )
            }
            Self::Negation(n) => {
                write!(f, "integer overflow while attempting to negate the value `{n}`")
            }
            Self::Worded(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for Fault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Missing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entity(uid) => write!(f, "entity `{uid}` does not exist"),
            Self::Attribute(uid, name) => {
                write!(f, "`{uid}` does not have the attribute `{name}`")
            }
            Self::Tag(uid, name) => write!(f, "`{uid}` does not have the tag `{name}`"),
            Self::Field(name) => write!(f, "record does not have the attribute `{name}`"),
        }
    }
}
