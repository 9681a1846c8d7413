//! Answers as people read them.

use std::fmt::Write as _;

use stagedoor_core::{
    Decision, Effect, Engine, Explanation, FailedClause, HeldClause, MetValue, NearPermit, Outcome,
    PolicyExplanation, PolicyInfo, PolicyStatus,
};
use stagedoor_wire::PolicyIndex;

use crate::terminal::{Paint, line};

/// More policies in question than this are only counted.
const SHOWN: usize = 40;

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// The decision, its reasons, and what the nearest permit lacks.
    Brief,
    /// Every policy in question as well, the values that clauses met, and of a denial what would
    /// have to be different.
    Full,
}

/// Tells of decisions.
#[derive(Clone, Copy)]
pub(crate) struct Narrator<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) paint: Paint,
    pub(crate) detail: Detail,
}

impl Narrator<'_> {
    /// Returns what is to be said about the answer to a question, over several lines.
    pub(crate) fn tell(&self, question: &str, explanation: &Explanation) -> String {
        let outcome = explanation.outcome();
        let known = PolicyIndex::of(explanation, self.engine);
        let mut told = format!("{} {}", self.paint.decision(outcome.decision()), line(question));
        self.reasons(&mut told, outcome);
        for error in outcome.errors() {
            let (policy, message) = (line(error.policy()), line(error.message()));
            let error = self.paint.notable("cannot be evaluated:");
            push(&mut told, 1, format_args!("{error} {policy}: {message}"));
        }
        for guard in outcome.guards() {
            let (policy, rule) = (line(guard.policy()), line(guard.rule()));
            let verdict = guard.verdict().to_string();
            push(&mut told, 1, format_args!("guard {rule} of {policy}: {}", line(&verdict)));
        }
        if self.detail == Detail::Full {
            self.in_question(&mut told, explanation);
        }
        let undecided = outcome.decision() == Decision::Deny && outcome.reasons().next().is_none();
        let shown = match self.detail {
            Detail::Full => usize::MAX,
            Detail::Brief if undecided => 1,
            Detail::Brief => 0,
        };
        // A permit that lacks nothing is overruled by a forbid, which is told already.
        let nearest = explanation.nearest().iter().filter(|near| !near.failed().is_empty());
        for near in nearest.take(shown) {
            self.near(&mut told, near, known.get(near.policy()));
        }
        if self.detail == Detail::Full && outcome.decision() == Decision::Deny {
            counterfactuals(&mut told, explanation);
        }
        told
    }

    fn reasons(&self, told: &mut String, outcome: &Outcome) {
        let lead = match outcome.decision() {
            Decision::Allow => "permitted by",
            Decision::Deny => "forbidden by",
        };
        for policy in outcome.reasons() {
            push(told, 1, format_args!("{lead} {}", self.policy(policy)));
            push_doc(told, policy);
        }
        if outcome.reasons().next().is_none() {
            push(told, 1, format_args!("no policy permits this"));
        }
    }

    fn in_question(&self, told: &mut String, explanation: &Explanation) {
        let policies = explanation.policies();
        if policies.is_empty() {
            push(told, 1, format_args!("no policy is about such a request"));
            return;
        }
        push(told, 1, format_args!("policies about such requests:"));
        for policy in policies.iter().take(SHOWN) {
            self.explained(told, policy);
        }
        if let Some(more @ 1..) = policies.len().checked_sub(SHOWN) {
            push(told, 2, format_args!("and {more} more: `--format json` shows all"));
        }
    }

    fn explained(&self, told: &mut String, policy: &PolicyExplanation) {
        let effect = stagedoor_wire::Effect::from(policy.effect()).as_str();
        let paint = self.paint;
        let status = match (policy.status(), policy.effect()) {
            (PolicyStatus::Satisfied, Effect::Permit) => paint.good("holds").to_string(),
            (PolicyStatus::Satisfied, Effect::Forbid) => paint.bad("holds").to_string(),
            (PolicyStatus::HeldBack, _) => {
                let refusal = policy.refusal().unwrap_or_else(|| "a guard says no".to_owned());
                format!("holds, but {}", line(&refusal))
            }
            (PolicyStatus::NotSatisfied(clause), _) => {
                format!("does not hold: {}", self.clause(clause))
            }
            (PolicyStatus::Errored(message), _) => {
                format!("{} {}", paint.notable("cannot be evaluated:"), line(message))
            }
        };
        push(told, 2, format_args!("{effect} {} {status}", paint.bold(line(policy.policy()))));
        if let PolicyStatus::NotSatisfied(clause) = policy.status() {
            push_values(told, 3, clause.values());
        }
        for clause in policy.held() {
            self.held(told, clause);
        }
    }

    /// Tells of a clause that holds: of its alternatives those that do.
    fn held(&self, told: &mut String, clause: &HeldClause) {
        let mut one = |text: &str, at_line, column, values: &[MetValue]| {
            let place = place(clause.file(), at_line, column);
            push(told, 3, format_args!("{} {}", line(text), self.paint.dim(place)));
            push_values(told, 4, values);
        };
        if clause.alternatives().is_empty() {
            one(clause.text(), clause.line(), clause.column(), clause.values());
        }
        for held in clause.alternatives() {
            one(held.text(), held.line(), held.column(), held.values());
        }
    }

    fn near(&self, told: &mut String, near: &NearPermit, policy: Option<PolicyInfo<'_>>) {
        let name = match policy {
            Some(policy) => self.policy(policy),
            None => line(near.policy()),
        };
        push(told, 1, format_args!("nearest permit: {name}"));
        if let Some(policy) = policy {
            push_doc(told, policy);
        }
        for clause in near.failed() {
            push(told, 2, format_args!("does not hold: {}", self.clause(clause)));
            if self.detail == Detail::Full {
                push_values(told, 3, clause.values());
            }
        }
    }

    fn policy(&self, policy: PolicyInfo<'_>) -> String {
        let place = place(policy.file(), policy.line(), None);
        format!("{} {}", self.paint.bold(line(policy.id())), self.paint.dim(place))
    }

    fn clause(&self, clause: &FailedClause) -> String {
        let place = place(clause.file(), clause.line(), clause.column());
        format!("{} {}", line(clause.text()), self.paint.dim(place))
    }
}

/// Tells what would have to be different for a denied request to be allowed.
fn counterfactuals(told: &mut String, explanation: &Explanation) {
    let found = explanation.counterfactuals();
    if found.is_empty() {
        push(told, 1, format_args!("no small change was found that would allow it"));
    }
    for counterfactual in found {
        let changes = counterfactual.changes().iter();
        let changes: Vec<String> = changes.map(|change| line(&change.to_string())).collect();
        let permits: Vec<String> = counterfactual.permits().iter().map(|id| line(id)).collect();
        let (changes, permits) = (changes.join(" and "), permits.join(", "));
        push(told, 1, format_args!("it would be allowed if {changes}: permitted by {permits}"));
    }
}

fn push_values(told: &mut String, depth: usize, values: &[MetValue]) {
    if !values.is_empty() {
        let values: Vec<String> = values.iter().map(|value| line(&value.to_string())).collect();
        push(told, depth, format_args!("{}", values.join(", ")));
    }
}

fn push_doc(told: &mut String, policy: PolicyInfo<'_>) {
    if let Some(doc) = policy.annotation("doc") {
        push(told, 2, format_args!("{}", line(doc)));
    }
}

fn place(file: &str, at_line: Option<usize>, column: Option<usize>) -> String {
    let mut place = format!("({}", line(file));
    for number in at_line.into_iter().chain(column) {
        // Writing to a string does not fail.
        let _ = write!(place, ":{number}");
    }
    place.push(')');
    place
}

fn push(told: &mut String, depth: usize, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = write!(told, "\n{:indent$}{text}", "", indent = depth * 2 + 2);
}
