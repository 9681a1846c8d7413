//! The rows under which Backstage's catalog finds an entity.
//!
//! The catalog does not search entities but a table of their leaves
//! (`buildEntitySearch` of `@backstage/plugin-catalog-backend` 4.0.0): path and
//! value in lower case, one row for each item of a list. The rules
//! `HAS_METADATA` and `HAS_SPEC` read the same rows. They are the tags of a
//! `Backstage::CatalogEntity`, so that a policy about them says exactly what a
//! condition in the catalog's database says.
//!
//! Only rows below `metadata.` and `spec.` become tags: no rule reads the others.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use smol_str::SmolStr;
use stagedoor_core::{Record, Value};

use crate::entity_ref::DEFAULT_NAMESPACE;
use crate::yaml::{Content, Node, number_text};

/// Longer keys and values are not indexed; counted as JavaScript counts.
const KEY_LENGTH: usize = 200;
const VALUE_LENGTH: usize = 200;

/// Never rows of their own.
const NOT_INDEXED: [&str; 3] = ["attachments", "relations", "status"];
const SPECIAL: [&str; 4] = ["metadata.name", "metadata.namespace", "metadata.uid", "metadata.etag"];

/// Most bytes that the paths of one entity may have together: a long key above
/// many values is repeated for each.
const PATH_BYTES: usize = 32 << 20;

/// An entity that has no rows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SearchRowsError {
    /// Two fields whose paths differ only in case. The catalog refuses such an entity.
    #[error("`{0}` is given twice, in different case")]
    CaseCollision(String),
    /// The paths are too long.
    #[error("the entity has too many fields, or too long ones")]
    TooLarge,
}

/// Returns the entity's rows as tags: a set of values for each path.
///
/// A row without a value, as `null` and long text have it, is an empty set.
pub(crate) fn search_rows(entity: &Node) -> Result<Record, SearchRowsError> {
    let mut rows = Rows::default();
    if let Content::Map(fields) = &entity.content {
        for (key, value) in fields {
            if !NOT_INDEXED.contains(&key.text.as_str()) {
                rows.visit(&key.text, value)?;
            }
        }
    }
    let metadata = entity.get("metadata");
    let string = |field: &str| metadata.and_then(|m| m.get(field)).and_then(Node::as_str);
    rows.add("metadata.name", string("name"))?;
    rows.add("metadata.namespace", string("namespace"))?;
    rows.add("metadata.uid", string("uid"))?;
    if string("namespace").is_none_or(str::is_empty) {
        rows.add("metadata.namespace", Some(DEFAULT_NAMESPACE))?;
    }
    let set = |values: BTreeSet<SmolStr>| values.into_iter().collect::<Value>();
    Ok(rows.tags.into_iter().map(|(path, values)| (path, set(values))).collect())
}

#[derive(Default)]
struct Rows {
    tags: BTreeMap<SmolStr, BTreeSet<SmolStr>>,
    /// Every path as it was written, by its lower-case form.
    paths: HashMap<String, String>,
    /// Lower-case paths of list items, each of which counts once however written.
    item_paths: HashSet<String>,
    /// How many bytes of paths were built.
    path_bytes: usize,
}

impl Rows {
    fn visit(&mut self, path: &str, value: &Node) -> Result<(), SearchRowsError> {
        if SPECIAL.contains(&path) {
            return Ok(());
        }
        match &value.content {
            Content::Null => self.add(path, None),
            Content::Bool(value) => self.add(path, Some(if *value { "true" } else { "false" })),
            Content::Number(value) => self.add(path, Some(&number_text(*value))),
            Content::String(text) => self.add(path, Some(text)),
            Content::Map(fields) => fields.iter().try_for_each(|(key, value)| {
                let path = self.path(path, &key.text)?;
                self.visit(&path, value)
            }),
            Content::List(items) => items.iter().try_for_each(|item| {
                self.visit(path, item)?;
                let Some(text) = item.as_str() else {
                    return Ok(());
                };
                // `metadata.tags.java` asks for one of several tags.
                let path = self.path(path, text)?;
                match self.item_paths.insert(path.to_lowercase()) {
                    true => self.add(&path, Some("true")),
                    false => Ok(()),
                }
            }),
        }
    }

    fn path(&mut self, above: &str, key: &str) -> Result<String, SearchRowsError> {
        self.path_bytes += above.len() + 1 + key.len();
        match self.path_bytes <= PATH_BYTES {
            true => Ok(format!("{above}.{key}")),
            false => Err(SearchRowsError::TooLarge),
        }
    }

    fn add(&mut self, path: &str, value: Option<&str>) -> Result<(), SearchRowsError> {
        let key = path.to_lowercase();
        match self.paths.get(&key) {
            Some(known) if known != path => return Err(SearchRowsError::CaseCollision(key)),
            Some(_) => {}
            None => {
                self.paths.insert(key.clone(), path.to_owned());
            }
        }
        let known_to_a_rule = key.starts_with("metadata.") || key.starts_with("spec.");
        if !known_to_a_rule || longer_than(&key, KEY_LENGTH) {
            return Ok(());
        }
        let values = self.tags.entry(key.into()).or_default();
        if let Some(value) = value.map(str::to_lowercase).filter(|v| !longer_than(v, VALUE_LENGTH))
        {
            values.insert(value.into());
        }
        Ok(())
    }
}

/// Returns whether `text` has more than `limit` UTF-16 units.
fn longer_than(text: &str, limit: usize) -> bool {
    text.len() > limit && text.encode_utf16().nth(limit).is_some()
}
