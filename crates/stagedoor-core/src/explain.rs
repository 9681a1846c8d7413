//! Why, and why not: what each policy in question says to a request.

use std::sync::Arc;

use cedar_policy::{Decision, Effect};
use cedar_policy_core::ast;

use crate::condition::clauses;
use crate::error::DecideError;
use crate::evaluate::{Evaluation, Verdict, with_room};
use crate::guard::{GuardOutcome, GuardVerdict};
use crate::outcome::Outcome;
use crate::parse;
use crate::policy::{Form, PolicyInfo};
use crate::statement::scope_part;
use crate::symbols::Var;

/// So many permits are shown beside a denial.
const NEAREST: usize = 3;

/// The explanation of one decision.
#[derive(Debug, Clone)]
pub struct Explanation {
    outcome: Outcome,
    policies: Vec<PolicyExplanation>,
    nearest: Vec<NearPermit>,
}

impl Explanation {
    /// Returns the outcome that is explained.
    #[must_use]
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// Returns every policy whose scope matches the request, in the order of the policy set.
    #[must_use]
    pub fn policies(&self) -> &[PolicyExplanation] {
        &self.policies
    }

    /// Returns, for a denial because nothing permits, the permits for this action that came
    /// nearest: those with the fewest clauses (scope constraints included) that do not hold.
    #[must_use]
    pub fn nearest(&self) -> &[NearPermit] {
        &self.nearest
    }
}

/// What one policy says to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyExplanation {
    policy: String,
    effect: Effect,
    status: PolicyStatus,
    guards: Vec<GuardOutcome>,
    is_compiled: bool,
}

impl PolicyExplanation {
    /// Returns the policy's id.
    #[must_use]
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// Returns whether it permits or forbids.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// Returns what it says.
    #[must_use]
    pub fn status(&self) -> &PolicyStatus {
        &self.status
    }

    /// As [`PolicyInfo::is_compiled`].
    #[must_use]
    pub fn is_compiled(&self) -> bool {
        self.is_compiled
    }

    /// Returns what came of its guards, if Cedar satisfies it.
    #[must_use]
    pub fn guards(&self) -> &[GuardOutcome] {
        &self.guards
    }
}

/// Whether a policy applies to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyStatus {
    /// Every clause holds, and its guards do not say no.
    Satisfied,
    /// Every clause holds, and a guard says no.
    HeldBack,
    /// This clause is the first that does not hold.
    NotSatisfied(FailedClause),
    /// Cedar could not evaluate it, or a guard gave no answer, for this reason.
    Errored(String),
}

/// A clause that does not hold: a scope constraint, or an outermost conjunct of the condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedClause {
    text: String,
    file: String,
    line: Option<usize>,
    column: Option<usize>,
}

impl FailedClause {
    /// Returns the clause as Cedar text; an `unless` clause stands as its negation.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the file of the policy, or what the caller called the text.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Returns the line, from 1; none for policies read from JSON.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.line
    }

    /// Returns the column in characters, from 1.
    #[must_use]
    pub fn column(&self) -> Option<usize> {
        self.column
    }
}

/// A permit that was not satisfied, and what keeps it from being so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NearPermit {
    policy: String,
    failed: Vec<FailedClause>,
}

impl NearPermit {
    /// Returns the policy's id.
    #[must_use]
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// Returns the clauses that do not hold or cannot be evaluated, in order.
    #[must_use]
    pub fn failed(&self) -> &[FailedClause] {
        &self.failed
    }
}

/// A part of a policy, by its place in it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Principal,
    Resource,
    Clause(usize),
    /// One of its guards.
    Guard,
}

pub(crate) fn explain(
    outcome: Outcome,
    evaluation: &Evaluation<'_, '_>,
) -> Result<Explanation, DecideError> {
    let engine = outcome.engine.clone();
    // Where a forbid denies, no permit would have helped.
    let unpermitted = outcome.decision == Decision::Deny && outcome.determining.is_empty();
    let mut policies = Vec::new();
    let mut near: Vec<(PolicyInfo<'_>, Vec<Part>)> = Vec::new();
    for policy in engine.policies() {
        if !evaluation.action_scope(policy.policy) {
            continue;
        }
        if unpermitted && policy.effect() == Effect::Permit {
            let mut failed = failed_parts(policy, evaluation)?;
            if failed.is_empty() {
                failed.push(Part::Guard);
            }
            near.push((policy, failed));
            // Kept short; the order among equals is that of the policy set.
            if near.len() > 64 {
                near.sort_by_key(|(_, failed)| failed.len());
                near.truncate(NEAREST);
            }
        }
        if !evaluation.scope(policy.policy) {
            continue;
        }
        let status = match evaluation.policy(policy)? {
            Verdict::Satisfied => guarded_status(&outcome, policy),
            Verdict::Errored(message) => PolicyStatus::Errored(message),
            Verdict::NotSatisfied => {
                let first = first_false(policy, evaluation)?;
                PolicyStatus::NotSatisfied(Reader::new(policy).part(first))
            }
        };
        let guards = guards_of(&outcome, policy).cloned().collect();
        let (id, effect, is_compiled) =
            (policy.id().to_owned(), policy.effect(), policy.is_compiled());
        policies.push(PolicyExplanation { policy: id, effect, status, guards, is_compiled });
    }
    near.sort_by_key(|(_, failed)| failed.len());
    near.truncate(NEAREST);
    let nearest = near
        .into_iter()
        .map(|(policy, failed)| {
            let reader = Reader::new(policy);
            let failed = failed.into_iter().map(|part| reader.part(part)).collect();
            NearPermit { policy: policy.id().to_owned(), failed }
        })
        .collect();
    Ok(Explanation { outcome, policies, nearest })
}

fn guards_of<'o>(
    outcome: &'o Outcome,
    policy: PolicyInfo<'_>,
) -> impl Iterator<Item = &'o GuardOutcome> {
    outcome.guards.iter().filter(move |guard| guard.policy == policy.id())
}

/// Returns the status of a policy that Cedar satisfies.
fn guarded_status(outcome: &Outcome, policy: PolicyInfo<'_>) -> PolicyStatus {
    let says_no = |guard: &GuardOutcome| matches!(guard.verdict, GuardVerdict::No(_));
    if guards_of(outcome, policy).any(says_no) {
        return PolicyStatus::HeldBack;
    }
    let failed = guards_of(outcome, policy).find_map(|guard| match &guard.verdict {
        GuardVerdict::Failed(failure) => Some(format!("guard `{}`: {failure}", guard.rule)),
        _ => None,
    });
    failed.map_or(PolicyStatus::Satisfied, PolicyStatus::Errored)
}

/// Returns the clause that ends the evaluation of a policy whose scope matches.
fn first_false(
    policy: PolicyInfo<'_>,
    evaluation: &Evaluation<'_, '_>,
) -> Result<Part, DecideError> {
    for (number, clause) in policy.policy.body.clauses.iter().enumerate() {
        if evaluation.clause(clause)? == Some(false) {
            return Ok(Part::Clause(number));
        }
    }
    Ok(Part::Clause(0))
}

/// Returns all parts but the action's that do not hold.
fn failed_parts(
    policy: PolicyInfo<'_>,
    evaluation: &Evaluation<'_, '_>,
) -> Result<Vec<Part>, DecideError> {
    let mut failed = Vec::new();
    if !evaluation.entity_scope(&policy.policy.principal, Var::Principal) {
        failed.push(Part::Principal);
    }
    if !evaluation.entity_scope(&policy.policy.resource, Var::Resource) {
        failed.push(Part::Resource);
    }
    for (number, clause) in policy.policy.body.clauses.iter().enumerate() {
        if evaluation.clause(clause)? != Some(true) {
            failed.push(Part::Clause(number));
        }
    }
    Ok(failed)
}

/// Reads clauses from a policy's text.
struct Reader<'a> {
    policy: PolicyInfo<'a>,
    tree: Option<ast::Policy>,
    clauses: Vec<Arc<ast::Expr>>,
}

impl<'a> Reader<'a> {
    fn new(policy: PolicyInfo<'a>) -> Self {
        let tree = with_room(|| parse::again(policy)).ok();
        let condition = tree.as_ref().and_then(|t| t.non_scope_constraints_arc());
        let clauses = condition.map(clauses).unwrap_or_default();
        Self { policy, tree, clauses }
    }

    fn part(&self, part: Part) -> FailedClause {
        with_room(|| self.read(part))
    }

    fn read(&self, part: Part) -> FailedClause {
        let (text, span) = match part {
            Part::Principal => {
                let text = self.tree.as_ref().map(|t| t.principal_constraint().to_string());
                (text, scope_part(self.policy.text(), "principal"))
            }
            Part::Resource => {
                let text = self.tree.as_ref().map(|t| t.resource_constraint().to_string());
                (text, scope_part(self.policy.text(), "resource"))
            }
            Part::Guard => {
                let annotations = self.tree.iter().flat_map(|tree| tree.annotations());
                let guard = annotations.into_iter().find(|(name, _)| name.as_ref() == "guard");
                let span = guard.and_then(|(_, a)| a.loc.as_ref()).map(|l| l.start()..l.end());
                (guard.map(|(_, a)| format!("@guard({:?})", a.val.as_str())), span)
            }
            Part::Clause(number) => {
                let clause = self.clauses.get(number);
                let span = clause.and_then(|c| c.source_loc()).map(|l| l.start()..l.end());
                let written = span.clone().and_then(|s| self.policy.text().get(s));
                // An `unless` clause has the place of what it negates.
                let negated = clause.is_some_and(|c| negates(c, written));
                let text = match written {
                    Some(text) if negated => Some(format!("!({text})")),
                    Some(text) => Some(text.to_owned()),
                    None => clause.map(|c| c.to_string()),
                };
                (text, span)
            }
        };
        let position = match &self.policy.policy.body.origin.form {
            Form::Text(statement) => span.and_then(|span| {
                let source = self.policy.source()?;
                Some(source.position(statement.start as usize + span.start))
            }),
            Form::Json(_) => None,
        };
        FailedClause {
            text: text.unwrap_or_default(),
            file: self.policy.file().to_owned(),
            line: position.map(|(line, _)| line),
            column: position.map(|(_, column)| column),
        }
    }
}

/// Returns whether `clause` is a negation of which `written` is only what is negated.
fn negates(clause: &ast::Expr, written: Option<&str>) -> bool {
    let is_not =
        matches!(clause.expr_kind(), ast::ExprKind::UnaryApp { op: ast::UnaryOp::Not, .. });
    is_not
        && written
            .and_then(parse::expression)
            .is_some_and(|parsed| parsed.to_string() != clause.to_string())
}
