//! Where the rules come from that policies may be guarded by.

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;

use stagedoor_core::RuleEvaluator;

/// Rules in files, which are read again when they change, with the policies that they guard.
pub trait RuleSource: Debug + Send + Sync {
    /// Returns the rules as they are now, if there are any.
    ///
    /// # Errors
    ///
    /// Why they do not load. The policies and rules before then stay in force.
    fn load(&self) -> Result<Option<Arc<dyn RuleEvaluator>>, String>;

    /// Returns the files that the rules are read from now.
    fn files(&self) -> Vec<PathBuf>;

    /// Returns a number that is another one when there is more to load although no file has changed:
    /// when a rule is compiled that was not waited for, say.
    fn version(&self) -> u64 {
        0
    }
}
