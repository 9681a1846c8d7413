//! Decisions with conditions, in the inner form, and what they come to.

use cedar_policy::EntityUid;
use stagedoor_core::{DeferredCondition, Entities};

use super::{ATTRIBUTES, CONDITION_BYTES, CONDITION_TYPE};

/// A condition, and what people may call it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Condition {
    /// The id, different for each condition of a decision.
    pub id: String,
    /// In which language it is.
    pub type_: String,
    /// The condition.
    pub condition: String,
    /// What it is about, for people.
    pub description: Option<String>,
}

/// Conditions of one authorizer, by what each means for the request if it holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConditionsMap {
    /// Those that deny.
    pub deny: Vec<Condition>,
    /// Those that leave it to other authorizers.
    pub no_opinion: Vec<Condition>,
    /// Those that allow.
    pub allow: Vec<Condition>,
}

impl ConditionsMap {
    /// Returns whether there is no condition at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many conditions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.deny.len() + self.no_opinion.len() + self.allow.len()
    }
}

/// A decision of authorizers, some of which may hang on conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConditionalDecision {
    /// Denied.
    Deny(String),
    /// Left to others.
    NoOpinion(String),
    /// Allowed.
    Allow(String),
    /// What an authorizer says hangs on these.
    Conditions(ConditionsMap),
    /// What several authorizers say, by name; the first that has an opinion decides.
    Union(Vec<(String, ConditionalDecision)>),
}

/// What a decision came to, once the object is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EvaluatedDecision {
    /// Whether the request is allowed.
    pub allowed: bool,
    /// Whether it is denied. Neither this nor `allowed` means no opinion.
    pub denied: bool,
    /// By which condition.
    pub reason: String,
    /// What went wrong on the way.
    pub evaluation_error: String,
}

/// The object that conditions are about, or why there is none.
pub(super) type ObjectInput<'a> = Result<&'a (EntityUid, Entities), &'a String>;

/// What a list of conditions comes to: the worse of them for the request counts.
enum List<'a> {
    Holds(&'a Condition),
    Fails(String),
    DoesNotHold,
}

impl ConditionalDecision {
    /// Returns how many conditions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Conditions(map) => map.len(),
            Self::Union(decisions) => decisions.iter().map(|(_, decision)| decision.len()).sum(),
            Self::Deny(_) | Self::NoOpinion(_) | Self::Allow(_) => 0,
        }
    }

    /// Returns whether nothing hangs on a condition.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns every condition with what it means for the request: `Deny`, `NoOpinion` or `Allow`.
    #[must_use]
    pub fn conditions(&self) -> Vec<(&'static str, &Condition)> {
        match self {
            Self::Conditions(ConditionsMap { deny, no_opinion, allow }) => {
                let lists = [("Deny", deny), ("NoOpinion", no_opinion), ("Allow", allow)];
                let of_list = |(effect, list)| -> Vec<_> {
                    let list: &Vec<Condition> = list;
                    list.iter().map(|condition| (effect, condition)).collect()
                };
                lists.into_iter().flat_map(of_list).collect()
            }
            Self::Union(decisions) => {
                decisions.iter().flat_map(|(_, decision)| decision.conditions()).collect()
            }
            Self::Deny(_) | Self::NoOpinion(_) | Self::Allow(_) => Vec::new(),
        }
    }

    /// Returns what it comes to with what is written.
    pub(super) fn evaluate(&self, written: ObjectInput<'_>) -> EvaluatedDecision {
        let plain = |allowed, denied, reason: &String| EvaluatedDecision {
            allowed,
            denied,
            reason: reason.clone(),
            evaluation_error: String::new(),
        };
        match self {
            Self::Deny(reason) => plain(false, true, reason),
            Self::NoOpinion(reason) => plain(false, false, reason),
            Self::Allow(reason) => plain(true, false, reason),
            Self::Conditions(map) => map.evaluate(written),
            Self::Union(decisions) => {
                let mut errors = Vec::new();
                for (_, decision) in decisions {
                    let mut evaluated = decision.evaluate(written);
                    if evaluated.allowed || evaluated.denied {
                        return evaluated;
                    }
                    errors.push(std::mem::take(&mut evaluated.evaluation_error));
                }
                errors.retain(|error| !error.is_empty());
                EvaluatedDecision {
                    reason: "no condition allows this".to_owned(),
                    evaluation_error: errors.join("; "),
                    ..EvaluatedDecision::default()
                }
            }
        }
    }
}

impl ConditionsMap {
    /// The truth table of `k8s.io/apiserver`: one that denies and fails denies; one that leaves
    /// it to others and fails does; one that allows and fails allows nothing.
    fn evaluate(&self, written: ObjectInput<'_>) -> EvaluatedDecision {
        let by =
            |how: &str, condition: &Condition| format!("{how} by condition `{}`", condition.id);
        let none = EvaluatedDecision::default;
        match list(&self.deny, written) {
            List::Holds(condition) => {
                return EvaluatedDecision {
                    denied: true,
                    reason: by("denied", condition),
                    ..none()
                };
            }
            List::Fails(evaluation_error) => {
                let reason = "a condition that denies could not be evaluated".to_owned();
                return EvaluatedDecision { denied: true, reason, evaluation_error, ..none() };
            }
            List::DoesNotHold => {}
        }
        match list(&self.no_opinion, written) {
            List::Holds(condition) => {
                return EvaluatedDecision { reason: by("left to others", condition), ..none() };
            }
            List::Fails(evaluation_error) => {
                let reason = "a condition that leaves it to others could not be evaluated";
                return EvaluatedDecision { reason: reason.to_owned(), evaluation_error, ..none() };
            }
            List::DoesNotHold => {}
        }
        let nothing = || "no condition allows this".to_owned();
        match list(&self.allow, written) {
            List::Holds(condition) => {
                EvaluatedDecision { allowed: true, reason: by("allowed", condition), ..none() }
            }
            List::Fails(evaluation_error) => {
                EvaluatedDecision { reason: nothing(), evaluation_error, ..none() }
            }
            List::DoesNotHold => EvaluatedDecision { reason: nothing(), ..none() },
        }
    }
}

/// Returns what a list comes to: one that holds counts before one that fails.
fn list<'c>(conditions: &'c [Condition], written: ObjectInput<'_>) -> List<'c> {
    let mut failed = None;
    for condition in conditions {
        match holds(condition, written) {
            Ok(true) => return List::Holds(condition),
            Ok(false) => {}
            Err(error) => {
                failed.get_or_insert_with(|| format!("condition `{}`: {error}", condition.id));
            }
        }
    }
    failed.map_or(List::DoesNotHold, List::Fails)
}

fn holds(condition: &Condition, written: ObjectInput<'_>) -> Result<bool, String> {
    if condition.type_ != CONDITION_TYPE {
        return Err(format!("conditions of type `{}` are not known here", condition.type_));
    }
    if condition.condition.len() > CONDITION_BYTES {
        return Err(format!("it is longer than {CONDITION_BYTES} bytes"));
    }
    let (resource, entities) = written.map_err(Clone::clone)?;
    DeferredCondition::parse(&condition.condition, ATTRIBUTES)
        .and_then(|condition| condition.holds(resource, entities))
        .map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(number: usize, value: &str) -> Condition {
        // `x` is no attribute that comes later, so that it fails.
        let condition = if value == "error" { "resource.x" } else { value };
        Condition {
            id: format!("{number}"),
            type_: CONDITION_TYPE.to_owned(),
            condition: condition.to_owned(),
            description: None,
        }
    }

    /// Every list of up to two conditions of each kind, against the table as it is written.
    #[test]
    fn conditions_come_to_what_the_truth_table_says() -> Result<(), stagedoor_core::EntitiesError> {
        let resource = crate::admission::resource_uid("written");
        let entity = stagedoor_core::Entity::new(resource.clone());
        let written = (resource, Entities::from_entities([entity])?);
        let lists: Vec<Vec<&str>> = {
            let values = ["true", "false", "error"];
            let mut lists = vec![Vec::new()];
            for first in values {
                lists.push(vec![first]);
                lists.extend(values.map(|second| vec![first, second]));
            }
            lists
        };
        let list = |values: &Vec<&str>| -> Vec<Condition> {
            values.iter().enumerate().map(|(n, value)| condition(n, value)).collect()
        };
        for deny in &lists {
            for no_opinion in &lists {
                for allow in &lists {
                    let map = ConditionsMap {
                        deny: list(deny),
                        no_opinion: list(no_opinion),
                        allow: list(allow),
                    };
                    let came_to = map.evaluate(Ok(&written));
                    let has = |list: &Vec<&str>, value: &str| list.contains(&value);
                    let (allowed, denied, failed) = if has(deny, "true") {
                        (false, true, false)
                    } else if has(deny, "error") {
                        (false, true, true)
                    } else if has(no_opinion, "true") {
                        (false, false, false)
                    } else if has(no_opinion, "error") {
                        (false, false, true)
                    } else if has(allow, "true") {
                        (true, false, false)
                    } else {
                        (false, false, has(allow, "error"))
                    };
                    let got =
                        (came_to.allowed, came_to.denied, !came_to.evaluation_error.is_empty());
                    assert_eq!(got, (allowed, denied, failed), "{map:?}");
                }
            }
        }
        Ok(())
    }

    #[test]
    fn the_first_of_a_union_that_has_an_opinion_decides() {
        let nothing = ConditionalDecision::NoOpinion("none".to_owned());
        let allow = ConditionalDecision::Allow("by role".to_owned());
        let deny = ConditionalDecision::Deny("no".to_owned());
        let failed = "no object".to_owned();
        let union = |decisions: [&ConditionalDecision; 2]| {
            let named = decisions.map(|decision| (String::new(), decision.clone()));
            ConditionalDecision::Union(named.to_vec()).evaluate(Err(&failed))
        };
        assert!(union([&nothing, &allow]).allowed);
        assert!(union([&deny, &allow]).denied);
        assert!(!union([&nothing, &nothing]).allowed);
    }
}
