//! The platforms whose schemas ship with the command.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use stagedoor_backstage::Permissions;
use stagedoor_core::{Engine, EngineBuilder, Limits};

use crate::engine::with_policies;
use crate::failure::Failure;
use crate::input::{Input, is_stdin};

/// A platform with a vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Platform {
    /// Permissions of Backstage.
    Backstage,
    /// Requests to Kubernetes.
    Kubernetes,
}

impl Platform {
    /// Returns a builder with policies and the platform's schema: the one beside the
    /// policies, or else the one that ships.
    pub(crate) fn builder(
        self,
        policies: &[PathBuf],
        input: &mut Input,
    ) -> Result<EngineBuilder, Failure> {
        let mut builder = with_policies(Engine::builder(), policies, input)?;
        if !self.is_declared(policies) {
            let (name, text) = self.schema();
            builder = builder.schema(name, text);
        }
        if self == Self::Backstage
            && let Some(fragment) = permissions(policies)?.schema_fragment()
        {
            builder = builder.schema("(schema of added permissions)", fragment);
        }
        Ok(builder)
    }

    fn schema(self) -> (&'static str, &'static str) {
        match self {
            Self::Backstage => ("(shipped) backstage.cedarschema", stagedoor_backstage::SCHEMA),
            Self::Kubernetes => ("(shipped) kubernetes.cedarschema", stagedoor_kubernetes::SCHEMA),
        }
    }

    /// Returns namespace and name of a type by which the platform's schema is known.
    fn mark(self) -> (&'static str, &'static str) {
        match self {
            Self::Backstage => ("Backstage", "CatalogEntity"),
            Self::Kubernetes => ("k8s", "NonResourceURL"),
        }
    }

    /// Returns whether a schema among the policies is the platform's own, not just an
    /// addition to it. What cannot be read is left for the engine to report.
    fn is_declared(self, policies: &[PathBuf]) -> bool {
        let (namespace, entity_type) = self.mark();
        schemas(policies).iter().any(|path| {
            let read = Input::default().text(path, Limits::default().file_bytes);
            let text = read.unwrap_or_default();
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
}

/// Returns the permissions of Backstage with those that files beside the policies add.
pub(crate) fn permissions(policies: &[PathBuf]) -> Result<Permissions, Failure> {
    let mut permissions = Permissions::known()?;
    for directory in policies.iter().filter(|path| path.is_dir()) {
        permissions = permissions.with_directory(directory)?;
    }
    Ok(permissions)
}

/// Returns the schema files that the engine finds at these paths.
fn schemas(paths: &[PathBuf]) -> Vec<PathBuf> {
    let is_schema = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".cedarschema") || name.ends_with(".cedarschema.json")
    };
    let mut found = Vec::new();
    let mut open = Vec::new();
    for path in paths.iter().filter(|path| !is_stdin(path)) {
        if path.is_dir() {
            open.push(path.clone());
        } else if is_schema(path) {
            found.push(path.clone());
        }
    }
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            if entry.file_type().is_ok_and(|of_type| of_type.is_dir()) {
                open.push(path);
            } else if is_schema(&path) {
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
    fn the_shipped_schemas_declare_their_marks() {
        for platform in [Platform::Backstage, Platform::Kubernetes] {
            assert!(declares(platform.schema().1, platform.mark().1), "{platform:?}");
        }
    }

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
