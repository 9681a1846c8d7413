//! Requests and entities, as programs say them.

use serde::Serialize;
use serde_json::{Map, Value as Json};
use stagedoor_core::{Engine, Entities, Entity, Request};

use crate::decision::Verdict;
use crate::error::{Result, WireError};
use crate::keys;
use crate::uid::Uid;
use crate::value::record;

const REQUEST: [&str; 5] = ["principal", "action", "resource", "context", "entities"];
const ENTITY: [&str; 4] = ["uid", "attrs", "tags", "parents"];
/// What Cedar's own test cases, and recorded decisions, have beside a request.
const BESIDE: [&str; 5] = ["description", "validateRequest", "decision", "reason", "errors"];

/// Who wants to do what to which resource, and in which circumstances.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct RequestInput {
    /// Who asks: `'User::"alice"'` or `{type: 'User', id: 'alice'}`.
    pub principal: Uid,
    /// What they want to do.
    pub action: Uid,
    /// What they want to do it to.
    pub resource: Uid,
    /// The circumstances: values as in an entity's attributes. What the schema tells may be left
    /// out, such as that a string is an IP address.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub context: Map<String, Json>,
    /// Entities that belong to this request alone, such as its resource.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entities: Vec<EntityInput>,
}

impl RequestInput {
    /// Reads the JSON of a request.
    ///
    /// # Errors
    ///
    /// [`WireError`] that names the key or field that is wrong.
    pub fn from_json(text: &str) -> Result<Self> {
        Self::from_fields(keys::object(text, "not a request", "request::refused")?)
    }

    /// Reads a request that may have beside it what was decided, as recorded decisions and Cedar's
    /// own test cases do. Returns the decision if there is one.
    ///
    /// # Errors
    ///
    /// As [`from_json`](Self::from_json).
    pub fn from_recorded(text: &str) -> Result<(Self, Option<Verdict>)> {
        let mut fields = keys::object(text, "not a request", "request::refused")?;
        let decision = match fields.get("decision").and_then(Json::as_str) {
            Some("allow" | "Allow" | "ALLOW") => Some(Verdict::Allow),
            Some("deny" | "Deny" | "DENY") => Some(Verdict::Deny),
            _ => None,
        };
        fields.retain(|key, _| !BESIDE.contains(&key.as_str()));
        Ok((Self::from_fields(fields)?, decision))
    }

    fn from_fields(mut fields: Map<String, Json>) -> Result<Self> {
        keys::check(&fields, &REQUEST)?;
        let mut uid = |name: &str| match fields.remove(name) {
            Some(json) => Uid::from_json(json).map_err(|error| error.within(format!("`{name}`"))),
            None => Err(WireError::new("argument::type", format!("`{name}` is missing"))),
        };
        let (principal, action, resource) = (uid("principal")?, uid("action")?, uid("resource")?);
        let context = match fields.remove("context") {
            Some(json) => keys::fields(json, "`context`")?,
            None => Map::new(),
        };
        let entities = match fields.remove("entities") {
            Some(json) => EntityInput::list(json)?,
            None => Vec::new(),
        };
        Ok(Self { principal, action, resource, context, entities })
    }

    /// Returns the request, with its context as the engine's schema types it, and its entities
    /// laid over `store`.
    ///
    /// # Errors
    ///
    /// [`WireError`] for ids and values that are not Cedar's, and for an entity that is in the
    /// store already.
    pub fn read(self, engine: &Engine, store: &Entities) -> Result<(Request, Entities)> {
        let mut request = Request::new(
            self.principal.read("principal")?,
            self.action.read("action")?,
            self.resource.read("resource")?,
        );
        request.context = record(self.context, "context")?;
        let own = self.entities.into_iter().enumerate().map(|(number, entity)| {
            let read = entity.read().map_err(|error| error.within(format!("entities[{number}]")));
            Ok(engine.typed_entity(read?))
        });
        let own = own.collect::<Result<Vec<_>>>()?;
        let entities = if own.is_empty() { store.clone() } else { store.with(own)? };
        Ok((engine.typed_request(request), entities))
    }
}

/// An entity, as Cedar's JSON form has it.
///
/// Values are booleans, integers (`number` or `bigint`), strings, arrays (sets) and objects
/// (records); `{__entity: {type, id}}` refers to an entity, and
/// `{__extn: {fn: 'ip', arg: '10.0.0.1'}}` is an extension value.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct EntityInput {
    /// The entity's id: `'Type::"id"'` or `{type, id}`.
    pub uid: Uid,
    /// Its attributes.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub attrs: Map<String, Json>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub tags: Map<String, Json>,
    /// The entities that it is directly a member of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<Uid>,
}

impl EntityInput {
    /// Reads the JSON of a list of entities.
    ///
    /// # Errors
    ///
    /// [`WireError`] that names the entity and the key that is wrong.
    pub fn list_from_json(text: &str) -> Result<Vec<Self>> {
        let json: stagedoor_core::UniqueJson = serde_json::from_str(text).map_err(|e| {
            let reason = stagedoor_core::plain_reason(&e.to_string());
            WireError::new("entities::json", format!("not a list of entities: {reason}"))
        })?;
        Self::list(json.0)
    }

    fn list(json: Json) -> Result<Vec<Self>> {
        let Json::Array(items) = json else {
            return Err(WireError::mistyped("entities", "an array of entities"));
        };
        let read = |(number, item)| {
            let place = format!("entities[{number}]");
            let fields = keys::fields(item, &place)?;
            Self::from_fields(fields).map_err(|error| error.within(place))
        };
        items.into_iter().enumerate().map(read).collect()
    }

    fn from_fields(mut fields: Map<String, Json>) -> Result<Self> {
        keys::check(&fields, &ENTITY)?;
        let uid = match fields.remove("uid") {
            Some(json) => Uid::from_json(json)?,
            None => return Err(WireError::new("argument::type", "`uid` is missing")),
        };
        let mut object = |name: &str| match fields.remove(name) {
            Some(json) => keys::fields(json, &format!("`{name}`")),
            None => Ok(Map::new()),
        };
        let (attrs, tags) = (object("attrs")?, object("tags")?);
        let parents = match fields.remove("parents") {
            None => Vec::new(),
            Some(Json::Array(parents)) => {
                parents.into_iter().map(Uid::from_json).collect::<Result<_>>()?
            }
            Some(_) => return Err(WireError::mistyped("`parents`", "an array of entity ids")),
        };
        Ok(Self { uid, attrs, tags, parents })
    }

    /// Returns the entity.
    ///
    /// # Errors
    ///
    /// [`WireError`] for ids and values that are not Cedar's.
    pub fn read(self) -> Result<Entity> {
        let mut entity = Entity::new(self.uid.read("uid")?);
        entity.attributes = record(self.attrs, "attrs")?;
        entity.tags = record(self.tags, "tags")?;
        let parents = self.parents.into_iter().enumerate();
        let parents = parents.map(|(number, uid)| uid.read(&format!("parents[{number}]")));
        entity.parents = parents.collect::<Result<_>>()?;
        Ok(entity)
    }
}
