//! JSON to and from JavaScript's objects.

use napi::ValueType;
use napi::bindgen_prelude::{
    Array, BigInt, FromNapiValue as _, JsObjectValue as _, JsValue as _, ToNapiValue, TypeName,
    Unknown,
};
use serde::Serialize;
use serde_json::{Map, Number, Value};

use crate::failure::{Failure, Result};
use crate::text::text;
use crate::value::{SAFE_INTEGER, Values, integer, own_fields, plain};

/// How deep JSON may nest: what is written is read again, and serde_json stops there.
const NESTING: usize = 127;

/// How long a text may be: more than an object of Kubernetes or an entity of the catalog has.
const TEXT_BYTES: usize = 16 << 20;

/// Returns a value of JavaScript as JSON. Members that are `undefined` are not there.
///
/// INVARIANT: how deep values nest is bounded here: napi's own conversion walks as deep as they do,
/// overruns the stack and so ends the process.
///
/// # Errors
///
/// `limit::nesting` beyond what JSON is read with everywhere, `argument::size` if there is too much
/// of it, and `argument::type` or `argument::unicode` for what JSON cannot say, or says otherwise.
pub(crate) fn json(value: Unknown<'_>, what: &str) -> Result<Value> {
    JsonReader(Values::new()).value(value, what, 1)
}

/// Reads values, and counts them.
struct JsonReader(Values);

impl JsonReader {
    fn value(&mut self, value: Unknown<'_>, what: &str, depth: usize) -> Result<Value> {
        self.0.count(what, depth, NESTING)?;
        match value.get_type()? {
            ValueType::Undefined | ValueType::Null => Ok(Value::Null),
            ValueType::Boolean => Ok(Value::Bool(bool::from_unknown(value)?)),
            ValueType::String => Ok(Value::String(text(value, what, TEXT_BYTES)?)),
            ValueType::Number => number(f64::from_unknown(value)?, what),
            ValueType::BigInt => integer(&BigInt::from_unknown(value)?, what).map(Value::from),
            ValueType::Object if value.is_array()? => {
                let array = Array::from_unknown(value)?;
                let items = (0..array.len())
                    .map(|index| self.value(array.get_element(index)?, what, depth + 1));
                items.collect::<Result<Vec<_>>>().map(Value::Array)
            }
            ValueType::Object => {
                let mut members = Map::new();
                for (name, member) in own_fields(&plain(value, what)?, what)? {
                    if member.get_type()? != ValueType::Undefined {
                        members.insert(name, self.value(member, what, depth + 1)?);
                    }
                }
                Ok(Value::Object(members))
            }
            _ => Err(Failure::mistyped(what, "what JSON can say: no function and no symbol")),
        }
    }
}

/// Whole numbers are written without a fraction, as JavaScript writes them.
fn number(number: f64, what: &str) -> Result<Value> {
    #[expect(clippy::cast_possible_truncation, reason = "a whole number below 2^53")]
    let value = if number.fract() == 0.0 && number.abs() <= SAFE_INTEGER {
        Some(Number::from(number as i64))
    } else {
        Number::from_f64(number)
    };
    let value = value.ok_or_else(|| {
        Failure::new("argument::type", format!("`{what}` is `{number}`, which JSON cannot say"))
    });
    value.map(Value::Number)
}

/// A value on its way to JavaScript.
#[derive(Debug)]
pub struct Json(Value);

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
        unsafe { Value::to_napi_value(env, json) }
    }
}
