//! What another thread has worked out, as JavaScript's objects.

use napi::ValueType;
use napi::bindgen_prelude::{ToNapiValue, TypeName};
use serde::Serialize;

use crate::failure::{Failure, Result};

/// A value on its way to JavaScript.
#[derive(Debug)]
pub struct Json(serde_json::Value);

impl Json {
    /// Returns the value in the form that programs read.
    ///
    /// # Errors
    ///
    /// `internal::json` if it has none.
    pub(crate) fn of(value: &impl Serialize) -> Result<Self> {
        let json = serde_json::to_value(value);
        json.map(Self).map_err(|error| Failure::new("internal::json", error.to_string()))
    }
}

impl TypeName for Json {
    fn type_name() -> &'static str {
        "Object"
    }

    fn value_type() -> ValueType {
        ValueType::Object
    }
}

impl ToNapiValue for Json {
    unsafe fn to_napi_value(
        env: napi::sys::napi_env,
        Self(json): Self,
    ) -> napi::Result<napi::sys::napi_value> {
        // SAFETY: the same call, of another type.
        unsafe { serde_json::Value::to_napi_value(env, json) }
    }
}
