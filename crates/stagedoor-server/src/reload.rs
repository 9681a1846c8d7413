//! What a server decides by: read from files, and read again when they change.
//!
//! What is in force and what failed is kept by [`Reloading`]; what does not load changes nothing.

use std::any::Any;
use std::sync::Arc;
use std::time::SystemTime;

use stagedoor_core::LoadError;
use stagedoor_source::{
    Fingerprint, InForce, NothingToLoad, OriginHealth, Reload, ReloadFailure, ReloadSource,
    Reloading,
};

/// Something that a server reads from files: policies, entities, keys or certificates.
pub trait Source: ReloadSource<Error = LoadFailure> {
    /// Returns the name in metrics and logs: `policies`.
    fn name(&self) -> &'static str;

    /// Says what is in force.
    fn status(&self, in_force: &InForce<Self::Value>) -> SourceStatus;

    /// Returns how the place is that it comes from, if there is something to say of it.
    fn health(&self) -> Option<OriginHealth> {
        None
    }
}

/// What is in force, as health and logs tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceStatus {
    /// How much there is, in words: `12 policies`.
    pub summary: String,
    /// The revision, if it has one.
    pub revision: Option<String>,
    /// Policies, if it has any.
    pub policies: Option<usize>,
    /// How many forbids reloads have lost, until they are back or a manifest pins the set.
    pub lost_forbids: usize,
    /// Since when.
    pub since: SystemTime,
}

/// Why the files as they are now are not in force.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct LoadFailure {
    /// The reason. It may quote what is in the files.
    pub message: String,
    /// The reason for those who may not read the files.
    pub public: String,
    /// The problems of policies and schemas, if they are the reason.
    pub problems: Option<LoadError>,
    /// Whether there is nothing to load yet, so that a server that begins waits for it.
    pub is_pending: bool,
}

impl LoadFailure {
    /// Returns a failure of which everybody may know `public`.
    #[must_use]
    pub fn new(message: impl Into<String>, public: impl Into<String>) -> Self {
        let (message, public) = (message.into(), public.into());
        Self { message, public, problems: None, is_pending: false }
    }

    /// Says that a server that begins waits until it loads, instead of ending.
    #[must_use]
    pub fn pending(self) -> Self {
        Self { is_pending: true, ..self }
    }
}

impl From<LoadError> for LoadFailure {
    fn from(error: LoadError) -> Self {
        let message = error.to_string();
        Self {
            message,
            public: "policies or schemas have problems".to_owned(),
            problems: Some(error),
            is_pending: false,
        }
    }
}

impl From<NothingToLoad> for LoadFailure {
    fn from(nothing: NothingToLoad) -> Self {
        Self::new(nothing.to_string(), "there is nothing to load yet").pending()
    }
}

/// A [`Reloading`] source, whatever it loads.
pub trait Reloadable: Send + Sync + 'static {
    /// As [`Source::name`].
    fn name(&self) -> &'static str;

    /// As [`ReloadSource::fingerprint`].
    fn fingerprint(&self) -> Fingerprint;

    /// As [`Reloading::is_read`].
    fn is_read(&self, now: &Fingerprint) -> bool;

    /// As [`Reloading::reload`].
    ///
    /// # Errors
    ///
    /// As there.
    fn reload(&self) -> Result<ReloadOutcome, LoadFailure>;

    /// As [`Reloading::failure`].
    fn failure(&self) -> Option<Arc<ReloadFailure<LoadFailure>>>;

    /// As [`Source::status`], if anything was loaded.
    fn status(&self) -> Option<SourceStatus>;

    /// As [`Source::health`].
    fn health(&self) -> Option<OriginHealth>;
}

/// What a reload came to.
#[derive(Debug)]
pub enum ReloadOutcome {
    /// Something else is in force, in place of this. It is dropped later, when requests have let
    /// go of it: freeing a large policy set would hold up the request that was its last user.
    Replaced(Option<Box<dyn Any + Send>>),
    /// The files say what is in force already.
    Same,
    /// The files changed while they were read: nothing was done.
    Unsettled,
}

impl<S> Reloadable for Reloading<S>
where
    S: Source + Send + Sync + 'static,
    S::Value: Send + Sync + 'static,
{
    fn name(&self) -> &'static str {
        self.source().name()
    }

    fn fingerprint(&self) -> Fingerprint {
        self.fingerprint()
    }

    fn is_read(&self, now: &Fingerprint) -> bool {
        self.is_read(now)
    }

    fn reload(&self) -> Result<ReloadOutcome, LoadFailure> {
        Ok(match self.reload()? {
            Reload::Replaced { before, .. } => ReloadOutcome::Replaced(
                before.map(|before| Box::new(before) as Box<dyn Any + Send>),
            ),
            Reload::Same => ReloadOutcome::Same,
            Reload::Unsettled => ReloadOutcome::Unsettled,
        })
    }

    fn failure(&self) -> Option<Arc<ReloadFailure<LoadFailure>>> {
        self.failure()
    }

    fn status(&self) -> Option<SourceStatus> {
        self.current().map(|now| self.source().status(&now))
    }

    fn health(&self) -> Option<OriginHealth> {
        self.source().health()
    }
}
