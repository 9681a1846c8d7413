//! Whether the schemas among some files declare a type, without loading them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::limits::Limits;

/// Returns whether a schema among `paths` (files, and directories with all below them)
/// declares this entity type: whether it is a platform's own schema, not just an addition.
///
/// What cannot be read is passed over; loading reports it.
#[must_use]
pub fn declares_entity_type(paths: &[PathBuf], namespace: &str, entity_type: &str) -> bool {
    let limit = u64::try_from(Limits::default().file_bytes).unwrap_or(u64::MAX);
    schemas(paths).iter().any(|path| {
        let is_small = std::fs::metadata(path).is_ok_and(|meta| meta.len() <= limit);
        let Some(text) = is_small.then(|| std::fs::read_to_string(path).ok()).flatten() else {
            return false;
        };
        if path.extension().is_some_and(|ending| ending == "json") {
            serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|json| {
                let types = json.get(namespace).and_then(|n| n.get("entityTypes"));
                types.is_some_and(|types| types.get(entity_type).is_some())
            })
        } else {
            declares(&text, entity_type)
        }
    })
}

/// Returns whether what has this name in a directory of policies is no part of it: hidden files and
/// directories, and Node's packages.
#[must_use]
pub fn is_passed_over(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".") || name == "node_modules"
}

/// Returns the schema files that the engine finds at these paths.
fn schemas(paths: &[PathBuf]) -> Vec<PathBuf> {
    let is_schema = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".cedarschema") || name.ends_with(".cedarschema.json")
    };
    let mut found = Vec::new();
    let mut open = Vec::new();
    for path in paths {
        if path.is_dir() {
            open.push(path.clone());
        } else if is_schema(path) && path.is_file() {
            found.push(path.clone());
        }
    }
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if is_passed_over(&entry.file_name()) {
                continue;
            }
            if entry.file_type().is_ok_and(|of_type| of_type.is_dir()) {
                open.push(path);
            } else if is_schema(&path) && path.is_file() {
                found.push(path);
            }
        }
    }
    found
}

/// Returns whether a schema in Cedar's syntax declares an entity type of this name.
///
/// Looks at words alone: parsing waits for the engine, which bounds its depth.
fn declares(schema: &str, entity_type: &str) -> bool {
    let mut in_declaration = false;
    for line in schema.lines() {
        let code = line.split("//").next().unwrap_or_default();
        for word in code.split_inclusive(|c: char| !c.is_alphanumeric() && c != '_') {
            let name = word.trim_end_matches(|c: char| !c.is_alphanumeric() && c != '_');
            match name {
                "entity" => in_declaration = true,
                // `entity A, B in [C] {`: the names end at the first other word or sign.
                "" => {}
                _ if in_declaration && name == entity_type => return true,
                _ => {}
            }
            let end = word.chars().last();
            in_declaration &= matches!(end, Some(',' | ' ' | '\t')) || word == name;
            in_declaration &= name != "in";
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_declarations_count() {
        for own in
            ["entity T;", "entity A,\n  T in [B];", "@doc(\"x\") entity T = {a: A};", "entity\nT;"]
        {
            assert!(declares(own, "T"), "{own}");
        }
        for other in ["// entity T;", "entity A in [T];", "entity A {t: T};", "entity Type;"] {
            assert!(!declares(other, "T"), "{other}");
        }
    }
}
