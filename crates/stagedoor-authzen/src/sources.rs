//! Worlds and keys as things that a server reads from files and reloads.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use stagedoor_core::Engine;
use stagedoor_server::{
    Admission, Commit, Fingerprint, InForce, LoadFailure, OriginHealth, Replaced, Source, admission,
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
pub(crate) struct Worlds {
    loader: Box<dyn WorldLoader>,
    current: Arc<ArcSwapOption<WorldInForce>>,
}

pub(crate) struct WorldInForce {
    pub(crate) world: World,
    since: SystemTime,
}

impl Worlds {
    pub(crate) fn new(loader: Box<dyn WorldLoader>) -> Self {
        Self { loader, current: Arc::default() }
    }

    pub(crate) fn current(&self) -> Option<Arc<WorldInForce>> {
        self.current.load_full()
    }
}

impl Source for Worlds {
    fn name(&self) -> &'static str {
        "policies"
    }

    fn fingerprint(&self) -> Fingerprint {
        self.loader.fingerprint()
    }

    fn load(&self) -> Result<Commit, LoadFailure> {
        let before = self.current();
        let in_force = before.as_ref().map(|before| before.world.engine());
        let LoadedWorld { world, admission } = self.loader.load(in_force)?;
        let current = Arc::clone(&self.current);
        Ok(Box::new(move || {
            admission::admit(admission.as_deref())?;
            for warning in world.engine().warnings() {
                let (code, file, line) = (warning.code(), warning.file(), warning.line());
                tracing::warn!(code, file, line, "{}", warning.message());
            }
            for ambiguity in world.ambiguities() {
                tracing::warn!("{ambiguity}; until then it is denied");
            }
            let loaded = WorldInForce { world, since: SystemTime::now() };
            Ok(Replaced::With(Box::new(current.swap(Some(Arc::new(loaded))))))
        }))
    }

    fn in_force(&self) -> Option<InForce> {
        let loaded = self.current()?;
        let (engine, entities) = (loaded.world.engine(), loaded.world.entities().len());
        let policies = engine.policies().len();
        Some(InForce {
            summary: format!("{policies} policies and {entities} entities"),
            revision: Some(engine.revision().to_owned()),
            lost_forbids: 0,
            policies: Some(policies),
            since: loaded.since,
        })
    }

    fn health(&self) -> Option<OriginHealth> {
        self.loader.health()
    }
}

/// The keys in force, from a file.
pub(crate) struct KeyFile {
    path: PathBuf,
    current: Arc<ArcSwapOption<(Keys, SystemTime)>>,
}

impl KeyFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, current: Arc::default() }
    }

    pub(crate) fn current(&self) -> Option<Arc<(Keys, SystemTime)>> {
        self.current.load_full()
    }
}

/// The largest file of keys, in bytes.
const KEY_FILE_BYTES: u64 = 1 << 20;

impl Source for KeyFile {
    fn name(&self) -> &'static str {
        "keys"
    }

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of([self.path.as_path()])
    }

    fn load(&self) -> Result<Commit, LoadFailure> {
        let failure = |reason: String| {
            let message = format!("`{}`: {reason}", self.path.display());
            LoadFailure::new(message, "the keys of tokens cannot be used")
        };
        let text = read(&self.path).map_err(|e| failure(e.to_string()))?;
        let keys = Keys::from_json(&text).map_err(|e| failure(e.to_string()))?;
        let current = Arc::clone(&self.current);
        Ok(Box::new(move || {
            for skipped in keys.skipped() {
                tracing::warn!("a key of tokens is not used: {skipped}");
            }
            let keys = Arc::new((keys, SystemTime::now()));
            Ok(Replaced::With(Box::new(current.swap(Some(keys)))))
        }))
    }

    fn in_force(&self) -> Option<InForce> {
        let current = self.current()?;
        let (keys, since) = current.as_ref();
        let summary = format!("{} keys of tokens", keys.len());
        Some(InForce { summary, revision: None, policies: None, lost_forbids: 0, since: *since })
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
