//! Where policies come from.
//!
//! A policy set is a directory, some files, texts, a [bundle](Bundle) or a [git
//! revision](GitTree). Each is read into [`PolicySources`] by one walk, with one table of
//! [kinds of files](FileKind), and [`PolicySet`] chooses the platform's schemas by what the
//! policies and schemas say. So the same set has the same policies and the same
//! [revision](stagedoor_core::Engine::revision) everywhere.
//!
//! | to | use |
//! |---|---|
//! | load files and directories | [`PolicySources::read`] with a [`RealFileSystem`] |
//! | load texts | [`PolicySources::from_texts`] |
//! | find out the platform | [`PolicySet::all`], or [`PolicySet::of`] if it is known |
//! | build the engine | [`PolicySet::builder`] |
//! | ship a set as one file | [`Bundle`] |
//! | pin a set | [`Manifest`] |
//! | decide by what comes from elsewhere | [`PolicyOrigin`] |
//! | see that files change, and take them up | [`Fingerprint`], [`Reloading`] |
//! | walk a listing that another program made | a [`MemoryFileSystem`] of it |
//!
//! Platforms hand in what they know as data ([`Vocabulary`]); this crate knows none of them.
//!
//! # Examples
//!
//! ```
//! use stagedoor_source::{MemoryFileSystem, PolicySet, PolicySources};
//! use stagedoor_core::Limits;
//!
//! let files = MemoryFileSystem::default()
//!     .with_file("policies/app.cedarschema", "entity User; action view appliesTo { principal: User, resource: User };")
//!     .with_file("policies/app.cedar", "permit(principal, action, resource);")
//!     .with_file("policies/node_modules/x/all.cedar", "forbid(principal, action, resource);");
//! let sources = PolicySources::read(&files, &["policies"], &Limits::default());
//! let sets = PolicySet::all(sources, &[]);
//! let engine = sets.first().ok_or("there is always one")?.builder().build()?;
//! assert_eq!(engine.policies().len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bundle;
mod changes;
mod extension;
mod file_system;
mod fingerprint;
mod git;
mod kind;
mod limits_file;
mod lookalike;
mod manifest;
mod memory;
mod normalize;
mod origin;
mod platform;
mod reload;
mod source_file;
mod sources;
mod split;
mod unique_map;
mod vocabulary;
mod walk;

pub use bundle::Bundle;
pub use changes::PolicyChanges;
pub use extension::FromFiles;
pub use file_system::{DirectoryEntry, EntryKind, FileMetadata, FileSystem, RealFileSystem, Stamp};
pub use fingerprint::Fingerprint;
pub use git::{GitError, GitTree};
pub use kind::{FileKind, MANIFEST_NAME};
pub use limits_file::{limits_from_json, limits_from_numbers};
pub use manifest::{Manifest, ManifestUse};
pub use memory::MemoryFileSystem;
pub use normalize::normalize_lexically;
pub use origin::{
    Admission, Gauge, HealthLevel, HealthLine, NothingToLoad, OriginHealth, OriginSet, PathOrigin,
    PolicyOrigin, SetRefusal,
};
pub use platform::PolicySet;
pub use reload::{InForce, Reload, ReloadFailure, ReloadSource, Reloading};
pub use source_file::SourceFile;
pub use sources::PolicySources;
pub use vocabulary::{ShippedSchema, Vocabulary};
pub use walk::{ListedFile, Listing, is_ignored};
