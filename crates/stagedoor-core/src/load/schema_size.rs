//! How large a schema becomes when its common types are written out.
//!
//! Cedar writes every use of a common type out, so that a few lines of types, each of
//! which uses the one before twice, would take for ever.

use serde_json::Value;

use crate::hash::FastMap;

/// Returns the size of a schema, in parts of types, given its fragments in JSON.
pub(super) fn of(fragments: &[Value]) -> usize {
    let mut sizes = Sizes::default();
    for (namespace, definition) in fragments.iter().filter_map(Value::as_object).flatten() {
        let types = definition.get("commonTypes").and_then(Value::as_object);
        for (name, type_) in types.into_iter().flatten() {
            sizes.types.insert(qualified(namespace, name), (namespace, type_));
        }
    }
    let mut total = 0_usize;
    for (namespace, definition) in fragments.iter().filter_map(Value::as_object).flatten() {
        total = total.saturating_add(sizes.size(namespace, definition, 0));
    }
    total
}

/// Common types that use common types, so deep and no deeper.
const DEPTH: usize = 500;

#[derive(Default)]
struct Sizes<'a> {
    types: FastMap<String, (&'a str, &'a Value)>,
    known: FastMap<String, usize>,
}

impl<'a> Sizes<'a> {
    fn size(&mut self, namespace: &str, json: &'a Value, depth: usize) -> usize {
        let mut total = 0_usize;
        let mut open = vec![json];
        while let Some(json) = open.pop() {
            total = total.saturating_add(1);
            match json {
                Value::Object(fields) => open.extend(fields.values()),
                Value::Array(items) => open.extend(items),
                // A string that names a common type is taken for a use of it.
                Value::String(name) => {
                    total = total.saturating_add(self.named(namespace, name, depth));
                }
                _ => {}
            }
        }
        total
    }

    fn named(&mut self, namespace: &str, name: &str, depth: usize) -> usize {
        let inner = qualified(namespace, name);
        let key = if self.types.contains_key(&inner) { inner } else { name.to_owned() };
        let Some((namespace, type_)) = self.types.get(&key).copied() else { return 0 };
        if let Some(size) = self.known.get(&key) {
            return *size;
        }
        if depth == DEPTH {
            return usize::MAX;
        }
        // Cedar refuses a type that uses itself; here it has no size.
        self.known.insert(key.clone(), 0);
        let size = self.size(namespace, type_, depth + 1);
        self.known.insert(key, size);
        size
    }
}

fn qualified(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.to_owned() } else { format!("{namespace}::{name}") }
}
