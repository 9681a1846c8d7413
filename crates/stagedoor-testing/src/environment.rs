//! What the requests of one test file are decided by: policies, and the fixtures.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use stagedoor_backstage::{Catalog, Permissions, PolicyEngine};
use stagedoor_core::{Engine, Entities, Limits, RuleEvaluator};
use stagedoor_kubernetes::{Reviewer, enforced_policies};
use stagedoor_source::{
    ManifestUse, PolicySet, PolicySources, RealFileSystem, normalize_lexically,
};

use crate::cedar_files;
use crate::file::{Fixtures, TestFile};
use crate::problem::{Problem, TestError};
use crate::text;

/// A platform whose words a case is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Platform {
    Backstage,
    Kubernetes,
    Admission,
    Cedar,
}

/// The platforms that policies may be about.
const PLATFORMS: [stagedoor_source::Vocabulary; 2] =
    [stagedoor_backstage::VOCABULARY, stagedoor_kubernetes::VOCABULARY];

impl Platform {
    /// Returns the name of the vocabulary that its cases need.
    fn vocabulary(self) -> Option<&'static str> {
        match self {
            Self::Backstage => Some(stagedoor_backstage::VOCABULARY.name),
            Self::Kubernetes | Self::Admission => Some(stagedoor_kubernetes::VOCABULARY.name),
            Self::Cedar => None,
        }
    }
}

/// Policies and fixtures.
pub(crate) struct TestEnvironment {
    pub(crate) policies: Vec<PathBuf>,
    pub(crate) engine: Engine,
    pub(crate) fixtures: Fixtures,
    pub(crate) permissions: Permissions,
    pub(crate) catalog_files: Vec<PathBuf>,
    pub(crate) catalog: Catalog,
    pub(crate) catalog_store: Entities,
    /// What Kubernetes is answered by, or why the schema is none of Kubernetes.
    pub(crate) reviewer: Result<Reviewer, String>,
    /// What cases call policies, where it is not their id.
    pub(crate) names: BTreeMap<String, String>,
    /// Requests that do not conform to the schema are no tests, as for `cedar run-tests`.
    pub(crate) checks_requests: bool,
    /// Kubernetes objects by name.
    pub(crate) objects: BTreeMap<String, Value>,
    pub(crate) entity_files: Vec<PathBuf>,
    pub(crate) entities: Entities,
    /// What Backstage's lists are answered by, or why there is none.
    pub(crate) policy_engine: Result<PolicyEngine, String>,
}

/// Paths, platforms, and whether Cedar decides exactly.
type EngineKey = (Vec<PathBuf>, Vec<Platform>, bool);

/// Engines by the policies they were loaded from: many test files share one.
pub(crate) struct Engines {
    loaded: HashMap<EngineKey, (Engine, Permissions)>,
    /// The permissions of Backstage, read once.
    known: Option<Permissions>,
    rules: Option<Arc<dyn RuleEvaluator>>,
    limits: Limits,
    manifest: ManifestUse,
    /// Engines of which policies may be taken over.
    pub(crate) resembled: Vec<Engine>,
}

impl Engines {
    /// Returns no engines yet, whose policies may be guarded by these rules.
    pub(crate) fn new(
        rules: Option<Arc<dyn RuleEvaluator>>,
        limits: Limits,
        manifest: ManifestUse,
    ) -> Self {
        let (loaded, resembled) = (HashMap::new(), Vec::new());
        Self { loaded, known: None, rules, limits, manifest, resembled }
    }

    /// Returns all engines that were loaded.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Engine> {
        self.loaded.values().map(|(engine, _)| engine)
    }

    fn known_permissions(&mut self) -> Result<Permissions, TestError> {
        if let Some(known) = &self.known {
            return Ok(known.clone());
        }
        Ok(self.known.insert(Permissions::known()?).clone())
    }

    /// Loads policies with the schemas of the platforms that the cases are about, and of those that
    /// the policies themselves name.
    fn load(
        &mut self,
        policies: &[PathBuf],
        platforms: &[Platform],
        exact: bool,
    ) -> Result<(Engine, Permissions), TestError> {
        let key = (policies.to_vec(), platforms.to_vec(), exact);
        if let Some(loaded) = self.loaded.get(&key) {
            return Ok(loaded.clone());
        }
        let sources =
            PolicySources::read_with(&RealFileSystem, policies, &self.limits, self.manifest);
        let mut named: Vec<&str> = platforms.iter().filter_map(|p| p.vocabulary()).collect();
        named.dedup();
        let set = PolicySet::of(sources, &PLATFORMS, &named, &self.limits);
        let mut permissions = self.known_permissions()?;
        let is_about = |vocabulary: &stagedoor_source::Vocabulary| set.is_about(vocabulary.name);
        let about = (
            is_about(&stagedoor_backstage::VOCABULARY),
            !exact && is_about(&stagedoor_kubernetes::VOCABULARY),
        );
        let builder = if exact {
            // A schema of a platform would only be read for entities and requests.
            set.sources().add_to(Engine::builder()).exact_cedar()
        } else if set.is_about(stagedoor_backstage::VOCABULARY.name) {
            permissions = permissions.with_sources(set.sources())?;
            permissions.add_to(set).builder()
        } else {
            set.builder()
        };
        let builder = match &self.rules {
            Some(rules) => builder.rules(Arc::clone(rules)),
            None => builder,
        };
        let builder = self.resembled.iter().fold(builder, |b, engine| b.resembling(engine));
        let engine = builder.build().map_err(|error| TestError::from(&error))?;
        let engine = match about {
            (_, false) => engine,
            (is_about_backstage, true) => enforced(engine, policies, is_about_backstage)?,
        };
        self.loaded.insert(key, (engine.clone(), permissions.clone()));
        Ok((engine, permissions))
    }
}

/// Returns the policies that Kubernetes is answered by.
fn enforced(
    engine: Engine,
    paths: &[PathBuf],
    is_about_backstage: bool,
) -> Result<Engine, TestError> {
    let path = paths.first().map_or(Path::new("."), PathBuf::as_path);
    let enforced = enforced_policies(&engine).map_err(|e| Problem::new(path, e.to_string()))?;
    if is_about_backstage && enforced.policies().len() < engine.policies().len() {
        let message =
            "policies with `@mode` stand beside policies of Backstage, which has no modes";
        let help = "keep the policies of each platform in a directory of their own";
        return Err(Problem::new(path, message).with_help(help).into());
    }
    Ok(enforced)
}

impl TestEnvironment {
    /// Loads what a test file refers to.
    pub(crate) fn load(
        path: &Path,
        file: &mut TestFile,
        platforms: &[Platform],
        engines: &mut Engines,
    ) -> Result<Self, TestError> {
        let directory = path.parent().unwrap_or(Path::new("."));
        let here = |paths: &[PathBuf]| -> Vec<PathBuf> {
            paths.iter().map(|path| shortened(directory.join(path))).collect()
        };
        let policies = if file.policies.is_empty() {
            let own = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
            vec![own.to_owned()]
        } else {
            here(&file.policies)
        };
        let fixtures = std::mem::take(&mut file.fixtures);
        let (catalog_files, entity_files) = (here(&fixtures.catalog), here(&fixtures.entity_files));

        let (engine, permissions) = engines.load(&policies, platforms, file.exact_cedar)?;
        let catalog = catalog(path, &catalog_files, &fixtures)?;
        let catalog_store = Entities::from_entities(catalog.entities())
            .map_err(|e| Problem::new(path, format!("the catalog: {e}")))?;
        let reviewer = match engine.schema() {
            Some(_) => Reviewer::new(engine.clone()).map_err(|e| e.to_string()),
            None => Err("the policies have no schema".to_owned()),
        };
        let entities = entities(path, &entity_files, &fixtures, &engine)?;
        let objects = objects(directory, &fixtures)?;
        let names = match file.named_by_annotation {
            true => cedar_files::names(&engine),
            false => BTreeMap::new(),
        };
        let policy_engine = match platforms.contains(&Platform::Backstage) {
            true => PolicyEngine::new(engine.clone(), permissions.clone())
                .with_groups(catalog.groups())
                .map_err(|e| e.to_string()),
            false => Err("no case is about Backstage".to_owned()),
        };
        Ok(Self {
            policies,
            engine,
            fixtures,
            permissions,
            catalog_files,
            catalog,
            catalog_store,
            reviewer,
            names,
            checks_requests: file.named_by_annotation,
            objects,
            entity_files,
            entities,
            policy_engine,
        })
    }
}

/// Returns a path without `..`, where that leads to the same place.
fn shortened(path: PathBuf) -> PathBuf {
    let short = normalize_lexically(&path);
    let short = if short.as_os_str().is_empty() { PathBuf::from(".") } else { short };
    let same = std::fs::canonicalize(&short).ok().zip(std::fs::canonicalize(&path).ok());
    if same.is_some_and(|(short, own)| short == own) { short } else { path }
}

fn catalog(path: &Path, files: &[PathBuf], fixtures: &Fixtures) -> Result<Catalog, TestError> {
    let mut texts = Vec::with_capacity(files.len() + 1);
    for file in files {
        texts.push((file.display().to_string(), text::read(file)?));
    }
    if !fixtures.catalog_entities.is_empty() {
        let text = serde_json::to_string(&fixtures.catalog_entities)
            .map_err(|e| Problem::new(path, format!("`catalogEntities`: {e}")))?;
        texts.push((format!("{} (catalogEntities)", path.display()), text));
    }
    Ok(Catalog::from_files(texts)?)
}

/// Returns the Kubernetes objects of the fixtures, those of manifests read.
fn objects(directory: &Path, fixtures: &Fixtures) -> Result<BTreeMap<String, Value>, TestError> {
    let object = |(name, object): (&String, &Value)| {
        let Value::String(path) = object else { return Ok((name.clone(), object.clone())) };
        let path = directory.join(path);
        let manifest: Value = serde_saphyr::from_str(&text::read(&path)?)
            .map_err(|e| Problem::new(&path, text::said(&e)))?;
        Ok((name.clone(), manifest))
    };
    fixtures.objects.iter().map(object).collect()
}

fn entities(
    path: &Path,
    files: &[PathBuf],
    fixtures: &Fixtures,
    engine: &Engine,
) -> Result<Entities, TestError> {
    let mut all = Vec::new();
    for file in files {
        let text = text::read(file)?;
        let read: Vec<Value> = serde_json::from_str(&text).map_err(|e| {
            Problem::new(file, stagedoor_core::plain_reason(&e.to_string()))
                .with_help("entities are an array in JSON")
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
