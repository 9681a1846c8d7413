//! What a rule is asked.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::json;

/// The id of a Cedar entity.
///
/// Serde reads it from Cedar's JSON form, `{"__entity": {"type": …, "id": …}}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(from = "Reference")]
pub struct EntityUid {
    /// Its type, such as `k8s::User`.
    pub type_: String,
    /// Its id.
    pub id: String,
}

#[derive(Deserialize)]
struct Reference {
    __entity: Parts,
}

#[derive(Deserialize)]
struct Parts {
    r#type: String,
    id: String,
}

impl From<Reference> for EntityUid {
    fn from(Reference { __entity: Parts { r#type, id } }: Reference) -> Self {
        Self { type_: r#type, id }
    }
}

impl EntityUid {
    /// Returns the id of an entity.
    #[must_use]
    pub fn new(type_: impl Into<String>, id: impl Into<String>) -> Self {
        Self { type_: type_.into(), id: id.into() }
    }
}

impl fmt::Display for EntityUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::\"{}\"", self.type_, self.id.escape_debug())
    }
}

/// A value of Cedar's that JSON has not: a `datetime`, `decimal`, `duration` or `ip`.
///
/// Serde reads it from Cedar's JSON form, `{"__extn": {"fn": …, "arg": …}}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "ExtensionEscape")]
#[non_exhaustive]
pub struct Extension {
    /// The function that makes it, such as `datetime`.
    pub function: String,
    /// What the function is given, such as `2026-11-22`.
    pub argument: String,
}

#[derive(Deserialize)]
struct ExtensionEscape {
    __extn: Call,
}

#[derive(Deserialize)]
struct Call {
    r#fn: String,
    arg: String,
}

impl From<ExtensionEscape> for Extension {
    fn from(
        ExtensionEscape { __extn: Call { r#fn: function, arg: argument } }: ExtensionEscape,
    ) -> Self {
        Self { function, argument }
    }
}

/// A Cedar entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entity {
    /// Its id.
    pub uid: EntityUid,
    /// Every entity that this one is a member of, directly or not.
    pub ancestors: Vec<EntityUid>,
    pub(crate) attributes: String,
    pub(crate) tags: String,
}

impl Entity {
    /// Returns an entity without attributes, tags and ancestors.
    #[must_use]
    pub fn new(uid: EntityUid) -> Self {
        Self { uid, ancestors: Vec::new(), attributes: "{}".to_owned(), tags: "{}".to_owned() }
    }

    /// Sets the attributes.
    ///
    /// # Errors
    ///
    /// [`Error`] if they cannot be written as JSON.
    pub fn with_attributes(mut self, attributes: impl Serialize) -> Result<Self, Error> {
        self.attributes = written(attributes)?;
        Ok(self)
    }

    /// Sets the tags.
    ///
    /// # Errors
    ///
    /// [`Error`] if they cannot be written as JSON.
    pub fn with_tags(mut self, tags: impl Serialize) -> Result<Self, Error> {
        self.tags = written(tags)?;
        Ok(self)
    }

    /// Reads the attributes into a type with the fields that the rule looks at.
    ///
    /// A `&str` in it borrows; text with escapes, which JSON has for quotes and backslashes,
    /// needs a `String`.
    ///
    /// # Errors
    ///
    /// [`Error`] if they do not fit.
    pub fn attributes<'r, T: Deserialize<'r>>(&'r self) -> Result<T, Error> {
        read("attributes", &self.attributes)
    }

    /// Reads the tags, as [`attributes`](Self::attributes).
    ///
    /// # Errors
    ///
    /// [`Error`] if they do not fit.
    pub fn tags<'r, T: Deserialize<'r>>(&'r self) -> Result<T, Error> {
        read("tags", &self.tags)
    }
}

/// What is asked. It holds the inputs that the rule declares.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    pub(crate) principal: Option<Entity>,
    pub(crate) action: Option<EntityUid>,
    pub(crate) resource: Option<Entity>,
    pub(crate) context: Option<String>,
    pub(crate) related: Vec<Entity>,
}

impl Request {
    /// Returns a request that holds nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the principal.
    #[must_use]
    pub fn with_principal(mut self, principal: Entity) -> Self {
        self.principal = Some(principal);
        self
    }

    /// Sets the action.
    #[must_use]
    pub fn with_action(mut self, action: EntityUid) -> Self {
        self.action = Some(action);
        self
    }

    /// Sets the resource.
    #[must_use]
    pub fn with_resource(mut self, resource: Entity) -> Self {
        self.resource = Some(resource);
        self
    }

    /// Sets the context.
    ///
    /// # Errors
    ///
    /// [`Error`] if it cannot be written as JSON.
    pub fn with_context(mut self, context: impl Serialize) -> Result<Self, Error> {
        self.context = Some(written(context)?);
        Ok(self)
    }

    /// Adds an entity that another one refers to.
    #[must_use]
    pub fn with_related(mut self, entity: Entity) -> Self {
        self.related.push(entity);
        self
    }

    /// Returns an entity that an input refers to, directly or by another one; none if it has
    /// neither attributes nor tags.
    #[must_use]
    pub fn related(&self, uid: &EntityUid) -> Option<&Entity> {
        self.related.iter().find(|entity| entity.uid == *uid)
    }

    /// Returns the principal.
    ///
    /// # Errors
    ///
    /// [`Error`] if the rule does not declare it.
    pub fn principal(&self) -> Result<&Entity, Error> {
        self.principal.as_ref().ok_or_else(|| undeclared("principal"))
    }

    /// Returns the action.
    ///
    /// # Errors
    ///
    /// [`Error`] if the rule does not declare it.
    pub fn action(&self) -> Result<&EntityUid, Error> {
        self.action.as_ref().ok_or_else(|| undeclared("action"))
    }

    /// Returns the resource.
    ///
    /// # Errors
    ///
    /// [`Error`] if the rule does not declare it.
    pub fn resource(&self) -> Result<&Entity, Error> {
        self.resource.as_ref().ok_or_else(|| undeclared("resource"))
    }

    /// Reads the context into a type with the fields that the rule looks at.
    ///
    /// # Errors
    ///
    /// [`Error`] if the rule does not declare it, or it does not fit.
    pub fn context<'r, T: Deserialize<'r>>(&'r self) -> Result<T, Error> {
        let context = self.context.as_ref().ok_or_else(|| undeclared("context"))?;
        read("context", context)
    }
}

fn undeclared(input: &str) -> Error {
    Error::new(format!("the rule does not declare that it looks at the {input}"))
}

fn read<'r, T: Deserialize<'r>>(what: &str, json: &'r str) -> Result<T, Error> {
    json::read(json).map_err(|e| Error::new(format!("the {what} cannot be read: {e}")))
}

fn written(value: impl Serialize) -> Result<String, Error> {
    serde_json::to_string(&value).map_err(|e| Error::new(format!("this is not JSON: {e}")))
}
