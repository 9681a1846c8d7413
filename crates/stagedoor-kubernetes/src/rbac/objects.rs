//! The roles and bindings of a cluster, each once.

use std::collections::BTreeMap;

use super::object::{Binding, BindingKind, Origin, Role, RoleKind};
use super::parse;
use super::warning::RbacWarning;

/// The largest input that is read, in bytes.
const MAX_BYTES: usize = 128 << 20;

/// Failure to read roles and bindings. Nothing of the text counts as read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RbacError {
    /// The input is larger than the objects of a cluster are.
    #[error("{file}: the input of {given} bytes is larger than the limit of {limit}")]
    TooLarge {
        /// The file.
        file: String,
        /// Size of the input, in bytes.
        given: usize,
        /// The largest that is read.
        limit: usize,
    },
    /// A document is not YAML or JSON.
    #[error("{file}: document {document}: {reason}")]
    Syntax {
        /// The file.
        file: String,
        /// Which document of the file, from 1.
        document: usize,
        /// What is wrong, with line and column.
        reason: String,
    },
    /// A role or binding is not one that Kubernetes takes.
    #[error("{file}: {object}: {}{reason}", place(.path))]
    Object {
        /// The file.
        file: String,
        /// Which object.
        object: String,
        /// The field that is wrong, such as `rules[0].verbs`, or nothing.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// An object is given twice, in two ways: which one counts is not known.
    #[error("{file}: `{object}` was given before, in another way; keep one of them")]
    Conflict {
        /// The file.
        file: String,
        /// The object.
        object: String,
    },
    /// Aggregated roles take over more than roles of a cluster do.
    #[error("the aggregated ClusterRoles take over too many rules; select fewer roles by label")]
    TooManyAggregated,
}

fn place(path: &str) -> String {
    if path.is_empty() || path == "." { String::new() } else { format!("`{path}`: ") }
}

/// The roles and bindings of a cluster, or of a part of one.
///
/// # Examples
///
/// ```
/// use stagedoor_kubernetes::rbac::RbacObjects;
///
/// let mut objects = RbacObjects::default();
/// objects.read("view.yaml", "
/// apiVersion: rbac.authorization.k8s.io/v1
/// kind: ClusterRole
/// metadata: { name: pod-reader }
/// rules:
/// - apiGroups: ['']
///   resources: [pods, pods/log]
///   verbs: [get, list, watch]
/// ")?;
/// assert_eq!(objects.roles()[0].rules[0].resources, ["pods", "pods/log"]);
/// # Ok::<(), stagedoor_kubernetes::rbac::RbacError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RbacObjects {
    roles: BTreeMap<(RoleKind, String, String), usize>,
    bindings: BTreeMap<(BindingKind, String, String), usize>,
    role_list: Vec<Role>,
    binding_list: Vec<Binding>,
    warnings: Vec<RbacWarning>,
    namespace: String,
}

impl RbacObjects {
    /// Sets the namespace of Roles and RoleBindings that name none, as `kubectl apply -n` does.
    #[must_use]
    pub fn with_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Reads all roles and bindings of a text, which `file` names in messages.
    ///
    /// Objects of other kinds are passed over with a warning.
    ///
    /// # Errors
    ///
    /// [`RbacError`], which names the object and the field that is wrong. Nothing is then added.
    pub fn read(&mut self, file: &str, text: &str) -> Result<(), RbacError> {
        if text.len() > MAX_BYTES {
            let (file, given, limit) = (file.to_owned(), text.len(), MAX_BYTES);
            return Err(RbacError::TooLarge { file, given, limit });
        }
        let given = Self::default().with_namespace(self.namespace.clone());
        let Self { role_list, binding_list, warnings, .. } = parse::text(file, text, given)?;
        role_list.iter().try_for_each(|role| self.same_role(role).map(|_| ()))?;
        binding_list.iter().try_for_each(|binding| self.same_binding(binding).map(|_| ()))?;
        role_list.into_iter().try_for_each(|role| self.add_role(role))?;
        binding_list.into_iter().try_for_each(|binding| self.add_binding(binding))?;
        self.warnings.extend(warnings);
        Ok(())
    }

    /// Adds a role.
    ///
    /// # Errors
    ///
    /// [`RbacError::Conflict`] if there is another of the same kind, namespace and name.
    pub fn add_role(&mut self, mut role: Role) -> Result<(), RbacError> {
        if role.kind == RoleKind::Role && role.namespace.is_empty() {
            role.namespace.clone_from(&self.namespace);
        }
        if self.same_role(&role)? {
            return Ok(());
        }
        let key = (role.kind, role.namespace.clone(), role.name.clone());
        self.roles.insert(key, self.role_list.len());
        self.role_list.push(role);
        Ok(())
    }

    /// Adds a binding.
    ///
    /// # Errors
    ///
    /// [`RbacError::Conflict`] if there is another of the same kind, namespace and name.
    pub fn add_binding(&mut self, mut binding: Binding) -> Result<(), RbacError> {
        if binding.kind == BindingKind::RoleBinding && binding.namespace.is_empty() {
            binding.namespace.clone_from(&self.namespace);
        }
        if self.same_binding(&binding)? {
            return Ok(());
        }
        let key = (binding.kind, binding.namespace.clone(), binding.name.clone());
        self.bindings.insert(key, self.binding_list.len());
        self.binding_list.push(binding);
        Ok(())
    }

    /// Returns the roles, in the order in which they were given.
    #[must_use]
    pub fn roles(&self) -> &[Role] {
        &self.role_list
    }

    /// Returns the bindings, in the order in which they were given.
    #[must_use]
    pub fn bindings(&self) -> &[Binding] {
        &self.binding_list
    }

    /// Returns what was passed over while reading.
    #[must_use]
    pub fn warnings(&self) -> &[RbacWarning] {
        &self.warnings
    }

    pub(super) fn warn(&mut self, warning: RbacWarning) {
        self.warnings.push(warning);
    }

    /// Whether the role is there already, just like this.
    fn same_role(&self, role: &Role) -> Result<bool, RbacError> {
        let Some(known) = self.role(role.kind, &role.namespace, &role.name) else {
            return Ok(false);
        };
        let same = known.rules == role.rules
            && known.aggregates == role.aggregates
            && known.labels == role.labels;
        if same { Ok(true) } else { Err(conflict(role, &role.origin)) }
    }

    /// Whether the binding is there already, just like this.
    fn same_binding(&self, binding: &Binding) -> Result<bool, RbacError> {
        let key = (binding.kind, binding.namespace.clone(), binding.name.clone());
        let Some(known) = self.bindings.get(&key).and_then(|at| self.binding_list.get(*at)) else {
            return Ok(false);
        };
        let same = known.subjects == binding.subjects && known.role == binding.role;
        if same { Ok(true) } else { Err(conflict(binding, &binding.origin)) }
    }

    pub(super) fn has_binding(&self, kind: BindingKind, namespace: &str, name: &str) -> bool {
        self.bindings.contains_key(&(kind, namespace.to_owned(), name.to_owned()))
    }

    fn role(&self, kind: RoleKind, namespace: &str, name: &str) -> Option<&Role> {
        self.role_list.get(self.role_at(kind, namespace, name)?)
    }

    pub(crate) fn role_at(&self, kind: RoleKind, namespace: &str, name: &str) -> Option<usize> {
        self.roles.get(&(kind, namespace.to_owned(), name.to_owned())).copied()
    }
}

fn conflict(object: &impl ToString, origin: &Origin) -> RbacError {
    RbacError::Conflict { file: origin.file.clone(), object: object.to_string() }
}
