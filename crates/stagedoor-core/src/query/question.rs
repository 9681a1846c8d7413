//! A request of which parts are not known.

use cedar_policy::{EntityTypeName, EntityUid};

use crate::value::Record;

/// A request whose principal, action, resource and context are each known, unknown or partly
/// known.
///
/// # Examples
///
/// Alice, any document, and a context of which only `mfa` is known:
///
/// ```
/// use stagedoor_core::{PartialContext, Party, Query, Record, uid};
///
/// let known = Record::from([("mfa".into(), true.into())]);
/// let query = Query::new(uid("User", "alice")?, Party::Any("Doc".parse()?))
///     .with_action(uid("Action", "read")?)
///     .with_context(PartialContext::Partly(known));
/// assert_eq!(query.principal.type_name().to_string(), "User");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Query {
    /// Who asks.
    pub principal: Party,
    /// What they want to do; none stands for every action that applies.
    pub action: Option<EntityUid>,
    /// What they want to do it to.
    pub resource: Party,
    /// The circumstances.
    pub context: PartialContext,
}

/// A principal or a resource, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Party {
    /// This entity, with what the store holds of it.
    Known(EntityUid),
    /// Any entity of a type.
    Any(EntityTypeName),
    /// Some entity of a type that has these attributes. What others it has, its tags and what it
    /// is a member of are not known.
    Partly(EntityTypeName, Record),
}

/// The circumstances of a request, as far as they are known.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PartialContext {
    /// All of them.
    Known(Record),
    /// These, and no others.
    Partly(Record),
    /// None.
    Unknown,
}

impl Query {
    /// Returns a query about every action that applies, with an empty context.
    #[must_use]
    pub fn new(principal: impl Into<Party>, resource: impl Into<Party>) -> Self {
        Self {
            principal: principal.into(),
            action: None,
            resource: resource.into(),
            context: PartialContext::Known(Record::new()),
        }
    }

    /// Sets the action.
    #[must_use]
    pub fn with_action(mut self, action: EntityUid) -> Self {
        self.action = Some(action);
        self
    }

    /// Sets the context.
    #[must_use]
    pub fn with_context(mut self, context: impl Into<PartialContext>) -> Self {
        self.context = context.into();
        self
    }
}

impl Party {
    /// Returns the type.
    #[must_use]
    pub fn type_name(&self) -> &EntityTypeName {
        match self {
            Self::Known(uid) => uid.type_name(),
            Self::Any(type_) | Self::Partly(type_, _) => type_,
        }
    }

    /// Returns the entity, if it is known which it is.
    #[must_use]
    pub fn known(&self) -> Option<&EntityUid> {
        match self {
            Self::Known(uid) => Some(uid),
            Self::Any(_) | Self::Partly(..) => None,
        }
    }
}

impl From<EntityUid> for Party {
    fn from(uid: EntityUid) -> Self {
        Self::Known(uid)
    }
}

impl From<Record> for PartialContext {
    fn from(context: Record) -> Self {
        Self::Known(context)
    }
}
