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

    /// Returns whether this is the same decision with one of `whole`'s reasons, if there are any.
    #[must_use]
    pub fn is_part_of(&self, whole: &Self) -> bool {
        self.allowed == whole.allowed
            && self.reasons.len() == whole.reasons.len().min(1)
            && self.reasons.iter().all(|reason| whole.reasons.contains(reason))
    }
}
