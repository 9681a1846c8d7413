//! How a command ends.

use std::process::ExitCode;

/// Exit code of a decision to deny; 0 allows, 1 is a failure.
const DENIED: u8 = 2;
/// Exit code of a decision that hangs on conditions.
const CONDITIONAL: u8 = 3;
/// Exit code of the commands that check where what was given cannot be used.
pub(crate) const UNUSABLE: u8 = 2;

/// How a command ended that did what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Allowed, or there was nothing to decide.
    Done,
    /// Denied.
    Denied,
    /// Neither: it depends on what is not known.
    Conditional,
    /// Failed, and what failed is printed already.
    Failed,
    /// What was given could not be used, and why is printed already.
    Unusable,
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Done => Self::SUCCESS,
            Ending::Denied => Self::from(DENIED),
            Ending::Conditional => Self::from(CONDITIONAL),
            Ending::Failed => Self::FAILURE,
            Ending::Unusable => Self::from(UNUSABLE),
        }
    }
}
