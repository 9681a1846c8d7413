//! Files for [`EngineBuilder`], which takes texts.

use std::path::Path;

use stagedoor_core::{EngineBuilder, Limits};

use crate::file_system::RealFileSystem;
use crate::sources::PolicySources;

/// Adds files to an [`EngineBuilder`], without looking for the platform that they are about.
///
/// # Examples
///
/// ```no_run
/// use stagedoor_core::Engine;
/// use stagedoor_source::FromFiles as _;
///
/// let engine = Engine::builder().directory("policies").build()?;
/// # Ok::<(), stagedoor_core::LoadError>(())
/// ```
pub trait FromFiles: Sized {
    /// Adds a file, read now: `*.cedar`, `*.cedarschema`, `*.cedar.json`,
    /// `*.cedarschema.json` or a bundle. A file of another name is read as policies.
    #[must_use]
    fn file(self, path: impl AsRef<Path>) -> Self;

    /// Adds all policies and schemas in a directory and below it, read now.
    #[must_use]
    fn directory(self, path: impl AsRef<Path>) -> Self {
        self.file(path)
    }
}

impl FromFiles for EngineBuilder {
    fn file(self, path: impl AsRef<Path>) -> Self {
        PolicySources::read(&RealFileSystem, &[path], &Limits::default()).add_to(self)
    }
}
