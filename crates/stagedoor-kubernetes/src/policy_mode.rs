//! `@mode`: how much a policy counts.

use std::fmt;
use std::str::FromStr;

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
