//! Who says what has to hold of a policy set before it is written as an object.

use std::fmt::Debug;

use serde_json::Value;

/// Says whether a policy set may be written as an object.
pub trait PolicySetReviewer: Debug + Send + Sync {
    /// Reviews the object that is to be written, and the one that is there. May take its time.
    ///
    /// # Errors
    ///
    /// Why it is not to be written, for whoever writes it.
    fn review(&self, object: &Value, old: Option<&Value>) -> Result<(), String>;
}
