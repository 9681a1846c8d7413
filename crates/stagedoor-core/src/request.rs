//! One request for a decision.

use cedar_policy::{Context, EntityUid, Schema};
use cedar_policy_core::ast;
use serde::Deserialize;
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::value::RawValue;

use crate::error::{RequestError, ValueError, cut, error_chain};
use crate::json::{Unambiguous, unambiguous};
use crate::limits::Limits;
use crate::parse::entity_uid;
use crate::reason::{self, JsonPath, Look, plain_reason};
use crate::source::without_byte_order_mark;
use crate::value::{Record, RecordJson, UidJson, Value, extent, pairs};

/// Who wants to do what to which resource, and in which circumstances.
///
/// # Examples
///
/// ```
/// use stagedoor_core::Request;
///
/// let request = Request::from_json_str(
///     r#"{"principal": "User::\"alice\"",
///         "action": {"type": "Action", "id": "view"},
///         "resource": "Photo::\"1\"",
///         "context": {"mfa": true}}"#,
///     None,
/// )?;
/// assert_eq!(request.principal.id().unescaped(), "alice");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// Who asks.
    pub principal: EntityUid,
    /// What they want to do.
    pub action: EntityUid,
    /// What they want to do it to.
    pub resource: EntityUid,
    /// The circumstances.
    pub context: Record,
}

/// The JSON form. The last five fields are those of Cedar's own test cases,
/// which describe a request's expected answer beside it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RequestJson<'a> {
    principal: Unambiguous,
    action: Unambiguous,
    resource: Unambiguous,
    #[serde(borrow, default)]
    context: Option<&'a RawValue>,
    #[serde(default, rename = "description")]
    _description: Option<serde_json::Value>,
    #[serde(default, rename = "validateRequest")]
    _validate_request: Option<serde_json::Value>,
    #[serde(default, rename = "decision")]
    _decision: Option<serde_json::Value>,
    #[serde(default, rename = "reason")]
    _reason: Option<serde_json::Value>,
    #[serde(default, rename = "errors")]
    _errors: Option<serde_json::Value>,
}

impl Request {
    /// Returns a request with an empty context.
    #[must_use]
    pub fn new(principal: EntityUid, action: EntityUid, resource: EntityUid) -> Self {
        Self { principal, action, resource, context: Record::new() }
    }

    /// Sets one field of the context.
    #[must_use]
    pub fn with_context(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.context.insert(name.into(), value.into());
        self
    }

    /// Reads a request from Cedar's JSON form: `principal`, `action` and `resource`
    /// as `"Type::\"id\""` or `{"type": …, "id": …}`, and an optional `context`.
    ///
    /// With a schema, the context may leave out what the schema tells, such as
    /// that a string is an IP address.
    ///
    /// # Errors
    ///
    /// [`RequestError`], which names the field that is wrong.
    pub fn from_json_str(json: &str, schema: Option<&Schema>) -> Result<Self, RequestError> {
        let json = without_byte_order_mark(json);
        let read: RequestJson<'_> = serde_json::from_str(json)
            .map_err(|e| RequestError::Json(cut(&reason::of_request(json, &e))))?;
        let action = uid("action", read.action)?;
        let context = match read.context {
            Some(raw) => context(raw.get(), schema.map(|s| (s, &action)))?,
            None => Record::new(),
        };
        Ok(Self {
            principal: uid("principal", read.principal)?,
            resource: uid("resource", read.resource)?,
            action,
            context,
        })
    }

    /// Checks the request against `limits`.
    pub(crate) fn check(&self, limits: &Limits) -> Result<(), RequestError> {
        let ids = [&self.principal, &self.action, &self.resource];
        let in_ids = ids.iter().map(|uid| uid.id().unescaped().len()).max().unwrap_or_default();
        let (in_context, depth) = extent(&self.context);
        let given = in_ids.max(in_context);
        if given > limits.string_bytes {
            return Err(RequestError::StringTooLong { given, limit: limits.string_bytes });
        }
        if depth > limits.nesting {
            return Err(RequestError::TooDeep { given: depth, limit: limits.nesting });
        }
        Ok(())
    }

    /// Returns the request as Cedar's, validated where a schema is given.
    pub(crate) fn to_cedar(
        &self,
        schema: Option<&Schema>,
    ) -> Result<cedar_policy::Request, RequestError> {
        let context = cedar_context(&self.context)?;
        cedar_policy::Request::new(
            self.principal.clone(),
            self.action.clone(),
            self.resource.clone(),
            context,
            schema,
        )
        .map_err(|e| RequestError::Schema(cut(&e)))
    }
}

/// Returns a context as Cedar's.
pub(crate) fn cedar_context(context: &Record) -> Result<Context, RequestError> {
    if context.is_empty() {
        return Ok(Context::empty());
    }
    let fields = pairs(context).map_err(|e| RequestError::Context(cut(&e)))?;
    Context::from_pairs(fields).map_err(|e| RequestError::Context(cut(&e)))
}

/// Writes the form that [`Request::from_json_str`] reads.
impl Serialize for Request {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("principal", &UidJson(&self.principal))?;
        map.serialize_entry("action", &UidJson(&self.action))?;
        map.serialize_entry("resource", &UidJson(&self.resource))?;
        map.serialize_entry("context", &RecordJson(&self.context))?;
        map.end()
    }
}

fn uid(field: &'static str, json: Unambiguous) -> Result<EntityUid, RequestError> {
    let error = |reason: String| RequestError::EntityUid { field, reason };
    if let Some(reason) = reason::of_uid(&json.0) {
        return Err(error(reason));
    }
    match json.0 {
        serde_json::Value::String(text) => {
            entity_uid(&text).ok_or_else(|| error(reason::of_uid_text(&text)))
        }
        json => EntityUid::from_json(json).map_err(|e| error(cut(&plain_reason(&e.to_string())))),
    }
}

fn context(text: &str, schema: Option<(&Schema, &EntityUid)>) -> Result<Record, RequestError> {
    // Cedar lets the last of several equal keys win.
    let json = unambiguous(text).map_err(|e| RequestError::Context(plain_reason(&cut(&e))))?;
    if !json.is_object() {
        return Err(RequestError::Context("write an object, such as {\"mfa\": true}".to_owned()));
    }
    let place = JsonPath::named("context");
    // Cedar passes over keys beside `fn` and `arg`, `type` and `id`.
    if let Some(reason) = reason::of_value(&json, &place, Look::Form) {
        return Err(RequestError::Context(cut(&reason)));
    }
    record(json, schema).map_err(|error| {
        let json = unambiguous(text).ok();
        let told = json.and_then(|json| reason::of_value(&json, &place, Look::Texts));
        RequestError::Context(cut(&told.unwrap_or(error)))
    })
}

/// Returns the record that Cedar reads of JSON that was looked through.
///
/// # Errors
///
/// Cedar's reason.
pub(crate) fn record(
    json: serde_json::Value,
    schema: Option<(&Schema, &EntityUid)>,
) -> Result<Record, String> {
    let context =
        Context::from_json_value(json, schema).map_err(|e| plain_reason(&error_chain(&e)))?;
    match context.as_ref() {
        ast::Context::Value(fields) => fields
            .iter()
            .map(|(name, value)| Ok((name.clone(), Value::from_cedar(value)?)))
            .collect::<Result<_, ValueError>>()
            .map_err(|e| e.to_string()),
        ast::Context::RestrictedResidual(_) => Err("a part of it is not known".to_owned()),
    }
}
