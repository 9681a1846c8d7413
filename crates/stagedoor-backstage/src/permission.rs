//! Backstage's permissions, those of plugins that are not known here included.

use std::collections::BTreeMap;
use std::fmt;

use cedar_policy::EntityUid;
use smol_str::SmolStr;
use stagedoor_core::LoadError;

use crate::names::{self, ACTION_GROUP, PLUGIN_GROUP};
use crate::permission_rules::PermissionRules;

/// What a permission lets its holder do: `attributes.action`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PermissionAction {
    /// `create`
    Create,
    /// `read`
    Read,
    /// `update`
    Update,
    /// `delete`
    Delete,
}

impl PermissionAction {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Create, Self::Read, Self::Update, Self::Delete];

    /// Returns Backstage's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Read => "read",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

impl fmt::Display for PermissionAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One permission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    pub(crate) name: SmolStr,
    pub(crate) plugin_id: SmolStr,
    pub(crate) action: Option<PermissionAction>,
    pub(crate) resource_type: Option<SmolStr>,
}

impl Permission {
    /// Returns the name, such as `catalog.entity.read`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the plugin that defines the permission, such as `catalog`.
    #[must_use]
    pub fn plugin_id(&self) -> &str {
        &self.plugin_id
    }

    /// Returns `attributes.action`, if the permission has one.
    #[must_use]
    pub fn action(&self) -> Option<PermissionAction> {
        self.action
    }

    /// Returns the type of the resources that the permission is about, such as
    /// `catalog-entity`; a basic permission has none.
    #[must_use]
    pub fn resource_type(&self) -> Option<&str> {
        self.resource_type.as_deref()
    }

    /// Returns the Cedar action, such as `Backstage::Action::"catalog.entity.read"`.
    #[must_use]
    pub fn uid(&self) -> EntityUid {
        names::action(&self.name)
    }
}

/// A permission that is not in the table.
///
/// It must be denied: no policy can have been written for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown permission `{0}`: denied")]
pub struct UnknownPermission(pub String);

impl UnknownPermission {
    /// Returns what to do about it.
    #[must_use]
    pub fn help(&self) -> String {
        format!(
            "if a plugin defines it, add it to a `*.permissions.yaml` in the policy directory:\n\
             pluginId: <plugin>\npermissions:\n  - name: {}\n    \
             attributes: {{action: read}}   # as the plugin states it; leave out if it states none\n    \
             resourceType: catalog-entity # leave out for a basic permission",
            self.0
        )
    }
}

/// Says what to do about policies that name a permission which is not known: Cedar would propose
/// the name that is most alike, which may be that of a whole group.
#[must_use]
pub fn with_permission_help(error: LoadError) -> LoadError {
    error.with_help(|problem| {
        let rest = problem.message().strip_prefix("unrecognized action `Backstage::Action::\"")?;
        let name = rest.strip_suffix("\"`")?;
        let is_group = [PLUGIN_GROUP, ACTION_GROUP].iter().any(|group| name.starts_with(group));
        let what = if is_group { "group of permissions" } else { "permission" };
        let proposal = alike(name).map(|known| format!("; or did you mean `{known}`?"));
        Some(format!(
            "no {what} of this name is known: if a plugin has it, list it in a \
             `*.permissions.yaml` (`stagedoor backstage discover` writes one){}",
            proposal.unwrap_or_default()
        ))
    })
}

/// Returns the known permission whose name differs in no more than two letters: what is further off
/// is more likely another plugin's.
fn alike(name: &str) -> Option<String> {
    let permissions = Permissions::known().ok()?;
    let names = permissions.iter().map(Permission::name);
    let near = names.map(|known| (strsim::levenshtein(name, known), known)).min()?;
    (near.0 <= 2).then(|| near.1.to_owned())
}

/// A table of permissions.
///
/// # Examples
///
/// ```
/// use stagedoor_backstage::Permissions;
///
/// let permissions = Permissions::known()?;
/// let delete = permissions.get("catalog.entity.delete")?;
/// assert_eq!(delete.resource_type(), Some("catalog-entity"));
/// let unknown = permissions.get("playlist.list.read").map_err(|e| e.to_string());
/// assert_eq!(unknown, Err("unknown permission `playlist.list.read`: denied".into()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions {
    pub(crate) table: BTreeMap<SmolStr, Permission>,
    /// Names of permissions that files added.
    pub(crate) added: Vec<SmolStr>,
    pub(crate) rules: PermissionRules,
}

impl Permissions {
    /// Returns the permission of this name.
    ///
    /// # Errors
    ///
    /// [`UnknownPermission`], which must be answered by a denial.
    pub fn get(&self, name: &str) -> Result<&Permission, UnknownPermission> {
        self.table.get(name).ok_or_else(|| UnknownPermission(name.to_owned()))
    }

    /// Returns all permissions, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = &Permission> {
        self.table.values()
    }

    /// Returns these permissions and then those that only others have, by their names: what is
    /// asked to compare two policy sets. What only one side knows, the other refuses.
    ///
    /// # Examples
    ///
    /// ```
    /// use stagedoor_backstage::Permissions;
    ///
    /// let known = Permissions::known()?;
    /// let played = "pluginId: playlist\npermissions: [{ name: playlist.play, attributes: {} }]";
    /// let more = known.clone().with_files([("playlist.permissions.yaml", played)])?;
    /// let names: Vec<_> = known.union(&more).map(|permission| permission.name()).collect();
    /// assert_eq!(names.len(), known.iter().count() + 1);
    /// assert_eq!(names.last(), Some(&"playlist.play"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn union<'p>(&'p self, others: &'p Self) -> impl Iterator<Item = &'p Permission> {
        let is_new = |permission: &&Permission| !self.table.contains_key(&permission.name);
        self.iter().chain(others.iter().filter(is_new))
    }

    pub(crate) fn rules(&self) -> &PermissionRules {
        &self.rules
    }

    /// Returns the permissions that files added to the known ones.
    pub fn added(&self) -> impl Iterator<Item = &Permission> {
        self.added.iter().filter_map(|name| self.table.get(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_alike_are_proposed() {
        for (name, expected) in [
            ("catalog.entity.raed", Some("catalog.entity.read")),
            ("catalog.entity.reads", Some("catalog.entity.read")),
            ("kubernetes.proxy", Some("kubernetes.proxy")),
            ("todo.item.read", None),
            ("", None),
        ] {
            assert_eq!(alike(name).as_deref(), expected, "{name}");
        }
    }
}
