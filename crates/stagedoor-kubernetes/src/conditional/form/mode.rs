//! The form of the enhancement proposal's first draft: `conditionalAuthorization.mode` opts in,
//! `status.conditionsChain` answers, a list of sets whose conditions have effects.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::AUTHORIZER;
use super::super::decision::{Condition, ConditionalDecision, ConditionsMap};
use crate::wire::null_is_default;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SetWire {
    #[serde(default, deserialize_with = "null_is_default")]
    authorizer_name: String,
    #[serde(default, deserialize_with = "null_is_default")]
    failure_mode: String,
    #[serde(default, deserialize_with = "null_is_default")]
    conditions: Vec<ConditionWire>,
}

/// A condition that says itself what it means for the request.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConditionWire {
    #[serde(default, deserialize_with = "null_is_default")]
    id: String,
    effect: Effect,
    #[serde(rename = "type", default, deserialize_with = "null_is_default")]
    type_: String,
    #[serde(default, deserialize_with = "null_is_default")]
    condition: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
enum Effect {
    Allow,
    Deny,
    NoOpinion,
}

/// The form.
pub(in crate::conditional) struct Mode;

impl Mode {
    /// Returns the sets of a decision.
    pub(in crate::conditional) fn chain(decision: &ConditionalDecision) -> Value {
        let conditions = match decision {
            ConditionalDecision::Conditions(map) => with_effects(map),
            // We are one authorizer, and say nothing else with conditions.
            _ => Vec::new(),
        };
        let (authorizer_name, failure_mode) = (AUTHORIZER.to_owned(), "Deny".to_owned());
        serde_json::json!([SetWire { authorizer_name, failure_mode, conditions }])
    }

    /// Reads sets.
    pub(in crate::conditional) fn read(sets: &Value) -> Result<ConditionalDecision, String> {
        let sets = Vec::<SetWire>::deserialize(sets).map_err(|e| e.to_string())?;
        let decision = |set: SetWire| {
            let map = ConditionalDecision::Conditions(without_effects(set.conditions));
            (set.authorizer_name, map)
        };
        Ok(ConditionalDecision::Union(sets.into_iter().map(decision).collect()))
    }
}

/// Returns conditions that say what they mean, those that deny first.
pub(super) fn with_effects(map: &ConditionsMap) -> Vec<ConditionWire> {
    let lists = [
        (Effect::Deny, &map.deny),
        (Effect::NoOpinion, &map.no_opinion),
        (Effect::Allow, &map.allow),
    ];
    let wire = |effect, condition: &Condition| {
        let Condition { id, type_, condition, description } = condition.clone();
        ConditionWire { id, effect, type_, condition, description }
    };
    lists
        .into_iter()
        .flat_map(|(effect, list)| list.iter().map(move |condition| wire(effect, condition)))
        .collect()
}

/// Returns conditions by what they mean.
pub(super) fn without_effects(conditions: Vec<ConditionWire>) -> ConditionsMap {
    let mut map = ConditionsMap::default();
    for ConditionWire { id, effect, type_, condition, description } in conditions {
        let list = match effect {
            Effect::Allow => &mut map.allow,
            Effect::Deny => &mut map.deny,
            Effect::NoOpinion => &mut map.no_opinion,
        };
        list.push(Condition { id, type_, condition, description });
    }
    map
}
