//! Where a server has its policies from: files, or a replica of what is published.

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use stagedoor_core::{Engine, Limits, Problem};

use crate::file_system::RealFileSystem;
use crate::fingerprint::Fingerprint;
use crate::manifest::ManifestUse;
use crate::sources::PolicySources;

/// Where the policies of a server come from.
pub trait PolicyOrigin: Debug + Send + Sync {
    /// Returns what there is to load now: two that are equal say that nothing has changed.
    fn fingerprint(&self) -> Fingerprint;

    /// Returns the policies that are to be loaded.
    ///
    /// # Errors
    ///
    /// [`NothingToLoad`] if there are none yet, and it is worth to ask again.
    fn read(&self, limits: &Limits) -> Result<OriginSet, NothingToLoad>;

    /// Returns how the origin is, if there is something to say of it.
    fn health(&self) -> Option<OriginHealth> {
        None
    }
}

/// Policies that are to be loaded.
#[derive(Debug)]
pub struct OriginSet {
    /// The texts.
    pub sources: PolicySources,
    /// What has a say in whether they come in force.
    pub admission: Option<Arc<dyn Admission>>,
}

impl OriginSet {
    /// Returns whether somebody says that the set is what it is meant to be: by manifests, or by
    /// having published it.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.admission.is_some() || self.sources.is_pinned()
    }
}

/// Nothing was published yet, or it cannot be reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NothingToLoad(pub String);

/// What has a say in whether a set that loads comes in force.
pub trait Admission: Debug + Send + Sync {
    /// Checks a set that was loaded. May take its time.
    ///
    /// # Errors
    ///
    /// Why it is not to be in force.
    fn check(&self, loaded: &Engine, in_force: Option<&Engine>) -> Result<(), String>;

    /// Admits a set that was checked: it is in force when this returns.
    ///
    /// # Errors
    ///
    /// Why it cannot be in force.
    fn admit(&self) -> Result<(), String>;

    /// Says that the set does not load, or was refused.
    fn refuse(&self, refusal: &SetRefusal<'_>);
}

/// Why a set is not in force.
#[derive(Debug, Clone, Copy)]
pub struct SetRefusal<'a> {
    /// What everybody may know.
    pub reason: &'a str,
    /// The same for those who may read the policies.
    pub details: &'a str,
    /// What is wrong with policies and schemas, if that is the reason. As the details are.
    pub problems: &'a [Problem],
}

impl<'a> SetRefusal<'a> {
    /// Returns a reason that everybody may know, and of which there is no more to say.
    #[must_use]
    pub const fn public(reason: &'a str) -> Self {
        Self { reason, details: reason, problems: &[] }
    }
}

/// How an origin is.
#[derive(Debug, Clone, PartialEq)]
pub struct OriginHealth {
    /// Whether whoever decides by it should be asked at all.
    pub is_ready: bool,
    /// What people are told.
    pub lines: Vec<HealthLine>,
    /// What programs are told.
    pub details: Value,
    /// What is measured.
    pub gauges: Vec<Gauge>,
}

/// One number that is measured of an origin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gauge {
    /// Its name in metrics: `stagedoor_release`.
    pub name: &'static str,
    /// What it is.
    pub help: &'static str,
    /// The number now.
    pub value: f64,
}

/// One thing that is told of an origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthLine {
    /// How it is.
    pub level: HealthLevel,
    /// What is.
    pub text: String,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthLevel {
    /// As it should be.
    Good,
    /// Not as it should be, and decisions are made all the same.
    Notable,
    /// So that it should not be asked.
    Bad,
}

/// Files and directories as an origin.
#[derive(Debug, Clone)]
pub struct PathOrigin {
    paths: Vec<PathBuf>,
    manifest: ManifestUse,
}

impl PathOrigin {
    /// Returns files and directories, which are held to their manifests as it is said here.
    #[must_use]
    pub fn new(paths: impl IntoIterator<Item = impl Into<PathBuf>>, manifest: ManifestUse) -> Self {
        Self { paths: paths.into_iter().map(Into::into).collect(), manifest }
    }
}

impl PolicyOrigin for PathOrigin {
    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of_policies(&RealFileSystem, &self.paths)
    }

    fn read(&self, limits: &Limits) -> Result<OriginSet, NothingToLoad> {
        let sources = PolicySources::read_with(&RealFileSystem, &self.paths, limits, self.manifest);
        Ok(OriginSet { sources, admission: None })
    }
}
