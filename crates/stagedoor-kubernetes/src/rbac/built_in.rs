//! The roles and bindings that every cluster has, by version of Kubernetes.
//!
//! They are those of the package `bootstrappolicy` of each version with its default feature
//! gates, one object a line, with the versions that have it in just this form.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::object::{BindingKind, ObjectSource, RoleKind};
use super::objects::{RbacError, RbacObjects};
use super::parse;
use crate::version::KubernetesVersion;

const OBJECTS: &str = include_str!("../../data/built-in-roles.jsonl");
/// The role, and the binding of it, that a cluster has in any case.
const CLUSTER_ADMIN: &str = "cluster-admin";

#[derive(Deserialize)]
struct Line<'a> {
    since: u16,
    until: u16,
    #[serde(borrow)]
    object: &'a RawValue,
}

/// What of a cluster's built-in roles and bindings is added to those that are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BuiltIns {
    /// Roles and bindings.
    #[default]
    All,
    /// Roles, so that bindings to them grant something.
    Roles,
    /// Nothing.
    None,
}

impl RbacObjects {
    /// Adds the roles and bindings that every cluster of a version has, but for those that are
    /// given: an object that is there counts, however it differs.
    ///
    /// Objects among which there are the ClusterRole and the ClusterRoleBinding
    /// `cluster-admin` are all that a cluster has, and nothing is added.
    ///
    /// # Errors
    ///
    /// [`RbacError`] never for the objects that ship.
    ///
    /// # Examples
    ///
    /// ```
    /// use stagedoor_kubernetes::KubernetesVersion;
    /// use stagedoor_kubernetes::rbac::{BuiltIns, RbacObjects};
    ///
    /// let mut objects = RbacObjects::default();
    /// objects.read("team.yaml", "
    /// apiVersion: rbac.authorization.k8s.io/v1
    /// kind: RoleBinding
    /// metadata: { name: devs, namespace: payments }
    /// subjects: [{ kind: Group, name: devs }]
    /// roleRef: { kind: ClusterRole, name: view }
    /// ")?;
    /// objects.add_built_ins(KubernetesVersion::NEWEST, BuiltIns::Roles)?;
    /// let resolved = objects.resolve()?;
    /// assert!(resolved.warnings().is_empty());
    /// assert_eq!(resolved.grants().count(), 12);
    /// # Ok::<(), stagedoor_kubernetes::rbac::RbacError>(())
    /// ```
    pub fn add_built_ins(
        &mut self,
        version: KubernetesVersion,
        which: BuiltIns,
    ) -> Result<(), RbacError> {
        let has_role = self.role_at(RoleKind::ClusterRole, "", CLUSTER_ADMIN).is_some();
        let has_binding = self.has_binding(BindingKind::ClusterRoleBinding, "", CLUSTER_ADMIN);
        if which == BuiltIns::None || (has_role && has_binding) {
            return Ok(());
        }
        let shipped = parse::text("(built-in)", &of_version(version)?, Self::default())?;
        for role in shipped.roles() {
            if self.role_at(role.kind, &role.namespace, &role.name).is_none() {
                let mut role = role.clone();
                role.origin.source = ObjectSource::BuiltIn;
                self.add_role(role)?;
            }
        }
        if which == BuiltIns::Roles {
            return Ok(());
        }
        for binding in shipped.bindings() {
            if !self.has_binding(binding.kind, &binding.namespace, &binding.name) {
                let mut binding = binding.clone();
                binding.origin.source = ObjectSource::BuiltIn;
                self.add_binding(binding)?;
            }
        }
        Ok(())
    }
}

/// Returns the objects of a version as a stream of JSON.
fn of_version(version: KubernetesVersion) -> Result<String, RbacError> {
    let mut text = String::new();
    for (number, line) in OBJECTS.lines().enumerate() {
        let line: Line<'_> = serde_json::from_str(line).map_err(|e| RbacError::Syntax {
            file: "(built-in)".to_owned(),
            document: number + 1,
            reason: e.to_string(),
        })?;
        if (line.since..=line.until).contains(&version.minor()) {
            let _ = writeln!(text, "{}", line.object);
        }
    }
    Ok(text)
}

/// The service accounts of kube-system to which any version binds something.
static CONTROLLERS: LazyLock<HashSet<String>> = LazyLock::new(|| {
    #[derive(Deserialize)]
    struct Bound {
        #[serde(default)]
        subjects: Vec<super::object::BindingSubject>,
    }
    let bound = OBJECTS.lines().filter_map(|line| {
        let line: Line<'_> = serde_json::from_str(line).ok()?;
        serde_json::from_str::<Bound>(line.object.get()).ok()
    });
    bound
        .flat_map(|bound| bound.subjects)
        .filter(|s| s.kind == "ServiceAccount" && s.namespace == "kube-system")
        .map(|subject| subject.name)
        .collect()
});

/// Whether a service account of kube-system is one of the controllers of Kubernetes itself.
pub(super) fn is_controller(account: &str) -> bool {
    CONTROLLERS.contains(account)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rbac::RoleKind;

    #[test]
    fn every_version_has_its_roles_and_all_bindings_find_theirs() -> Result<(), RbacError> {
        // As upstream's own package makes them.
        let counts = [123, 123, 123, 127, 131, 131, 133, 141];
        for (version, count) in KubernetesVersion::all().zip(counts) {
            let mut objects = RbacObjects::default();
            objects.add_built_ins(version, BuiltIns::All)?;
            assert_eq!(objects.roles().len() + objects.bindings().len(), count, "{version}");
            assert_eq!(objects.resolve()?.warnings(), [], "{version}");
        }
        Ok(())
    }

    #[test]
    fn the_controller_fills_as_many_rules_as_in_a_running_cluster() -> Result<(), RbacError> {
        let mut objects = RbacObjects::default();
        objects.add_built_ins(KubernetesVersion::NEWEST, BuiltIns::Roles)?;
        let resolved = objects.resolve()?;
        for (name, rules) in [("view", 12), ("edit", 27), ("admin", 29)] {
            let is_named = |role: &&super::super::Role| {
                role.kind == RoleKind::ClusterRole && role.name == name
            };
            let role = resolved.roles().iter().find(is_named);
            assert_eq!(role.map(|role| role.rules.len()), Some(rules), "{name}");
        }
        Ok(())
    }

    #[test]
    fn what_is_given_counts_instead() -> Result<(), RbacError> {
        let mut objects = RbacObjects::default();
        let role = |name: &str| {
            format!(
                "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\n\
                 metadata: {{ name: \"{name}\" }}\nrules: []\n"
            )
        };
        objects.read("own.yaml", &role("system:discovery"))?;
        let mut added = objects.clone();
        added.add_built_ins(KubernetesVersion::NEWEST, BuiltIns::All)?;
        let is_own = |role: &&super::super::Role| role.name == "system:discovery";
        assert_eq!(added.roles().iter().filter(is_own).count(), 1);
        assert!(added.roles().iter().find(is_own).is_some_and(|role| role.rules.is_empty()));

        // All of a cluster is there: nothing is added.
        objects.read("admin.yaml", &role(CLUSTER_ADMIN))?;
        let binding = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\n\
                       metadata: { name: cluster-admin }\n\
                       roleRef: { kind: ClusterRole, name: cluster-admin }\n";
        objects.read("binding.yaml", binding)?;
        let before = objects.clone();
        objects.add_built_ins(KubernetesVersion::NEWEST, BuiltIns::All)?;
        assert_eq!(objects, before);
        Ok(())
    }
}
