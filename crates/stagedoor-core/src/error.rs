//! What can go wrong before a decision: entities and requests that are not what they should be.

use std::fmt;
use std::sync::Arc;

/// A text that is not the value that it is said to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {kind}: {reason}")]
pub struct ValueError {
    kind: Box<str>,
    text: Box<str>,
    reason: Box<str>,
}

impl ValueError {
    pub(crate) fn new(kind: &str, text: &str, reason: &str) -> Self {
        // Cedar's reasons repeat the text.
        let [text, reason] = [text, reason]
            .map(|text| Excerpt { text, limit: EXCERPT_BYTES / 2 }.to_string().into_boxed_str());
        Self { kind: kind.into(), text, reason }
    }

    pub(crate) fn function(name: &str) -> Self {
        let reason = "extension values are made by `datetime`, `decimal`, `duration` and `ip`";
        Self::new("function that makes a value of a string", name, reason)
    }

    /// Returns a stable code for programs: `entities::value`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "entities::value"
    }
}

impl From<ValueError> for EntitiesError {
    fn from(error: ValueError) -> Self {
        Self::Value(error.to_string())
    }
}

/// Failure to build a set of entities.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum EntitiesError {
    /// Two entities carry the same id.
    #[error("entity `{0}` is given twice")]
    Duplicate(String),
    /// An entity is its own ancestor.
    #[error("entity `{0}` is its own ancestor")]
    Cycle(String),
    /// An entity has more ancestors than [`Limits::ancestors`](crate::Limits::ancestors).
    #[error("entity `{uid}` has more than {limit} ancestors")]
    TooManyAncestors {
        /// The entity.
        uid: String,
        /// The most that are accepted.
        limit: usize,
    },
    /// The entities have more ancestors than [`Limits::memberships`](crate::Limits::memberships).
    #[error("the entities have more than {limit} ancestors, taken together")]
    TooManyMemberships {
        /// The most that are accepted.
        limit: usize,
    },
    /// More entities than [`Limits::entities`](crate::Limits::entities).
    #[error("{given} entities are more than the limit of {limit}")]
    TooMany {
        /// How many were given.
        given: usize,
        /// How many are accepted.
        limit: usize,
    },
    /// An attribute has more values than anybody's has.
    #[error("entity `{uid}` has an attribute with {given} values; the limit is {limit}")]
    TooManyValues {
        /// The entity.
        uid: String,
        /// How many values the attribute has.
        given: usize,
        /// The most that are accepted.
        limit: usize,
    },
    /// A string is longer than [`Limits::string_bytes`](crate::Limits::string_bytes).
    #[error("entity `{uid}` holds a string of {given} bytes; the limit is {limit}")]
    StringTooLong {
        /// The entity.
        uid: String,
        /// Length of its longest string, in bytes.
        given: usize,
        /// The longest that is accepted.
        limit: usize,
    },
    /// Values nest deeper than [`Limits::nesting`](crate::Limits::nesting).
    #[error("values of entity `{uid}` nest {given} deep; the limit is {limit}")]
    TooDeep {
        /// The entity.
        uid: String,
        /// How deep its values nest.
        given: usize,
        /// The deepest that is accepted.
        limit: usize,
    },
    /// The JSON is larger than [`Limits::file_bytes`](crate::Limits::file_bytes).
    #[error("entities of {given} bytes are larger than the limit of {limit}")]
    TooLarge {
        /// Size of the JSON, in bytes.
        given: usize,
        /// The largest that is accepted.
        limit: usize,
    },
    /// The JSON is not a list of entities as Cedar writes them.
    #[error("entities are not in Cedar's JSON form: {0}")]
    Json(String),
    /// A value is not one of Cedar's.
    #[error("a value is not one of Cedar's: {0}")]
    Value(String),
    /// A loader did not give the entities that a decision needs.
    #[error("entities were not loaded: {reason}")]
    Loading {
        /// Why, the causes of the loader's error included.
        reason: String,
        /// The loader's error, where it gave one.
        #[source]
        cause: Option<Arc<dyn std::error::Error + Send + Sync>>,
    },
    /// The entities do not conform to the schema.
    #[error("entities do not conform to the schema: {0}")]
    Schema(String),
}

impl EntitiesError {
    /// Returns a stable code for programs: `entities::cycle`, `limit::nesting`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Duplicate(_) => "entities::duplicate",
            Self::Cycle(_) => "entities::cycle",
            Self::TooManyAncestors { .. } | Self::TooManyMemberships { .. } => "limit::ancestors",
            Self::TooMany { .. } => "limit::entities",
            Self::TooManyValues { .. } => "limit::values",
            Self::StringTooLong { .. } => "limit::string-bytes",
            Self::TooDeep { .. } => "limit::nesting",
            Self::TooLarge { .. } => "limit::file-bytes",
            Self::Json(_) => "entities::json",
            Self::Value(_) => "entities::value",
            Self::Loading { .. } => "entities::loading",
            Self::Schema(_) => "entities::schema",
        }
    }
}

/// Failure to read a request.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The JSON is not a request.
    #[error("not a request: {0}")]
    Json(String),
    /// `principal`, `action` or `resource` is not an entity id.
    #[error("`{field}` is not an entity id: {reason}")]
    EntityUid {
        /// Which of the three.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The context is not a record of Cedar values.
    #[error("`context` is not a record of Cedar values: {0}")]
    Context(String),
    /// A string is longer than [`Limits::string_bytes`](crate::Limits::string_bytes).
    #[error("the request holds a string of {given} bytes; the limit is {limit}")]
    StringTooLong {
        /// Length of the longest string, in bytes.
        given: usize,
        /// The longest that is accepted.
        limit: usize,
    },
    /// The context nests deeper than [`Limits::nesting`](crate::Limits::nesting).
    #[error("values of the context nest {given} deep; the limit is {limit}")]
    TooDeep {
        /// How deep it nests.
        given: usize,
        /// The deepest that is accepted.
        limit: usize,
    },
    /// A resource type cannot be prepared as asked, or a resource has more values than it.
    #[error("resource type `{name}`: {reason}")]
    ResourceType {
        /// The type.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The request does not conform to the schema.
    #[error("the request does not conform to the schema: {0}")]
    Schema(String),
}

impl RequestError {
    /// Returns a stable code for programs: `request::context`, `limit::nesting`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::EntityUid { .. } => "request::uid",
            Self::Context(_) => "request::context",
            Self::StringTooLong { .. } => "limit::string-bytes",
            Self::TooDeep { .. } => "limit::nesting",
            Self::Schema(_) => "request::schema",
            Self::Json(_) | Self::ResourceType { .. } => "request::refused",
        }
    }
}

/// Failure to decide. The caller must treat it as a refusal.
///
/// # Examples
///
/// ```
/// use stagedoor_core::{DecideError, Engine, Entities, Entity, EntitiesError, Request, RequestError};
///
/// let engine = Engine::builder()
///     .schema("s.cedarschema", "entity User; entity Doc;
///         action view appliesTo { principal: User, resource: Doc };")
///     .policies("p.cedar", "permit(principal, action, resource);")
///     .build()?;
/// // Nobody can view a user.
/// let ana: stagedoor_core::EntityUid = r#"User::"ana""#.parse()?;
/// let request = Request::new(ana.clone(), r#"Action::"view""#.parse()?, ana.clone());
/// let refused = engine.decide(&request, &Entities::empty());
/// assert!(matches!(&refused, Err(DecideError::Request(RequestError::Schema(_)))));
/// assert_eq!(refused.map_err(|error| error.code()).err(), Some("request::schema"));
///
/// let twice = Entities::from_entities([Entity::new(ana.clone()), Entity::new(ana)]);
/// assert!(matches!(twice, Err(EntitiesError::Duplicate(_))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum DecideError {
    /// The request is not one that the engine decides.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The entities are not ones that the engine decides about.
    #[error(transparent)]
    Entities(#[from] EntitiesError),
    /// The engine validates nothing, so that policies cannot be evaluated partially.
    #[error("partial evaluation needs a schema, which exact-Cedar mode does without")]
    SchemaMissing,
    /// A policy that was loaded cannot be taken apart. Nothing is decided then: a `forbid` might be
    /// left out otherwise.
    #[error("policy `{policy}` cannot be evaluated in part: {reason}")]
    Policy {
        /// The policy's id.
        policy: String,
        /// Why.
        reason: String,
    },
}

impl DecideError {
    /// Returns a stable code for programs, that of the cause where there is one.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Request(error) => error.code(),
            Self::Entities(error) => error.code(),
            Self::SchemaMissing | Self::Policy { .. } => "request::refused",
        }
    }
}

/// So much of a text that was given is repeated in an error or an answer, in bytes.
const EXCERPT_BYTES: usize = 1 << 10;

/// Returns a text that was given as errors and answers repeat it: cut where it is long.
///
/// Whoever may send a request may send a long one: neither answers nor logs grow with it.
pub(crate) fn excerpt(text: &str) -> Excerpt<'_> {
    Excerpt { text, limit: EXCERPT_BYTES }
}

/// Returns what errors and answers repeat of something that was given.
pub(crate) fn cut(given: &impl fmt::Display) -> String {
    let text = given.to_string();
    if text.len() > EXCERPT_BYTES { excerpt(&text).to_string() } else { text }
}

/// A text, cut where it is longer than `limit` bytes; what was cut off is told.
pub(crate) struct Excerpt<'a> {
    text: &'a str,
    limit: usize,
}

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, limit } = self;
        if text.len() <= *limit {
            return f.write_str(text);
        }
        let shown = text.get(..text.floor_char_boundary(*limit)).unwrap_or_default();
        write!(f, "{shown}… ({} bytes)", text.len())
    }
}

/// Joins an error and its causes into one line, cut as [`excerpt`] cuts.
///
/// Cedar's errors say what is wrong in their cause, not in their own text.
pub(crate) fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    cut(&text)
}
