//! Whether a policy is enforced: `@mode("enforce")`, `@mode("warn")` or `@mode("audit")`.
//!
//! A policy that is not enforced takes no part in decisions: what it would forbid is told to
//! whoever asks, or written down, and what it would permit is not permitted by it.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use stagedoor_core::{Engine, PolicyInfo};

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
#[error("`{0}` is no mode; give `enforce`, `warn` or `audit`")]
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
    /// The policy whose annotation is no mode: it must not be enforced, or not, by mistake.
    pub(crate) fn of(
        engine: &Engine,
        ceilings: &[ModeCeiling],
    ) -> Result<Self, (String, UnknownMode)> {
        let mut modes = HashMap::new();
        for policy in engine.policies() {
            let own = match policy.annotation("mode") {
                Some(word) => word.parse().map_err(|e| (policy.id().to_owned(), e))?,
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

    pub(crate) fn of_policy(&self, policy: PolicyInfo<'_>) -> PolicyMode {
        self.of_id(policy.id())
    }

    pub(crate) fn of_id(&self, id: &str) -> PolicyMode {
        self.0.get(id).copied().unwrap_or_default()
    }
}
