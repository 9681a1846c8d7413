//! What the files mean, read as the plugin reads them: slowly, and in its own order.
//!
//! This follows `permission-policy.cjs.js` and `enforcer-delegate.cjs.js` of the plugin step by
//! step, and shares nothing with what writes the policies.

use std::collections::BTreeSet;

use smol_str::SmolStr;

use super::conditional_file::RoleCondition;
use super::policy_file::{Precedence, RbacFiles, Row, Subject};
use crate::criteria::Criteria;
use crate::entity_ref::EntityRef;
use crate::permission::{Permission, PermissionAction};

/// What the plugin answers.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum PluginAnswer<'a> {
    Allow,
    Deny,
    /// One of these must hold.
    AnyOf(Vec<&'a Criteria>),
}

/// A user, with every group that it is in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Asker {
    pub(super) user: EntityRef,
    pub(super) groups: BTreeSet<EntityRef>,
    /// What stands for `$ownerRefs`.
    pub(super) owned: BTreeSet<EntityRef>,
}

/// The files, and how the plugin is configured.
pub(super) struct Reading<'a> {
    pub(super) files: &'a RbacFiles,
    pub(super) precedence: Precedence,
}

impl<'a> Reading<'a> {
    /// `RBACPermissionPolicy.handle`
    pub(super) fn handle(&self, permission: &Permission, asker: &Asker) -> PluginAnswer<'a> {
        let supers = &self.files.config.super_users;
        if supers.contains(&asker.user) || asker.owned.iter().any(|owned| supers.contains(owned)) {
            return PluginAnswer::Allow;
        }
        let action = permission.action();
        let name = permission.name();
        let roles = self.roles(asker);
        let has_named = self.has_implicit(name, action, &roles);
        let mut resource_type = permission.resource_type();
        if name == "policy.entity.create" && !has_named {
            resource_type = Some("policy-entity");
        }
        let Some(resource_type) = resource_type else {
            return self.enforce(asker, name, action, &roles);
        };
        let object = if has_named { name } else { resource_type };
        let conditions = self.conditions(&roles, name, resource_type, action);
        match self.precedence {
            Precedence::Basic => {
                if has_named || self.has_implicit(resource_type, action, &roles) {
                    self.enforce(asker, object, action, &roles)
                } else if conditions.is_empty() {
                    PluginAnswer::Deny
                } else {
                    PluginAnswer::AnyOf(conditions)
                }
            }
            Precedence::Conditional if !conditions.is_empty() => PluginAnswer::AnyOf(conditions),
            Precedence::Conditional => self.enforce(asker, object, action, &roles),
        }
    }

    /// `BackstageRoleManager.getRoles`
    fn roles(&self, asker: &Asker) -> BTreeSet<&'a SmolStr> {
        let roles = self.files.roles.iter();
        let own = roles.filter(|(_, role)| role.has(&asker.user, &asker.groups));
        own.map(|(role, _)| role).collect()
    }

    fn rows<'s>(
        &'s self,
        object: &'s str,
        action: Option<PermissionAction>,
    ) -> impl Iterator<Item = &'a Row> + 's {
        self.files.rows.iter().filter(move |row| row.object == object && row.action == action)
    }

    /// `hasImplicitPermission`
    fn has_implicit(
        &self,
        object: &str,
        action: Option<PermissionAction>,
        roles: &BTreeSet<&SmolStr>,
    ) -> bool {
        self.rows(object, action).any(|row| is_of_role(row, roles))
    }

    /// `EnforcerDelegate.enforce`, with the plugin's matcher and effect.
    fn enforce(
        &self,
        asker: &Asker,
        object: &str,
        action: Option<PermissionAction>,
        roles: &BTreeSet<&SmolStr>,
    ) -> PluginAnswer<'a> {
        let applies = |row: &&Row| match &row.subject {
            Subject::Role(_) => is_of_role(row, roles),
            Subject::Direct(who) => {
                roles.is_empty() && (*who == asker.user || asker.groups.contains(who))
            }
        };
        let (mut allowed, mut denied) = (false, false);
        for row in self.rows(object, action).filter(applies) {
            match row.allow {
                true => allowed = true,
                false => denied = true,
            }
        }
        if allowed && !denied { PluginAnswer::Allow } else { PluginAnswer::Deny }
    }

    /// `handleConditions`; reading the files makes sure that no role has two.
    fn conditions(
        &self,
        roles: &BTreeSet<&SmolStr>,
        name: &str,
        resource_type: &str,
        action: Option<PermissionAction>,
    ) -> Vec<&'a Criteria> {
        let applies = |condition: &&RoleCondition| {
            roles.contains(&condition.role)
                && condition.resource_type == resource_type
                && condition.permissions.iter().any(|mapping| mapping.covers(name, action))
        };
        self.files.conditions.iter().filter(applies).map(|condition| &condition.criteria).collect()
    }
}

fn is_of_role(row: &Row, roles: &BTreeSet<&SmolStr>) -> bool {
    matches!(&row.subject, Subject::Role(role) if roles.contains(role))
}
