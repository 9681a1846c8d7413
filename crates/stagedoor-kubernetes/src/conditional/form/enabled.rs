//! The form that Upbound's webhook speaks (kubernetes/kubernetes#137633 in mid 2026):
//! `conditionalAuthorization.enabled` opts in, `status.conditionalDecision` answers, a node
//! whose conditions have effects.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::decision::ConditionalDecision;
use super::mode::{ConditionWire, with_effects, without_effects};
use crate::wire::null_is_default;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NodeWire {
    #[serde(rename = "type")]
    type_: String,
    #[serde(default, deserialize_with = "null_is_default")]
    reason: String,
    #[serde(default)]
    conditions_map: Option<MapWire>,
    #[serde(default, deserialize_with = "null_is_default")]
    union: Vec<Value>,
}

#[derive(Deserialize)]
struct MapWire {
    #[serde(default, deserialize_with = "null_is_default")]
    conditions: Vec<ConditionWire>,
}

/// The form.
pub(in crate::conditional) struct EnabledForm;

impl EnabledForm {
    /// Returns a decision as a node.
    pub(in crate::conditional) fn decision(decision: &ConditionalDecision) -> Value {
        let plain = |type_: &str, reason: &String| json!({ "type": type_, "reason": reason });
        match decision {
            ConditionalDecision::Deny(reason) => plain("Deny", reason),
            ConditionalDecision::NoOpinion(reason) => plain("NoOpinion", reason),
            ConditionalDecision::Allow(reason) => plain("Allow", reason),
            ConditionalDecision::Conditions(map) => json!({
                "type": "ConditionsMap",
                "conditionsMap": { "conditions": with_effects(map) },
            }),
            ConditionalDecision::Union(decisions) => {
                let nodes: Vec<Value> = decisions.iter().map(|(_, d)| Self::decision(d)).collect();
                json!({ "type": "Union", "union": nodes })
            }
        }
    }

    /// Reads a node.
    pub(in crate::conditional) fn read(
        node: &Value,
        depth: usize,
    ) -> Result<ConditionalDecision, String> {
        let NodeWire { type_, reason, conditions_map, union } =
            NodeWire::deserialize(node).map_err(|e| e.to_string())?;
        Ok(match type_.as_str() {
            "Deny" => ConditionalDecision::Deny(reason),
            "NoOpinion" => ConditionalDecision::NoOpinion(reason),
            "Allow" => ConditionalDecision::Allow(reason),
            "ConditionsMap" => {
                let map = conditions_map.ok_or("give `conditionsMap`")?;
                ConditionalDecision::Conditions(without_effects(map.conditions))
            }
            "Union" => {
                let depth = depth.checked_sub(1).ok_or("unions stand too deep in unions")?;
                let nodes = union.iter().map(|node| Ok((String::new(), Self::read(node, depth)?)));
                ConditionalDecision::Union(nodes.collect::<Result<_, String>>()?)
            }
            other => return Err(format!("`{other}` is not a type of decision")),
        })
    }
}
