//! A case, made ready to be decided.

use stagedoor_analysis::Bound;

use crate::expectation::Expectation;
use crate::problem::Position;
use crate::resolved_case::ResolvedCase;
use crate::selection::ListQuestion;

/// One case, cell or invariant.
pub(crate) struct TestCase {
    pub(crate) suite: Option<String>,
    pub(crate) name: String,
    pub(crate) place: Position,
    pub(crate) asked: Vec<ResolvedCase>,
    /// The question about all resources of a permission; `asked` holds each of them to it.
    pub(crate) list: Option<(ListQuestion, Expectation)>,
    pub(crate) is_matrix: bool,
    /// What is decided for all requests.
    pub(crate) bound: Option<Bound>,
}
