//! The Cedar schema of Backstage, made from the table of permissions.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write as _;

use stagedoor_source::{ShippedSchema, Vocabulary};

use crate::names::NAMESPACE;
use crate::names::{ACTION_GROUP, PLUGIN_GROUP};
use crate::permission::{Permission, PermissionAction, Permissions};

/// The schema of the known permissions, as it ships in `policies/backstage`.
pub const SCHEMA: &str = include_str!("../policies/backstage.cedarschema");

/// What tells that policies are about Backstage, and the schema that they need.
pub const VOCABULARY: Vocabulary = Vocabulary {
    name: "backstage",
    namespace: NAMESPACE,
    schemas: Cow::Borrowed(&[ShippedSchema {
        name: "(shipped) backstage.cedarschema",
        text: Cow::Borrowed(SCHEMA),
        marker: "Backstage::CatalogEntity",
    }]),
    has_permission_files: true,
};

/// The types of entities, up to the first action.
const ENTITY_TYPES: &str = include_str!("entity_types.cedarschema");

/// Resource types of the official plugins.
const RESOURCE_TYPES: [(&str, &str); 5] = [
    ("catalog-entity", "CatalogEntity"),
    ("policy-entity", "PolicyEntity"),
    ("scaffolder-action", "ScaffolderAction"),
    ("scaffolder-task", "ScaffolderTask"),
    ("scaffolder-template", "ScaffolderTemplate"),
];

/// Type names that no resource type may become.
const TAKEN: [&str; 15] = [
    "Action",
    "Annotations",
    "Bool",
    "Entity",
    "Extension",
    "Group",
    "Labels",
    "Long",
    "Plugin",
    "Record",
    "ScaffolderInput",
    "Service",
    "Set",
    "String",
    "User",
];

/// Returns the name of the entity type, in the namespace `Backstage`, that stands
/// for a resource type: `CatalogEntity` for `catalog-entity`.
///
/// Types of other plugins follow the same pattern; `None` if the text gives no
/// name, or one that means something else.
pub(crate) fn entity_type(resource_type: &str) -> Option<String> {
    if let Some((_, known)) = RESOURCE_TYPES.iter().find(|(known, _)| *known == resource_type) {
        return Some((*known).to_owned());
    }
    let mut name = String::with_capacity(resource_type.len());
    for part in resource_type.split(['-', '_', '.']) {
        let mut letters = part.chars();
        name.push(letters.next()?.to_ascii_uppercase());
        name.extend(letters);
    }
    let valid = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric())
        && !TAKEN.contains(&name.as_str())
        && !RESOURCE_TYPES.iter().any(|(_, known)| *known == name);
    valid.then_some(name)
}

impl Permissions {
    /// Returns the whole schema of this table, as Cedar schema text.
    ///
    /// For the [known](Permissions::known) permissions this is [`SCHEMA`].
    #[must_use]
    pub fn schema(&self) -> String {
        let mut text = ENTITY_TYPES.to_owned();
        for action in PermissionAction::ALL.map(PermissionAction::as_str).iter().chain(&["none"]) {
            line(&mut text, format_args!("  action \"{ACTION_GROUP}{action}\";"));
        }
        actions(&mut text, self.iter(), &BTreeSet::new(), &RESOURCE_TYPES.map(|(of, _)| of));
        text.push_str("}\n");
        text
    }

    /// Returns a schema fragment of the permissions that files added, to be
    /// loaded beside [`SCHEMA`]; `None` if none were added.
    ///
    /// A resource type that is not known becomes a type of entity with tags
    /// `Set<String>`: `Backstage::PlaylistList` for `playlist-list`.
    #[must_use]
    pub fn schema_fragment(&self) -> Option<String> {
        let added: BTreeSet<&str> = self.added().map(Permission::name).collect();
        if added.is_empty() {
            return None;
        }
        let (new, known): (Vec<_>, Vec<_>) = self.iter().partition(|p| added.contains(p.name()));
        let plugins = known.iter().map(|p| p.plugin_id()).collect();
        let mut text = format!("namespace {NAMESPACE} {{\n");
        actions(&mut text, new.into_iter(), &plugins, &RESOURCE_TYPES.map(|(of, _)| of));
        text.push_str("}\n");
        Some(text)
    }
}

/// Writes the groups of plugins and the permissions, and the resource types that
/// are not declared.
fn actions<'a>(
    text: &mut String,
    permissions: impl Iterator<Item = &'a Permission>,
    declared_plugins: &BTreeSet<&str>,
    declared_types: &[&str],
) {
    let permissions: Vec<&Permission> = permissions.collect();
    let types: BTreeSet<&str> = permissions.iter().filter_map(|p| p.resource_type()).collect();
    for of_type in types.into_iter().filter(|of_type| !declared_types.contains(of_type)) {
        if let Some(entity_type) = entity_type(of_type) {
            line(text, format_args!("\n  entity {entity_type} tags Set<String>;"));
        }
    }
    let plugins: BTreeSet<&str> = permissions.iter().map(|p| p.plugin_id()).collect();
    text.push('\n');
    for plugin in plugins.iter().filter(|plugin| !declared_plugins.contains(*plugin)) {
        line(text, format_args!("  action \"{PLUGIN_GROUP}{plugin}\";"));
    }
    for plugin in plugins {
        text.push('\n');
        for permission in permissions.iter().filter(|p| p.plugin_id() == plugin) {
            let name = permission.name();
            let action = permission.action().map_or("none", PermissionAction::as_str);
            let resource = permission.resource_type().and_then(entity_type);
            let resource = resource.as_deref().unwrap_or("Plugin");
            line(
                text,
                format_args!(
                    "  action \"{name}\" in [\"{PLUGIN_GROUP}{plugin}\", \"{ACTION_GROUP}{action}\"]\n    \
                     appliesTo {{ principal: [User, Service], resource: {resource} }};"
                ),
            );
        }
    }
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{line}");
}
