//! What the plugin is configured with beside its files: `permission.rbac` of `app-config.yaml`.

use std::collections::BTreeSet;

use smol_str::SmolStr;

use super::policy_file::{
    Members, Origin, Precedence, RbacFiles, Row, Subject, action, full_reference,
};
use crate::entity_ref::EntityRef;
use crate::file_error::{FileError, Report};
use crate::permission::{PermissionAction, Permissions};
use crate::yaml::{Content, Node, documents};

/// The role that `admin.users` have, and what it permits.
const ADMIN_ROLE: &str = "role:default/rbac_admin";
const ADMIN_ROWS: [(&str, PermissionAction); 5] = [
    ("policy-entity", PermissionAction::Read),
    ("policy.entity.create", PermissionAction::Create),
    ("policy-entity", PermissionAction::Delete),
    ("policy-entity", PermissionAction::Update),
    ("catalog-entity", PermissionAction::Read),
];

/// What the plugin is configured with.
#[derive(Debug, Clone, Default)]
pub(super) struct AppConfig {
    pub(super) file: String,
    /// They have every permission, whatever is denied.
    pub(super) super_users: BTreeSet<EntityRef>,
    /// Where that is configured.
    pub(super) super_users_line: u32,
    /// Everybody has it.
    pub(super) default_role: Option<SmolStr>,
    pub(super) precedence: Option<Precedence>,
    /// What to know of it, by line.
    pub(super) remarks: Vec<(u32, String)>,
}

impl RbacFiles {
    /// Adds what `app-config.yaml` says below `permission.rbac`, given as its name (for messages)
    /// and its text: super users, administrators, the default role with its permissions, which of
    /// rows and conditions count, and the plugins listed. Several files are added one after the
    /// other, as Backstage reads them: a list in a later one replaces that of an earlier one.
    ///
    /// # Errors
    ///
    /// [`FileError`] with everything that is wrong.
    pub fn with_app_config(
        mut self,
        name: &str,
        text: &str,
        permissions: &Permissions,
    ) -> Result<Self, FileError> {
        let mut error = FileError::default();
        match documents(text) {
            Err(problem) => error.yaml(name, problem),
            Ok(documents) => {
                for document in &documents {
                    let mut report =
                        Report { file: name, document: document.number, error: &mut error };
                    let rbac = document.root.get("permission").and_then(|p| p.get("rbac"));
                    if let Some(rbac) = rbac {
                        self.config.file = name.to_owned();
                        self.configure(rbac, permissions, &mut report);
                    }
                }
            }
        }
        error.or(self)
    }

    /// Returns which of rows and conditions count by the configuration, where it says so.
    #[must_use]
    pub fn configured_precedence(&self) -> Option<Precedence> {
        self.config.precedence
    }

    fn configure(&mut self, rbac: &Node, permissions: &Permissions, report: &mut Report<'_>) {
        if let Some(admin) = rbac.get("admin") {
            if let Some(users) = admin.get("superUsers") {
                self.config.super_users_line = users.place.line;
                self.config.super_users = self.names(users, true, report).into_iter().collect();
            }
            if let Some(users) = admin.get("users") {
                let members = self.names(users, false, report);
                self.administrators(members, users.place.line);
            }
        }
        match rbac.get("policyDecisionPrecedence").map(|node| (node, node.as_str())) {
            None => {}
            Some((_, Some("basic"))) => self.config.precedence = Some(Precedence::Basic),
            Some((_, Some("conditional"))) => {
                self.config.precedence = Some(Precedence::Conditional);
            }
            Some((node, _)) => {
                let message = "`policyDecisionPrecedence` must be `basic` or `conditional`";
                report.problem(node.place, message, "");
            }
        }
        if let Some(defaults) = rbac.get("defaultPermissions") {
            self.default_permissions(defaults, report);
        }
        if let Some(plugins) = rbac.get("pluginsWithPermission") {
            self.plugins(plugins, permissions, report);
        }
    }

    fn administrators(&mut self, members: Vec<EntityRef>, line: u32) {
        let role = SmolStr::from(ADMIN_ROLE);
        let of_role = self.roles.entry(role.clone()).or_default();
        for member in members {
            let list = match member.kind() {
                "user" => &mut of_role.users,
                _ => &mut of_role.groups,
            };
            list.insert(member);
        }
        for (object, action) in ADMIN_ROWS {
            self.add_row(&role, object, Some(action), line);
        }
    }

    fn add_row(
        &mut self,
        role: &SmolStr,
        object: &str,
        action: Option<PermissionAction>,
        line: u32,
    ) {
        let (subject, object) = (Subject::Role(role.clone()), SmolStr::from(object));
        let is_same =
            |row: &Row| row.subject == subject && row.object == object && row.action == action;
        if !self.rows.iter().any(is_same) {
            let origin = Origin::AppConfig;
            self.rows.push(Row { line, subject, object, action, allow: true, origin });
        }
    }

    fn default_permissions(&mut self, defaults: &Node, report: &mut Report<'_>) {
        let role = defaults.get("defaultRole");
        let name = role.and_then(Node::as_str);
        let Some(name) = name.filter(|name| full_reference(name).is_ok_and(|of| of.0 == "role"))
        else {
            let place = role.unwrap_or(defaults).place;
            let help = "write it as `role:default/name`";
            return report.problem(place, "`defaultRole` must name a role", help);
        };
        let role = SmolStr::from(name);
        let members = self.roles.entry(role.clone()).or_default();
        members.everybody = true;
        self.config.default_role = Some(role.clone());
        let Some(Node { content: Content::List(items), .. }) = defaults.get("basicPermissions")
        else {
            let message = "`basicPermissions` must be a list";
            return report.problem(defaults.place, message, "the plugin does not start without");
        };
        for item in items {
            let object = item.get("permission").and_then(Node::as_str);
            let word = item.get("action").map_or(Some("use"), Node::as_str);
            match (object, word.and_then(action)) {
                (Some(object), Some(action)) if !object.is_empty() => {
                    self.add_row(&role, object, action, item.place.line);
                }
                _ => {
                    let help = "write `permission: catalog-entity` and `action: read`";
                    let message = "a default permission needs a name and one of its actions";
                    report.problem(item.place, message, help);
                }
            }
        }
    }

    fn plugins(&mut self, plugins: &Node, permissions: &Permissions, report: &mut Report<'_>) {
        let Content::List(items) = &plugins.content else {
            return report.problem(plugins.place, "`pluginsWithPermission` must be a list", "");
        };
        for item in items {
            let Some(id) = item.as_str() else {
                report.problem(item.place, "the id of a plugin is expected here", "");
                continue;
            };
            if !permissions.iter().any(|permission| permission.plugin_id() == id) {
                let message = format!(
                    "no permission of the plugin `{id}` is known: list them as `stagedoor \
                     backstage discover --plugin {id}` does, and name the file with \
                     `--permissions`"
                );
                self.config.remarks.push((item.place.line, message));
            }
        }
    }

    /// Reads a list of `{name: …}`. The plugin compares super users by case, and administrators
    /// without.
    fn names(&mut self, list: &Node, by_case: bool, report: &mut Report<'_>) -> Vec<EntityRef> {
        let Content::List(items) = &list.content else {
            report.problem(list.place, "a list of `name: user:default/…` is expected here", "");
            return Vec::new();
        };
        let mut names = Vec::with_capacity(items.len());
        for item in items {
            let name = item.get("name").and_then(Node::as_str).unwrap_or_default();
            let reference: Result<EntityRef, _> = name.parse();
            match reference {
                Ok(reference) if by_case && reference.to_string() != name => {
                    let message = format!(
                        "`{name}` is nobody: the plugin compares super users by case, and \
                         references of users are in lower case"
                    );
                    self.config.remarks.push((item.place.line, message));
                }
                Ok(reference) => names.push(reference),
                Err(error) => {
                    report.problem(item.place, error.to_string(), "write `name: user:default/…`");
                }
            }
        }
        names
    }
}

impl Members {
    /// Returns whether somebody has the role.
    pub(super) fn has(&self, user: &EntityRef, groups: &BTreeSet<EntityRef>) -> bool {
        self.everybody
            || self.users.contains(user)
            || self.groups.contains(user)
            || self.groups.iter().any(|group| groups.contains(group))
            || self.users.iter().any(|user| groups.contains(user))
    }
}
