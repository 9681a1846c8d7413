//! Cedar's values in JSON.

use serde_json::{Map, Value as Json, json};
use stagedoor_core::{Extension, Record, Request, Value, plain_reason, value_reason};

use crate::error::{Result, WireError};
use crate::uid::Uid;

/// Reads fields by name: an entity's attributes, or a request's context.
pub(crate) fn record(fields: Map<String, Json>, what: &str) -> Result<Record> {
    let read = |(name, json): (String, Json)| Ok((name.into(), value(json, what)?));
    let json = Json::Object(fields);
    // Looked through once as a whole, so that what is read below has a place when it is wrong.
    if let Some(reason) = value_reason(&json, what) {
        return Err(WireError::new("argument::type", reason));
    }
    match json {
        Json::Object(fields) => fields.into_iter().map(read).collect(),
        _ => Ok(Record::new()),
    }
}

/// Reads a value that was looked through. Recursive: JSON is read to a depth of 128.
fn value(json: Json, what: &str) -> Result<Value> {
    Ok(match json {
        Json::Bool(b) => Value::Bool(b),
        Json::String(text) => Value::String(text.into()),
        Json::Number(ref number) => match number.as_i64() {
            Some(number) => Value::Long(number),
            None => return by_cedar(json, what),
        },
        Json::Array(items) => {
            Value::Set(items.into_iter().map(|item| value(item, what)).collect::<Result<_>>()?)
        }
        Json::Object(mut fields) => {
            if fields.len() == 1 {
                if let Some(uid) = fields.remove("__entity") {
                    return Ok(Value::Entity(Uid::from_json(uid)?.read(what)?));
                }
                if let Some(call) = fields.get("__extn") {
                    return extension(call)
                        .map_or_else(|| by_cedar(json!({ "__extn": call }), what), Ok);
                }
            }
            let read = |(name, json): (String, Json)| Ok((name.into(), value(json, what)?));
            Value::Record(fields.into_iter().map(read).collect::<Result<_>>()?)
        }
        Json::Null => return by_cedar(json, what),
    })
}

/// Reads `{fn, arg}` with a text that needs no escapes, as nearly all have.
fn extension(call: &Json) -> Option<Value> {
    let fields = call.as_object()?;
    match fields.len() {
        2 => Extension::new(fields.get("fn")?.as_str()?, fields.get("arg")?.as_str()?)
            .ok()
            .map(Value::Extension),
        _ => None,
    }
}

/// Has Cedar read a value: calls of several arguments, and what is none of its values. The core
/// reads contexts by Cedar's reader, and so the value is put into one.
fn by_cedar(value: Json, what: &str) -> Result<Value> {
    let wrong = |reason: String| {
        WireError::new("entities::value", format!("{what}: {}", plain_reason(&reason)))
    };
    let request = json!({
        "principal": { "type": "Value", "id": "" },
        "action": { "type": "Action", "id": "" },
        "resource": { "type": "Value", "id": "" },
        "context": { "value": value },
    });
    let read = Request::from_json_str(&request.to_string(), None);
    let mut request = read.map_err(|e| wrong(e.to_string()))?;
    request.context.remove("value").ok_or_else(|| wrong("not a value of Cedar".to_owned()))
}
