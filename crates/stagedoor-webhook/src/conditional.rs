//! Policies of authorization that depend on the object.

use stagedoor_kubernetes::Reviewer;
use stagedoor_kubernetes::conditional::ConditionalReviewer;

use crate::error::PoliciesError;

pub(crate) use stagedoor_kubernetes::conditional::schema;

/// Returns the policies apart that depend on the object, if conditions are asked for.
///
/// # Errors
///
/// [`PoliciesError::Conditional`] if they are not, for policies of authorization that would
/// never meet an object: a forbid must not be in the set and never hold.
pub(crate) fn open(
    reviewer: &Reviewer,
    is_on: bool,
) -> Result<Option<ConditionalReviewer>, PoliciesError> {
    let conditional = ConditionalReviewer::new(reviewer)?;
    if is_on {
        return Ok(conditional.is_needed().then_some(conditional));
    }
    match conditional.unheard() {
        Some(policy) => Err(PoliciesError::Conditional(policy.to_owned())),
        None => Ok(None),
    }
}
