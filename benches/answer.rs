//! What one engine says to one request, in a form that all share.

/// A decision and the ids of the policies that determined it, sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Whether the request is allowed.
    pub allowed: bool,
    /// The determining policies.
    pub reasons: Vec<String>,
}

impl Answer {
    /// Returns an answer with its reasons sorted.
    #[must_use]
    pub fn new(allowed: bool, reasons: impl IntoIterator<Item = String>) -> Self {
        let mut reasons: Vec<String> = reasons.into_iter().collect();
        reasons.sort_unstable();
        Self { allowed, reasons }
    }
}
