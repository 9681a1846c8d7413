//! How AuthZEN's types and actions stand for Cedar's.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A mapping file, in YAML or JSON. All of it is optional.
///
/// # Examples
///
/// ```
/// use stagedoor_authzen::{Mapping, PropertiesPrecedence};
///
/// let mapping = Mapping::from_yaml(r#"
///     namespace: Shop                # types and actions that are not listed are looked up here
///     types:
///       api-client: Shop::Client     # AuthZEN's type: Cedar's entity type
///     actions:
///       can_read: 'Shop::Action::"read"'
///     actionProperties: action       # where in the context an action's properties are
///     properties: stored             # what is stored wins over what is sent
/// "#)?;
/// assert_eq!(mapping.types["api-client"], "Shop::Client");
/// assert_eq!(mapping.properties, PropertiesPrecedence::Stored);
/// # Ok::<(), stagedoor_authzen::MappingError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Mapping {
    /// The namespace of types and actions that are not listed.
    pub namespace: Option<String>,
    /// Cedar's entity types by AuthZEN's.
    pub types: BTreeMap<String, String>,
    /// Cedar's actions, such as `Shop::Action::"read"`, by AuthZEN's names.
    pub actions: BTreeMap<String, String>,
    /// The key of the context that has the properties of the action (`action`). Where an action's
    /// context declares a record of this name, it holds them and nothing else.
    pub action_properties: String,
    /// Whose properties count, if an entity is stored and some are sent.
    pub properties: PropertiesPrecedence,
}

impl Default for Mapping {
    fn default() -> Self {
        Self {
            namespace: None,
            types: BTreeMap::new(),
            actions: BTreeMap::new(),
            action_properties: "action".to_owned(),
            properties: PropertiesPrecedence::EntityInput,
        }
    }
}

/// Whose value of a property counts where both are there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PropertiesPrecedence {
    /// The one that came with the request: who sends a role has it.
    #[default]
    #[serde(rename = "sent")]
    EntityInput,
    /// The stored one.
    Stored,
}

/// Failure to read a mapping.
#[derive(Debug, Clone, thiserror::Error)]
#[error("not a mapping: {0}")]
pub struct MappingError(String);

impl Mapping {
    /// Reads a mapping from YAML, of which JSON is a part.
    ///
    /// # Errors
    ///
    /// [`MappingError`], also for keys that it does not have.
    pub fn from_yaml(text: &str) -> Result<Self, MappingError> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        serde_saphyr::from_str(text).map_err(|e| MappingError(e.to_string()))
    }
}
