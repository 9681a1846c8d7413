//! Reads roles and bindings: YAML streams, JSON, lists, what `kubectl get` prints.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::label_selector::LabelSelector;
use super::object::{
    Binding, BindingKind, BindingSubject, ObjectSource, Origin, PolicyRule, Role, RoleKind, RoleRef,
};
use super::objects::{RbacError, RbacObjects};
use super::warning::RbacWarning;
use crate::wire::{Object, UniqueValue, null_is_default, object, objects};

const API_VERSIONS: [&str; 2] =
    ["rbac.authorization.k8s.io/v1", "rbac.authorization.k8s.io/v1beta1"];

/// Why a template is passed over, and what to do.
const TEMPLATE: &str = "it is a template; render it first, as `helm template` does";

/// Reads all roles and bindings of a text into `objects`, which is returned.
///
/// # Errors
///
/// [`RbacError`], which names the object and the field that is wrong.
pub(super) fn text(file: &str, text: &str, objects: RbacObjects) -> Result<RbacObjects, RbacError> {
    let mut reading = Reading { objects, file, document: 0, line: 1 };
    if text.trim_start().starts_with('{') && !text.trim_start().starts_with("{{") {
        reading.json(text)?;
    } else if text.contains("{{") {
        reading.templates(text)?;
    } else {
        reading.yaml(text)?;
    }
    Ok(reading.objects)
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
        let mut read = 0;
        loop {
            // Each line is counted once, however many documents there are.
            let rest = text.get(stream.byte_offset()..).unwrap_or_default();
            let start = text.len() - rest.trim_start().len();
            let lines = text.get(read..start).unwrap_or_default().matches('\n').count();
            read = start;
            let Some(document) = stream.next() else { return Ok(()) };
            self.document += 1;
            self.line += lines;
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

    /// Reads documents one by one, so that one that is a template does not keep others out.
    fn templates(&mut self, text: &str) -> Result<(), RbacError> {
        for (line, document) in documents(text) {
            self.document += 1;
            self.line = line;
            let read: Result<UniqueValue, _> =
                serde_saphyr::from_str_with_options(document, yaml_options());
            match read {
                Ok(UniqueValue(read)) => self.object(read, "")?,
                Err(_) if document.contains("{{") => {
                    self.pass_over("the document".to_owned(), TEMPLATE.to_owned());
                }
                Err(error) => return Err(self.syntax(error.without_snippet().to_string())),
            }
        }
        Ok(())
    }

    fn pass_over(&mut self, object: String, reason: String) {
        let (file, document, line) = (self.file.to_owned(), self.document, self.line);
        self.objects.warn(RbacWarning::PassedOver { file, document, line, object, reason });
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
            self.objects.warn(other);
            return Ok(());
        }
        if !API_VERSIONS.contains(&api_version.as_str()) {
            let reason = format!("the version is not known; give `{}`", API_VERSIONS[0]);
            return Err(self.refused(&format!("`{api_version}`"), "apiVersion", reason));
        }
        if is_template(&object) {
            self.pass_over(format!("the {}", named(&kind, &object)), TEMPLATE.to_owned());
            return Ok(());
        }
        match kind.as_str() {
            "ClusterRole" => self.role(RoleKind::ClusterRole, object),
            "Role" => self.role(RoleKind::Role, object),
            "ClusterRoleBinding" => self.binding(BindingKind::ClusterRoleBinding, object),
            "RoleBinding" => self.binding(BindingKind::RoleBinding, object),
            _ => {
                let reason = format!("`{kind}` is not a kind of `{api_version}`");
                Err(self.refused("", "kind", reason))
            }
        }
    }

    fn role(&mut self, kind: RoleKind, object: Value) -> Result<(), RbacError> {
        let named = named(kind.as_str(), &object);
        let wire: RoleWire = self.typed(&named, object)?;
        let Some(meta) = self.metadata(&named, wire.metadata) else { return Ok(()) };
        let aggregates = wire.aggregation_rule.map(|rule| rule.cluster_role_selectors);
        if kind == RoleKind::Role && aggregates.is_some() {
            let reason = "only a ClusterRole aggregates others".to_owned();
            return Err(self.refused(&named, "aggregationRule", reason));
        }
        let origin = self.origin(&meta);
        let namespace = if kind == RoleKind::Role { meta.namespace } else { String::new() };
        let (name, labels, rules) = (meta.name, meta.labels, wire.rules);
        self.objects.add_role(Role { kind, namespace, name, labels, rules, aggregates, origin })
    }

    fn binding(&mut self, kind: BindingKind, object: Value) -> Result<(), RbacError> {
        let named = named(kind.as_str(), &object);
        let wire: BindingWire = self.typed(&named, object)?;
        let Some(meta) = self.metadata(&named, wire.metadata) else { return Ok(()) };
        let is_namespaced = kind == BindingKind::RoleBinding;
        let origin = self.origin(&meta);
        let namespace = if is_namespaced { meta.namespace } else { String::new() };
        let Some(role) = wire.role_ref else {
            return Err(self.refused(&named, "roleRef", "give the role".to_owned()));
        };
        let (name, subjects) = (meta.name, wire.subjects);
        self.objects.add_binding(Binding { kind, namespace, name, subjects, role, origin })
    }

    fn origin(&self, meta: &Metadata) -> Origin {
        // Only a cluster gives these.
        let is_stored = !meta.uid.is_empty() || !meta.resource_version.is_empty();
        let source = if is_stored { ObjectSource::Cluster } else { ObjectSource::Manifest };
        Origin { file: self.file.to_owned(), line: self.line, source }
    }

    fn typed<T: DeserializeOwned>(&self, object: &str, value: Value) -> Result<T, RbacError> {
        let mut track = serde_path_to_error::Track::new();
        Object::<T>::deserialize(serde_path_to_error::Deserializer::new(value, &mut track))
            .map(|object| object.0)
            .map_err(|e| {
                self.refused(
                    object,
                    &track.path().to_string(),
                    stagedoor_core::plain_reason(&e.to_string()),
                )
            })
    }

    /// Returns the metadata of an object that has a name; others are passed over.
    fn metadata(&mut self, object: &str, metadata: Option<Metadata>) -> Option<Metadata> {
        let metadata = metadata.unwrap_or_default();
        if !metadata.name.is_empty() {
            return Some(metadata);
        }
        let reason = match metadata.generate_name.as_str() {
            "" => "it has no name; give `metadata.name`".to_owned(),
            prefix => format!(
                "`generateName: {prefix}` makes another object each time it is created; give \
                 those that the cluster has, by `metadata.name`"
            ),
        };
        self.pass_over(format!("the {object}"), reason);
        None
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
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    #[serde(deserialize_with = "null_is_default")]
    name: String,
    #[serde(deserialize_with = "null_is_default")]
    namespace: String,
    #[serde(deserialize_with = "null_is_default")]
    labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "null_is_default")]
    generate_name: String,
    #[serde(deserialize_with = "null_is_default")]
    uid: String,
    #[serde(deserialize_with = "null_is_default")]
    resource_version: String,
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

/// Returns the documents of a YAML stream, each with the line, from 1, at which it starts.
///
/// A line of `---` starts one wherever it stands: no text within a document begins so.
fn documents(text: &str) -> Vec<(usize, &str)> {
    let mut documents = Vec::new();
    let (mut start, mut first, mut at) = (0, 1, 0);
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let end = line.trim_end();
        if end == "---" || end.starts_with("--- ") {
            documents.push((first, text.get(start..at).unwrap_or_default()));
            // What follows the marker on its line is of the document.
            (start, first) = (at + 3, number + 1);
        }
        at += line.len();
    }
    documents.push((first, text.get(start..).unwrap_or_default()));
    let is_blank = |document: &str| {
        document.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
    };
    documents.retain(|(_, document)| !is_blank(document));
    documents
}

/// Whether what a role or binding says is still to be filled in. Annotations say nothing.
fn is_template(object: &Value) -> bool {
    fn holds(value: &Value) -> bool {
        match value {
            Value::String(text) => text.contains("{{"),
            Value::Array(items) => items.iter().any(holds),
            Value::Object(fields) => fields.iter().any(|(name, value)| {
                name.contains("{{") || (name != "annotations" && holds(value))
            }),
            _ => false,
        }
    }
    holds(object)
}
