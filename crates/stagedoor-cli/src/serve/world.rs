//! Policies, entities and a mapping in files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use stagedoor_authzen::{LoadedWorld, Mapping, World, WorldError, WorldLoader};
use stagedoor_core::{Engine, Entities, Entity, Limits, Problem, Severity};
use stagedoor_server::{Fingerprint, LoadFailure, OriginHealth, YieldingRules, admission};
use stagedoor_source::{
    FileKind, Listing, OriginSet, PolicyOrigin, PolicySet, PolicySources, RealFileSystem,
};
use stagedoor_webhook::RuleSource as _;

use crate::failure::Failure;
use crate::platform::PLATFORMS;
use crate::rules::RuleFiles;

/// Where a world is read from.
pub(crate) struct WorldFiles {
    pub(crate) policies: Arc<dyn PolicyOrigin>,
    pub(crate) rules: RuleFiles,
    pub(crate) limits: Limits,
    pub(crate) entities: Vec<PathBuf>,
    pub(crate) mapping: Option<PathBuf>,
}

impl WorldFiles {
    fn engine(&self, sources: PolicySources) -> Result<Engine, LoadFailure> {
        let rules = self.rules.load();
        let rules =
            rules.map_err(|e| LoadFailure::new(e, "the rules that guard policies do not load"))?;
        let builder = PolicySet::of(sources, &PLATFORMS, &[], &self.limits).builder();
        let builder = rules
            .into_iter()
            .fold(builder, |builder, rules| builder.rules(Arc::new(YieldingRules::new(rules))));
        Ok(builder.build()?)
    }
}

impl WorldLoader for WorldFiles {
    fn fingerprint(&self) -> Fingerprint {
        let mut files = self.rules.files();
        files.extend(entity_files(&self.entities).0);
        files.extend(self.mapping.clone());
        self.policies
            .fingerprint()
            .and(Fingerprint::of(files.iter().map(PathBuf::as_path)))
            .and(Fingerprint::default().with_version(self.rules.version()))
    }

    fn load(&self, in_force: Option<&Engine>) -> Result<LoadedWorld, LoadFailure> {
        let OriginSet { sources, admission } = self.policies.read(&self.limits)?;
        let world = self.world(sources);
        let world = admission::check(admission.as_deref(), world, World::engine, in_force)?;
        Ok(LoadedWorld { world, admission })
    }

    fn health(&self) -> Option<OriginHealth> {
        self.policies.health()
    }
}

impl WorldFiles {
    fn world(&self, sources: PolicySources) -> Result<World, LoadFailure> {
        let engine = self.engine(sources)?;
        let entities = entities(&self.entities, &engine)?;
        let failure = |message: String| LoadFailure::new(message, "the mapping does not load");
        let mapping = match &self.mapping {
            None => Mapping::default(),
            Some(path) => {
                let text = read(path).map_err(&failure)?;
                Mapping::from_yaml(&text).map_err(|e| failure(named(path, e)))?
            }
        };
        World::new(engine, entities, &mapping).map_err(|error| match error {
            WorldError::Entities(_) => entities_failure(error.to_string()),
            error => failure(error.to_string()),
        })
    }
}

/// Reads the entities of all files together.
pub(crate) fn entities(paths: &[PathBuf], engine: &Engine) -> Result<Entities, LoadFailure> {
    let limits = Limits::default();
    let mut all: Vec<Entity> = Vec::new();
    let (files, problem) = entity_files(paths);
    if let Some(problem) = problem {
        // Entities that are left out may be members of groups that a forbid names.
        let place = problem.file().unwrap_or_default();
        return Err(entities_failure(format!("`{place}`: {}", problem.message())));
    }
    for path in files {
        let text = read(&path).map_err(entities_failure)?;
        let read = Entities::from_json_within(&text, engine.schema(), &limits)
            .map_err(|e| entities_failure(named(&path, e)))?;
        // The schema's actions are in each of them.
        all.extend(read.iter().filter(|entity| !is_action(entity)).cloned());
    }
    Entities::within(all, &limits).map_err(|e| entities_failure(e.to_string()))
}

fn is_action(entity: &Entity) -> bool {
    entity.uid.type_name().basename() == "Action"
}

fn entities_failure(message: String) -> LoadFailure {
    LoadFailure::new(message, "the entities do not load")
}

/// Returns the files of entities: those that are named, and in directories all `*.json` that are
/// neither policies nor schemas; and what keeps a directory from being read as a whole.
fn entity_files(paths: &[PathBuf]) -> (Vec<PathBuf>, Option<Problem>) {
    let mut files = Vec::new();
    let mut problems = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let listing = Listing::matching(&RealFileSystem, path, |name| {
            name.ends_with(".json") && !FileKind::of(name).is_of_set()
        });
        files.extend(listing.files.into_iter().map(|file| file.path));
        problems.extend(listing.problems);
    }
    let is_error = |problem: &Problem| problem.severity() == Severity::Error;
    (files, problems.into_iter().find(is_error))
}

fn read(path: &Path) -> Result<String, String> {
    let limit = Limits::default().file_bytes;
    crate::input::Input::default().text(path, limit).map_err(|failure: Failure| failure.to_string())
}

fn named(path: &Path, error: impl std::fmt::Display) -> String {
    format!("`{}`: {error}", path.display())
}
