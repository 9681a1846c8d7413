//! What a case expects, and how an outcome falls short of it.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use stagedoor_core::{Decision, Explanation};

/// What a case expects of the outcome.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Expectation(Parts);

/// A decision and, where they are given, its reasons.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Parts {
    /// The decision.
    decision: ExpectedDecision,
    /// The ids of all policies that determine the decision, in any order.
    reasons: Option<BTreeSet<String>>,
    /// Ids of policies that are among those that determine the decision.
    #[serde(default)]
    reasons_include: BTreeSet<String>,
    /// A text that a clause contains by which a policy in question, or the nearest permit,
    /// does not hold.
    clause: Option<String>,
    /// Ids of all policies that cannot be evaluated; none by default.
    #[serde(default)]
    errors: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum ExpectedDecision {
    Allow,
    #[default]
    Deny,
}

impl Expectation {
    /// Returns the expectation of a decision whatever its reasons.
    pub(crate) fn of(decision: Decision) -> Self {
        let decision = match decision {
            Decision::Allow => ExpectedDecision::Allow,
            Decision::Deny => ExpectedDecision::Deny,
        };
        Self(Parts { decision, ..Parts::default() })
    }

    /// Returns the expectation that one word names: `allow` or `deny`.
    pub(crate) fn word(word: &str) -> Option<Self> {
        match word {
            "allow" => Some(Self::of(Decision::Allow)),
            "deny" => Some(Self::of(Decision::Deny)),
            _ => None,
        }
    }

    /// Whether only an explanation can tell if it is met.
    pub(crate) fn needs_explanation(&self) -> bool {
        self.0.clause.is_some()
    }

    /// Returns what differs, a line each; nothing if the outcome is as expected.
    pub(crate) fn differences(&self, found: &Found) -> Vec<String> {
        let Parts { decision, reasons, reasons_include, clause, errors } = &self.0;
        let mut differences = Vec::new();
        let expected = match decision {
            ExpectedDecision::Allow => Decision::Allow,
            ExpectedDecision::Deny => Decision::Deny,
        };
        if found.decision != expected {
            let (expected, found) = (word(expected), word(found.decision));
            differences.push(format!("expected {expected}, but the decision is {found}"));
        }
        if let Some(reasons) = reasons
            && *reasons != found.reasons
        {
            let (expected, found) = (list(reasons), list(&found.reasons));
            differences.push(format!("expected the reasons {expected}, but they are {found}"));
        }
        let missing: BTreeSet<String> =
            reasons_include.difference(&found.reasons).cloned().collect();
        if !missing.is_empty() {
            let (missing, found) = (list(&missing), list(&found.reasons));
            differences.push(format!("expected {missing} among the reasons, which are {found}"));
        }
        if *errors != found.errors {
            let (expected, found) = (list(errors), list(&found.errors));
            differences.push(format!("expected errors in {expected}, but they are in {found}"));
        }
        if let Some(clause) = clause
            && !found.clauses.iter().any(|found| found.contains(clause.as_str()))
        {
            differences.push(if found.clauses.is_empty() {
                format!("expected a clause with `{clause}` to fail, but none fails")
            } else {
                let found = found.clauses.join("`, `");
                format!(
                    "expected a clause with `{clause}` to fail, but those that fail are `{found}`"
                )
            });
        }
        differences
    }
}

/// What an outcome has of the things that can be expected.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) decision: Decision,
    pub(crate) reasons: BTreeSet<String>,
    pub(crate) errors: BTreeSet<String>,
    /// Only where an explanation was asked for.
    pub(crate) clauses: Vec<String>,
}

impl Found {
    pub(crate) fn of(outcome: &stagedoor_core::Outcome) -> Self {
        Self {
            decision: outcome.decision(),
            reasons: outcome.reasons().map(|policy| policy.id().to_owned()).collect(),
            errors: outcome.errors().iter().map(|error| error.policy().to_owned()).collect(),
            clauses: Vec::new(),
        }
    }

    pub(crate) fn explained(explanation: &Explanation) -> Self {
        let in_question =
            explanation.policies().iter().filter_map(|policy| match policy.status() {
                stagedoor_core::PolicyStatus::NotSatisfied(clause) => Some(clause),
                _ => None,
            });
        let nearest = explanation.nearest().iter().flat_map(|near| near.failed());
        let mut clauses: Vec<String> =
            in_question.chain(nearest).map(|clause| clause.text().to_owned()).collect();
        clauses.sort_unstable();
        clauses.dedup();
        Self { clauses, ..Self::of(explanation.outcome()) }
    }
}

/// Returns the word for a decision.
pub(crate) fn word(decision: Decision) -> &'static str {
    match decision {
        Decision::Allow => "allow",
        Decision::Deny => "deny",
    }
}

fn list(ids: &BTreeSet<String>) -> String {
    if ids.is_empty() {
        return "none".to_owned();
    }
    ids.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", ")
}

impl<'de> Deserialize<'de> for Expectation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrParts;
        impl<'de> Visitor<'de> for WordOrParts {
            type Value = Expectation;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`allow`, `deny`, or a map with `decision`")
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Expectation, E> {
                Expectation::word(word).ok_or_else(|| E::unknown_variant(word, &["allow", "deny"]))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Expectation, A::Error> {
                Parts::deserialize(MapAccessDeserializer::new(map)).map(Expectation)
            }
        }
        deserializer.deserialize_any(WordOrParts)
    }
}

impl JsonSchema for Expectation {
    fn schema_name() -> Cow<'static, str> {
        "Expectation".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let decision = generator.subschema_for::<ExpectedDecision>();
        let parts = generator.subschema_for::<Parts>();
        json_schema!({ "description": "What is expected.", "anyOf": [decision, parts] })
    }
}
