//! The newest form (the draft of autumn 2026): `authorizationOptions.handledDecisionTypes` opts
//! in, `status.conditionalDecision` answers, a node with one field for each type and a list of
//! conditions for each effect.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::decision::{Condition, ConditionalDecision, ConditionsMap};
use crate::wire::null_is_default;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NodeWire {
    #[serde(rename = "type")]
    type_: String,
    #[serde(default)]
    deny: Option<PlainWire>,
    #[serde(default)]
    no_opinion: Option<PlainWire>,
    #[serde(default)]
    allow: Option<PlainWire>,
    #[serde(default)]
    conditions_map: Option<MapWire>,
    #[serde(default, deserialize_with = "null_is_default")]
    union: Vec<NamedWire>,
}

#[derive(Deserialize)]
struct PlainWire {
    #[serde(default, deserialize_with = "null_is_default")]
    reason: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MapWire {
    #[serde(default, deserialize_with = "null_is_default")]
    deny_conditions: Vec<ConditionWire>,
    #[serde(default, deserialize_with = "null_is_default")]
    no_opinion_conditions: Vec<ConditionWire>,
    #[serde(default, deserialize_with = "null_is_default")]
    allow_conditions: Vec<ConditionWire>,
}

#[derive(Serialize, Deserialize)]
struct ConditionWire {
    #[serde(default, deserialize_with = "null_is_default")]
    id: String,
    #[serde(rename = "type", default, deserialize_with = "null_is_default")]
    type_: String,
    #[serde(default, deserialize_with = "null_is_default")]
    condition: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NamedWire {
    #[serde(default, deserialize_with = "null_is_default")]
    authorizer_name: String,
    decision: Value,
}

/// The form.
pub(in crate::conditional) struct DecisionTypes;

impl DecisionTypes {
    /// Returns a decision as a node.
    pub(in crate::conditional) fn decision(decision: &ConditionalDecision) -> Value {
        match decision {
            ConditionalDecision::Deny(reason) => {
                json!({ "type": "Deny", "deny": { "reason": reason } })
            }
            ConditionalDecision::NoOpinion(reason) => {
                json!({ "type": "NoOpinion", "noOpinion": { "reason": reason } })
            }
            ConditionalDecision::Allow(reason) => {
                json!({ "type": "Allow", "allow": { "reason": reason } })
            }
            ConditionalDecision::Conditions(map) => json!({
                "type": "ConditionsMap",
                "conditionsMap": MapWire {
                    deny_conditions: map.deny.iter().map(ConditionWire::of).collect(),
                    no_opinion_conditions: map.no_opinion.iter().map(ConditionWire::of).collect(),
                    allow_conditions: map.allow.iter().map(ConditionWire::of).collect(),
                },
            }),
            ConditionalDecision::Union(decisions) => {
                let named = |(name, decision): &(String, ConditionalDecision)| json!({ "authorizerName": name, "decision": Self::decision(decision) });
                json!({ "type": "Union", "union": decisions.iter().map(named).collect::<Vec<_>>() })
            }
        }
    }

    /// Reads a node.
    pub(in crate::conditional) fn read(
        node: &Value,
        depth: usize,
    ) -> Result<ConditionalDecision, String> {
        let NodeWire { type_, deny, no_opinion, allow, conditions_map, union } =
            NodeWire::deserialize(node).map_err(|e| e.to_string())?;
        let reason = |plain: Option<PlainWire>| plain.map(|plain| plain.reason).unwrap_or_default();
        Ok(match type_.as_str() {
            "Deny" => ConditionalDecision::Deny(reason(deny)),
            "NoOpinion" => ConditionalDecision::NoOpinion(reason(no_opinion)),
            "Allow" => ConditionalDecision::Allow(reason(allow)),
            "ConditionsMap" => {
                let map = conditions_map.ok_or("give `conditionsMap`")?;
                ConditionalDecision::Conditions(map.into())
            }
            "Union" => {
                let depth = depth.checked_sub(1).ok_or("unions stand too deep in unions")?;
                let mut names = HashSet::new();
                let mut decisions = Vec::new();
                for NamedWire { authorizer_name, decision } in union {
                    if authorizer_name.is_empty() || !names.insert(authorizer_name.clone()) {
                        return Err("a union names each authorizer once".to_owned());
                    }
                    decisions.push((authorizer_name, Self::read(&decision, depth)?));
                }
                ConditionalDecision::Union(decisions)
            }
            other => return Err(format!("`{other}` is not a type of decision")),
        })
    }
}

impl ConditionWire {
    fn of(condition: &Condition) -> Self {
        let Condition { id, type_, condition, description } = condition.clone();
        Self { id, type_, condition, description }
    }
}

impl From<MapWire> for ConditionsMap {
    fn from(wire: MapWire) -> Self {
        let list = |conditions: Vec<ConditionWire>| {
            let condition = |wire: ConditionWire| {
                let ConditionWire { id, type_, condition, description } = wire;
                Condition { id, type_, condition, description }
            };
            conditions.into_iter().map(condition).collect()
        };
        Self {
            deny: list(wire.deny_conditions),
            no_opinion: list(wire.no_opinion_conditions),
            allow: list(wire.allow_conditions),
        }
    }
}
