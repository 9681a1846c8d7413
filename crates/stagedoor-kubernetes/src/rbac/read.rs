//! Reads roles and bindings: YAML streams, JSON, lists, what `kubectl get` prints.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::label_selector::LabelSelector;
use super::object::{
    Binding, BindingKind, BindingSubject, Origin, PolicyRule, Role, RoleKind, RoleRef,
};
use super::warning::RbacWarning;
use crate::wire::{Object, UniqueValue, null_is_default, object, objects};

/// The largest input that is read, in bytes.
const MAX_BYTES: usize = 128 << 20;
const API_VERSIONS: [&str; 2] =
    ["rbac.authorization.k8s.io/v1", "rbac.authorization.k8s.io/v1beta1"];

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
        let objects = Self::default().with_namespace(self.namespace.clone());
        let mut reading = Reading { objects, file, document: 0, line: 1 };
        if text.trim_start().starts_with('{') {
            reading.json(text)?;
        } else {
            reading.yaml(text)?;
        }
        let Self { role_list, binding_list, warnings, .. } = reading.objects;
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

/// One text on its way into the objects.
struct Reading<'a> {
    objects: RbacObjects,
    file: &'a str,
    document: usize,
    line: usize,
}

impl Reading<'_> {
    fn json(&mut self, text: &str) -> Result<(), RbacError> {
        let mut stream = serde_json::Deserializer::from_str(text).into_iter::<UniqueValue>();
        loop {
            let line =
                1 + text.get(..stream.byte_offset()).unwrap_or_default().matches('\n').count();
            let Some(document) = stream.next() else { return Ok(()) };
            self.document += 1;
            self.line = line;
            let UniqueValue(document) = document.map_err(|e| self.syntax(e.to_string()))?;
            self.object(document, "")?;
        }
    }

    fn yaml(&mut self, text: &str) -> Result<(), RbacError> {
        let mut starts = document_starts(text).into_iter();
        let mut bytes = text.as_bytes();
        let documents =
            serde_saphyr::read_with_options::<_, UniqueValue>(&mut bytes, yaml_options());
        for document in documents {
            self.document += 1;
            self.line = starts.next().unwrap_or(self.line);
            let UniqueValue(document) =
                document.map_err(|e| self.syntax(e.without_snippet().to_string()))?;
            self.object(document, "")?;
        }
        Ok(())
    }

    fn syntax(&self, reason: String) -> RbacError {
        RbacError::Syntax { file: self.file.to_owned(), document: self.document, reason }
    }

    /// Adds an object or the items of a list, whose kind may say that of its items.
    fn object(&mut self, mut object: Value, kind_of_items: &str) -> Result<(), RbacError> {
        if object.is_null() {
            return Ok(());
        }
        let text = |field| object.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (api_version, mut kind) = (text("apiVersion"), text("kind"));
        if kind.is_empty() {
            kind_of_items.clone_into(&mut kind);
        }
        let is_group = api_version.starts_with("rbac.authorization.k8s.io/");
        if let Some(kind_of_items) = kind.strip_suffix("List")
            && (api_version == "v1" || is_group)
            && let Some(Value::Array(items)) = object.get_mut("items").map(Value::take)
        {
            for mut item in items {
                // Lists of one kind leave it out of their items.
                if let (false, Some(item)) = (kind_of_items.is_empty(), item.as_object_mut()) {
                    item.entry("apiVersion").or_insert_with(|| api_version.clone().into());
                }
                self.object(item, kind_of_items)?;
            }
            return Ok(());
        }
        if !is_group {
            let (file, document) = (self.file.to_owned(), self.document);
            let other = RbacWarning::OtherKind { file, document, api_version, kind };
            self.objects.warnings.push(other);
            return Ok(());
        }
        if !API_VERSIONS.contains(&api_version.as_str()) {
            let reason = format!("the version is not known; give `{}`", API_VERSIONS[0]);
            return Err(self.refused(&format!("`{api_version}`"), "apiVersion", reason));
        }
        match kind.as_str() {
            "ClusterRole" => self.role(RoleKind::ClusterRole, object),
            "Role" => self.role(RoleKind::Role, object),
            "ClusterRoleBinding" => self.binding(BindingKind::ClusterRoleBinding, object),
            "RoleBinding" => self.binding(BindingKind::RoleBinding, object),
            _ => {
                let reason = format!("`{kind}` is no kind of `{api_version}`");
                Err(self.refused("", "kind", reason))
            }
        }
    }

    fn role(&mut self, kind: RoleKind, object: Value) -> Result<(), RbacError> {
        let named = named(kind.as_str(), &object);
        let wire: RoleWire = self.typed(&named, object)?;
        let meta = self.metadata(&named, wire.metadata)?;
        let aggregates = wire.aggregation_rule.map(|rule| rule.cluster_role_selectors);
        if kind == RoleKind::Role && aggregates.is_some() {
            let reason = "only a ClusterRole aggregates others".to_owned();
            return Err(self.refused(&named, "aggregationRule", reason));
        }
        let namespace = if kind == RoleKind::Role { meta.namespace } else { String::new() };
        let (name, labels, rules) = (meta.name, meta.labels, wire.rules);
        let origin = self.origin();
        self.objects.add_role(Role { kind, namespace, name, labels, rules, aggregates, origin })
    }

    fn binding(&mut self, kind: BindingKind, object: Value) -> Result<(), RbacError> {
        let named = named(kind.as_str(), &object);
        let wire: BindingWire = self.typed(&named, object)?;
        let meta = self.metadata(&named, wire.metadata)?;
        let is_namespaced = kind == BindingKind::RoleBinding;
        let namespace = if is_namespaced { meta.namespace } else { String::new() };
        let Some(role) = wire.role_ref else {
            return Err(self.refused(&named, "roleRef", "give the role".to_owned()));
        };
        let (name, subjects) = (meta.name, wire.subjects);
        let origin = self.origin();
        self.objects.add_binding(Binding { kind, namespace, name, subjects, role, origin })
    }

    fn origin(&self) -> Origin {
        Origin { file: self.file.to_owned(), line: self.line }
    }

    fn typed<T: DeserializeOwned>(&self, object: &str, value: Value) -> Result<T, RbacError> {
        let mut track = serde_path_to_error::Track::new();
        Object::<T>::deserialize(serde_path_to_error::Deserializer::new(value, &mut track))
            .map(|object| object.0)
            .map_err(|e| self.refused(object, &track.path().to_string(), e.to_string()))
    }

    fn metadata(&self, object: &str, metadata: Option<Metadata>) -> Result<Metadata, RbacError> {
        let metadata = metadata.unwrap_or_default();
        if metadata.name.is_empty() {
            return Err(self.refused(object, "metadata.name", "give a name".to_owned()));
        }
        Ok(metadata)
    }

    fn refused(&self, object: &str, path: &str, reason: String) -> RbacError {
        let document = self.document;
        let object = if object.is_empty() {
            format!("document {document}")
        } else {
            format!("document {document}, {object}")
        };
        RbacError::Object { file: self.file.to_owned(), object, path: path.to_owned(), reason }
    }
}

fn named(kind: &str, object: &Value) -> String {
    match object.get("metadata").and_then(|meta| meta.get("name")).and_then(Value::as_str) {
        Some(name) => format!("{kind} `{name}`"),
        None => kind.to_owned(),
    }
}

/// What is asked of an object's metadata; everything else there grants nothing.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    #[serde(deserialize_with = "null_is_default")]
    name: String,
    #[serde(deserialize_with = "null_is_default")]
    namespace: String,
    #[serde(deserialize_with = "null_is_default")]
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RoleWire {
    #[serde(rename = "apiVersion")]
    _api_version: Option<String>,
    #[serde(rename = "kind")]
    _kind: Option<String>,
    #[serde(default, deserialize_with = "object")]
    metadata: Option<Metadata>,
    #[serde(default, deserialize_with = "objects")]
    rules: Vec<PolicyRule>,
    #[serde(default, deserialize_with = "object")]
    aggregation_rule: Option<AggregationRule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AggregationRule {
    #[serde(default, deserialize_with = "objects")]
    cluster_role_selectors: Vec<LabelSelector>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BindingWire {
    #[serde(rename = "apiVersion")]
    _api_version: Option<String>,
    #[serde(rename = "kind")]
    _kind: Option<String>,
    #[serde(default, deserialize_with = "object")]
    metadata: Option<Metadata>,
    #[serde(default, deserialize_with = "objects")]
    subjects: Vec<BindingSubject>,
    #[serde(default, deserialize_with = "object")]
    role_ref: Option<RoleRef>,
}

fn yaml_options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_documents: 1_000_000,
            max_events: 50_000_000,
            max_nodes: 25_000_000,
            max_aliases: 10_000,
            max_anchors: 10_000,
            max_depth: 64,
            flow_nesting_limit: 64,
        },
    }
}

/// Returns the lines, from 1, at which the documents of a YAML stream start.
fn document_starts(text: &str) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut open = true;
    for (number, line) in text.lines().enumerate() {
        let marker = line == "---" || line.starts_with("--- ");
        let blank = line.trim_start().is_empty() || line.trim_start().starts_with('#');
        if marker {
            open = true;
        } else if open && !blank {
            starts.push(number + 1);
            open = false;
        }
    }
    starts
}
