//! The platforms whose schemas ship with the command.

use std::path::PathBuf;

use clap::ValueEnum;
use stagedoor_backstage::Permissions;
use stagedoor_core::{Engine, EngineBuilder, declares_entity_type};

use crate::engine::with_policies;
use crate::failure::Failure;
use crate::input::Input;
use crate::rules::RulesArgs;

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
        rules: &RulesArgs,
        input: &mut Input,
    ) -> Result<EngineBuilder, Failure> {
        let mut builder = with_policies(Engine::builder(), policies, rules, input)?;
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

    /// Returns whether a schema among the policies is the platform's own.
    fn is_declared(self, policies: &[PathBuf]) -> bool {
        let (namespace, entity_type) = self.mark();
        declares_entity_type(policies, namespace, entity_type)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_schemas_declare_their_marks() -> std::io::Result<()> {
        for platform in [Platform::Backstage, Platform::Kubernetes] {
            let directory = tempfile::tempdir()?;
            let path = directory.path().join("shipped.cedarschema");
            std::fs::write(&path, platform.schema().1)?;
            assert!(platform.is_declared(&[path]), "{platform:?}");
        }
        Ok(())
    }
}
