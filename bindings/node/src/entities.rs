//! Entities that are prepared once and used for many decisions.

use napi::ValueType;
use napi::bindgen_prelude::{
    Array, ClassInstance, Env, FromNapiValue as _, JsObjectValue as _, JsValue as _, Object,
    Unknown,
};
use napi_derive::napi;
use stagedoor_core::Entity;

use crate::engine::Engine;
use crate::failure::{Failure, Result};
use crate::keys;
use crate::text::with_text;
use crate::uid::uid;
use crate::value::Values;

/// The longest JSON that is read; the engine's own limit is as high.
const JSON_BYTES: usize = 64 << 20;

const KEYS: [&str; 4] = ["uid", "attrs", "tags", "parents"];

/// A set of entities, prepared to be used for many decisions. It does not change.
#[napi]
#[derive(Debug)]
pub struct Entities(pub(crate) stagedoor_core::Entities);

#[napi]
impl Entities {
    /// Makes a set of entities.
    #[napi(constructor, catch_unwind)]
    pub fn new(
        env: Env,
        #[napi(ts_arg_type = "Array<EntityInput>")] entities: Unknown<'_>,
    ) -> napi::Result<Self> {
        list(entities, "entities")
            .and_then(|entities| Ok(stagedoor_core::Entities::from_entities(entities)?))
            .map(Self)
            .map_err(|failure| failure.thrown(&env))
    }

    /// Reads entities in Cedar's JSON form. With an engine, values may leave out what its
    /// schema tells, and the entities are validated.
    #[napi(catch_unwind)]
    pub fn from_json(
        env: Env,
        #[napi(ts_arg_type = "string")] json: Unknown<'_>,
        engine: Option<&Engine>,
    ) -> napi::Result<Self> {
        let read = || -> Result<Self> {
            let policies = engine.map(Engine::policies).transpose()?;
            let current = policies.as_ref().map(|policies| policies.current());
            let schema = current.as_ref().and_then(|loaded| loaded.engine.schema());
            with_text(json, "json", JSON_BYTES, |json| {
                Ok(Self(stagedoor_core::Entities::from_json_str(json, schema)?))
            })
        };
        read().map_err(|failure| failure.thrown(&env))
    }

    /// Returns this set with more entities. Copies nothing of it.
    #[napi(catch_unwind)]
    pub fn with(
        &self,
        env: Env,
        #[napi(ts_arg_type = "Array<EntityInput>")] entities: Unknown<'_>,
    ) -> napi::Result<Self> {
        list(entities, "entities")
            .and_then(|entities| Ok(self.0.with(entities)?))
            .map(Self)
            .map_err(|failure| failure.thrown(&env))
    }

    /// How many entities the set holds.
    #[napi(getter)]
    pub fn size(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }
}

/// Returns the entities of an argument that is a prepared set, if it is one.
pub(crate) fn prepared(value: Unknown<'_>, what: &str) -> Result<stagedoor_core::Entities> {
    match value.get_type()? {
        ValueType::Undefined | ValueType::Null => Ok(stagedoor_core::Entities::empty()),
        _ => ClassInstance::<'_, Entities>::from_unknown(value)
            .map(|entities| entities.0.clone())
            .map_err(|_| Failure::mistyped(what, "an instance of Entities")),
    }
}

/// Reads a list of entities.
pub(crate) fn list(value: Unknown<'_>, what: &str) -> Result<Vec<Entity>> {
    if !value.is_array()? {
        return Err(Failure::mistyped(what, "an array of entities"));
    }
    let array = Array::from_unknown(value)?;
    let mut values = Values::new();
    let mut entities = Vec::new();
    for index in 0..array.len() {
        let item: Unknown<'_> = array.get_element(index)?;
        let read = entity(item, &mut values);
        entities.push(read.map_err(|failure| failure.within(|| format!("{what}[{index}]")))?);
    }
    Ok(entities)
}

fn entity(value: Unknown<'_>, values: &mut Values) -> Result<Entity> {
    if value.get_type()? != ValueType::Object {
        return Err(Failure::mistyped("an entity", "an object with `uid`"));
    }
    let object = Object::from_unknown(value)?;
    keys::check(&object, &KEYS)?;
    let field = |name: &str| -> Result<Option<Unknown<'_>>> {
        let field: Unknown<'_> = object.get_named_property_unchecked(name)?;
        Ok(Some(field).filter(|f| f.get_type().is_ok_and(|kind| kind != ValueType::Undefined)))
    };
    let missing = || Failure::new("argument::type", "`uid` is missing");
    let id = field("uid")?.ok_or_else(missing)?;
    let mut entity = Entity::new(uid(id, "uid")?);
    if let Some(attributes) = field("attrs")? {
        entity.attributes = values.record(attributes, "attrs")?;
    }
    if let Some(tags) = field("tags")? {
        entity.tags = values.record(tags, "tags")?;
    }
    if let Some(parents) = field("parents")? {
        if !parents.is_array()? {
            return Err(Failure::mistyped("`parents`", "an array of entity ids"));
        }
        let parents = Array::from_unknown(parents)?;
        for index in 0..parents.len() {
            let parent: Unknown<'_> = parents.get_element(index)?;
            entity.parents.push(uid(parent, &format!("parents[{index}]"))?);
        }
    }
    Ok(entity)
}
