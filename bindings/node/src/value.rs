//! JavaScript's values as Cedar's.

use napi::bindgen_prelude::{
    Array, BigInt, FromNapiValue as _, JsObjectValue as _, JsValue as _, Object, Unknown,
};
use napi::{KeyCollectionMode, KeyConversion, KeyFilter, ValueType};
use stagedoor_core::{Extension, Record, Value, value_reason};

use crate::failure::{Failure, Result};
use crate::keys;
use crate::text::text;
use crate::uid::{ID_BYTES, uid};

/// How deep values may nest; the engine's own limit is as high.
const NESTING: usize = 64;

/// How many values one call may hand over.
const VALUES: usize = 4_000_000;

/// The largest integer up to which JavaScript's numbers are exact.
pub(crate) const SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;

/// Reads values, and counts them.
#[derive(Debug)]
pub(crate) struct Values {
    left: usize,
}

impl Values {
    pub(crate) fn new() -> Self {
        Self { left: VALUES }
    }

    /// Reads an object's own fields. Fields that are `undefined` are not there.
    pub(crate) fn record(&mut self, value: Unknown<'_>, what: &str) -> Result<Record> {
        self.fields(value, what, 1)
    }

    fn fields(&mut self, value: Unknown<'_>, what: &str, depth: usize) -> Result<Record> {
        if value.get_type()? != ValueType::Object || value.is_array()? {
            return Err(Failure::mistyped(what, "an object"));
        }
        let object = plain(value, what)?;
        let mut record = Record::new();
        for (name, field) in own_fields(&object, what)? {
            if field.get_type()? == ValueType::Undefined {
                continue;
            }
            let value = self.value(field, &format!("{what}.{name}"), depth)?;
            record.insert(name.into(), value);
        }
        Ok(record)
    }

    /// Counts a value that is at a depth, of which `deepest` is the last.
    pub(crate) fn count(&mut self, what: &str, depth: usize, deepest: usize) -> Result<()> {
        if depth > deepest {
            let message = format!("{what} nests deeper than {deepest} levels");
            return Err(Failure::new("limit::nesting", message));
        }
        self.left = self.left.checked_sub(1).ok_or_else(|| {
            Failure::new("argument::size", format!("more than {VALUES} values in one call"))
        })?;
        Ok(())
    }

    fn value(&mut self, value: Unknown<'_>, what: &str, depth: usize) -> Result<Value> {
        self.count(what, depth, NESTING)?;
        match value.get_type()? {
            ValueType::Boolean => Ok(Value::Bool(bool::from_unknown(value)?)),
            ValueType::String => Ok(Value::String(text(value, what, ID_BYTES)?.into())),
            ValueType::Number => long(f64::from_unknown(value)?, what),
            ValueType::BigInt => integer(&BigInt::from_unknown(value)?, what).map(Value::Long),
            ValueType::Object if value.is_array()? => {
                let array = Array::from_unknown(value)?;
                let mut items = Vec::new();
                for index in 0..array.len() {
                    let item: Unknown<'_> = array.get_element(index)?;
                    items.push(self.value(item, &format!("{what}[{index}]"), depth + 1)?);
                }
                Ok(Value::Set(items))
            }
            ValueType::Object => self.object(value, what, depth),
            _ => Err(Failure::mistyped(
                what,
                "a boolean, an integer, a string, an array or an object: Cedar has nothing else",
            )),
        }
    }

    /// Reads a record, or what Cedar's JSON form writes as one.
    fn object(&mut self, value: Unknown<'_>, what: &str, depth: usize) -> Result<Value> {
        let object = plain(value, what)?;
        let fields = own_fields(&object, what)?;
        let [(name, field)] = fields.as_slice() else {
            return Ok(Value::Record(self.fields(value, what, depth + 1)?));
        };
        match name.as_str() {
            "__entity" => Ok(Value::Entity(uid(*field, what)?)),
            "__extn" => {
                let call = Object::from_unknown(*field)
                    .map_err(|_| Failure::mistyped(what, "{__extn: {fn, arg}}"))?;
                keys::check(&call, &["fn", "arg"]).map_err(|e| e.within(|| format!("`{what}`")))?;
                let part = |name: &str| -> Result<String> {
                    let part: Unknown<'_> = call.get_named_property_unchecked(name)?;
                    text(part, &format!("{what}.__extn.{name}"), ID_BYTES)
                };
                extension(&part("fn")?, &part("arg")?, what)
            }
            _ => Ok(Value::Record(self.fields(value, what, depth + 1)?)),
        }
    }
}

/// Returns an integer of Cedar's.
pub(crate) fn integer(big: &BigInt, what: &str) -> Result<i64> {
    match big.get_i64() {
        (n, true) => Ok(n),
        (_, false) => {
            let told = match big.words.len() {
                0..=2 => format!("`{}`", big.get_i128().0),
                _ => "larger than 128 bits".to_owned(),
            };
            let message = format!("`{what}` is {told}: Cedar's integers have 64 bits");
            Err(Failure::new("argument::type", message))
        }
    }
}

fn long(number: f64, what: &str) -> Result<Value> {
    if !number.is_finite() {
        let message = format!("`{what}` is `{number}`: Cedar has integers alone");
        return Err(Failure::new("argument::type", message));
    }
    if number.fract() != 0.0 {
        // As all faces say it.
        let reason = value_reason(&number.into(), what).unwrap_or_default();
        return Err(Failure::new("argument::type", reason));
    }
    if number.abs() > SAFE_INTEGER {
        let message = format!("`{what}` is `{number}`, which may have lost digits");
        return Err(Failure::new("argument::type", message)
            .with_help("integers beyond 2^53 are written as a BigInt"));
    }
    #[expect(clippy::cast_possible_truncation, reason = "a whole number below 2^53")]
    Ok(Value::Long(number as i64))
}

/// Returns the extension value that a function makes of a string.
fn extension(function: &str, argument: &str, what: &str) -> Result<Value> {
    Extension::new(function, argument).map(Value::Extension).map_err(|error| {
        // Said as it is for JSON.
        let json = serde_json::json!({ "__extn": { "fn": function, "arg": argument } });
        let reason = value_reason(&json, what).unwrap_or_else(|| format!("`{what}`: {error}"));
        Failure::new("argument::type", reason)
    })
}

/// Takes an object that is a record of fields, not a list of bytes.
pub(crate) fn plain<'env>(value: Unknown<'env>, what: &str) -> Result<Object<'env>> {
    let object = Object::from_unknown(value)?;
    if object.is_typedarray()? || object.is_buffer()? || object.is_arraybuffer()? {
        return Err(Failure::mistyped(what, "a plain object"));
    }
    Ok(object)
}

/// Returns the members of an object that are its own.
pub(crate) fn own_fields<'env>(
    object: &Object<'env>,
    what: &str,
) -> Result<Vec<(String, Unknown<'env>)>> {
    let names = object.get_all_property_names(
        KeyCollectionMode::OwnOnly,
        KeyFilter::Enumerable,
        KeyConversion::NumbersToStrings,
    )?;
    let mut fields = Vec::new();
    for index in 0..names.get_array_length()? {
        let name: Unknown<'_> = names.get_element(index)?;
        if name.get_type()? == ValueType::Symbol {
            continue;
        }
        let field: Unknown<'_> = object.get_property_unchecked(name)?;
        fields.push((text(name, &format!("a field's name in {what}"), ID_BYTES)?, field));
    }
    if fields.is_empty() && holds_elsewhere(object)? {
        return Err(Failure::mistyped(what, "a plain object: maps, sets and dates are not read"));
    }
    Ok(fields)
}

/// Returns whether an object without fields is of a class, which may hold something.
fn holds_elsewhere(object: &Object<'_>) -> Result<bool> {
    let prototype = object.get_prototype()?;
    if prototype.get_type()? == ValueType::Null {
        return Ok(false);
    }
    let above = Object::from_unknown(prototype)?.get_prototype()?;
    Ok(above.get_type()? != ValueType::Null)
}
