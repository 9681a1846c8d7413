//! What an origin of policies has to say when its set is loaded, alike for every protocol.

use stagedoor_core::{Engine, LoadError};
use stagedoor_source::{Admission, SetRefusal};

use crate::reload::LoadFailure;

/// Has a set checked that was loaded, or tells where it comes from that it does not load.
///
/// # Errors
///
/// Why the set is not to be in force. A server that begins waits for the next one.
pub fn check<T>(
    admission: Option<&dyn Admission>,
    loaded: Result<T, LoadFailure>,
    engine: impl Fn(&T) -> &Engine,
    in_force: Option<&Engine>,
) -> Result<T, LoadFailure> {
    let Some(admission) = admission else { return loaded };
    let checked = loaded.and_then(|loaded| match admission.check(engine(&loaded), in_force) {
        Ok(()) => Ok(loaded),
        Err(reason) => Err(LoadFailure::new(reason, "a gate refuses the set: the log says why")),
    });
    checked.map_err(|failure| refused(admission, failure))
}

/// Puts a set in force where it comes from, just before it decides.
///
/// # Errors
///
/// Why it cannot be in force.
pub fn admit(admission: Option<&dyn Admission>) -> Result<(), LoadFailure> {
    let Some(admission) = admission else { return Ok(()) };
    admission.admit().map_err(|reason| {
        refused(admission, LoadFailure::new(reason, "the set cannot be put in force"))
    })
}

fn refused(admission: &dyn Admission, failure: LoadFailure) -> LoadFailure {
    // Whoever is told keeps apart what everybody may know: the rest may quote policies.
    let problems = failure.problems.as_ref().map_or([].as_slice(), LoadError::problems);
    admission.refuse(&SetRefusal { reason: &failure.public, details: &failure.message, problems });
    failure.pending()
}
