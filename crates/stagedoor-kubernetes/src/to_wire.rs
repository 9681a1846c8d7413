//! What goes wrong, in the form that programs read.

use stagedoor_wire::WireError;

use crate::review_body::ReviewError;
use crate::vocabulary::VocabularyError;

impl From<VocabularyError> for WireError {
    fn from(error: VocabularyError) -> Self {
        Self::new("engine::platform", error.to_string())
    }
}

impl From<ReviewError> for WireError {
    fn from(error: ReviewError) -> Self {
        Self::new("review::refused", error.to_string())
    }
}
