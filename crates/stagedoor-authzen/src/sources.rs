//! Worlds and keys as things that a server reads from files and reloads.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use stagedoor_core::{Engine, count_of};
use stagedoor_server::{
    Admission, Fingerprint, InForce, LoadFailure, OriginHealth, ReloadSource, Reloading, Source,
    SourceStatus, admission,
};

use crate::keys::Keys;
use crate::world::World;

/// Loads worlds. The command and others bring where policies and entities are.
pub trait WorldLoader: Send + Sync + 'static {
    /// Returns what the files look like now.
    fn fingerprint(&self) -> Fingerprint;

    /// Reads policies, entities and the mapping, to be in force after these.
    ///
    /// # Errors
    ///
    /// Why they do not load.
    fn load(&self, in_force: Option<&Engine>) -> Result<LoadedWorld, LoadFailure>;

    /// Returns how the place is that the policies come from, if there is something to say of it.
    fn health(&self) -> Option<OriginHealth> {
        None
    }
}

/// A world that was loaded.
#[derive(Debug)]
pub struct LoadedWorld {
    /// The world.
    pub world: World,
    /// What has a say in whether it comes in force.
    pub admission: Option<Arc<dyn Admission>>,
}

/// The world in force.
pub(crate) type Worlds = Reloading<WorldSource>;

/// Where worlds are loaded from.
pub(crate) struct WorldSource(pub(crate) Box<dyn WorldLoader>);

impl ReloadSource for WorldSource {
    type Value = LoadedWorld;
    type Error = LoadFailure;

    fn fingerprint(&self) -> Fingerprint {
        self.0.fingerprint()
    }

    fn load(&self, in_force: Option<&LoadedWorld>) -> Result<LoadedWorld, LoadFailure> {
        let loaded = self.0.load(in_force.map(|before| before.world.engine()))?;
        // INVARIANT: before it is in force, so that nobody who asks waits for it.
        let index = loaded.world.index_entities();
        let index =
            index.map_err(|e| LoadFailure::new(e.to_string(), "the entities do not load"))?;
        tracing::debug!(
            columns = index.columns,
            bytes = index.bytes,
            left_out = index.left_out,
            "entities are indexed for searches"
        );
        Ok(loaded)
    }

    fn admit(&self, loaded: &mut LoadedWorld) -> Result<(), LoadFailure> {
        admission::admit(loaded.admission.take().as_deref())
    }

    /// Entities and the mapping are not in the revision.
    fn is_same(&self, _: &LoadedWorld, _: &LoadedWorld) -> bool {
        false
    }

    fn replaced(&self, _: Option<&LoadedWorld>, now: &LoadedWorld) {
        for warning in now.world.engine().warnings() {
            let (code, file, line) = (warning.code(), warning.file(), warning.line());
            tracing::warn!(code, file, line, "{}", warning.message());
        }
        for ambiguity in now.world.ambiguities() {
            tracing::warn!("{ambiguity}; until then it is denied");
        }
    }
}

impl Source for WorldSource {
    fn name(&self) -> &'static str {
        "policies"
    }

    fn status(&self, in_force: &InForce<LoadedWorld>) -> SourceStatus {
        let world = &in_force.value.world;
        let (policies, entities) = (world.engine().policies().len(), world.entities().len());
        SourceStatus {
            summary: format!(
                "{} and {}",
                count_of(policies, "policy", "policies"),
                count_of(entities, "entity", "entities")
            ),
            revision: Some(world.engine().revision().to_owned()),
            lost_forbids: 0,
            policies: Some(policies),
            since: in_force.since,
        }
    }

    fn health(&self) -> Option<OriginHealth> {
        self.0.health()
    }
}

/// The keys in force, from a file.
pub(crate) type KeyFile = Reloading<KeySource>;

/// A file of keys.
pub(crate) struct KeySource(pub(crate) PathBuf);

/// The largest file of keys, in bytes.
const KEY_FILE_BYTES: u64 = 1 << 20;

impl ReloadSource for KeySource {
    type Value = Keys;
    type Error = LoadFailure;

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of([self.0.as_path()])
    }

    fn load(&self, _: Option<&Keys>) -> Result<Keys, LoadFailure> {
        let failure = |reason: String| {
            let message = format!("`{}`: {reason}", self.0.display());
            LoadFailure::new(message, "the keys of tokens cannot be used")
        };
        let text = read(&self.0).map_err(|e| failure(e.to_string()))?;
        Keys::from_json(&text).map_err(|e| failure(e.to_string()))
    }

    fn is_same(&self, _: &Keys, _: &Keys) -> bool {
        false
    }

    fn replaced(&self, _: Option<&Keys>, now: &Keys) {
        for skipped in now.skipped() {
            tracing::warn!("a key of tokens is not used: {skipped}");
        }
    }
}

impl Source for KeySource {
    fn name(&self) -> &'static str {
        "keys"
    }

    fn status(&self, in_force: &InForce<Keys>) -> SourceStatus {
        SourceStatus {
            summary: format!("{} keys of tokens", in_force.value.len()),
            revision: None,
            policies: None,
            lost_forbids: 0,
            since: in_force.since,
        }
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;

    let mut text = String::new();
    std::fs::File::open(path)?.take(KEY_FILE_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > KEY_FILE_BYTES {
        return Err(std::io::Error::other(format!("larger than {KEY_FILE_BYTES} bytes")));
    }
    Ok(text)
}
