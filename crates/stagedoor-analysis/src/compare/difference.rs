//! What a comparison finds.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::policy::ParsedPolicy;
use crate::schema::Environment;
use crate::witness::Witness;

/// Which way a decision goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// What was denied is allowed.
    Widened,
    /// What was allowed is denied.
    Narrowed,
}

/// What is known of one difference.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Finding {
    /// Both sets decide this request, and differently.
    Proved {
        /// The request.
        witness: Box<Witness>,
        /// The policies that determine the old decision.
        before: Vec<String>,
        /// The policies that determine the new decision.
        after: Vec<String>,
    },
    /// Whether there is a difference was not found out; these are the reasons.
    Undecided(BTreeSet<String>),
}

/// A difference between two policy sets: by one policy, for one kind of request.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Difference {
    /// Which way it goes.
    pub direction: Direction,
    /// The types and the action of the requests.
    pub environment: Arc<Environment>,
    /// The policy that only one of the sets has; nothing where the schema is what differs.
    pub policy: Option<Arc<ParsedPolicy>>,
    /// What is known of it.
    pub finding: Finding,
}

/// What differs between two policy sets; `T` is what was kept of each difference.
#[derive(Debug)]
#[non_exhaustive]
pub struct Differences<T = Difference> {
    /// All differences, in the order of the policies.
    pub all: Vec<T>,
    /// Policies that only the old set has, by what they say.
    pub removed: usize,
    /// Policies that only the new set has, by what they say.
    pub added: usize,
    /// The entity types and actions that the schemas do not say the same of.
    pub schema: BTreeSet<String>,
    /// What of the findings the verdict is made of.
    pub(super) found: FoundKinds,
}

/// Which kinds of findings there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct FoundKinds {
    widened: bool,
    narrowed: bool,
    undecided: bool,
}

impl FoundKinds {
    pub(super) fn of(difference: &Difference) -> Self {
        let proved = matches!(difference.finding, Finding::Proved { .. });
        let is = |direction| proved && difference.direction == direction;
        let (widened, narrowed) = (is(Direction::Widened), is(Direction::Narrowed));
        Self { widened, narrowed, undecided: !proved }
    }

    /// Returns whether these kinds were found before.
    pub(super) fn covers(self, other: Self) -> bool {
        let mut both = self;
        both.add(other);
        both == self
    }

    pub(super) fn add(&mut self, other: Self) {
        self.widened |= other.widened;
        self.narrowed |= other.narrowed;
        self.undecided |= other.undecided;
    }
}

/// What is known of two policy sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// They decide every request alike.
    Equal,
    /// The new one allows more, and nothing less.
    Widened,
    /// The new one allows less, and nothing more.
    Narrowed,
    /// The new one allows more here and less there.
    Both,
    /// That is not known for all requests.
    Undecided,
}

impl<T> Differences<T> {
    /// Returns what is known. What is proved stands also where something else is undecided: then
    /// [`is_undecided`](Self::is_undecided) says so.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match (self.found.widened, self.found.narrowed) {
            (true, true) => Verdict::Both,
            (true, false) => Verdict::Widened,
            (false, true) => Verdict::Narrowed,
            (false, false) if self.is_undecided() => Verdict::Undecided,
            (false, false) => Verdict::Equal,
        }
    }

    /// Returns whether something was not found out.
    #[must_use]
    pub fn is_undecided(&self) -> bool {
        self.found.undecided
    }
}
