//! The verbs of impersonation: one family, of which policies name the one action `impersonate`.
//!
//! Kubernetes asks about impersonation by the verb `impersonate`, and since 1.36
//! ([KEP-5284](https://github.com/kubernetes/enhancements/issues/5284)) first by
//! `impersonate-on:MODE:VERB` about the request itself and by `impersonate:MODE` about whom one
//! wants to be; only where these are refused it asks by the old verb. A policy that forbids
//! `impersonate` means all of it.

/// The API group of whom one impersonates by the newer verbs, and of UIDs and extra.
pub(crate) const AUTHENTICATION: &str = "authentication.k8s.io";

/// The action of every verb of the family.
pub(crate) const ACTION: &str = "impersonate";

/// What a verb of the family asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Impersonation {
    /// `impersonate`: may one be this user, with whatever that user may do?
    Legacy,
    /// `impersonate:MODE`: may one be this user, for requests that are asked about apart?
    Identity,
    /// `impersonate-on:MODE:VERB`: may this be asked for in the name of others?
    Request,
}

impl Impersonation {
    /// Returns what a verb asks, if it is of the family.
    pub(crate) fn of(verb: &str) -> Option<Self> {
        if verb == ACTION {
            Some(Self::Legacy)
        } else if verb.starts_with("impersonate-on:") {
            Some(Self::Request)
        } else if verb.starts_with("impersonate:") {
            Some(Self::Identity)
        } else {
            None
        }
    }
}

/// Whether a verb is one of constrained impersonation.
pub(crate) fn is_constrained(verb: &str) -> bool {
    matches!(Impersonation::of(verb), Some(Impersonation::Identity | Impersonation::Request))
}
