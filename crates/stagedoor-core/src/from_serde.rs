//! Requests, entities and values as serde reads them, in Cedar's JSON form.
//!
//! What a schema tells is not known here: see [`Request::from_json_str`] and
//! [`Entities::from_json_str`], which take one, and read texts of JSON faster.

use serde::de::{Deserialize, Deserializer, Error as _};
use serde_json::json;

use crate::entities::Entities;
use crate::entity::Entity;
use crate::extension::Extension;
use crate::json::Unambiguous;
use crate::reason::value_reason;
use crate::request::{Request, record};
use crate::value::Value;

/// Reads what its `Serialize` writes.
impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Unambiguous(json) = Unambiguous::deserialize(deserializer)?;
        if let Some(reason) = value_reason(&json, "value") {
            return Err(D::Error::custom(reason));
        }
        // Cedar reads values in records alone.
        let mut fields = record(json!({ "value": json }), None).map_err(D::Error::custom)?;
        fields.remove("value").ok_or_else(|| D::Error::custom("not a value of Cedar"))
    }
}

/// Reads what its `Serialize` writes.
impl<'de> Deserialize<'de> for Extension {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Extension(value) => Ok(value),
            _ => Err(D::Error::custom("the value is not of an extension type")),
        }
    }
}

/// Reads what [`Request::from_json_str`] reads, without a schema.
impl<'de> Deserialize<'de> for Request {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Unambiguous(json) = Unambiguous::deserialize(deserializer)?;
        Self::from_json_str(&json.to_string(), None).map_err(D::Error::custom)
    }
}

/// Reads what its `Serialize` writes.
impl<'de> Deserialize<'de> for Entity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Unambiguous(json) = Unambiguous::deserialize(deserializer)?;
        let one = Entities::from_json_str(&json!([json]).to_string(), None);
        let one = one.map_err(D::Error::custom)?;
        one.iter().next().cloned().ok_or_else(|| D::Error::custom("not an entity"))
    }
}

/// Reads what [`Entities::from_json_str`] reads, without a schema.
impl<'de> Deserialize<'de> for Entities {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Unambiguous(json) = Unambiguous::deserialize(deserializer)?;
        Self::from_json_str(&json.to_string(), None).map_err(D::Error::custom)
    }
}
