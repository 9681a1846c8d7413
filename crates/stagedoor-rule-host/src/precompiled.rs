//! Rules that were compiled before, in a directory that is trusted as the program itself is: for
//! images that are read-only, and for programs that start no other.
//!
//! Nobody but root and this user may write it, which is looked at when it is opened and again for
//! each entry. An entry is named after the component and says what it is of, so that the code
//! of another rule, or of one that has changed, is not taken for this one's.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::cache::{CacheError, hex, read, write_whole};
use crate::contract::VERSIONS;
use crate::inspect::INSPECTION;
use crate::seal::Seal;

pub(crate) struct PrecompiledRule {
    directory: PathBuf,
}

impl PrecompiledRule {
    /// # Errors
    ///
    /// [`CacheError`] unless nobody else may write it.
    pub(crate) fn open(directory: &Path) -> Result<Self, CacheError> {
        trust(directory)?;
        Ok(Self { directory: directory.to_owned() })
    }

    /// Returns what is known of a rule, and its compiled form, if there is an entry of it that
    /// fits this engine.
    pub(crate) fn get<K: DeserializeOwned>(
        &self,
        rule: &[u8],
        engine: &Engine,
    ) -> Option<(K, Component)> {
        let name = name(rule);
        let path = self.directory.join(&name);
        trust(&self.directory).ok()?;
        trust(&path).ok()?;
        let (known, compiled) = read(&Seal::against_damage(), &self.directory, &name)?;
        // SAFETY: who could write these bytes could write this program as well (`trust`). Wasmtime
        // checks that they are of its version and settings, and of this processor.
        #[expect(unsafe_code, reason = "compiled code is trusted as this program is")]
        let component = unsafe { compiled.component(engine) };
        Some((known, component?))
    }
}

/// Writes an entry to a directory, and returns its name.
pub(crate) fn write(
    directory: &Path,
    rule: &[u8],
    known: &impl Serialize,
    compiled: &[u8],
) -> io::Result<String> {
    let name = name(rule);
    let head = Seal::against_damage().head(&name, known, compiled);
    let head = head.ok_or_else(|| io::Error::other("what is known of the rule is too long"))?;
    write_whole(directory, &name, &[&head, compiled])?;
    readable(&directory.join(&name))?;
    Ok(name)
}

/// Compiled code tells itself which engine and processor it is for.
fn name(rule: &[u8]) -> String {
    let version = (env!("CARGO_PKG_VERSION"), VERSIONS, INSPECTION);
    let version = blake3::hash(format!("{version:?}").as_bytes());
    let version = hex(version.as_bytes().iter().take(4));
    format!("{}-{version}.precompiled", blake3::hash(rule).to_hex())
}

/// An image is built by one user and run by another.
#[cfg(unix)]
fn readable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn trust(path: &Path) -> Result<(), CacheError> {
    use std::os::unix::fs::MetadataExt as _;
    let name = || path.display().to_string();
    let untrusted = |reason| CacheError::Untrusted { path: name(), reason };
    let meta = path.symlink_metadata().map_err(|e| CacheError::Io(name(), e))?;
    if meta.is_symlink() {
        return Err(untrusted("it is a symbolic link"));
    }
    let user = nix::unistd::geteuid().as_raw();
    if meta.uid() != 0 && meta.uid() != user {
        return Err(untrusted("it belongs to somebody else"));
    }
    if meta.mode() & 0o022 != 0 {
        return Err(untrusted("others may write it"));
    }
    Ok(())
}

#[cfg(not(unix))]
fn trust(path: &Path) -> Result<(), CacheError> {
    path.metadata().map(|_| ()).map_err(|e| CacheError::Io(path.display().to_string(), e))
}
