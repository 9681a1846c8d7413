//! Policies to review, from paths or from texts.

use std::path::PathBuf;
use std::sync::Arc;

use stagedoor_backstage::{FileError, Permissions};
use stagedoor_core::{Engine, EngineBuilder, LoadError};

use crate::absent_rules::AbsentRules;
use crate::platform::Platform;

/// Where policies are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyFiles {
    /// Files, and directories with all below them.
    Paths(Vec<PathBuf>),
    /// Texts by their names, of a commit say. The ending of a name tells what the text is, as
    /// that of a file does.
    Texts(Vec<(String, String)>),
}

/// Policies that load, and what they are about.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Policies {
    /// The policies.
    pub engine: Engine,
    /// The permissions of Backstage with those that files beside the policies add.
    pub permissions: Permissions,
    /// The platform.
    pub platform: Platform,
}

/// Policies that do not load.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadingError {
    /// Policies or schemas are wrong.
    #[error(transparent)]
    Policies(#[from] LoadError),
    /// Files of permissions are wrong.
    #[error(transparent)]
    Permissions(#[from] FileError),
}

/// The schemas that ship, by what is tried one after the other.
const SHIPPED: [&[(&str, &str)]; 4] = {
    const BACKSTAGE: (&str, &str) =
        ("(shipped) backstage.cedarschema", stagedoor_backstage::SCHEMA);
    const KUBERNETES: (&str, &str) =
        ("(shipped) kubernetes.cedarschema", stagedoor_kubernetes::SCHEMA);
    [&[], &[BACKSTAGE], &[KUBERNETES], &[BACKSTAGE, KUBERNETES]]
};

impl Policies {
    /// Loads policies with their own schema, or else with one that ships.
    ///
    /// Rules that guard policies are not run: a guarded permit is off, a guarded forbid on.
    ///
    /// # Errors
    ///
    /// [`LoadingError`] with everything that is wrong.
    pub fn load(files: &PolicyFiles) -> Result<Self, LoadingError> {
        let permissions = files.permissions()?;
        let mut failed: Option<LoadError> = None;
        for shipped in SHIPPED {
            let mut builder = files.builder().rules(Arc::new(AbsentRules));
            if let Some(fragment) = permissions.schema_fragment() {
                builder = builder.schema("(schema of added permissions)", fragment);
            }
            for (name, text) in shipped {
                builder = builder.schema(*name, *text);
            }
            match builder.build() {
                Ok(engine) => {
                    let platform = engine.schema().map_or(Platform::Cedar, Platform::of);
                    return Ok(Self { engine, permissions, platform });
                }
                Err(error) => {
                    // A schema that does not fit makes every policy wrong: the shortest list
                    // of problems is the one to read.
                    let count = |e: &LoadError| e.problems().len() + e.unreported();
                    let lacks_schema =
                        |e: &LoadError| e.problems().iter().any(|p| p.code() == "schema::missing");
                    let other = !error.problems().iter().any(|p| {
                        p.code().starts_with("schema::") || p.code() == "policy::validate"
                    });
                    if failed.as_ref().is_none_or(|f| lacks_schema(f) || count(&error) < count(f)) {
                        failed = Some(error);
                    }
                    if other {
                        break;
                    }
                }
            }
        }
        Err(failed.map_or_else(|| FileError::default().into(), LoadingError::Policies))
    }
}

impl PolicyFiles {
    fn builder(&self) -> EngineBuilder {
        match self {
            Self::Paths(paths) => paths.iter().fold(Engine::builder(), |builder, path| {
                if path.is_dir() { builder.directory(path) } else { builder.file(path) }
            }),
            Self::Texts(texts) => texts.iter().fold(Engine::builder(), |builder, (name, text)| {
                if name.ends_with(".cedarschema.json") {
                    builder.schema_json(name, text)
                } else if name.ends_with(".cedarschema") {
                    builder.schema(name, text)
                } else if name.ends_with(".cedar.json") {
                    builder.policies_json(name, text)
                } else if name.ends_with(".cedar") {
                    builder.policies(name, text)
                } else {
                    builder
                }
            }),
        }
    }

    fn permissions(&self) -> Result<Permissions, FileError> {
        let known = Permissions::known()?;
        match self {
            Self::Paths(paths) => paths
                .iter()
                .filter(|path| path.is_dir())
                .try_fold(known, |permissions, path| permissions.with_directory(path)),
            Self::Texts(texts) => {
                let is_permissions = |name: &str| {
                    let endings = [".permissions.yaml", ".permissions.yml", ".permissions.json"];
                    endings.iter().any(|ending| name.ends_with(ending))
                };
                let files = texts.iter().filter(|(name, _)| is_permissions(name));
                known.with_files(files.map(|(name, text)| (name, text)))
            }
        }
    }
}
