//! Requests, as JavaScript says them.

use napi::ValueType;
use napi::bindgen_prelude::{FromNapiValue as _, JsObjectValue as _, Object, Unknown};
use stagedoor_core::{Engine, Entities, Entity, Request};

use crate::entities::list;
use crate::failure::{Failure, Result};
use crate::keys;
use crate::uid::uid;
use crate::value::Values;

const KEYS: [&str; 5] = ["principal", "action", "resource", "context", "entities"];

/// A request that was read, with its own entities.
pub(crate) struct RequestReader {
    request: Request,
    entities: Vec<Entity>,
}

impl RequestReader {
    /// Reads a request.
    pub(crate) fn read(value: Unknown<'_>) -> Result<Self> {
        if value.get_type()? != ValueType::Object {
            return Err(Failure::mistyped("request", "{principal, action, resource}"));
        }
        let object = Object::from_unknown(value)?;
        let mut request = Request::new(
            uid(object.get_c_named_property_unchecked(c"principal")?, "principal")?,
            uid(object.get_c_named_property_unchecked(c"action")?, "action")?,
            uid(object.get_c_named_property_unchecked(c"resource")?, "resource")?,
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
        keys::check(&object, &KEYS)?;
        Ok(Self { request, entities })
    }

    /// Returns the request with its context as the schema types it, and its entities laid over
    /// `store`.
    pub(crate) fn over(self, engine: &Engine, store: &Entities) -> Result<(Request, Entities)> {
        let entities = match self.entities.is_empty() {
            true => store.clone(),
            false => {
                let own = self.entities.into_iter().map(|entity| engine.typed_entity(entity));
                store.with(own)?
            }
        };
        Ok((engine.typed_request(self.request), entities))
    }
}
<<<<<<< HEAD

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
=======
>>>>>>> 6534b6b (Wire: one form for what programs read and write, in every face)
