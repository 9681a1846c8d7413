//! The wire forms of decisions with conditions: one module for each.

mod decision_types;
mod enabled;
mod mode;

use serde_json::{Map, Value};

use super::decision::ConditionalDecision;
use crate::review::ConditionsMode;

pub(super) use decision_types::DecisionTypes;
pub(super) use enabled::EnabledForm;
pub(super) use mode::Mode;

/// How deep unions may stand in unions.
pub(super) const DEPTH: usize = 8;

/// Returns the fields that a status has beside its own for a decision with conditions.
///
/// Who opted in for nothing gets none; the caller has folded the decision then.
pub(super) fn status_fields(
    mode: ConditionsMode,
    decision: &ConditionalDecision,
) -> Map<String, Value> {
    let (field, value) = match mode {
        ConditionsMode::NotUnderstood => return Map::new(),
        ConditionsMode::HumanReadable | ConditionsMode::Optimized => {
            ("conditionsChain", Mode::chain(decision))
        }
        ConditionsMode::Enabled => ("conditionalDecision", EnabledForm::decision(decision)),
        ConditionsMode::DecisionTypes => ("conditionalDecision", DecisionTypes::decision(decision)),
    };
    Map::from_iter([(field.to_owned(), value)])
}

#[cfg(test)]
mod tests {
    use super::super::decision::{Condition, ConditionsMap};
    use super::*;

    fn condition(id: &str) -> Condition {
        Condition {
            id: id.to_owned(),
            type_: "example.com/cedar".to_owned(),
            condition: format!("resource.{id}"),
            description: Some(format!("about {id}")),
        }
    }

    fn decisions() -> Vec<ConditionalDecision> {
        let map = ConditionsMap {
            deny: vec![condition("a"), condition("b")],
            no_opinion: vec![condition("c")],
            allow: vec![condition("d")],
        };
        let conditions = ConditionalDecision::Conditions(map);
        let allow = ConditionalDecision::Allow("by role".to_owned());
        vec![
            conditions.clone(),
            allow.clone(),
            ConditionalDecision::Deny("no".to_owned()),
            ConditionalDecision::NoOpinion("who knows".to_owned()),
            ConditionalDecision::Union(vec![
                ("system".to_owned(), conditions),
                ("user".to_owned(), allow),
            ]),
        ]
    }

    #[test]
    fn every_form_reads_what_it_writes() {
        for decision in decisions() {
            let newest = DecisionTypes::decision(&decision);
            assert_eq!(DecisionTypes::read(&newest, DEPTH), Ok(decision.clone()));
            let enabled = EnabledForm::decision(&decision);
            // This form has no names in its unions.
            let unnamed = match decision {
                ConditionalDecision::Union(decisions) => ConditionalDecision::Union(
                    decisions.into_iter().map(|(_, decision)| (String::new(), decision)).collect(),
                ),
                other => other,
            };
            assert_eq!(EnabledForm::read(&enabled, DEPTH), Ok(unnamed));
        }
        let first = decisions().swap_remove(0);
        let chain = Mode::chain(&first);
        let read = Mode::read(&chain);
        assert_eq!(read, Ok(ConditionalDecision::Union(vec![("stagedoor".to_owned(), first)])));
    }

    #[test]
    fn what_is_none_of_a_form_is_refused() {
        let union = |depth: usize| {
            let mut value = serde_json::json!({ "type": "Allow", "allow": {} });
            for _ in 0..depth {
                value = serde_json::json!({
                    "type": "Union", "union": [{ "authorizerName": "a", "decision": value }],
                });
            }
            value
        };
        assert!(DecisionTypes::read(&union(3), DEPTH).is_ok());
        for refused in [
            serde_json::json!({}),
            serde_json::json!([]),
            serde_json::json!({ "type": "Maybe" }),
            serde_json::json!({ "type": "ConditionsMap" }),
            serde_json::json!({ "type": "ConditionsMap", "conditionsMap": { "denyConditions": [1] } }),
            serde_json::json!({ "type": "Union", "union": [
                { "authorizerName": "a", "decision": { "type": "Allow" } },
                { "authorizerName": "a", "decision": { "type": "Deny" } },
            ] }),
            union(20),
        ] {
            assert!(DecisionTypes::read(&refused, DEPTH).is_err(), "{refused}");
        }
    }
}
