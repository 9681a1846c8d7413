//! Conditional authorization: conditions on the object, where the object is not known yet.
//!
//! An alpha of Kubernetes to come ([KEP-5681]): asked for and never on by itself. Policies of
//! authorization may then ask for `resource.object`, `resource.oldObject` and
//! `resource.options`, with the tags that admission has. `POST /authorize` answers such policies
//! with their residuals, if who asks understands that, and `POST /conditions` evaluates
//! residuals when the object is there, from the conditions alone.
//!
//! [KEP-5681]: https://github.com/kubernetes/enhancements/issues/5681

mod evaluate;
mod review;

use std::error::Error;

use cedar_policy::{
    EntityTypeName, Policy, ResourceConstraint, Template, TemplateResourceConstraint,
};
use stagedoor_core::{Decision, Effect, Engine, OpenEngine, OpenOutcome, OpenResidual};
use stagedoor_kubernetes::{
    Attributes, ConditionsMode, ResourceAttributes, SCHEMA, SubjectAccessReviewSpec,
    SubjectAccessReviewStatus, Vocabulary,
};

use crate::error::PoliciesError;

pub(crate) use evaluate::answer;
pub(crate) use review::ConditionSet;
use review::{Condition, ConditionEffect};

/// The attributes of `k8s::Resource` that come later.
pub(crate) const ATTRIBUTES: [&str; 3] = ["object", "oldObject", "options"];

/// The type of our conditions: expressions of Cedar's on the attributes that come later.
const CONDITION_TYPE: &str = "stagedoor-cedar";
/// Who tells our conditions.
const AUTHORIZER: &str = "stagedoor";
/// The longest condition that Kubernetes takes, in bytes.
const CONDITION_BYTES: usize = 1024;
/// The most conditions of one answer.
const CONDITIONS: usize = 64;
/// The verbs whose requests may come to admission with an object.
const WRITES: [&str; 6] = ["create", "update", "patch", "delete", "deletecollection", "connect"];

/// Returns the schema of authorization with the attributes that come later.
pub(crate) fn schema() -> String {
    let attributes: String = ATTRIBUTES
        .iter()
        .map(|name| format!("    {name}?: k8s::admission::AdmittedObject,\n"))
        .collect();
    let resource = "entity Resource in [Namespace] = {\n";
    SCHEMA.replacen(resource, &format!("{resource}{attributes}"), 1)
}

/// Returns the policies apart that depend on the object, if conditions are asked for.
///
/// # Errors
///
/// [`PoliciesError::Conditional`] if they are not, for policies of authorization that would
/// never meet an object: a forbid must not be in the set and never hold.
pub(crate) fn open(engine: Engine, is_on: bool) -> Result<Option<OpenEngine>, PoliciesError> {
    let open = OpenEngine::new(engine, ATTRIBUTES)?;
    if is_on {
        let has_any = open.open_policies().next().is_some();
        return Ok(has_any.then_some(open));
    }
    let unheard = open.open_policies().find(|policy| is_about_resources(policy.text()));
    match unheard {
        Some(policy) => Err(PoliciesError::Conditional(policy.id().to_owned())),
        None => Ok(None),
    }
}

/// Whether a policy or template says that it is about resources of authorization.
fn is_about_resources(text: &str) -> bool {
    let is = |name: &EntityTypeName| name.to_string() == "k8s::Resource";
    if let Ok(policy) = Policy::parse(None, text) {
        return match policy.resource_constraint() {
            ResourceConstraint::Any => false,
            ResourceConstraint::Is(name) | ResourceConstraint::IsIn(name, _) => is(&name),
            ResourceConstraint::In(_) => true,
            ResourceConstraint::Eq(uid) => is(uid.type_name()),
        };
    }
    match Template::parse(None, text).map(|template| template.resource_constraint()) {
        Ok(TemplateResourceConstraint::Is(name) | TemplateResourceConstraint::IsIn(name, _)) => {
            is(&name)
        }
        Ok(TemplateResourceConstraint::Any) => false,
        _ => true,
    }
}

/// Decides a request, with conditions if the answer depends on the object.
pub(crate) fn decide(
    open: &OpenEngine,
    vocabulary: &Vocabulary,
    spec: &SubjectAccessReviewSpec,
) -> (SubjectAccessReviewStatus, Option<ConditionSet>) {
    match decided(open, vocabulary, spec) {
        Ok(decided) => decided,
        Err(error) => {
            let reason = "the request could not be decided".to_owned();
            (status(true, reason, error.to_string()), None)
        }
    }
}

type Decided = (SubjectAccessReviewStatus, Option<ConditionSet>);

fn decided(
    open: &OpenEngine,
    vocabulary: &Vocabulary,
    spec: &SubjectAccessReviewSpec,
) -> Result<Decided, Box<dyn Error>> {
    let principal = vocabulary.principal(&spec.subject)?;
    let (request, entities) = vocabulary.request(&principal, &spec.attributes)?;
    let Some(attributes) = writes(&spec.attributes) else {
        // Nothing is written, so there is no object.
        return Ok(((&open.engine().decide(&request, &entities)?).into(), None));
    };
    let outcome = open.decide(&request, &entities)?;
    if let Some(settled) = outcome.settled() {
        return Ok((with_untold(settled.into(), &outcome), None));
    }
    let understood = spec.conditions != ConditionsMode::NotUnderstood && is_exact(attributes);
    Ok(if understood { conditions(&outcome, spec.conditions) } else { (plain(&outcome), None) })
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
fn plain(outcome: &OpenOutcome) -> SubjectAccessReviewStatus {
    let forbids = residuals(outcome, Effect::Forbid).next().is_some();
    let effect = if forbids { Effect::Forbid } else { Effect::Permit };
    let names: Vec<String> = residuals(outcome, effect).map(|(r, _)| quoted(r)).collect();
    let (names, verb) = (names.join(", "), if forbids { "forbidden" } else { "permitted" });
    let reason = format!("it depends on the object whether this is {verb} by {names}");
    with_untold(status(forbids, reason, String::new()), outcome)
}

/// Returns the answer for those who understand conditions.
fn conditions(outcome: &OpenOutcome, mode: ConditionsMode) -> Decided {
    let is_human = mode == ConditionsMode::HumanReadable;
    let forbids: Vec<_> = residuals(outcome, Effect::Forbid).collect();
    // A forbid that does not fit in must not get lost.
    let too_long = forbids.iter().find(|(_, text)| text.len() > CONDITION_BYTES);
    let untold = too_long.or_else(|| forbids.get(CONDITIONS));
    if let Some((residual, _)) = untold {
        let reason = format!(
            "forbidden by {}, whose condition on the object does not fit in the answer",
            quoted(residual)
        );
        return (with_untold(status(true, reason, String::new()), outcome), None);
    }
    let mut told = Vec::new();
    for (residual, text) in forbids {
        told.push((ConditionEffect::Deny, residual.policy(), residual.doc(), text.to_owned()));
    }
    let known = outcome.known();
    if known.decision() == Decision::Allow {
        let permit = known.reasons().next();
        let (id, doc) = permit.map(|p| (p.id(), p.annotation("doc"))).unwrap_or_default();
        told.push((ConditionEffect::Allow, id, doc, "true".to_owned()));
    } else {
        let fits = |(_, text): &(&OpenResidual, &str)| text.len() <= CONDITION_BYTES;
        for (residual, text) in residuals(outcome, Effect::Permit).filter(fits) {
            told.push((ConditionEffect::Allow, residual.policy(), residual.doc(), text.to_owned()));
        }
    }
    told.truncate(2 * CONDITIONS);
    if told.is_empty() {
        let reason = "no policy permits this".to_owned();
        return (with_untold(status(false, reason, String::new()), outcome), None);
    }
    let conditions =
        told.into_iter().enumerate().map(|(number, (effect, id, doc, condition))| Condition {
            id: label(number, id),
            effect,
            type_: CONDITION_TYPE.to_owned(),
            condition,
            description: is_human.then(|| doc.unwrap_or(id).chars().take(256).collect()),
        });
    let set = ConditionSet {
        authorizer_name: AUTHORIZER.to_owned(),
        failure_mode: "Deny".to_owned(),
        conditions: conditions.collect(),
    };
    let reason = "it depends on the object".to_owned();
    (with_untold(status(false, reason, String::new()), outcome), Some(set))
}

/// Returns the residuals of an effect that can be told.
fn residuals(outcome: &OpenOutcome, effect: Effect) -> impl Iterator<Item = (&OpenResidual, &str)> {
    let of_effect = outcome.residuals().iter().filter(move |r| r.effect() == effect);
    of_effect.filter_map(|residual| Some((residual, residual.condition().ok()?)))
}

fn status(denied: bool, reason: String, evaluation_error: String) -> SubjectAccessReviewStatus {
    let mut status = SubjectAccessReviewStatus::default();
    status.denied = denied;
    status.reason = reason;
    status.evaluation_error = evaluation_error;
    status
}

/// Adds the permits that were left out, since they cannot be told as conditions.
fn with_untold(
    mut status: SubjectAccessReviewStatus,
    outcome: &OpenOutcome,
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

fn quoted(residual: &OpenResidual) -> String {
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
    use super::{ATTRIBUTES, label, schema};
    use stagedoor_kubernetes::admission;

    #[test]
    fn the_schema_has_the_attributes_that_come_later() -> Result<(), Box<dyn std::error::Error>> {
        let text = format!("{}\n{}", schema(), admission::SCHEMA);
        let (schema, _) = cedar_policy::Schema::from_cedarschema_str(&text)?;
        for attribute in ATTRIBUTES {
            let policy = format!(
                "permit(principal, action == k8s::Action::\"create\", resource is k8s::Resource) \
                 when {{ resource has {attribute} && resource.{attribute}.hasTag(\"/spec\") }};"
            );
            let set: cedar_policy::PolicySet = policy.parse()?;
            let validator = cedar_policy::Validator::new(schema.clone());
            let result = validator.validate(&set, cedar_policy::ValidationMode::Strict);
            assert!(result.validation_passed(), "{attribute}: {result}");
        }
        Ok(())
    }

    #[test]
    fn ids_are_labels() {
        assert_eq!(label(0, "no-host"), "0-no-host");
        assert_eq!(label(12, "RoleBinding/a b rules[0]"), "12-RoleBinding-a-b-rules-0");
        assert_eq!(label(3, "ü"), "3");
        assert!(label(64, &"x".repeat(200)).len() <= 63);
    }
}
