//! Looking for a request that engines decide as wanted.
//!
//! Only what a question is about is stated at first; each request that is found is put to the
//! engines, and a policy that stands in the way is added to the question. So a question costs by
//! the policies that come near it, not by all there are, and whatever is found is decided so by
//! the engines themselves. Nothing found means that what was stated alone cannot be.

use std::collections::BTreeSet;

use stagedoor_core::{Decision, Effect};

use crate::library::{Library, SetDecision};
use crate::policy::ParsedPolicy;
use crate::question::{Question, Reply};
use crate::schema::Environment;
use crate::witness::{Witness, witness};

/// After so many requests that policies stand in the way of, a search is given up.
const REFINEMENTS: usize = 2_000;

/// So often another request is looked for where a guard that was run stands in the way, before its
/// policy is kept out.
const OTHER_REQUESTS: usize = 8;

/// An engine, and how it is to decide.
#[derive(Clone, Copy)]
pub(crate) struct Side<'a> {
    pub(crate) library: &'a Library<'a>,
    pub(crate) wanted: Decision,
    /// Whether the question says that one of its forbids applies: then no permit has to be kept out
    /// of the way of a denial.
    pub(crate) is_forbidden: bool,
    /// Where the side is asked about another action than the question is: the same types with that.
    pub(crate) about: Option<&'a Environment>,
}

impl<'a> Side<'a> {
    /// Returns a library that is to decide so what the question is about.
    pub(crate) fn new(library: &'a Library<'a>, wanted: Decision) -> Self {
        Self { library, wanted, is_forbidden: false, about: None }
    }

    fn decide(&self, found: &Witness) -> Result<SetDecision, String> {
        let Some(about) = self.about else { return self.library.decide(found) };
        let mut found = found.clone();
        found.request.action = about.action.clone().into();
        self.library.decide(&found)
    }
}

/// What came of a search.
#[derive(Debug)]
pub(crate) enum SearchOutcome {
    /// A request that all engines decide as wanted, whatever guards say; with the determining
    /// policies of each.
    Witness(Box<Witness>, Vec<Vec<String>>),
    /// There is none.
    Nothing,
    /// Not decided, for these reasons.
    Undecided(BTreeSet<String>),
}

/// Looks for a request of the question that all sides decide as wanted.
///
/// A side that is to allow must be made to by the question already: one of its permits, or any.
pub(crate) fn search(question: &mut Question<'_>, sides: &[Side<'_>]) -> SearchOutcome {
    search_among(question, sides, &|_| Ok(true))
}

/// As [`search`], among the requests that `is_meant` says yes to: of what the question says itself,
/// relations between values are only tried to be met.
pub(crate) fn search_among(
    question: &mut Question<'_>,
    sides: &[Side<'_>],
    is_meant: &dyn Fn(&Witness) -> Result<bool, String>,
) -> SearchOutcome {
    let (stated, guards) = (BTreeSet::new(), BTreeSet::new());
    Search { question, sides, is_meant, stated, guards, other_requests: 0 }.run()
}

struct Search<'q, 'a, 's> {
    question: &'q mut Question<'a>,
    sides: &'s [Side<'s>],
    is_meant: &'s dyn Fn(&Witness) -> Result<bool, String>,
    /// What is stated already: side and policy.
    stated: BTreeSet<(usize, String)>,
    /// Guards of policies that were kept out of the way: with them, more may be found.
    guards: BTreeSet<String>,
    /// How often another request was looked for because of what a guard said.
    other_requests: usize,
}

impl Search<'_, '_, '_> {
    fn run(&mut self) -> SearchOutcome {
        for _ in 0..REFINEMENTS {
            let model = match self.question.ask() {
                Reply::Yes(model) => model,
                // INVARIANT: nothing is said to be impossible but by what was stated alone: of guards,
                // which are not run, the contrary may hold.
                Reply::No if self.guards.is_empty() => return SearchOutcome::Nothing,
                Reply::No => return self.undecided(None),
                Reply::Unknown(reason) => return self.undecided(Some(reason)),
            };
            let found = match witness(self.question, &model) {
                Ok(found) => found,
                Err(reason) => {
                    if self.question.set_aside(&reason).is_some() {
                        return self.undecided(Some(reason));
                    }
                    continue;
                }
            };
            match self.put(&found) {
                // INVARIANT: a request is told of only if the engines themselves have decided it so.
                Replay::Decided(reasons) => {
                    return SearchOutcome::Witness(Box::new(found), reasons);
                }
                Replay::Refined => {}
                Replay::Otherwise(reason) => {
                    if self.question.set_aside(&reason).is_some() {
                        return self.undecided(Some(reason));
                    }
                }
            }
        }
        self.undecided(Some("too many policies stand in the way".to_owned()))
    }

    fn undecided(&self, reason: Option<String>) -> SearchOutcome {
        let mut reasons: BTreeSet<String> =
            self.guards.iter().map(|guard| format!("the answer of guard {guard}")).collect();
        if let Some(reason) = reason {
            let parts = self.question.opaque_parts();
            match parts.is_empty() {
                true => {
                    reasons.insert(reason);
                }
                false => reasons.extend(parts),
            }
        }
        SearchOutcome::Undecided(reasons)
    }

    /// Puts a request to the engines.
    fn put(&mut self, found: &Witness) -> Replay {
        match (self.is_meant)(found) {
            Ok(true) => {}
            Ok(false) => return Replay::Otherwise("what it depends on".to_owned()),
            Err(reason) => return Replay::Otherwise(reason),
        }
        let mut all = Vec::new();
        let mut decided = true;
        let mut refined = false;
        let mut otherwise = "what it depends on".to_owned();
        let sides = self.sides;
        for (number, side) in sides.iter().enumerate() {
            let decided_so = match side.decide(found) {
                Ok(decided_so) => decided_so,
                Err(error) => return Replay::Otherwise(error),
            };
            match in_the_way(&decided_so, side) {
                None => all.push(decided_so.reasons),
                Some(ids) => {
                    decided = false;
                    for id in ids {
                        let policy = match side.library.by_id(&id) {
                            Ok(policy) => policy,
                            Err(error) => {
                                otherwise = error.to_string();
                                continue;
                            }
                        };
                        // A guard that was run may say something else of another request.
                        if policy.is_guarded()
                            && side.library.is_running_guards()
                            && self.other_requests < OTHER_REQUESTS
                        {
                            self.other_requests += 1;
                            otherwise = format!("the answer of the guards of `{id}`");
                        } else if self.stated.insert((number, id)) {
                            self.keep_out(&policy, side.about);
                            refined = true;
                        }
                    }
                }
            }
        }
        match (decided, refined) {
            (true, _) => Replay::Decided(all),
            (false, true) => Replay::Refined,
            (false, false) => Replay::Otherwise(otherwise),
        }
    }

    /// States that a policy does not apply, whatever its guards say.
    fn keep_out(&mut self, policy: &ParsedPolicy, about: Option<&Environment>) {
        let mut translator = match about {
            Some(env) => self.question.translator_about(env),
            None => self.question.translator(),
        };
        let applies = match policy.effect {
            Effect::Permit => translator.permits(policy),
            Effect::Forbid => translator.forbids(policy),
        };
        self.question.require(&applies.negated());
        let guards = policy.guards.iter().map(|(rule, _)| format!("`{rule}` of `{}`", policy.id));
        self.guards.extend(guards);
    }
}

/// Returns the determining policies of each side, if all decide a request as wanted, whatever
/// guards say.
pub(crate) fn decided_by(found: &Witness, sides: &[Side<'_>]) -> Option<Vec<Vec<String>>> {
    let decide = |side: &Side<'_>| {
        let decided = side.decide(found).ok()?;
        in_the_way(&decided, side).is_none().then_some(decided.reasons)
    };
    sides.iter().map(decide).collect()
}

enum Replay {
    /// All decide as wanted; these policies determine it.
    Decided(Vec<Vec<String>>),
    /// Policies that stand in the way are stated now.
    Refined,
    /// Decided otherwise than the formulas say.
    Otherwise(String),
}

/// Returns the policies that keep a set from deciding as wanted, or could if their guards said
/// something else; nothing if it decides so.
fn in_the_way(of: &SetDecision, side: &Side<'_>) -> Option<Vec<String>> {
    match (side.wanted, of.decision) {
        (Decision::Allow, Decision::Allow) => None,
        // INVARIANT: a policy is kept out only where what is looked for cannot be with it. A forbid
        // wins over every permit, so that an Allow here means that the request is not as the
        // formulas have it; without the permits something would be called impossible that is not.
        (Decision::Deny, Decision::Allow) if side.is_forbidden => Some(Vec::new()),
        (Decision::Allow, Decision::Deny) | (Decision::Deny, Decision::Allow) => {
            Some(of.reasons.clone())
        }
        // Guards are not run: a guarded permit is off, a guarded forbid is on.
        (Decision::Deny, Decision::Deny) => {
            (!of.by_guards.is_empty()).then(|| of.by_guards.clone())
        }
    }
}
