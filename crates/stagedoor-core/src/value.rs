//! Typed attribute values: what a program hands over in place of Cedar expressions.
//!
//! A value becomes a Cedar expression only when Cedar itself has to evaluate a
//! policy; the index reads it as it stands.

use std::collections::BTreeMap;

use cedar_policy::{EntityUid, EvalResult, RestrictedExpression};
use cedar_policy_core::ast;
use smol_str::SmolStr;

use crate::error::EntitiesError;
use crate::{extension, parse};

/// Attributes by name: an entity's attributes or tags, a record, a request's context.
pub type Record = BTreeMap<SmolStr, Value>;

/// A value of Cedar's data model.
///
/// See [Cedar's data types](https://docs.cedarpolicy.com/policies/syntax-datatypes.html).
///
/// # Examples
///
/// ```
/// use stagedoor_core::Value;
///
/// let tags = Value::from_iter(["java", "internal"]);
/// assert_eq!(tags, Value::Set(vec!["java".into(), "internal".into()]));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Value {
    /// `true` or `false`.
    Bool(bool),
    /// A 64-bit signed integer.
    Long(i64),
    /// A string.
    String(SmolStr),
    /// A reference to an entity.
    Entity(EntityUid),
    /// A set. Order and repetition carry no meaning to Cedar.
    Set(Vec<Self>),
    /// A record.
    Record(Record),
    /// An extension value, as the Cedar call that makes it: `ip("10.0.0.1")`.
    Extension(SmolStr),
}

impl Value {
    /// Returns the string, if this is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(s) => Some(s),
            _ => None,
        }
    }

    /// Adds every entity that the value refers to.
    pub(crate) fn add_uids<'v>(&'v self, uids: &mut Vec<&'v EntityUid>) {
        let mut open = vec![self];
        while let Some(value) = open.pop() {
            match value {
                Self::Entity(uid) => uids.push(uid),
                Self::Set(items) => open.extend(items),
                Self::Record(fields) => open.extend(fields.values()),
                Self::Bool(_) | Self::Long(_) | Self::String(_) | Self::Extension(_) => {}
            }
        }
    }

    /// Returns the value as a Cedar expression.
    ///
    /// # Errors
    ///
    /// [`EntitiesError::Value`] if an extension call does not parse.
    pub fn to_cedar(&self) -> Result<RestrictedExpression, EntitiesError> {
        Ok(match self {
            Self::Bool(b) => RestrictedExpression::new_bool(*b),
            Self::Long(n) => RestrictedExpression::new_long(*n),
            Self::String(s) => RestrictedExpression::new_string(s.to_string()),
            Self::Entity(uid) => RestrictedExpression::new_entity_uid(uid.clone()),
            Self::Set(items) => RestrictedExpression::new_set(
                items.iter().map(Self::to_cedar).collect::<Result<Vec<_>, _>>()?,
            ),
            Self::Record(fields) => RestrictedExpression::new_record(pairs(fields)?)
                .map_err(|e| EntitiesError::Value(e.to_string()))?,
            Self::Extension(call) => match extension::expression(call) {
                Some(plain) => plain,
                None => parsed(call)?,
            },
        })
    }
}

/// Brackets that an extension value may have: each may nest in the one before.
const BRACKETS: usize = 64;

fn parsed(call: &str) -> Result<RestrictedExpression, EntitiesError> {
    if call.matches(['(', '[', '{']).count() > BRACKETS {
        return Err(EntitiesError::Value(format!(
            "an extension value has over {BRACKETS} brackets"
        )));
    }
    let expression = parse::expression(call)
        .ok_or_else(|| EntitiesError::Value(format!("`{call}` is not an expression")))?;
    let restricted = ast::RestrictedExpr::new(expression)
        .map_err(|e| EntitiesError::Value(format!("`{call}`: {e}")))?;
    Ok(restricted.into())
}

/// Returns a record's fields as Cedar expressions.
pub(crate) fn pairs(record: &Record) -> Result<Vec<(String, RestrictedExpression)>, EntitiesError> {
    record.iter().map(|(name, value)| Ok((name.to_string(), value.to_cedar()?))).collect()
}

/// Returns the longest string in `record` and how deep its values nest.
pub(crate) fn extent(record: &Record) -> (usize, usize) {
    let longest = record.keys().map(SmolStr::len).max().unwrap_or_default();
    extent_of_all(longest, record.values().map(|value| (value, 1)).collect())
}

/// Returns the longest string in a value and how deep it nests.
pub(crate) fn extent_of(value: &Value) -> (usize, usize) {
    extent_of_all(0, vec![(value, 1)])
}

fn extent_of_all(mut longest: usize, mut open: Vec<(&Value, usize)>) -> (usize, usize) {
    let mut deepest = 0;
    while let Some((value, depth)) = open.pop() {
        deepest = deepest.max(depth);
        match value {
            Value::String(s) | Value::Extension(s) => longest = longest.max(s.len()),
            Value::Entity(uid) => longest = longest.max(uid.id().unescaped().len()),
            Value::Set(items) => open.extend(items.iter().map(|v| (v, depth + 1))),
            Value::Record(fields) => {
                for (name, value) in fields {
                    longest = longest.max(name.len());
                    open.push((value, depth + 1));
                }
            }
            Value::Bool(_) | Value::Long(_) => {}
        }
    }
    (longest, deepest)
}

/// A borrowed [`Value`]: what a prepared request's attributes are given as.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum ValueRef<'a> {
    /// `true` or `false`.
    Bool(bool),
    /// A 64-bit signed integer.
    Long(i64),
    /// A string.
    String(&'a str),
    /// A reference to an entity.
    Entity(&'a EntityUid),
    /// A set, a record or an extension value; other values count as what they are.
    Value(&'a Value),
}

impl ValueRef<'_> {
    /// Returns the value as one that owns what it holds.
    #[must_use]
    pub fn to_value(self) -> Value {
        match self {
            Self::Bool(b) => Value::Bool(b),
            Self::Long(n) => Value::Long(n),
            Self::String(s) => Value::String(s.into()),
            Self::Entity(uid) => Value::Entity(uid.clone()),
            Self::Value(value) => value.clone(),
        }
    }
}

impl<'a> From<&'a Value> for ValueRef<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Bool(b) => Self::Bool(*b),
            Value::Long(n) => Self::Long(*n),
            Value::String(s) => Self::String(s),
            Value::Entity(uid) => Self::Entity(uid),
            Value::Set(_) | Value::Record(_) | Value::Extension(_) => Self::Value(value),
        }
    }
}

impl<'a> From<&'a str> for ValueRef<'a> {
    fn from(s: &'a str) -> Self {
        Self::String(s)
    }
}

impl<'a> From<&'a EntityUid> for ValueRef<'a> {
    fn from(uid: &'a EntityUid) -> Self {
        Self::Entity(uid)
    }
}

impl From<bool> for ValueRef<'_> {
    fn from(b: bool) -> Self {
        Self::Bool(b)
    }
}

impl From<i64> for ValueRef<'_> {
    fn from(n: i64) -> Self {
        Self::Long(n)
    }
}

impl From<EvalResult> for Value {
    fn from(result: EvalResult) -> Self {
        match result {
            EvalResult::Bool(b) => Self::Bool(b),
            EvalResult::Long(n) => Self::Long(n),
            EvalResult::String(s) => Self::String(s.into()),
            EvalResult::EntityUid(uid) => Self::Entity(uid),
            EvalResult::Set(items) => Self::Set(items.iter().cloned().map(Self::from).collect()),
            EvalResult::Record(fields) => Self::Record(
                fields.iter().map(|(k, v)| (k.into(), Self::from(v.clone()))).collect(),
            ),
            EvalResult::ExtensionValue(call) => Self::Extension(call.into()),
        }
    }
}

impl From<&str> for Value {
    fn from(s: &str) -> Self {
        Self::String(s.into())
    }
}

impl From<String> for Value {
    fn from(s: String) -> Self {
        Self::String(s.into())
    }
}

impl From<SmolStr> for Value {
    fn from(s: SmolStr) -> Self {
        Self::String(s)
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Self::Bool(b)
    }
}

impl From<i64> for Value {
    fn from(n: i64) -> Self {
        Self::Long(n)
    }
}

impl From<EntityUid> for Value {
    fn from(uid: EntityUid) -> Self {
        Self::Entity(uid)
    }
}

impl From<Record> for Value {
    fn from(record: Record) -> Self {
        Self::Record(record)
    }
}

impl<V: Into<Self>> FromIterator<V> for Value {
    fn from_iter<I: IntoIterator<Item = V>>(values: I) -> Self {
        Self::Set(values.into_iter().map(Into::into).collect())
    }
}
