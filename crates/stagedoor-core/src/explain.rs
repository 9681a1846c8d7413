//! Why, and why not: what each policy in question says to a request.

mod clause;
mod counterfactual;
mod edit;

use cedar_policy::{Decision, Effect};

use crate::entities::Entities;
use crate::error::{DecideError, cut};
use crate::evaluate::{Evaluation, Verdict};
use crate::guard::{GuardOutcome, GuardVerdict};
use crate::outcome::Outcome;
use crate::policy::PolicyInfo;
use crate::request::Request;

use clause::{PolicyPart, Reader, failed_parts};

pub use clause::{FailedClause, HeldAlternative, HeldClause, MetValue};
pub use counterfactual::{Change, ChangedTo, Counterfactual};

/// So many permits are shown beside a denial.
const NEAREST: usize = 3;

/// The explanation of one decision.
///
/// # Examples
///
/// ```
/// use stagedoor_core::{ChangedTo, Engine, Entities, Entity, PolicyStatus, Request};
///
/// let engine = Engine::builder()
///     .schema("s.cedarschema", "entity User; entity File { kind: String, size: Long };
///         action open appliesTo { principal: User, resource: File };")
///     .policies("p.cedar", r#"
///         @id("all") permit(principal, action, resource);
///         @id("programs") forbid(principal, action, resource)
///         when { resource.kind == "exe" || resource.size > 1000 };"#)
///     .build()?;
/// let file = r#"File::"a""#.parse()?;
/// let files = Entities::from_entities([
///     Entity::new(file).with_attribute("kind", "exe").with_attribute("size", 10),
/// ])?;
/// let request = Request::new(
///     r#"User::"ana""#.parse()?, r#"Action::"open""#.parse()?, r#"File::"a""#.parse()?);
/// let explanation = engine.explain(&request, &files)?;
///
/// // Which alternative of the forbid holds, and with which value.
/// let forbid = &explanation.policies()[1];
/// assert_eq!(forbid.status(), &PolicyStatus::Satisfied);
/// let alternative = &forbid.held()[0].alternatives()[0];
/// assert_eq!(alternative.text(), r#"resource.kind == "exe""#);
/// assert_eq!(alternative.values()[0].to_string(), r#"`resource.kind` is `"exe"`"#);
///
/// // What would have to be different.
/// let turned = explanation.counterfactuals();
/// let change = &turned[0].changes()[0];
/// assert_eq!(change.subject(), "resource.kind");
/// assert_eq!(change.to(), &ChangedTo::OtherThan(r#""exe""#.to_owned()));
/// assert_eq!(turned[0].permits(), ["all"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Explanation {
    outcome: Outcome,
    policies: Vec<PolicyExplanation>,
    nearest: Vec<NearPermit>,
    request: Request,
    entities: Entities,
}

impl Explanation {
    /// Returns the outcome that is explained.
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

    /// Returns, for a denial, the smallest changes of the request or its entities that were found
    /// with which it would be allowed; none for what is allowed, or where none was found.
    ///
    /// Each was checked by deciding the changed request, guards included. Costs up to some dozens
    /// of decisions, and time in proportion to the number of policies.
    #[must_use]
    pub fn counterfactuals(&self) -> Vec<Counterfactual> {
        counterfactual::search(&self.outcome, &self.request, &self.entities)
    }
}

/// What one policy says to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyExplanation {
    policy: String,
    effect: Effect,
    status: PolicyStatus,
    held: Vec<HeldClause>,
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

    /// Returns the clauses of a policy that Cedar satisfies, in order: which alternatives of `||`
    /// hold, and the values that were met.
    #[must_use]
    pub fn held(&self) -> &[HeldClause] {
        &self.held
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

    /// Returns which guard holds the policy back, and what it says.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        self.guards.iter().find(|guard| guard.says_no()).map(|guard| {
            let (rule, verdict) = (cut(&guard.rule), cut(&guard.verdict));
            format!("guard `{rule}` says {verdict}")
        })
    }
}

/// Whether a policy applies to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// A permit that was not satisfied, and what keeps it from being so.
///
/// # Examples
///
/// ```
/// use stagedoor_core::{Engine, Entities, Request};
///
/// let engine = Engine::builder()
///     .schema("s.cedarschema", "entity Team; entity User in [Team]; entity Doc;
///         action view appliesTo { principal: User, resource: Doc };")
///     .policies("p.cedar", r#"@id("ops") permit(principal in Team::"ops", action, resource);"#)
///     .build()?;
/// let request = Request::new(
///     r#"User::"ana""#.parse()?, r#"Action::"view""#.parse()?, r#"Doc::"1""#.parse()?);
/// let explanation = engine.explain(&request, &Entities::empty())?;
/// let near = &explanation.nearest()[0];
/// assert_eq!(near.policy(), "ops");
/// assert_eq!(near.failed()[0].text(), r#"principal in Team::"ops""#);
/// assert_eq!((near.failed()[0].file(), near.failed()[0].line()), ("p.cedar", Some(1)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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

pub(crate) fn explain(
    outcome: Outcome,
    evaluation: &Evaluation<'_, '_>,
) -> Result<Explanation, DecideError> {
    let engine = outcome.engine.clone();
    // Where a forbid denies, no permit would have helped.
    let unpermitted = outcome.decision == Decision::Deny && outcome.determining.is_empty();
    let mut policies = Vec::new();
    let mut near: Vec<(PolicyInfo<'_>, Vec<PolicyPart>)> = Vec::new();
    for (_, policy) in engine.numbered_policies() {
        if !evaluation.action_scope(policy.policy) {
            continue;
        }
        if unpermitted && policy.effect() == Effect::Permit {
            let mut failed = failed_parts(policy, evaluation)?;
            if failed.is_empty() {
                failed.push(PolicyPart::Guard);
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
            Verdict::Errored(fault) => PolicyStatus::Errored(cut(&fault)),
            Verdict::NotSatisfied => {
                let first = first_false(policy, evaluation)?;
                PolicyStatus::NotSatisfied(Reader::new(policy).failed(first, evaluation))
            }
        };
        let held = match status {
            PolicyStatus::Satisfied | PolicyStatus::HeldBack => {
                Reader::new(policy).held(evaluation)?
            }
            PolicyStatus::NotSatisfied(_) | PolicyStatus::Errored(_) => Vec::new(),
        };
        let guards = guards_of(&outcome, policy).cloned().collect();
        let (id, effect, is_compiled) =
            (policy.id().to_owned(), policy.effect(), policy.is_compiled());
        policies.push(PolicyExplanation { policy: id, effect, status, held, guards, is_compiled });
    }
    near.sort_by_key(|(_, failed)| failed.len());
    near.truncate(NEAREST);
    let nearest = near
        .into_iter()
        .map(|(policy, failed)| {
            let reader = Reader::new(policy);
            let failed = failed.into_iter().map(|part| reader.failed(part, evaluation)).collect();
            NearPermit { policy: policy.id().to_owned(), failed }
        })
        .collect();
    let (request, entities) = evaluation.view.whole()?;
    let (request, entities) = (request.clone(), entities.clone());
    Ok(Explanation { outcome, policies, nearest, request, entities })
}

fn guards_of<'o>(
    outcome: &'o Outcome,
    policy: PolicyInfo<'_>,
) -> impl Iterator<Item = &'o GuardOutcome> {
    outcome.guards.iter().filter(move |guard| guard.policy == policy.id())
}

/// Returns the status of a policy that Cedar satisfies.
fn guarded_status(outcome: &Outcome, policy: PolicyInfo<'_>) -> PolicyStatus {
    if guards_of(outcome, policy).any(GuardOutcome::says_no) {
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
) -> Result<PolicyPart, DecideError> {
    for (number, clause) in policy.policy.body.clauses.iter().enumerate() {
        if evaluation.clause(clause)? == Some(false) {
            return Ok(PolicyPart::Clause(number));
        }
    }
    Ok(PolicyPart::Clause(0))
}
