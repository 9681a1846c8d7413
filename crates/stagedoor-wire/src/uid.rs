//! Ids of entities, as programs say them.

use cedar_policy::EntityId;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use stagedoor_core::{EntityUid, entity_uid, uid_json_reason, uid_reason};

use crate::error::{Result, WireError};
use crate::keys;

/// The id of an entity: `Type::"id"`, or its two parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Uid {
    /// As Cedar writes it.
    Text(String),
    /// In two parts.
    Parts(EntityUidInput),
}

/// An entity's id in two parts. `'Type::"id"'` means the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EntityUidInput {
    /// The type, such as `Backstage::User`.
    pub r#type: String,
    /// The id, as it is: nothing is escaped.
    pub id: String,
}

impl Uid {
    /// Reads an id.
    ///
    /// # Errors
    ///
    /// [`WireError`] for what is neither a string nor `{type, id}`.
    pub fn from_json(json: Json) -> Result<Self> {
        let json = match json {
            Json::Object(mut fields) if fields.len() == 1 && fields.contains_key("__entity") => {
                fields.remove("__entity").unwrap_or_default()
            }
            other => other,
        };
        match json {
            Json::String(text) => Ok(Self::Text(text)),
            Json::Object(mut fields) => {
                keys::check(&fields, &["type", "id"])?;
                let mut text = |name: &str| match fields.remove(name) {
                    Some(Json::String(text)) => Ok(text),
                    Some(_) => {
                        Err(WireError::mistyped(format!("`{name}` of an entity id"), "a string"))
                    }
                    None => Err(WireError::new(
                        "argument::type",
                        format!("`{name}` of an entity id is missing"),
                    )),
                };
                Ok(Self::Parts(EntityUidInput { r#type: text("type")?, id: text("id")? }))
            }
            _ => Err(WireError::mistyped("an entity id", "`Type::\"id\"` or {type, id}")),
        }
    }

    /// Returns the id; `what` is what it is called.
    ///
    /// # Errors
    ///
    /// `request::uid` for what is no id.
    pub fn read(self, what: &str) -> Result<EntityUid> {
        let wrong = |reason: String| {
            WireError::new("request::uid", format!("`{what}` is not an entity id: {reason}"))
                .with_help("write `Type::\"id\"`, such as `User::\"alice\"`, or {type, id}")
        };
        match self {
            Self::Text(text) => entity_uid(&text).ok_or_else(|| wrong(uid_reason(&text))),
            Self::Parts(EntityUidInput { r#type, id }) => match r#type.parse() {
                Ok(name) => Ok(EntityUid::from_type_name_and_id(name, EntityId::new(id))),
                Err(_) => {
                    let json = serde_json::json!({ "type": r#type, "id": id });
                    Err(wrong(uid_json_reason(&json).unwrap_or_default()))
                }
            },
        }
    }
}
