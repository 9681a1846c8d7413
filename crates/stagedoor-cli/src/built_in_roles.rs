//! Roles and bindings of Kubernetes that a command is given.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use stagedoor_kubernetes::KubernetesVersion;
use stagedoor_kubernetes::rbac::{BuiltIns, RbacObjects, ResolvedRbac};

use crate::failure::Failure;
use crate::input::Input;

/// Size of a file of roles and bindings, in bytes.
pub(crate) const FILE_BYTES: usize = 128 << 20;

/// What every cluster has besides.
#[derive(Debug, Args)]
pub(crate) struct BuiltInArgs {
    /// The version of Kubernetes whose built-in roles and bindings are added to those given.
    ///
    /// An object that is given counts instead of the built-in one. Files that hold the
    /// ClusterRole and the ClusterRoleBinding `cluster-admin` are a whole cluster's, and nothing
    /// is added to them.
    #[arg(long, value_name = "VERSION", default_value_t)]
    kubernetes_version: KubernetesVersion,

    /// Which of them: `import` takes `roles` unless told otherwise, everything else `all`.
    #[arg(long, value_enum, value_name = "WHICH")]
    built_in: Option<BuiltIn>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BuiltIn {
    /// Roles and bindings, such as those of the controllers and of `system:masters`.
    All,
    /// Roles, so that bindings to `view` or `cluster-admin` grant something.
    Roles,
    /// Nothing: only what is given.
    None,
}

impl BuiltInArgs {
    pub(crate) fn version(&self) -> KubernetesVersion {
        self.kubernetes_version
    }

    /// Returns which are added.
    pub(crate) fn which(&self, otherwise: BuiltIn) -> BuiltIn {
        self.built_in.unwrap_or(otherwise)
    }
}

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

    #[command(flatten)]
    pub(crate) built_in: BuiltInArgs,
}

impl RoleArgs {
    pub(crate) fn resolved(&self, otherwise: BuiltIn) -> Result<ResolvedRbac, Failure> {
        resolved(&self.files, self.namespace.as_deref(), &self.built_in, otherwise)
    }
}

/// Reads files and puts roles, bindings and subjects together, with those that are built in.
pub(crate) fn resolved(
    files: &[PathBuf],
    namespace: Option<&str>,
    built_in: &BuiltInArgs,
    otherwise: BuiltIn,
) -> Result<ResolvedRbac, Failure> {
    let mut input = Input::default();
    let text = |path: &PathBuf| Ok((Input::name(path), input.text(path, FILE_BYTES)?));
    resolved_texts(files.iter().map(text), namespace, built_in, otherwise)
}

/// As [`resolved`], of files that were read, with their names.
pub(crate) fn resolved_texts(
    texts: impl IntoIterator<Item = Result<(String, String), Failure>>,
    namespace: Option<&str>,
    built_in: &BuiltInArgs,
    otherwise: BuiltIn,
) -> Result<ResolvedRbac, Failure> {
    let mut objects = RbacObjects::default().with_namespace(namespace.unwrap_or_default());
    for read in texts {
        let (name, text) = read?;
        objects.read(&name, &text).map_err(|e| Failure::input(e.to_string()))?;
    }
    let which = match built_in.which(otherwise) {
        BuiltIn::All => BuiltIns::All,
        BuiltIn::Roles => BuiltIns::Roles,
        BuiltIn::None => BuiltIns::None,
    };
    objects
        .add_built_ins(built_in.version(), which)
        .and_then(|()| objects.resolve())
        .map_err(|e| Failure::input(e.to_string()))
}
