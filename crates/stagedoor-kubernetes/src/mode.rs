//! Whether a policy is enforced: `@mode("enforce")`, `@mode("warn")` or `@mode("audit")`.
//!
//! A policy that is not enforced takes no part in decisions: what it would forbid is told to
//! whoever asks, or written down, and what it would permit is not permitted by it.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use stagedoor_core::Engine;

use crate::vocabulary::VocabularyError;

/// How much a policy counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum PolicyMode {
    /// What it would forbid is written down.
    Audit,
    /// What it would forbid is told to who asks, and written down.
    Warn,
    /// It decides.
    #[default]
    Enforce,
}

impl PolicyMode {
    /// Returns the word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::Warn => "warn",
            Self::Enforce => "enforce",
        }
    }
}

impl fmt::Display for PolicyMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that is no mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a mode; give `enforce`, `warn` or `audit`")]
pub struct UnknownMode(String);

impl FromStr for PolicyMode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, UnknownMode> {
        match text {
            "audit" => Ok(Self::Audit),
            "warn" => Ok(Self::Warn),
            "enforce" => Ok(Self::Enforce),
            other => Err(UnknownMode(other.chars().take(64).collect())),
        }
    }
}

/// The most that the policies of a directory count, whatever they say themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModeCeiling {
    /// The directory or file, as the policies were loaded from it.
    pub path: PathBuf,
    /// The most that they count.
    pub mode: PolicyMode,
}

impl ModeCeiling {
    /// Returns a ceiling for what is below a path.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, mode: PolicyMode) -> Self {
        Self { path: path.into(), mode }
    }
}

/// The policies that are not enforced, by id.
#[derive(Debug, Clone, Default)]
pub(crate) struct Modes(HashMap<String, PolicyMode>);

impl Modes {
    /// Returns the modes of an engine's policies.
    ///
    /// # Errors
    ///
    /// [`VocabularyError::UnknownMode`] for a policy whose annotation is no mode: it must not be
    /// enforced, or not, by mistake.
    pub(crate) fn of(engine: &Engine, ceilings: &[ModeCeiling]) -> Result<Self, VocabularyError> {
        let mut modes = HashMap::new();
        for policy in engine.policies() {
            let own = match policy.annotation("mode") {
                Some(word) => word.parse().map_err(|reason| VocabularyError::UnknownMode {
                    policy: policy.id().to_owned(),
                    reason,
                })?,
                None => PolicyMode::Enforce,
            };
            let file = Path::new(policy.file());
            let above = ceilings.iter().filter(|ceiling| file.starts_with(&ceiling.path));
            let mode = above.map(|ceiling| ceiling.mode).fold(own, PolicyMode::min);
            if mode != PolicyMode::Enforce {
                modes.insert(policy.id().to_owned(), mode);
            }
        }
        Ok(Self(modes))
    }

    pub(crate) fn of_id(&self, id: &str) -> PolicyMode {
        self.0.get(id).copied().unwrap_or_default()
    }

    /// Returns the policies that decide.
    pub(crate) fn enforced(&self, engine: &Engine) -> Engine {
        engine.restricted_to(|policy| self.of_id(policy.id()) == PolicyMode::Enforce)
    }

    /// Returns the policies that do not decide, if there are any.
    pub(crate) fn watched(&self, engine: &Engine) -> Option<Engine> {
        let is_watched = |id: &str| self.of_id(id) != PolicyMode::Enforce;
        (!self.0.is_empty()).then(|| engine.restricted_to(|policy| is_watched(policy.id())))
    }
}

/// Returns the policies of an engine that decide: all but those whose `@mode` says otherwise.
///
/// Whatever asks what policies mean asks these: what is compared, listed, proved or tested is
/// what [`Reviewer`](crate::Reviewer) answers.
///
/// # Examples
///
/// ```
/// use stagedoor_core::Engine;
/// use stagedoor_kubernetes::{SCHEMA, enforced_policies};
///
/// let engine = Engine::builder()
///     .schema("kubernetes.cedarschema", SCHEMA)
///     .policies("p.cedar", r#"
///         @id("p") permit (principal, action, resource);
///         @id("tried") @mode("warn") forbid (principal, action, resource);"#)
///     .build()?;
/// let enforced = enforced_policies(&engine)?;
/// assert_eq!(enforced.policies().map(|policy| policy.id()).collect::<Vec<_>>(), ["p"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`VocabularyError::UnknownMode`] for a policy whose `@mode` is none.
pub fn enforced_policies(engine: &Engine) -> Result<Engine, VocabularyError> {
    Ok(Modes::of(engine, &[])?.enforced(engine))
}
