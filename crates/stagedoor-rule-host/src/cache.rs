//! Compiled rules on disk.
//!
//! Compiled code is run as it stands, so whoever can write it can do whatever this process
//! can. Hence: the directory and the key must be this user's own and closed to others, each
//! entry is sealed with the key (`seal.rs`), and that is checked on the bytes that are then loaded.
//! What does not pass is compiled again and replaced. An entry says what was found out about the rule as well, so that it is neither
//! validated nor asked to describe itself again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use blake3::{Hasher, KEY_LEN};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::code_memory::CodeMemory;
use crate::contract::VERSIONS;
use crate::inspect::INSPECTION;
use crate::seal::Seal;

/// No compiled rule is larger.
const ENTRY_BYTES: u64 = 256 << 20;

/// Failure to use a directory for compiled rules.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// It cannot be read or written.
    #[error("the cache `{0}` cannot be used")]
    Io(String, #[source] io::Error),
    /// Others may write it, or read its key.
    #[error("the cache `{path}` cannot be trusted: {reason}")]
    Untrusted {
        /// The directory or the key.
        path: String,
        /// Why.
        reason: &'static str,
    },
}

pub(crate) struct Cache {
    directory: PathBuf,
    seal: Seal,
    /// What an entry depends on beside the rule.
    engine: String,
}

impl Cache {
    pub(crate) fn open(directory: &Path, engine: &Engine) -> Result<Self, CacheError> {
        let failed = |e| CacheError::Io(directory.display().to_string(), e);
        create_private(directory).map_err(failed)?;
        let owner = probe(directory).map_err(failed)?;
        trust(directory, owner.as_ref(), 0o022, "others may write it")?;
        let key_file = directory.join("key");
        let key = read_key(&key_file, owner.as_ref())?;
        Ok(Self {
            directory: directory.to_owned(),
            seal: Seal::new(key),
            engine: fingerprint(engine),
        })
    }

    /// Returns what is known of a rule, and its compiled form, if there is an entry of it that
    /// can be trusted.
    pub(crate) fn get<K: DeserializeOwned>(
        &self,
        rule: &[u8],
        engine: &Engine,
    ) -> Option<(K, Component)> {
        let name = self.name(rule);
        let (known, compiled) = read(&self.seal, &self.directory, &name)?;
        // SAFETY: these bytes were written by `put`, which had them from Wasmtime: nobody
        // else has the key. Wasmtime checks that they are of its version and settings.
        #[expect(unsafe_code, reason = "compiled code is trusted by its authentication code")]
        let component = unsafe { compiled.component(engine) };
        Some((known, component?))
    }

    /// Keeps what is known of a rule, and its compiled form. Nothing is lost if that fails but
    /// time.
    pub(crate) fn put(&self, rule: &[u8], known: &impl Serialize, compiled: &[u8]) {
        let name = self.name(rule);
        let Some(head) = self.seal.head(&name, known, compiled) else { return };
        // Others look for a name that is whole: it appears at once, with everything in it.
        let _ = write_whole(&self.directory, &name, &[&head, compiled]);
    }

    fn name(&self, rule: &[u8]) -> String {
        format!("{}-{}.cwasm", blake3::hash(rule).to_hex(), self.engine)
    }
}

/// Writes a file under another name first: under its own it is whole or not there.
pub(crate) fn write_whole(directory: &Path, name: &str, parts: &[&[u8]]) -> io::Result<()> {
    let unfinished = directory.join(unique("entry"));
    let write = || -> io::Result<()> {
        let mut file = create_new(&unfinished)?;
        parts.iter().try_for_each(|part| file.write_all(part))?;
        fs::rename(&unfinished, directory.join(name))
    };
    write().inspect_err(|_| {
        // It may never have been there.
        let _ = fs::remove_file(&unfinished);
    })
}

/// Reads an entry: what is known of a rule, and its compiled code.
pub(crate) fn read<K: DeserializeOwned>(
    seal: &Seal,
    directory: &Path,
    name: &str,
) -> Option<(K, CodeMemory)> {
    let file = File::open(directory.join(name)).ok()?;
    let length = file.metadata().ok()?.len().min(ENTRY_BYTES);
    let memory = CodeMemory::with_capacity(usize::try_from(length).ok()?);
    seal.open(name, file.take(ENTRY_BYTES), memory).ok()?
}

/// Returns the hash of everything that an entry depends on beside its rule: this version,
/// which has checked it, the contract, Wasmtime, its settings and the processor.
fn fingerprint(engine: &Engine) -> String {
    /// Hashes what is written, so that the hash is the same in every build.
    struct HashWriter(Hasher);
    impl std::hash::Hasher for HashWriter {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            0
        }
    }
    let mut hasher = HashWriter(Hasher::new());
    std::hash::Hash::hash(&(env!("CARGO_PKG_VERSION"), VERSIONS, INSPECTION), &mut hasher);
    std::hash::Hash::hash(&engine.precompile_compatibility_hash(), &mut hasher);
    hex(hasher.0.finalize().as_bytes().iter().take(8))
}

pub(crate) fn hex<'b>(bytes: impl IntoIterator<Item = &'b u8>) -> String {
    bytes.into_iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A name that nothing has.
fn unique(what: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!(".{what}.{}.{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

fn read_key(path: &Path, owner: Option<&u32>) -> Result<[u8; KEY_LEN], CacheError> {
    let failed = |e| CacheError::Io(path.display().to_string(), e);
    match make_key(path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(failed(e)),
        _ => {}
    }
    trust(path, owner, 0o077, "others may read or write it")?;
    let mut key = Vec::new();
    File::open(path).map_err(failed)?.take(64).read_to_end(&mut key).map_err(failed)?;
    key.try_into().map_err(|_| CacheError::Untrusted {
        path: path.display().to_string(),
        reason: "the key file is corrupt; delete it",
    })
}

/// Writes a key, at once and whole, unless there is one.
fn make_key(path: &Path) -> io::Result<()> {
    if path.symlink_metadata().is_ok() {
        return Ok(());
    }
    let mut key = [0; KEY_LEN];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    let unfinished = path.with_file_name(unique("key"));
    create_new(&unfinished)?.write_all(&key)?;
    // Unlike renaming, linking does not replace the key that another process made meanwhile.
    let linked = fs::hard_link(&unfinished, path);
    fs::remove_file(&unfinished)?;
    linked
}

#[cfg(unix)]
fn create_private(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

#[cfg(unix)]
fn create_new(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Returns who this process writes as.
#[cfg(unix)]
fn probe(directory: &Path) -> io::Result<Option<u32>> {
    use std::os::unix::fs::MetadataExt as _;
    let path = directory.join(unique("probe"));
    let owner = create_new(&path)?.metadata()?.uid();
    fs::remove_file(&path)?;
    Ok(Some(owner))
}

#[cfg(unix)]
fn trust(
    path: &Path,
    owner: Option<&u32>,
    closed: u32,
    reason: &'static str,
) -> Result<(), CacheError> {
    use std::os::unix::fs::MetadataExt as _;
    let untrusted = |reason| CacheError::Untrusted { path: path.display().to_string(), reason };
    let meta =
        path.symlink_metadata().map_err(|e| CacheError::Io(path.display().to_string(), e))?;
    if meta.is_symlink() {
        return Err(untrusted("it is a symbolic link"));
    }
    if owner.is_some_and(|owner| meta.uid() != *owner) {
        return Err(untrusted("it belongs to somebody else"));
    }
    if meta.mode() & closed != 0 {
        return Err(untrusted(reason));
    }
    Ok(())
}

#[cfg(not(unix))]
fn create_private(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)
}

#[cfg(not(unix))]
fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

#[cfg(not(unix))]
fn probe(_: &Path) -> io::Result<Option<u32>> {
    Ok(None)
}

/// A user's own directories are closed to others there.
#[cfg(not(unix))]
fn trust(_: &Path, _: Option<&u32>, _: u32, _: &'static str) -> Result<(), CacheError> {
    Ok(())
}
