//! What a set must pass before a replica takes it up, beside its signature.

use std::fmt::Debug;

use stagedoor_core::Engine;

use crate::signed_set::SignedSet;

/// Looks at a set that loads, and may refuse it.
pub trait Gate: Debug + Send + Sync {
    /// Checks a set. May take its time.
    ///
    /// # Errors
    ///
    /// Why it is not to be in force, and what to do.
    fn check(
        &self,
        set: &SignedSet,
        loaded: &Engine,
        in_force: Option<&Engine>,
    ) -> Result<(), String>;
}
