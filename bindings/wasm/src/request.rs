//! Requests and entities from JSON.

use cedar_policy::EntityId;
use serde::Deserialize;
use serde_json::Value as Json;
use stagedoor_core::{Entities, Entity, EntityUid, Extension, Record, Request, Value, entity_uid};

use crate::failure::{Failure, Result};

/// How deep values may nest; the engine's own limit is as high.
const NESTING: usize = 64;

/// The id of an entity: `Type::"id"` or `{type, id}`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Uid {
    Text(String),
    Parts { r#type: String, id: String },
}

/// A request with its own entities.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestInput {
    principal: Uid,
    action: Uid,
    resource: Uid,
    #[serde(default)]
    context: serde_json::Map<String, Json>,
    #[serde(default)]
    entities: Vec<EntityInput>,
}

/// An entity.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntityInput {
    uid: Uid,
    #[serde(default)]
    attrs: serde_json::Map<String, Json>,
    #[serde(default)]
    tags: serde_json::Map<String, Json>,
    #[serde(default)]
    parents: Vec<Uid>,
}

impl Uid {
    fn read(self, what: &str) -> Result<EntityUid> {
        let invalid = |text: &str| {
            let start: String = text.chars().take(80).collect();
            Failure::new("request::uid", format!("{what} is not an entity id: `{start}`"))
                .with_help("write `Type::\"id\"`, such as `User::\"alice\"`, or {type, id}")
        };
        match self {
            Self::Text(text) => entity_uid(&text).ok_or_else(|| invalid(&text)),
            Self::Parts { r#type, id } => {
                let name = r#type.parse().map_err(|_| invalid(&r#type))?;
                Ok(EntityUid::from_type_name_and_id(name, EntityId::new(id)))
            }
        }
    }
}

impl RequestInput {
    /// Returns the request, and its entities over `store`.
    pub(crate) fn over(self, store: &Entities) -> Result<(Request, Entities)> {
        let mut request = Request::new(
            self.principal.read("`principal`")?,
            self.action.read("`action`")?,
            self.resource.read("`resource`")?,
        );
        request.context = record(self.context, "context", 1)?;
        let own = self.entities.into_iter().map(EntityInput::read).collect::<Result<Vec<_>>>()?;
        let entities = if own.is_empty() { store.clone() } else { store.with(own)? };
        Ok((request, entities))
    }
}

impl EntityInput {
    pub(crate) fn read(self) -> Result<Entity> {
        let mut entity = Entity::new(self.uid.read("`uid`")?);
        entity.attributes = record(self.attrs, "attrs", 1)?;
        entity.tags = record(self.tags, "tags", 1)?;
        let parents = self.parents.into_iter().map(|parent| parent.read("one of `parents`"));
        entity.parents = parents.collect::<Result<_>>()?;
        Ok(entity)
    }
}

fn record(fields: serde_json::Map<String, Json>, what: &str, depth: usize) -> Result<Record> {
    let mut record = Record::new();
    for (name, json) in fields {
        let value = value(json, &format!("{what}.{name}"), depth)?;
        record.insert(name.into(), value);
    }
    Ok(record)
}

fn value(json: Json, what: &str, depth: usize) -> Result<Value> {
    if depth > NESTING {
        let message = format!("{what} nests deeper than {NESTING} levels");
        return Err(Failure::new("limit::nesting", message));
    }
    match json {
        Json::Bool(b) => Ok(Value::Bool(b)),
        Json::String(text) => Ok(Value::String(text.into())),
        Json::Number(number) => number.as_i64().map(Value::Long).ok_or_else(|| {
            Failure::new("argument::type", format!("{what} must be an integer of 64 bits"))
        }),
        Json::Array(items) => {
            let item = |(n, item)| value(item, &format!("{what}[{n}]"), depth + 1);
            Ok(Value::Set(items.into_iter().enumerate().map(item).collect::<Result<_>>()?))
        }
        Json::Object(fields) => object(fields, what, depth),
        Json::Null => Err(Failure::new("argument::type", format!("{what} is null"))),
    }
}

/// Reads a record, or what Cedar's JSON form writes as one.
fn object(mut fields: serde_json::Map<String, Json>, what: &str, depth: usize) -> Result<Value> {
    let mut escaped = |name: &str| match fields.len() {
        1 => fields.remove(name),
        _ => None,
    };
    if let Some(json) = escaped("__entity") {
        let uid: Uid = read(json, what, "an entity id: {type, id}")?;
        return Ok(Value::Entity(uid.read(what)?));
    }
    if let Some(json) = escaped("__extn") {
        let Call { r#fn, arg } = read(json, what, "{__extn: {fn, arg}}")?;
        return extension(&r#fn, &arg, what);
    }
    Ok(Value::Record(record(fields, what, depth + 1)?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    r#fn: String,
    arg: String,
}

fn read<T: for<'de> Deserialize<'de>>(json: Json, what: &str, expected: &str) -> Result<T> {
    serde_json::from_value(json)
        .map_err(|_| Failure::new("argument::type", format!("{what} must be {expected}")))
}

/// Returns the extension value that a function makes of a string.
fn extension(function: &str, argument: &str, what: &str) -> Result<Value> {
    Extension::new(function, argument)
        .map(Value::Extension)
        .map_err(|error| Failure::new("entities::value", format!("{what}: {error}")))
}

/// Returns a request again, with what a schema tells of its context.
pub(crate) fn by_schema(
    request: &Request,
    schema: &stagedoor_core::Schema,
) -> std::result::Result<Request, stagedoor_core::RequestError> {
    let json = serde_json::to_string(request)
        .map_err(|e| stagedoor_core::RequestError::Context(e.to_string()))?;
    Request::from_json_str(&json, Some(schema))
}
