//! Files that list a plugin's permissions.

use std::collections::BTreeMap;
use std::path::Path;

use smol_str::SmolStr;
use stagedoor_core::{Problem, without_byte_order_mark};
use stagedoor_source::{FileKind, FileSystem as _, Listing, PolicySources, RealFileSystem};

use crate::fields::{only_fields, word};
use crate::file_error::{FileError, Report};
use crate::names;
use crate::permission::{Permission, PermissionAction, Permissions};
use crate::permission_rules::PermissionRules;
use crate::schema::entity_type;
use crate::yaml::{Content, Node, documents};

/// The permissions of the official plugins, in the form of a permission file.
const KNOWN: &str = include_str!("../policies/permissions.json");

/// A permission file is small.
const FILE_BYTES: usize = 1 << 20;

impl Permissions {
    /// Returns the permissions of the official plugins.
    ///
    /// # Errors
    ///
    /// None in practice: the table is part of the library, and a test reads it.
    pub fn known() -> Result<Self, FileError> {
        let mut error = FileError::default();
        let mut permissions =
            Self { table: BTreeMap::new(), added: Vec::new(), rules: PermissionRules::default() };
        let Self { table, rules, .. } = &mut permissions;
        read("permissions.json", KNOWN, table, rules, &mut error);
        error.or(permissions)
    }

    /// Adds the permissions of files, each given as its name (for messages) and
    /// its text, YAML or JSON:
    ///
    /// ```yaml
    /// pluginId: playlist
    /// permissions:
    ///   - name: playlist.list.create
    ///     attributes: {action: create}
    ///   - name: playlist.list.read
    ///     attributes: {action: read}
    ///     resourceType: playlist-list
    /// ```
    ///
    /// `name`, `attributes` and `resourceType` are those of Backstage, as
    /// `GET /api/<plugin>/.well-known/backstage/permissions/metadata` lists them.
    /// Several plugins are several documents, or a list.
    ///
    /// `rules` say what tags of a new resource type mean, so that policies about them can
    /// become conditions:
    ///
    /// ```yaml
    /// rules:
    ///   - rule: IS_LIST_OWNER         # resource.getTag("owners").contains("…")
    ///     resourceType: playlist-list
    ///     tag: owners
    ///     values: owners              # the parameter that takes a list of values
    ///   - rule: IS_LIST_PUBLIC        # resource.hasTag("public")
    ///     resourceType: playlist-list
    ///     tag: public
    /// ```
    ///
    /// # Errors
    ///
    /// [`FileError`] with everything that is wrong, such as a permission that is
    /// known with another resource type.
    pub fn with_files<N: AsRef<str>, T: AsRef<str>>(
        mut self,
        files: impl IntoIterator<Item = (N, T)>,
    ) -> Result<Self, FileError> {
        let mut error = FileError::default();
        for (name, text) in files {
            let Self { table, rules, .. } = &mut self;
            let added = read(name.as_ref(), text.as_ref(), table, rules, &mut error);
            self.added.extend(added);
        }
        error.or(self)
    }

    /// Adds the permissions of every file below `directory` whose name ends in
    /// `.permissions.yaml`, `.permissions.yml` or `.permissions.json`.
    ///
    /// # Errors
    ///
    /// As [`with_files`](Self::with_files), and if a file cannot be read.
    pub fn with_directory(self, directory: &Path) -> Result<Self, FileError> {
        self.with_files(files_below(directory)?)
    }

    /// Adds the permissions of the permission files of a policy set.
    ///
    /// # Errors
    ///
    /// As [`with_files`](Self::with_files).
    pub fn with_sources(self, sources: &PolicySources) -> Result<Self, FileError> {
        self.with_files(sources.permission_files())
    }
}

/// Adds the permissions of one file to `table`; returns the names of those that
/// were not there.
pub(crate) fn read(
    file: &str,
    text: &str,
    table: &mut BTreeMap<SmolStr, Permission>,
    rules: &mut PermissionRules,
    error: &mut FileError,
) -> Vec<SmolStr> {
    let mut added = Vec::new();
    let text = without_byte_order_mark(text);
    if text.len() > FILE_BYTES {
        error.file(file, format!("the file is larger than the limit of {FILE_BYTES} bytes"));
        return added;
    }
    let documents = match documents(text) {
        Ok(documents) => documents,
        Err(e) => {
            error.yaml(file, e);
            return added;
        }
    };
    for document in documents {
        let mut report = Report { file, document: document.number, error: &mut *error };
        let root = [document.root];
        let plugins = match &root {
            [Node { content: Content::List(plugins), .. }] => plugins.as_slice(),
            one => one.as_slice(),
        };
        for plugin in plugins {
            for permission in permissions(plugin, table, rules, &mut report) {
                let name = permission.name.clone();
                if table.insert(name.clone(), permission).is_none() {
                    added.push(name);
                }
            }
        }
    }
    added
}

/// Returns the permissions of one plugin.
fn permissions(
    plugin: &Node,
    table: &BTreeMap<SmolStr, Permission>,
    rules: &mut PermissionRules,
    report: &mut Report<'_>,
) -> Vec<Permission> {
    if !only_fields(plugin, &["pluginId", "package", "permissions", "rules"], report) {
        return Vec::new();
    }
    let Some(plugin_id) = word(plugin, "pluginId", report) else {
        return Vec::new();
    };
    if let Some(listed) = plugin.get("rules") {
        rules.read(listed, plugin_id, report);
    }
    let Some(Node { content: Content::List(items), .. }) = plugin.get("permissions") else {
        let place = plugin.get("permissions").unwrap_or(plugin).place;
        report.problem(place, "`permissions` must be a list", "");
        return Vec::new();
    };
    let mut read: Vec<Permission> = Vec::with_capacity(items.len());
    for item in items {
        let Some(permission) = permission(item, plugin_id, report) else {
            continue;
        };
        let twice = read.iter().any(|other| other.name == permission.name);
        let other = table.get(&permission.name).is_some_and(|known| *known != permission);
        if twice || other {
            let message = format!("permission `{}` is already known", permission.name);
            let help =
                if twice { "list it once" } else { "it differs from the one known: leave it out" };
            report.problem(item.place, message, help);
            continue;
        }
        let known = table.values().chain(&read).filter_map(Permission::resource_type);
        if let Some(clash) = type_clash(&permission, known) {
            report.problem(item.place, clash, "rename the resource type");
            continue;
        }
        read.push(permission);
    }
    read
}

fn permission(item: &Node, plugin_id: &str, report: &mut Report<'_>) -> Option<Permission> {
    if !only_fields(item, &["type", "name", "attributes", "resourceType"], report) {
        return None;
    }
    let name = word(item, "name", report)?;
    if name.starts_with(names::PLUGIN_GROUP) || name.starts_with(names::ACTION_GROUP) {
        let message = format!("`{name}` is the name of a group of permissions");
        report.problem(item.place, message, "");
        return None;
    }
    let resource_type = match item.get("resourceType") {
        Some(_) => Some(word(item, "resourceType", report)?),
        None => None,
    };
    if let Some(of_type) = resource_type.filter(|of_type| entity_type(of_type).is_none()) {
        let message = format!("`{of_type}` is not a resource type");
        let help = "a resource type is made of letters and digits with `-`, `_` or `.` \
                    between them, starts with a letter, and is not a word of the vocabulary";
        report.problem(item.place, message, help);
        return None;
    }
    let stated = item.get("type").map(|node| (node, node.as_str()));
    let implied = if resource_type.is_some() { "resource" } else { "basic" };
    if let Some((node, _)) = stated.filter(|(_, stated)| *stated != Some(implied)) {
        let message = format!("`type` must be `{implied}` here");
        report.problem(node.place, message, "resource permissions have a `resourceType`");
        return None;
    }
    let action = match item.get("attributes") {
        Some(attributes) => attribute_action(attributes, report)?,
        None => None,
    };
    let resource_type = resource_type.map(SmolStr::from);
    Some(Permission { name: name.into(), plugin_id: plugin_id.into(), action, resource_type })
}

/// The outer `None` says that something is wrong.
#[expect(clippy::option_option, reason = "the inner one is an answer, the outer a failure")]
fn attribute_action(
    attributes: &Node,
    report: &mut Report<'_>,
) -> Option<Option<PermissionAction>> {
    if !only_fields(attributes, &["action"], report) {
        return None;
    }
    let Some(node) = attributes.get("action") else {
        return Some(None);
    };
    let action = PermissionAction::ALL.into_iter().find(|a| Some(a.as_str()) == node.as_str());
    if action.is_none() {
        let help = "leave `attributes` out if the permission states no action";
        let message = "`action` must be `create`, `read`, `update` or `delete`";
        report.problem(node.place, message, help);
        return None;
    }
    Some(action)
}

/// Returns a message if two resource types would become one type of entity.
fn type_clash<'a>(
    permission: &'a Permission,
    known: impl Iterator<Item = &'a str>,
) -> Option<String> {
    let new = permission.resource_type()?;
    let becomes = entity_type(new)?;
    let mut others = known.filter(|known| *known != new);
    let other = others.find(|known| entity_type(known).as_ref() == Some(&becomes))?;
    Some(format!("resource types `{new}` and `{other}` would both be `{becomes}`"))
}

/// Returns name and text of the permission files below `directory`, sorted.
pub(crate) fn files_below(directory: &Path) -> Result<Vec<(String, String)>, FileError> {
    let mut error = FileError::default();
    let listing = Listing::of(&RealFileSystem, directory);
    // What lies there beside permission files is for whoever loads the policies to tell of.
    let concerns = |problem: &&Problem| {
        let file = problem.file().unwrap_or_default();
        problem.code() == "file::read" && !FileKind::of(file).is_policies()
            || FileKind::of(file) == FileKind::Permissions
    };
    for problem in listing.problems.iter().filter(concerns) {
        error.file(problem.file().unwrap_or_default(), problem.message());
    }
    let mut read = Vec::new();
    for file in listing.files.iter().filter(|file| file.kind == FileKind::Permissions) {
        let name = file.path.display().to_string();
        let bytes = RealFileSystem.read(&file.path, FILE_BYTES as u64);
        match bytes.map(String::from_utf8) {
            Ok(Ok(text)) => read.push((name, text)),
            Ok(Err(wrong)) => {
                let at = wrong.utf8_error().valid_up_to();
                error.file(&name, format!("not UTF-8 after byte {at}"));
            }
            Err(wrong) => error.file(&name, wrong.to_string()),
        }
    }
    error.or(read)
}
