//! Memory that compiled code is read into, and that nobody can write any more when it is run.
//!
//! On Linux that is a file in memory which the kernel seals: what is checked is what is mapped, without
//! a copy, and pages of it that a rule never comes to are not even looked at. Elsewhere, and where
//! the system does not let such files be mapped as code, Wasmtime copies the bytes.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write};

use wasmtime::Engine;
use wasmtime::component::Component;

/// Compiled code as it is read.
pub(crate) enum CodeMemory {
    #[cfg(target_os = "linux")]
    Sealable(File),
    Bytes(Vec<u8>),
}

impl CodeMemory {
    /// Returns memory for so many bytes.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        #[cfg(target_os = "linux")]
        if let Ok(file) = sealable_file() {
            return Self::Sealable(file);
        }
        Self::Bytes(Vec::with_capacity(bytes))
    }

    /// Returns the component that was written.
    ///
    /// # Safety
    ///
    /// What was written came from Wasmtime.
    #[expect(unsafe_code, reason = "compiled code is run as it stands")]
    pub(crate) unsafe fn component(self, engine: &Engine) -> Option<Component> {
        let bytes = match self {
            #[cfg(target_os = "linux")]
            Self::Sealable(mut file) => {
                if let Some(path) = sealed(&file) {
                    // SAFETY: the caller's, and nobody can write the file any more.
                    let mapped = unsafe { Component::deserialize_file(engine, path) };
                    if let Ok(component) = mapped {
                        return Some(component);
                    }
                }
                let mut bytes = Vec::new();
                file.rewind().ok()?;
                file.read_to_end(&mut bytes).ok()?;
                bytes
            }
            Self::Bytes(bytes) => bytes,
        };
        // SAFETY: the caller's.
        unsafe { Component::deserialize(engine, bytes) }.ok()
    }
}

impl Write for CodeMemory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Sealable(file) => file.write(bytes),
            Self::Bytes(memory) => memory.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(target_os = "linux")]
fn sealable_file() -> nix::Result<File> {
    use nix::sys::memfd::{MFdFlags, memfd_create};

    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    memfd_create(c"stagedoor-rule", flags).map(File::from)
}

/// Seals a file, and returns the path by which it can be opened.
#[cfg(target_os = "linux")]
fn sealed(file: &File) -> Option<std::path::PathBuf> {
    use nix::fcntl::{FcntlArg, SealFlag, fcntl};
    use std::os::fd::AsRawFd as _;

    fcntl(file, FcntlArg::F_ADD_SEALS(SealFlag::all())).ok()?;
    Some(format!("/proc/self/fd/{}", file.as_raw_fd()).into())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::engine::code_config;

    #[test]
    fn what_is_run_cannot_be_written_any_more() -> Result<(), Box<dyn std::error::Error>> {
        let engine = Engine::new(&code_config(1 << 20))?;
        let text = r#"(component (core module (func (export "f"))))"#;
        let compiled = engine.precompile_component(&wat::parse_str(text)?)?;
        let mut memory = CodeMemory::with_capacity(compiled.len());
        memory.write_all(&compiled)?;
        let CodeMemory::Sealable(file) = &memory else {
            return Err("this system has no files that can be sealed".into());
        };
        let mut other = file.try_clone()?;
        // SAFETY: it was compiled just now.
        #[expect(unsafe_code, reason = "compiled code is run as it stands")]
        let component = unsafe { memory.component(&engine) };
        assert!(component.is_some());
        assert!(other.rewind().is_ok() && other.write(b"x").is_err() && other.set_len(0).is_err());
        // It is mapped as it stands, and what is run lies in it.
        let mapped = std::fs::read_to_string("/proc/self/maps")?;
        let is_code = |line: &str| line.contains("memfd:stagedoor-rule") && line.contains(" r-xp ");
        assert!(mapped.lines().any(is_code), "{mapped}");
        Ok(())
    }
}
