//! Roles and bindings of Kubernetes that a command is given.

use std::path::PathBuf;

use clap::Args;
use stagedoor_kubernetes::rbac::{RbacObjects, ResolvedRbac};

use crate::failure::Failure;
use crate::input::Input;

/// Size of a file of roles and bindings, in bytes.
const FILE_BYTES: usize = 128 << 20;

/// Where roles and bindings are.
#[derive(Debug, Args)]
pub(crate) struct RoleArgs {
    /// Roles and bindings: YAML or JSON, lists too, `-` for the standard input.
    ///
    /// What `kubectl get clusterroles,clusterrolebindings,roles,rolebindings -A -o yaml` prints.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// The namespace of Roles and RoleBindings that name none.
    #[arg(long, short, value_name = "NAME")]
    namespace: Option<String>,
}

impl RoleArgs {
    pub(crate) fn resolved(&self) -> Result<ResolvedRbac, Failure> {
        resolved(&self.files, self.namespace.as_deref())
    }
}

/// Reads files and puts roles, bindings and subjects together.
pub(crate) fn resolved(
    files: &[PathBuf],
    namespace: Option<&str>,
) -> Result<ResolvedRbac, Failure> {
    let mut input = Input::default();
    let mut objects = RbacObjects::default().with_namespace(namespace.unwrap_or_default());
    for path in files {
        let text = input.text(path, FILE_BYTES)?;
        objects.read(&Input::name(path), &text).map_err(|e| Failure::input(e.to_string()))?;
    }
    objects.resolve().map_err(|e| Failure::input(e.to_string()))
}
