//! Requests, as JavaScript says them.

use napi::ValueType;
use napi::bindgen_prelude::{FromNapiValue as _, JsObjectValue as _, Object, Unknown};
use napi_derive::napi;
use stagedoor_core::{
    DecideError, Engine, Entities, Entity, Explanation, Outcome, Request, RequestError, Schema,
};

use crate::entities::list;
use crate::failure::{Failure, Result};
use crate::uid::uid;
use crate::value::Values;

/// Who wants to do what to which resource, and in which circumstances.
#[napi(object, object_to_js = false, object_from_js = false)]
#[derive(Debug)]
pub struct RequestInput {
    /// Who asks: `'User::"alice"'` or `{type: 'User', id: 'alice'}`.
    #[napi(ts_type = "string | EntityUidInput")]
    pub principal: (),
    /// What they want to do.
    #[napi(ts_type = "string | EntityUidInput")]
    pub action: (),
    /// What they want to do it to.
    #[napi(ts_type = "string | EntityUidInput")]
    pub resource: (),
    /// The circumstances: values as in an entity's attributes. What the schema tells may be
    /// left out, such as that a string is an IP address.
    #[napi(ts_type = "Record<string, unknown>")]
    pub context: Option<()>,
    /// Entities that belong to this request alone, such as its resource.
    #[napi(ts_type = "Array<EntityInput>")]
    pub entities: Option<()>,
}

/// A request that was read, with its own entities.
pub(crate) struct Asked {
    pub(crate) request: Request,
    entities: Vec<Entity>,
}

impl Asked {
    /// Reads a request.
    pub(crate) fn read(value: Unknown<'_>) -> Result<Self> {
        if value.get_type()? != ValueType::Object {
            return Err(Failure::mistyped("request", "{principal, action, resource}"));
        }
        let object = Object::from_unknown(value)?;
        let mut request = Request::new(
            uid(object.get_c_named_property_unchecked(c"principal")?, "`principal`")?,
            uid(object.get_c_named_property_unchecked(c"action")?, "`action`")?,
            uid(object.get_c_named_property_unchecked(c"resource")?, "`resource`")?,
        );
        let context: Unknown<'_> = object.get_c_named_property_unchecked(c"context")?;
        if context.get_type()? != ValueType::Undefined {
            request.context = Values::new().record(context, "context")?;
        }
        let entities: Unknown<'_> = object.get_c_named_property_unchecked(c"entities")?;
        let entities = match entities.get_type()? {
            ValueType::Undefined => Vec::new(),
            _ => list(entities, "entities")?,
        };
        Ok(Self { request, entities })
    }

    /// Lays the request's entities over `store`.
    pub(crate) fn over(self, store: &Entities) -> Result<(Request, Entities)> {
        let entities = match self.entities.is_empty() {
            true => store.clone(),
            false => store.with(self.entities)?,
        };
        Ok((self.request, entities))
    }
}

/// Decides a request that JavaScript made.
pub(crate) fn decide(engine: &Engine, request: Request, entities: &Entities) -> Result<Outcome> {
    fitting(engine, request, |request| engine.decide(request, entities))
}

/// Explains the decision about such a request.
pub(crate) fn explain(
    engine: &Engine,
    request: Request,
    entities: &Entities,
) -> Result<Explanation> {
    fitting(engine, request, |request| engine.explain(request, entities))
}

/// Asks again, with the context as the schema has it, if the request does not fit the schema.
fn fitting<T>(
    engine: &Engine,
    request: Request,
    ask: impl Fn(&Request) -> std::result::Result<T, DecideError>,
) -> Result<T> {
    let refused = match ask(&request) {
        Ok(answer) => return Ok(answer),
        Err(error) => error,
    };
    let is_about_schema = matches!(refused, DecideError::Request(RequestError::Schema(_)));
    match engine.schema() {
        Some(schema) if is_about_schema && !request.context.is_empty() => {
            let request = by_schema(&request, schema).map_err(|_| refused)?;
            Ok(ask(&request)?)
        }
        _ => Err(refused.into()),
    }
}

/// Reads a request's context again, with what the schema tells of it.
fn by_schema(request: &Request, schema: &Schema) -> std::result::Result<Request, RequestError> {
    let json = serde_json::to_string(request).map_err(|e| RequestError::Context(e.to_string()))?;
    Request::from_json_str(&json, Some(schema))
}
