//! One entity of the catalog, as people write it.

use smol_str::SmolStr;
use stagedoor_core::{Entity, Record, Value};

use crate::entity_ref::{DEFAULT_NAMESPACE, EntityRef};
use crate::file_error::Report;
use crate::names;
use crate::relations::Relations;
use crate::search_rows::search_rows;
use crate::yaml::{Content, Node};

/// What an entity may have at its root; the last three only in what the
/// catalog's API returns.
const ROOT_FIELDS: [&str; 7] =
    ["apiVersion", "kind", "metadata", "spec", "relations", "status", "attachments"];

/// Kinds by which the catalog knows what to do. It compares them by case.
pub(crate) const KNOWN_KINDS: [&str; 10] = [
    "AiResource",
    "API",
    "Component",
    "Domain",
    "Group",
    "Location",
    "Resource",
    "System",
    "Template",
    "User",
];

/// Longest label or annotation that becomes an attribute, in bytes.
const TEXT_BYTES: usize = 64 << 10;

/// An entity that the catalog would accept.
#[derive(Debug, Clone)]
pub(crate) struct CatalogEntity {
    pub(crate) reference: EntityRef,
    pub(crate) relations: Relations,
    pub(crate) rows: Record,
    pub(crate) labels: Record,
    pub(crate) annotations: Record,
}

impl CatalogEntity {
    /// Reads an entity; reports what is wrong with it.
    pub(crate) fn read(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let Content::Map(fields) = &node.content else {
            let message = format!("an entity must be a mapping, not {}", node.noun());
            report.problem(node.place, message, "start with `apiVersion`, `kind`, `metadata`");
            return None;
        };
        for (key, _) in fields.iter().filter(|(k, _)| !ROOT_FIELDS.contains(&k.text.as_str())) {
            let message = format!("the catalog refuses entities with a field `{}`", key.text);
            report.problem(key.place, message, "custom fields belong below `spec`");
        }
        required(node, "apiVersion", report);
        let kind = required(node, "kind", report).and_then(|n| checked_kind(n, report));
        let Some(metadata) = node.get("metadata") else {
            report.problem(node.place, "`metadata` is missing", "every entity needs a name");
            return None;
        };
        let name = required(metadata, "name", report).and_then(|n| checked_name(n, report));
        let namespace = match metadata.get("namespace") {
            Some(namespace) => checked_namespace(namespace, report),
            None => Some(DEFAULT_NAMESPACE),
        };
        let labels = texts(metadata, "labels", report);
        let annotations = texts(metadata, "annotations", report);
        let rows = match search_rows(node) {
            Ok(rows) => Some(rows),
            Err(error) => {
                let help = "the catalog refuses or drops such an entity";
                report.problem(node.place, error.to_string(), help);
                None
            }
        };
        let (kind, name, namespace) = (kind?, name?, namespace?);
        let relations = Relations::read(node, kind, namespace, report);
        Some(Self {
            // None of the three is empty.
            reference: EntityRef::new(kind, namespace, name).ok()?,
            relations: relations?,
            rows: rows?,
            labels: labels?,
            annotations: annotations?,
        })
    }

    /// Returns the entity in Cedar's words: itself, then its labels and
    /// annotations if it has any.
    pub(crate) fn to_entities(&self) -> Vec<Entity> {
        let id = self.reference.to_string();
        let owners = self.relations.owned_by.iter().map(ToString::to_string);
        let owner_groups = self.relations.owned_by.iter().filter(|o| o.kind() != "user");
        let mut entity = Entity::new(names::catalog_entity(&self.reference))
            .with_attribute("kind", self.reference.kind())
            .with_attribute("namespace", self.reference.namespace())
            .with_attribute("name", self.reference.name())
            .with_attribute("owners", owners.collect::<Value>())
            .with_attribute("ownerGroups", owner_groups.map(names::group).collect::<Value>())
            .with_attribute("labels", names::labels(&id))
            .with_attribute("annotations", names::annotations(&id));
        entity.tags = self.rows.clone();
        let mut entities = vec![entity];
        for (uid, texts) in
            [(names::labels(&id), &self.labels), (names::annotations(&id), &self.annotations)]
        {
            // An entity that is not there has no tags either.
            if !texts.is_empty() {
                let mut entity = Entity::new(uid);
                entity.tags = texts.clone();
                entities.push(entity);
            }
        }
        entities
    }
}

fn required<'a>(parent: &'a Node, field: &str, report: &mut Report<'_>) -> Option<&'a Node> {
    let message = match parent.get(field) {
        Some(node) => match node.as_str() {
            Some("") => format!("`{field}` is empty"),
            Some(_) => return Some(node),
            None => format!("`{field}` must be a string, not {}", node.noun()),
        },
        None => format!("`{field}` is missing"),
    };
    let place = parent.get(field).unwrap_or(parent).place;
    report.problem(place, message, "every entity needs `apiVersion`, `kind` and `metadata.name`");
    None
}

fn checked_kind<'a>(node: &'a Node, report: &mut Report<'_>) -> Option<&'a str> {
    let kind = node.as_str()?;
    let meant = KNOWN_KINDS.iter().find(|k| k.eq_ignore_ascii_case(kind));
    if let Some(meant) = meant.filter(|meant| **meant != kind) {
        let help = format!("write `{meant}`: the catalog tells upper and lower case apart");
        report.problem(node.place, format!("`{kind}` is not a kind of the catalog"), &help);
        return None;
    }
    let valid = kind.len() <= 63
        && kind.starts_with(|c: char| c.is_ascii_alphabetic())
        && kind.bytes().all(|b| b.is_ascii_alphanumeric());
    valid_or(valid, kind, node, "a kind is at most 63 letters and digits", report)
}

fn checked_name<'a>(node: &'a Node, report: &mut Report<'_>) -> Option<&'a str> {
    let name = node.as_str()?;
    let end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let valid = name.len() <= 63
        && end(name.chars().next())
        && end(name.chars().next_back())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    let help = "a name is at most 63 letters and digits, with `-`, `_` or `.` between them";
    valid_or(valid, name, node, help, report)
}

fn checked_namespace<'a>(node: &'a Node, report: &mut Report<'_>) -> Option<&'a str> {
    let help = "a namespace is at most 63 lower-case letters and digits, with `-` between them";
    let Some(namespace) = node.as_str() else {
        let message = format!("`namespace` must be a string, not {}", node.noun());
        report.problem(node.place, message, help);
        return None;
    };
    let valid = namespace.len() <= 63
        && !namespace.starts_with('-')
        && !namespace.ends_with('-')
        && !namespace.is_empty()
        && namespace.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    valid_or(valid, namespace, node, help, report)
}

fn valid_or<'a>(
    valid: bool,
    text: &'a str,
    node: &Node,
    help: &str,
    report: &mut Report<'_>,
) -> Option<&'a str> {
    if !valid {
        report.problem(node.place, format!("`{text}` is not one the catalog accepts"), help);
    }
    valid.then_some(text)
}

/// Returns labels or annotations in lower case, which is how the catalog
/// compares both their keys and their values.
fn texts(metadata: &Node, field: &str, report: &mut Report<'_>) -> Option<Record> {
    let mut record = Record::new();
    let Some(node) = metadata.get(field) else {
        return Some(record);
    };
    let fields = match &node.content {
        Content::Map(fields) => fields,
        Content::Null => return Some(record),
        _ => {
            let message = format!("`{field}` must be a mapping, not {}", node.noun());
            report.problem(node.place, message, "");
            return None;
        }
    };
    let mut complete = true;
    for (key, value) in fields {
        let mut refuse = |message: String, help: &str| {
            report.problem(value.place, message, help);
            complete = false;
        };
        match value.as_str() {
            Some(text) if text.len() <= TEXT_BYTES => {
                let key = SmolStr::from(key.text.to_lowercase());
                record.insert(key, text.to_lowercase().into());
            }
            Some(text) => {
                let (given, key) = (text.len(), &key.text);
                let message = format!("`{key}` has {given} bytes; the limit is {TEXT_BYTES}");
                refuse(message, "keep long text out of the catalog");
            }
            None => {
                let (key, noun) = (&key.text, value.noun());
                let message = format!("`{key}` must be a string, not {noun}");
                refuse(message, "the catalog drops such an entity: put the value in quotes");
            }
        }
    }
    complete.then_some(record)
}
