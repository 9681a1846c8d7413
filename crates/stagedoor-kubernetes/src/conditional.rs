//! Conditional authorization: conditions on the object, where the object is not known yet.
//!
//! An alpha of Kubernetes to come ([KEP-5681]): asked for and never on by itself. Policies of
//! authorization may then ask for `resource.object`, `resource.oldObject` and
//! `resource.options`, with the tags that admission has. A review is answered with what is left
//! of such policies, if who asks understands that, and a second review evaluates it when the
//! object is there, from the conditions alone.
//!
//! Its wire form has changed with each draft, and no release speaks any. So there is one inner
//! form, [`ConditionalDecision`], and a module for each wire form, which the field picks that
//! opts in.
//!
//! [KEP-5681]: https://github.com/kubernetes/enhancements/issues/5681

mod decision;
mod form;
mod review;
mod schema;

use cedar_policy::Decision;
use serde::Serialize;
use stagedoor_analysis::{EntityType, ParsedPolicy};
use stagedoor_core::{
    ConditionalEngine, ConditionalError, ConditionalOutcome, ConditionalResidual, Effect, Outcome,
    PolicyInfo,
};

use crate::attributes::{Attributes, ResourceAttributes};
use crate::names::NAMES;
use crate::review::{ConditionsMode, SubjectAccessReviewSpec, SubjectAccessReviewStatus};
use crate::reviewer::{Reviewer, is_forbidden};
use crate::ruling::{ReviewOutcome, Ruling};

pub use decision::{Condition, ConditionalDecision, ConditionsMap, EvaluatedDecision};
pub use review::{ConditionsReply, ConditionsReview, ConditionsReviewError};
pub use schema::{ExtendSchemaError, schema};

/// The attributes of `k8s::Resource` that come later.
pub const ATTRIBUTES: [&str; 3] = ["object", "oldObject", "options"];

/// The type of our conditions: expressions of Cedar's on the attributes that come later.
const CONDITION_TYPE: &str = "stagedoor-cedar";
/// Who tells our conditions.
const AUTHORIZER: &str = "stagedoor";
/// The longest condition that any form takes, in bytes.
const CONDITION_BYTES: usize = 10_240;
/// The most conditions of one answer.
const CONDITIONS: usize = 128;
/// The verbs whose requests may come to admission with an object.
const WRITES: [&str; 6] = ["create", "update", "patch", "delete", "deletecollection", "connect"];

/// Returns the fields that a status has beside its own for a decision with conditions, in the
/// form that who asks understands.
#[must_use]
pub fn status_fields(mode: ConditionsMode, decision: Option<&ConditionalDecision>) -> StatusFields {
    StatusFields(decision.map(|d| form::status_fields(mode, d)).unwrap_or_default())
}

/// Fields of a status beside its own.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct StatusFields(serde_json::Map<String, serde_json::Value>);

/// What is answered to a review by policies of which some depend on the object.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConditionalAnswer {
    /// The answer.
    pub status: SubjectAccessReviewStatus,
    /// The conditions, if it is none.
    pub conditions: Option<ConditionalDecision>,
    /// What the policies said that do not depend on the object; none where the request could not
    /// be decided.
    pub outcome: Option<Outcome>,
}

/// Answers reviews by policies of which some depend on the object that is written.
pub struct ConditionalReviewer {
    /// The policies that are enforced.
    open: ConditionalEngine,
    unheard: Option<String>,
}

impl ConditionalReviewer {
    /// Takes the policies apart that depend on the object.
    ///
    /// # Errors
    ///
    /// [`ConditionalError`] for an engine in exact-Cedar mode.
    pub fn new(reviewer: &Reviewer) -> Result<Self, ConditionalError> {
        let open = ConditionalEngine::new(reviewer.enforced().clone(), ATTRIBUTES)?;
        // Also of those that are only tried: they would never say anything.
        let all = ConditionalEngine::new(reviewer.engine().clone(), ATTRIBUTES)?;
        let unheard = all.open_policies().find(|policy| is_about_resources(*policy));
        let unheard = unheard.map(|policy| policy.id().to_owned());
        Ok(Self { open, unheard })
    }

    /// Returns whether any policy depends on the object.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        self.open.open_policies().next().is_some()
    }

    /// Returns a policy of authorization that would never meet an object without conditions: a
    /// forbid must not be in a set and never hold.
    #[must_use]
    pub fn unheard(&self) -> Option<&str> {
        self.unheard.as_deref()
    }

    /// Decides a request, with conditions if the answer depends on the object.
    ///
    /// Policies that are not enforced are no conditions; what they would forbid whatever the
    /// object is, the reason tells. Who understands no conditions gets none: what a policy might forbid is denied then, and
    /// what one might permit is not allowed.
    #[must_use]
    pub fn decide(&self, reviewer: &Reviewer, spec: &SubjectAccessReviewSpec) -> ConditionalAnswer {
        let Some(attributes) = writes(&spec.attributes) else {
            // Nothing is written, so there is no object.
            let ReviewOutcome { ruling, outcome } =
                reviewer.review_outcome(&spec.subject, &spec.attributes);
            return ConditionalAnswer { status: ruling.into(), conditions: None, outcome };
        };
        let mut answer = self.decide_write(reviewer, spec, attributes);
        let watched = reviewer.watched_ruling(&spec.subject, &spec.attributes);
        watched.tell_unenforced(&mut answer.status);
        answer
    }

    fn decide_write(
        &self,
        reviewer: &Reviewer,
        spec: &SubjectAccessReviewSpec,
        attributes: &ResourceAttributes,
    ) -> ConditionalAnswer {
        let outcome = reviewer.twice(
            &spec.subject,
            |outcome: &ConditionalOutcome| is_forbidden(outcome.known()),
            |vocabulary| {
                let principal = vocabulary.principal(&spec.subject)?;
                let (request, entities) = vocabulary.request(&principal, &spec.attributes)?;
                Ok(self.open.decide(&request, &entities)?)
            },
        );
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                let status = Ruling::undecided(&error).into();
                return ConditionalAnswer { status, conditions: None, outcome: None };
            }
        };
        let (status, conditions) = if let Some(settled) = outcome.settled() {
            (with_untold(settled.into(), &outcome), None)
        } else if spec.conditions != ConditionsMode::NotUnderstood && is_exact(attributes) {
            conditions(&outcome, spec.conditions)
        } else {
            (plain(&outcome), None)
        };
        ConditionalAnswer { status, conditions, outcome: Some(outcome.known().clone()) }
    }
}

/// Whether a policy says that it is about resources of authorization; what cannot be read may.
fn is_about_resources(policy: PolicyInfo<'_>) -> bool {
    let Ok(policy) = ParsedPolicy::of(policy) else { return true };
    let resource = &policy.scope.resource;
    let is = |name: &EntityType| name == AsRef::<EntityType>::as_ref(&NAMES.resource);
    match (&resource.is_type, &resource.entity) {
        (Some(name), _) => is(name),
        (None, Some(uid)) => !resource.exact || is(uid.entity_type()),
        (None, None) => false,
    }
}

/// Returns what is written, if the request can come to admission.
fn writes(attributes: &Attributes) -> Option<&ResourceAttributes> {
    match attributes {
        Attributes::Resource(attributes) if WRITES.contains(&attributes.verb.as_str()) => {
            Some(attributes)
        }
        _ => None,
    }
}

/// Whether one kind of object is meant, so that the conditions are about that.
fn is_exact(attributes: &ResourceAttributes) -> bool {
    let ResourceAttributes { group, version, resource, .. } = attributes;
    let exact = |text: &String| !text.is_empty() && text != "*";
    group != "*" && exact(version) && exact(resource)
}

/// Returns the answer for those who understand no conditions: what may be forbidden is denied,
/// and what may be permitted is not.
fn plain(outcome: &ConditionalOutcome) -> SubjectAccessReviewStatus {
    let forbids = residuals(outcome, Effect::Forbid).next().is_some();
    let effect = if forbids { Effect::Forbid } else { Effect::Permit };
    let names: Vec<String> = residuals(outcome, effect).map(|(r, _)| quoted(r)).collect();
    let (names, verb) = (names.join(", "), if forbids { "forbidden" } else { "permitted" });
    let reason = format!("it depends on the object whether this is {verb} by {names}");
    with_untold(status(forbids, reason), outcome)
}

/// Returns the answer for those who understand conditions.
fn conditions(
    outcome: &ConditionalOutcome,
    mode: ConditionsMode,
) -> (SubjectAccessReviewStatus, Option<ConditionalDecision>) {
    let longest = mode.condition_bytes();
    let forbids: Vec<_> = residuals(outcome, Effect::Forbid).collect();
    // A forbid that does not fit in must not get lost.
    let too_long = forbids.iter().find(|(_, text)| text.len() > longest);
    let untold = too_long.or_else(|| forbids.get(CONDITIONS / 2));
    if let Some((residual, _)) = untold {
        let reason = format!(
            "forbidden by {}, whose condition on the object does not fit in the answer",
            quoted(residual)
        );
        return (with_untold(status(true, reason), outcome), None);
    }
    let mut map = ConditionsMap::default();
    let mut number = 0;
    let mut told = |policy: &str, doc: Option<&str>, condition: &str| {
        let description =
            mode.is_for_people().then(|| doc.unwrap_or(policy).chars().take(256).collect());
        let id = label(number, policy);
        number += 1;
        let (type_, condition) = (CONDITION_TYPE.to_owned(), condition.to_owned());
        Condition { id, type_, condition, description }
    };
    for (residual, text) in forbids {
        map.deny.push(told(residual.policy(), residual.doc(), text));
    }
    let known = outcome.known();
    if known.decision() == Decision::Allow {
        let permit = known.reasons().next();
        let (id, doc) = permit.map(|p| (p.id(), p.annotation("doc"))).unwrap_or_default();
        map.allow.push(told(id, doc, "true"));
    } else {
        let fits = |(_, text): &(&ConditionalResidual, &str)| text.len() <= longest;
        for (residual, text) in
            residuals(outcome, Effect::Permit).filter(fits).take(CONDITIONS - map.deny.len())
        {
            map.allow.push(told(residual.policy(), residual.doc(), text));
        }
    }
    if map.is_empty() {
        let reason = "no policy permits this".to_owned();
        return (with_untold(status(false, reason), outcome), None);
    }
    let status = with_untold(status(false, "it depends on the object".to_owned()), outcome);
    (status, Some(ConditionalDecision::Conditions(map)))
}

/// Returns the residuals of an effect that can be told.
fn residuals(
    outcome: &ConditionalOutcome,
    effect: Effect,
) -> impl Iterator<Item = (&ConditionalResidual, &str)> {
    let of_effect = outcome.residuals().iter().filter(move |r| r.effect() == effect);
    of_effect.filter_map(|residual| Some((residual, residual.condition().ok()?)))
}

fn status(denied: bool, reason: String) -> SubjectAccessReviewStatus {
    SubjectAccessReviewStatus { denied, reason, ..SubjectAccessReviewStatus::default() }
}

/// Adds the permits that were left out, since they cannot be told as conditions.
fn with_untold(
    mut status: SubjectAccessReviewStatus,
    outcome: &ConditionalOutcome,
) -> SubjectAccessReviewStatus {
    let mut errors: Vec<String> = Vec::new();
    for error in outcome.known().errors() {
        errors.push(format!("policy `{}`: {}", error.policy(), error.message()));
    }
    for residual in outcome.residuals() {
        if let Err(reason) = residual.condition() {
            errors.push(format!("policy {}: {reason}", quoted(residual)));
        }
    }
    errors.truncate(8);
    if status.evaluation_error.is_empty() {
        status.evaluation_error = errors.join("; ");
    }
    status
}

fn quoted(residual: &ConditionalResidual) -> String {
    format!("`{}`", residual.policy())
}

/// Returns an id in the form of a label, different for each number.
fn label(number: usize, policy: &str) -> String {
    let name: String = policy
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' })
        .take(40)
        .collect();
    let name = name.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    if name.is_empty() { format!("{number}") } else { format!("{number}-{name}") }
}

#[cfg(test)]
mod tests {
    use super::label;

    #[test]
    fn ids_are_labels() {
        assert_eq!(label(0, "no-host"), "0-no-host");
        assert_eq!(label(12, "RoleBinding/a b rules[0]"), "12-RoleBinding-a-b-rules-0");
        assert_eq!(label(3, "ü"), "3");
        assert!(label(64, &"x".repeat(200)).len() <= 63);
    }
}
