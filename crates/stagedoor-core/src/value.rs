//! Typed attribute values: what a program hands over in place of Cedar expressions.
//!
//! A value becomes a Cedar expression only when Cedar itself has to evaluate a
//! policy; the index reads it as it stands.
//!
//! INVARIANT: no value holds a text that is read later, so that all who read it see the same.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use cedar_policy::{EntityUid, RestrictedExpression};
use cedar_policy_core::ast::{self, Literal, ValueKind};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use smol_str::SmolStr;

use crate::error::{EntitiesError, ValueError};
use crate::extension::{Extension, evaluated};

/// Attributes by name: an entity's attributes or tags, a record, a request's context.
///
/// # Examples
///
/// ```
/// use stagedoor_core::Record;
///
/// let context = Record::from([("mfa".into(), true.into()), ("level".into(), 3.into())]);
/// assert_eq!(context.len(), 2);
/// ```
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
/// assert_eq!(tags.to_string(), r#"["java", "internal"]"#);
/// assert_eq!(r#"{"level": 3}"#.parse::<Value>()?.to_string(), r#"{"level": 3}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
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
    /// A decimal, a point in time, a duration or an address.
    Extension(Extension),
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

    /// Adds every entity that can be taken out of the value: all but those in sets.
    pub(crate) fn add_uids<'v>(&'v self, uids: &mut Vec<&'v EntityUid>) {
        let mut open = vec![self];
        while let Some(value) = open.pop() {
            match value {
                Self::Entity(uid) => uids.push(uid),
                Self::Record(fields) => open.extend(fields.values()),
                Self::Bool(_)
                | Self::Long(_)
                | Self::String(_)
                | Self::Set(_)
                | Self::Extension(_) => {}
            }
        }
    }

    /// Returns the value as a Cedar expression.
    ///
    /// # Errors
    ///
    /// [`EntitiesError::Value`] where Cedar takes no such record.
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
            Self::Extension(value) => value.expr().into(),
        })
    }

    /// Takes a value that Cedar's evaluator made.
    pub(crate) fn from_cedar(value: &ast::Value) -> Result<Self, ValueError> {
        Ok(match &value.value {
            ValueKind::Lit(Literal::Bool(b)) => Self::Bool(*b),
            ValueKind::Lit(Literal::Long(n)) => Self::Long(*n),
            ValueKind::Lit(Literal::String(s)) => Self::String(s.clone()),
            ValueKind::Lit(Literal::EntityUID(uid)) => {
                Self::Entity(ast::EntityUID::clone(uid).into())
            }
            ValueKind::Set(set) => {
                let items = set.authoritative.iter().map(Self::from_cedar);
                Self::Set(items.collect::<Result<_, _>>()?)
            }
            ValueKind::Record(fields) => {
                let fields = fields.iter();
                let fields =
                    fields.map(|(name, value)| Ok((name.clone(), Self::from_cedar(value)?)));
                Self::Record(fields.collect::<Result<_, _>>()?)
            }
            ValueKind::ExtensionValue(value) => {
                Self::Extension(Extension::from_cedar(Arc::clone(value))?)
            }
        })
    }
}

/// Reads Cedar text: an expression of literals, sets, records and calls, as [`Display`](fmt::Display)
/// writes it.
impl FromStr for Value {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let value =
            evaluated(text).map_err(|reason| ValueError::new("value of Cedar", text, &reason))?;
        Self::from_cedar(&value)
    }
}

impl TryFrom<&Value> for RestrictedExpression {
    type Error = EntitiesError;

    fn try_from(value: &Value) -> Result<Self, EntitiesError> {
        value.to_cedar()
    }
}

/// Writes the value as Cedar text.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(b) => b.fmt(f),
            Self::Long(n) => n.fmt(f),
            Self::String(s) => write!(f, "\"{}\"", s.escape_debug()),
            Self::Entity(uid) => uid.fmt(f),
            Self::Set(items) => {
                f.write_str("[")?;
                for (number, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if number == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Self::Record(fields) => {
                f.write_str("{")?;
                for (number, (name, value)) in fields.iter().enumerate() {
                    let comma = if number == 0 { "" } else { ", " };
                    write!(f, "{comma}\"{}\": {value}", name.escape_debug())?;
                }
                f.write_str("}")
            }
            Self::Extension(value) => fmt::Display::fmt(value, f),
        }
    }
}

/// Writes Cedar's JSON form: `{"__entity": {"type": …, "id": …}}`, `{"__extn": {"fn": …, "arg": …}}`.
///
/// Fails for a record with a field of such a name, which would be read as something else.
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bool(b) => serializer.serialize_bool(*b),
            Self::Long(n) => serializer.serialize_i64(*n),
            Self::String(s) => serializer.serialize_str(s),
            Self::Set(items) => serializer.collect_seq(items),
            Self::Record(fields) => serialize_record(fields, serializer),
            Self::Entity(uid) => escaped(serializer, "__entity", &UidJson(uid)),
            Self::Extension(value) => escaped(serializer, "__extn", &Call(value)),
        }
    }
}

/// Writes a record in Cedar's JSON form, for `#[serde(serialize_with)]`.
///
/// # Errors
///
/// The serializer's, and where the record has a field `__entity`, `__extn` or `__expr`: in JSON
/// that would be something else.
///
/// # Examples
///
/// ```
/// #[derive(serde::Serialize)]
/// struct Question {
///     #[serde(serialize_with = "stagedoor_core::serialize_record")]
///     context: stagedoor_core::Record,
/// }
///
/// let context = stagedoor_core::Record::from([("mfa".into(), true.into())]);
/// assert_eq!(serde_json::to_string(&Question { context })?, r#"{"context":{"mfa":true}}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
pub fn serialize_record<S: Serializer>(record: &Record, serializer: S) -> Result<S::Ok, S::Error> {
    if let Some(name) = ESCAPES.into_iter().find(|name| record.contains_key(*name)) {
        let told = format!("a record has a field `{name}`, which JSON cannot tell");
        return Err(serde::ser::Error::custom(told));
    }
    serializer.collect_map(record.iter().map(|(name, value)| (name.as_str(), value)))
}

/// An id in Cedar's JSON form: `{"type": …, "id": …}`.
pub(crate) struct UidJson<'a>(pub(crate) &'a EntityUid);

impl Serialize for UidJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("type", &self.0.type_name().to_string())?;
        map.serialize_entry("id", self.0.id().unescaped())?;
        map.end()
    }
}

/// What is no record in JSON.
const ESCAPES: [&str; 3] = ["__entity", "__extn", "__expr"];

fn escaped<S: Serializer>(
    serializer: S,
    escape: &str,
    fields: &impl Serialize,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(escape, fields)?;
    map.end()
}

/// Writes the same as the [`Value`] that it is.
impl Serialize for Extension {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        escaped(serializer, "__extn", &Call(self))
    }
}

/// A record in Cedar's JSON form.
pub(crate) struct RecordJson<'a>(pub(crate) &'a Record);

impl Serialize for RecordJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_record(self.0, serializer)
    }
}

/// What makes an extension value.
struct Call<'a>(&'a Extension);

impl Serialize for Call<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        if let Some((function, argument)) = self.0.call() {
            map.serialize_entry("fn", function)?;
            map.serialize_entry("arg", &argument)?;
        } else {
            let span = self.0.since_epoch().ok_or_else(|| {
                serde::ser::Error::custom(format!("`{}` cannot be told in JSON", self.0))
            })?;
            map.serialize_entry("fn", "offset")?;
            let epoch = Extension::datetime("1970-01-01").map_err(serde::ser::Error::custom)?;
            map.serialize_entry("args", &[Value::Extension(epoch), Value::Extension(span)])?;
        }
        map.end()
    }
}

/// Returns whether a value in a record is a record with nothing but an escape's key. Cedar reads an
/// escape that is misspelt inside (`idd` for `id`) as such a record, and a policy then compares an
/// entity that is none.
pub(crate) fn has_misread_escape(record: &Record) -> bool {
    let mut open: Vec<&Value> = record.values().collect();
    while let Some(value) = open.pop() {
        match value {
            Value::Record(fields) => {
                let only = if fields.len() == 1 { fields.keys().next() } else { None };
                if only.is_some_and(|name| ESCAPES.contains(&name.as_str())) {
                    return true;
                }
                open.extend(fields.values());
            }
            Value::Set(items) => open.extend(items.iter()),
            _ => {}
        }
    }
    false
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

/// Returns whether a value keeps to limits on the length of strings and on nesting.
#[inline]
pub(crate) fn is_within(value: ValueRef<'_>, longest: usize, deepest: usize) -> bool {
    match value {
        ValueRef::Bool(_) | ValueRef::Long(_) => true,
        ValueRef::String(s) => s.len() <= longest,
        ValueRef::Entity(uid) => uid.id().unescaped().len() <= longest,
        ValueRef::Value(value) => {
            let (given, depth) = extent_of(value);
            given <= longest && depth <= deepest
        }
    }
}

fn extent_of_all(mut longest: usize, mut open: Vec<(&Value, usize)>) -> (usize, usize) {
    let mut deepest = 0;
    while let Some((value, depth)) = open.pop() {
        deepest = deepest.max(depth);
        match value {
            Value::String(s) => longest = longest.max(s.len()),
            Value::Extension(value) => longest = longest.max(value.bytes()),
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
///
/// # Examples
///
/// ```
/// use stagedoor_core::{Value, ValueRef};
///
/// let tier = ValueRef::from("gold");
/// assert_eq!(tier.to_value(), Value::from("gold"));
/// ```
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

impl<'a> ValueRef<'a> {
    /// Returns the value by its kind: a string as [`Self::String`] and not as a [`Self::Value`].
    #[inline]
    pub(crate) fn normal(self) -> Self {
        match self {
            Self::Value(value) => value.into(),
            other => other,
        }
    }

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

impl From<Extension> for Value {
    fn from(value: Extension) -> Self {
        Self::Extension(value)
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
