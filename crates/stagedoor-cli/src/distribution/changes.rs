//! What changes between a set and the one before it.

use std::collections::BTreeSet;

use stagedoor_core::{Engine, Limits};
use stagedoor_review::Policies;
use stagedoor_review::diff::{Cases, Direction, Meaning};
use stagedoor_source::{Bundle, PolicySources};

use crate::failure::Failure;

/// Rules that guard policies, with their digests.
type Rules = BTreeSet<(String, String)>;

/// What changes between two sets.
pub(super) struct Changes {
    pub(super) is_widened: bool,
    pub(super) is_narrowed: bool,
    pub(super) is_undecided: bool,
}

impl Changes {
    /// Compares two engines, and the rules that guard their policies: what a rule says that is
    /// another one now is not decided.
    pub(super) fn between(old: (&Engine, &Rules), new: (&Engine, &Rules)) -> Result<Self, String> {
        let meaning =
            Meaning::of(old.0, new.0, Cases::Dropped).map_err(|error| error.to_string())?;
        let goes = |direction| meaning.as_ref().is_some_and(|m| m.may_go(direction, true));
        let is_open = |m: &Meaning| m.undecided || m.rows.iter().any(|row| !row.proved);
        Ok(Self {
            is_widened: goes(Direction::Widened),
            is_narrowed: goes(Direction::Narrowed),
            is_undecided: meaning.as_ref().is_none_or(is_open) || old.1 != new.1,
        })
    }

    /// Compares two bundles. Their rules need not be there.
    pub(super) fn between_bundles(
        old: &Bundle,
        new: &Bundle,
        limits: &Limits,
    ) -> Result<Self, Failure> {
        let rules = |bundle: &Bundle| {
            bundle.rules().map(|(name, digest)| (name.to_owned(), digest.to_owned())).collect()
        };
        let compared = Self::between(
            (&engine_of(old, limits)?, &rules(old)),
            (&engine_of(new, limits)?, &rules(new)),
        );
        compared.map_err(Failure::input)
    }

    /// Returns what the comparison comes to, in a word or two.
    pub(super) fn verdict(&self) -> &'static str {
        match (self.is_widened, self.is_narrowed) {
            (true, true) => "changed",
            (true, false) if self.is_undecided => "widened, and something undecided",
            (true, false) => "widened",
            (false, _) if self.is_undecided => "undecided",
            (false, true) => "narrowed",
            (false, false) => "equivalent",
        }
    }
}

/// Returns the policies of a bundle, for whatever platform they are, and without the rules that guard
/// them, which replicas have.
pub(super) fn engine_of(bundle: &Bundle, limits: &Limits) -> Result<Engine, Failure> {
    let sets = Policies::all(PolicySources::from_texts(bundle.files()), None, limits)?;
    let [set] = <[Policies; 1]>::try_from(sets)
        .map_err(|_| Failure::input("a bundle holds sets of several platforms"))?;
    Ok(set.engine)
}

/// Returns the rules that guard an engine's policies.
pub(super) fn rules_of(engine: &Engine) -> Rules {
    let guards = engine.policies().flat_map(|policy| policy.guards());
    guards.map(|guard| (guard.rule().to_owned(), guard.digest().to_owned())).collect()
}
