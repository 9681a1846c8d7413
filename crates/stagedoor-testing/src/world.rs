//! What the requests of one test file are decided by: policies, and the fixtures.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use stagedoor_backstage::{Catalog, Permissions};
use stagedoor_core::{Engine, EngineBuilder, Entities, LoadError};
use stagedoor_kubernetes::Vocabulary;

use crate::file::{Fixtures, TestFile};
use crate::problem::{Problem, TestError};
use crate::read;

/// A platform whose words a case is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Platform {
    Backstage,
    Kubernetes,
    Cedar,
}

/// Policies and fixtures.
pub(crate) struct World {
    pub(crate) policies: Vec<PathBuf>,
    pub(crate) engine: Engine,
    pub(crate) fixtures: Fixtures,
    pub(crate) permissions: Permissions,
    pub(crate) catalog_files: Vec<PathBuf>,
    pub(crate) catalog: Catalog,
    pub(crate) catalog_store: Entities,
    /// The verbs that the schema declares, or why it is no schema of Kubernetes.
    pub(crate) vocabulary: Result<Vocabulary, String>,
    pub(crate) entity_files: Vec<PathBuf>,
    pub(crate) entities: Entities,
}

/// Engines by the policies they were loaded from: many test files share one.
#[derive(Default)]
pub(crate) struct Engines(HashMap<(Vec<PathBuf>, Vec<Platform>), Engine>);

impl Engines {
    /// Returns all engines that were loaded.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Engine> {
        self.0.values()
    }

    fn load(
        &mut self,
        policies: &[PathBuf],
        platforms: &[Platform],
        permissions: &Permissions,
    ) -> Result<Engine, TestError> {
        let key = (policies.to_vec(), platforms.to_vec());
        if let Some(engine) = self.0.get(&key) {
            return Ok(engine.clone());
        }
        let builder = || with_additions(with_policies(policies), platforms, permissions);
        let engine = builder().build().or_else(|own| {
            // A schema of one's own stands for the shipped one; an addition goes with it.
            if !speaks_of_schema(&own) {
                return Err(own);
            }
            with_shipped(builder(), platforms).build().map_err(|shipped| {
                let missing = own.problems().iter().any(|p| p.code() == "schema::missing");
                if missing { shipped } else { own }
            })
        });
        let engine = engine.map_err(|error| TestError::from(&error))?;
        self.0.insert(key, engine.clone());
        Ok(engine)
    }
}

fn with_policies(paths: &[PathBuf]) -> EngineBuilder {
    paths.iter().fold(Engine::builder(), |builder, path| {
        if path.is_dir() { builder.directory(path) } else { builder.file(path) }
    })
}

fn with_additions(
    builder: EngineBuilder,
    platforms: &[Platform],
    permissions: &Permissions,
) -> EngineBuilder {
    match permissions.schema_fragment() {
        Some(fragment) if platforms.contains(&Platform::Backstage) => {
            builder.schema("(schema of added permissions)", fragment)
        }
        _ => builder,
    }
}

fn with_shipped(mut builder: EngineBuilder, platforms: &[Platform]) -> EngineBuilder {
    for platform in platforms {
        builder = match platform {
            Platform::Backstage => {
                builder.schema("(shipped) backstage.cedarschema", stagedoor_backstage::SCHEMA)
            }
            Platform::Kubernetes => {
                builder.schema("(shipped) kubernetes.cedarschema", stagedoor_kubernetes::SCHEMA)
            }
            Platform::Cedar => builder,
        };
    }
    builder
}

fn speaks_of_schema(error: &LoadError) -> bool {
    error.problems().iter().any(|problem| problem.code().starts_with("schema::"))
}

impl World {
    /// Loads what a test file refers to.
    pub(crate) fn load(
        path: &Path,
        file: &mut TestFile,
        platforms: &[Platform],
        engines: &mut Engines,
    ) -> Result<Self, TestError> {
        let directory = path.parent().unwrap_or(Path::new("."));
        let here = |paths: &[PathBuf]| -> Vec<PathBuf> {
            paths.iter().map(|path| directory.join(path)).collect()
        };
        let policies = if file.policies.is_empty() {
            let own = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
            vec![own.to_owned()]
        } else {
            here(&file.policies)
        };
        let fixtures = std::mem::take(&mut file.fixtures);
        let (catalog_files, entity_files) = (here(&fixtures.catalog), here(&fixtures.entity_files));

        let mut permissions = Permissions::known()?;
        for directory in policies.iter().filter(|path| path.is_dir()) {
            permissions = permissions.with_directory(directory)?;
        }
        let engine = engines.load(&policies, platforms, &permissions)?;
        let catalog = catalog(path, &catalog_files, &fixtures)?;
        let catalog_store = Entities::from_entities(catalog.entities())
            .map_err(|e| Problem::new(path, format!("the catalog: {e}")))?;
        let vocabulary = match engine.schema() {
            Some(schema) => Vocabulary::of(schema).map_err(|e| e.to_string()),
            None => Err("the policies have no schema".to_owned()),
        };
        let entities = entities(path, &entity_files, &fixtures, &engine)?;
        Ok(Self {
            policies,
            engine,
            fixtures,
            permissions,
            catalog_files,
            catalog,
            catalog_store,
            vocabulary,
            entity_files,
            entities,
        })
    }
}

fn catalog(path: &Path, files: &[PathBuf], fixtures: &Fixtures) -> Result<Catalog, TestError> {
    let mut texts = Vec::with_capacity(files.len() + 1);
    for file in files {
        texts.push((file.display().to_string(), read::text(file)?));
    }
    if !fixtures.catalog_entities.is_empty() {
        let text = serde_json::to_string(&fixtures.catalog_entities)
            .map_err(|e| Problem::new(path, format!("`catalogEntities`: {e}")))?;
        texts.push((format!("{} (catalogEntities)", path.display()), text));
    }
    Ok(Catalog::from_files(texts)?)
}

fn entities(
    path: &Path,
    files: &[PathBuf],
    fixtures: &Fixtures,
    engine: &Engine,
) -> Result<Entities, TestError> {
    let mut all = Vec::new();
    for file in files {
        let text = read::text(file)?;
        let read: Vec<Value> = serde_json::from_str(&text).map_err(|e| {
            Problem::new(file, e.to_string()).with_help("entities are an array in JSON")
        })?;
        all.extend(read);
    }
    all.extend(fixtures.entities.iter().cloned());
    parse_entities(&all, engine).map_err(|message| Problem::new(path, message).into())
}

/// Reads entities in Cedar's JSON form.
pub(crate) fn parse_entities(entities: &[Value], engine: &Engine) -> Result<Entities, String> {
    let json = serde_json::to_string(entities).map_err(|e| e.to_string())?;
    Entities::from_json_str(&json, engine.schema()).map_err(|e| format!("the entities: {e}"))
}
