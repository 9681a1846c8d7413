//! Permission files made of what a running Backstage tells of its plugins.
//!
//! Every plugin with permissions serves
//! `GET /api/<plugin>/.well-known/backstage/permissions/metadata`: its permissions, and its
//! rules with the JSON schemas of their parameters.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::file_error::FileError;
use crate::permission::{PermissionAction, Permissions};
use crate::permission_rules::is_known_type;

/// A plugin's permission metadata.
#[derive(Debug, Clone)]
pub struct PluginMetadata {
    plugin_id: String,
    metadata: Metadata,
    /// Why the answer tells of nothing.
    unreadable: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    permissions: Vec<MetadataPermission>,
    #[serde(default)]
    rules: Vec<MetadataRule>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MetadataPermission {
    name: String,
    #[serde(default)]
    attributes: Attributes,
    #[serde(default)]
    resource_type: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
struct Attributes {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    action: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MetadataRule {
    name: String,
    resource_type: String,
    #[serde(default)]
    params_schema: Value,
}

/// What a Backstage has beyond the permissions that are known.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Discovery {
    /// A permission file, as YAML.
    pub file: String,
    /// How many permissions are in it.
    pub permissions: usize,
    /// How many rules are in it.
    pub rules: usize,
    /// What the file leaves out, and why.
    pub remarks: Vec<String>,
}

/// A plugin as it is written.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FilePermission<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "is_empty")]
    attributes: &'a Attributes,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_type: Option<&'a str>,
}

fn is_empty(attributes: &&Attributes) -> bool {
    attributes.action.is_none()
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FileRule<'a> {
    rule: &'a str,
    resource_type: &'a str,
    tag: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<&'a str>,
}

impl PluginMetadata {
    /// Reads what a plugin answered.
    ///
    /// # Errors
    ///
    /// [`serde_json::Error`] if it is not permission metadata.
    pub fn from_json(plugin_id: &str, json: &str) -> Result<Self, serde_json::Error> {
        let metadata = serde_json::from_str(json)?;
        Ok(Self { plugin_id: plugin_id.to_owned(), metadata, unreadable: None })
    }

    /// Reads what a plugin answered. What is no permission metadata tells of none;
    /// [`Permissions::with_plugins`] then says so.
    #[must_use]
    pub fn from_answer(plugin_id: &str, answer: &str) -> Self {
        Self::from_json(plugin_id, answer).unwrap_or_else(|error| Self {
            plugin_id: plugin_id.to_owned(),
            metadata: Metadata::default(),
            unreadable: Some(error.to_string()),
        })
    }
}

impl Permissions {
    /// Returns a permission file of what the plugins have and this table has not. The tags
    /// that it ties to rules are proposals.
    ///
    /// # Errors
    ///
    /// [`FileError`] if the plugins state what no permission file may hold, such as a
    /// resource type that is a word of the vocabulary.
    pub fn discover(&self, plugins: &[PluginMetadata]) -> Result<Discovery, FileError> {
        let mut file = String::from(
            "# Permissions and rules that a running Backstage told. The tags are proposals:\n\
             # name them as policies read best.\n",
        );
        let mut remarks = Vec::new();
        let (mut permissions, mut rules) = (0, 0);
        for plugin in plugins {
            let new_permissions = self.new_permissions(plugin, &mut remarks);
            let new_rules = self.new_rules(plugin, &mut remarks);
            if new_permissions.is_empty() && new_rules.is_empty() {
                continue;
            }
            permissions += new_permissions.len();
            rules += new_rules.len();
            file.push_str(&format!("- pluginId: {}\n", json(&plugin.plugin_id)));
            list("permissions", &new_permissions, &mut file);
            if !new_rules.is_empty() {
                list("rules", &new_rules, &mut file);
            }
        }
        if permissions + rules == 0 {
            file.push_str("[]\n");
        }
        self.clone().with_files([("(what the plugins told)", &file)])?;
        Ok(Discovery { file, permissions, rules, remarks })
    }

    /// Adds what plugins of a running Backstage have and this table has not. A plugin whose
    /// metadata cannot be taken is left out alone. Returns remarks about what is left out.
    #[must_use]
    pub fn with_plugins(self, plugins: &[PluginMetadata]) -> (Self, Vec<String>) {
        let (mut permissions, mut remarks) = (self, Vec::new());
        for plugin in plugins {
            let id = &plugin.plugin_id;
            if let Some(why) = &plugin.unreadable {
                remarks.push(format!("plugin `{id}` answered with no permission metadata: {why}"));
            }
            let added = permissions.discover(std::slice::from_ref(plugin)).and_then(|found| {
                remarks.extend(found.remarks);
                permissions.clone().with_files([(format!("(what `{id}` told)"), found.file)])
            });
            match added {
                Ok(added) => permissions = added,
                Err(error) => {
                    let why = error.problems().first().map(|p| p.message.clone());
                    let why = why.unwrap_or_default();
                    remarks.push(format!("plugin `{id}` is left out: {why}"));
                }
            }
        }
        (permissions, remarks)
    }

    fn new_permissions<'a>(
        &self,
        plugin: &'a PluginMetadata,
        remarks: &mut Vec<String>,
    ) -> Vec<FilePermission<'a>> {
        let mut new = Vec::new();
        for told in &plugin.metadata.permissions {
            let MetadataPermission { name, attributes, resource_type } = told;
            let resource_type = resource_type.as_deref();
            if let Ok(known) = self.get(name) {
                let action = known.action().map(PermissionAction::as_str);
                if action != attributes.action.as_deref() || known.resource_type() != resource_type
                {
                    remarks.push(format!(
                        "permission `{name}` is known with other attributes than plugin `{}` \
                         states: it is denied until Stagedoor, or the plugin, is updated",
                        plugin.plugin_id
                    ));
                }
                continue;
            }
            new.push(FilePermission { name, attributes, resource_type });
        }
        new
    }

    fn new_rules<'a>(
        &self,
        plugin: &'a PluginMetadata,
        remarks: &mut Vec<String>,
    ) -> Vec<FileRule<'a>> {
        let mut new: Vec<FileRule<'a>> = Vec::new();
        let mut taken: BTreeSet<(&str, String)> = BTreeSet::new();
        for told in &plugin.metadata.rules {
            let resource_type = told.resource_type.as_str();
            // A table that lists rules of the type has names for its tags.
            if is_known_type(resource_type) || self.rules().has(resource_type) {
                continue;
            }
            let Some((key, value, values)) = params(&told.params_schema) else {
                remarks.push(format!(
                    "rule `{}` of `{resource_type}` is left out: no tag can fill its parameters",
                    told.name
                ));
                continue;
            };
            let name = told.name.to_lowercase().replace('_', "-");
            let name = name.strip_prefix("is-").or(name.strip_prefix("has-")).unwrap_or(&name);
            let mut tag = name.to_owned();
            let mut number = 2;
            while !taken.insert((resource_type, tag.clone())) {
                tag = format!("{name}-{number}");
                number += 1;
            }
            if key.is_some() {
                tag.push_str(":*");
            }
            new.push(FileRule { rule: &told.name, resource_type, tag, key, value, values });
        }
        new
    }
}

type Params<'a> = (Option<&'a str>, Option<&'a str>, Option<&'a str>);

/// Returns the parameters that take the rest of a tag's name, one value, or a list of
/// values; `None` if there are others.
fn params(schema: &Value) -> Option<Params<'_>> {
    let properties = match schema.get("properties") {
        Some(properties) => Some(properties.as_object()?),
        None => None,
    };
    let (mut texts, mut lists) = (Vec::new(), Vec::new());
    for (name, property) in properties.into_iter().flatten() {
        let of_type = |value: &Value| value.get("type").and_then(Value::as_str).map(str::to_owned);
        match of_type(property).as_deref() {
            Some("string") => texts.push(name.as_str()),
            Some("array") => {
                let items = property.get("items").and_then(of_type);
                if items.as_deref() != Some("string") {
                    return None;
                }
                lists.push(name.as_str());
            }
            _ => return None,
        }
    }
    // `value` is the value, whatever comes first.
    texts.sort_by_key(|name| *name == "value");
    match (texts.as_slice(), lists.as_slice()) {
        ([], []) => Some((None, None, None)),
        ([], [values]) => Some((None, None, Some(values))),
        ([value], []) => Some((None, Some(value), None)),
        ([key, value], []) => Some((Some(key), Some(value), None)),
        ([key], [values]) => Some((Some(key), None, Some(values))),
        _ => None,
    }
}

/// Adds a list, an item a line. JSON is YAML.
fn list(name: &str, items: &[impl Serialize], file: &mut String) {
    if items.is_empty() {
        file.push_str(&format!("  {name}: []\n"));
        return;
    }
    file.push_str(&format!("  {name}:\n"));
    for item in items {
        file.push_str(&format!("    - {}\n", json(item)));
    }
}

fn json(item: &impl Serialize) -> String {
    // Strings and options of them are always written.
    serde_json::to_string(item).unwrap_or_default()
}
