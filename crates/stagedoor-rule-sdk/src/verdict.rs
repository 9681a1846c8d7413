//! What a rule answers.

use alloc::string::String;

/// A rule's answer: whether the policy counts, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdict {
    /// Whether the policy counts.
    pub holds: bool,
    /// Why, for whoever reads the decision.
    pub reason: Option<String>,
}

impl Verdict {
    /// The policy counts.
    #[must_use]
    pub const fn yes() -> Self {
        Self { holds: true, reason: None }
    }

    /// The policy does not count, for this reason.
    #[must_use]
    pub fn no(reason: impl Into<String>) -> Self {
        Self { holds: false, reason: Some(reason.into()) }
    }

    /// Gives the reason.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }
}
