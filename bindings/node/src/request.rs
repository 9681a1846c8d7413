//! Requests, as JavaScript says them.

use napi::ValueType;
use napi::bindgen_prelude::{FromNapiValue as _, JsObjectValue as _, Object, Unknown};
use stagedoor_core::{Engine, Entities, Entity, Request};

use crate::entities::list;
use crate::failure::{Failure, Result};
use crate::keys;
use crate::packed;
use crate::text::with_text;
use crate::uid::uid;
use crate::value::Values;

const KEYS: [&str; 5] = ["principal", "action", "resource", "context", "entities"];

/// The longest text of a request that was packed.
const PACKED_BYTES: usize = 1 << 20;

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

    /// Reads a request that was packed into one text; `None` where the object itself must be read.
    pub(crate) fn packed(text: Unknown<'_>) -> Result<Option<Self>> {
        with_text(text, "request", PACKED_BYTES, |text| Ok(packed::request(text)))
            .map(|read| read.map(|(request, entities)| Self { request, entities }))
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
