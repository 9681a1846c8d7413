//! What one request shows of a policy: which clauses came out how, and whether that mattered.

use stagedoor_core::{PolicyInfo, PolicyVerdict, Trial};

use crate::clause_tree::{ClauseKind, ClauseTree, Tree};

/// How often a clause came out so, and how often the decision would have been another one, or
/// a policy would have erred or not, had it alone come out otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) was_true: u64,
    pub(crate) was_false: u64,
    pub(crate) true_mattered: u64,
    pub(crate) false_mattered: u64,
}

/// A policy to be measured.
pub(crate) struct MeasuredPolicy<'e> {
    pub(crate) policy: PolicyInfo<'e>,
    pub(crate) number: usize,
    pub(crate) clauses: ClauseTree,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Truth {
    True,
    False,
    Error,
}

/// What the whole policy says for each truth of a part.
#[derive(Clone, Copy)]
struct PolicyTruths {
    if_true: Truth,
    if_false: Truth,
    if_error: Truth,
}

impl PolicyTruths {
    fn of(self, part: Truth) -> Truth {
        match part {
            Truth::True => self.if_true,
            Truth::False => self.if_false,
            Truth::Error => self.if_error,
        }
    }
}

impl MeasuredPolicy<'_> {
    /// Adds what a request shows to the counts, one for each clause; `scope` is what comes of the
    /// scope's constraints.
    pub(crate) fn measure(&self, trial: &Trial<'_>, scope: [bool; 3], counts: &mut [Counts]) {
        let outside = scope.iter().filter(|holds| !**holds).count();
        // Most policies are about something else. Where two constraints of the scope fail, or one
        // does and the condition is false, no clause matters alone.
        if outside > 1 || outside == 1 && trial.condition(self.policy) == Some(false) {
            self.pass_by(scope, counts);
            return;
        }
        let truth = |held: Option<bool>| match held {
            Some(true) => Truth::True,
            Some(false) => Truth::False,
            None => Truth::Error,
        };
        let values: Vec<Truth> = self
            .clauses
            .clauses
            .iter()
            .map(|clause| match of_scope(clause.kind, scope) {
                Some(holds) => truth(Some(holds)),
                None => truth(trial.holds(&clause.expr)),
            })
            .collect();
        let whole =
            PolicyTruths { if_true: Truth::True, if_false: Truth::False, if_error: Truth::Error };
        let outcomes = VerdictEffects::of(self, trial);
        let mut visit = Visit { values: &values, outcomes: &outcomes, counts };
        visit.tree(&self.clauses.tree, whole);
    }
}

impl MeasuredPolicy<'_> {
    /// Counts the constraints of the scope up to the first that fails, none of which matters.
    fn pass_by(&self, scope: [bool; 3], counts: &mut [Counts]) {
        for (clause, counts) in self.clauses.clauses.iter().zip(counts) {
            match of_scope(clause.kind, scope) {
                Some(true) => counts.was_true += 1,
                Some(false) => {
                    counts.was_false += 1;
                    return;
                }
                // The scope stands before the condition.
                None => return,
            }
        }
    }
}

/// Returns whether a constraint of the scope holds; nothing for conditions.
fn of_scope(kind: ClauseKind, [principal, action, resource]: [bool; 3]) -> Option<bool> {
    match kind {
        ClauseKind::Principal => Some(principal),
        ClauseKind::Action => Some(action),
        ClauseKind::Resource => Some(resource),
        ClauseKind::Condition => None,
    }
}

/// What is decided for each verdict of a policy.
#[derive(Clone, Copy)]
struct VerdictEffects {
    allowed_if_true: bool,
    allowed_if_false: bool,
    allowed_if_error: bool,
}

impl VerdictEffects {
    fn of(policy: &MeasuredPolicy<'_>, trial: &Trial<'_>) -> Self {
        let allowed = |verdict| {
            let verdicts = trial.verdicts().with(policy.number, policy.policy.effect(), verdict);
            verdicts.decision() == stagedoor_core::Decision::Allow
        };
        Self {
            allowed_if_true: allowed(trial.guarded(policy.policy)),
            allowed_if_false: allowed(PolicyVerdict::NotSatisfied),
            allowed_if_error: allowed(PolicyVerdict::Errored),
        }
    }

    fn differ(self, one: Truth, other: Truth) -> bool {
        let allowed = |truth| match truth {
            Truth::True => self.allowed_if_true,
            Truth::False => self.allowed_if_false,
            Truth::Error => self.allowed_if_error,
        };
        let errs = |truth| truth == Truth::Error;
        allowed(one) != allowed(other) || errs(one) != errs(other)
    }
}

struct Visit<'a> {
    values: &'a [Truth],
    outcomes: &'a VerdictEffects,
    counts: &'a mut [Counts],
}

impl Visit<'_> {
    /// Counts the clauses of a tree that is evaluated, as Cedar does, up to where its value is
    /// known.
    fn tree(&mut self, tree: &Tree, whole: PolicyTruths) {
        match tree {
            Tree::Clause(number) => self.clause(*number, whole),
            Tree::Not(inner) => {
                self.tree(
                    inner,
                    PolicyTruths { if_true: whole.if_false, if_false: whole.if_true, ..whole },
                );
            }
            Tree::All(parts) => self.chain(parts, whole, true),
            Tree::Any(parts) => self.chain(parts, whole, false),
        }
    }

    /// Visits the parts of `&&` or `||` up to the one that settles it.
    fn chain(&mut self, parts: &[Tree], whole: PolicyTruths, is_and: bool) {
        let goes_on = if is_and { Truth::True } else { Truth::False };
        let own: Vec<Truth> = parts.iter().map(|part| value(part, self.values)).collect();
        // For each part what those after it come to.
        let mut rests = Vec::with_capacity(parts.len());
        let mut rest = goes_on;
        for value in own.iter().rev() {
            rests.push(rest);
            rest = if *value == goes_on { rest } else { *value };
        }
        for ((part, rest), value) in parts.iter().zip(rests.into_iter().rev()).zip(own) {
            let rest = whole.of(rest);
            let of_part = match is_and {
                true => PolicyTruths { if_true: rest, ..whole },
                false => PolicyTruths { if_false: rest, ..whole },
            };
            self.tree(part, of_part);
            if value != goes_on {
                return;
            }
        }
    }

    fn clause(&mut self, number: usize, whole: PolicyTruths) {
        let value = self.values.get(number).copied().unwrap_or(Truth::Error);
        let Some(counts) = self.counts.get_mut(number) else { return };
        let matters = u64::from(self.outcomes.differ(whole.if_true, whole.if_false));
        match value {
            Truth::True => {
                counts.was_true += 1;
                counts.true_mattered += matters;
            }
            Truth::False => {
                counts.was_false += 1;
                counts.false_mattered += matters;
            }
            Truth::Error => {}
        }
    }
}

fn value(tree: &Tree, values: &[Truth]) -> Truth {
    match tree {
        Tree::Clause(number) => values.get(*number).copied().unwrap_or(Truth::Error),
        Tree::Not(inner) => match value(inner, values) {
            Truth::True => Truth::False,
            Truth::False => Truth::True,
            Truth::Error => Truth::Error,
        },
        Tree::All(parts) => chained(parts, values, true),
        Tree::Any(parts) => chained(parts, values, false),
    }
}

fn chained(parts: &[Tree], values: &[Truth], is_and: bool) -> Truth {
    let goes_on = if is_and { Truth::True } else { Truth::False };
    let settled = parts.iter().map(|part| value(part, values)).find(|value| *value != goes_on);
    settled.unwrap_or(goes_on)
}
