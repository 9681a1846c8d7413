//! What a case expects, and how an outcome falls short of it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use stagedoor_core::{Decision, Explanation};

use crate::selection::Selection;

/// What a case expects of the outcome.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Expectation(Parts);

/// A decision and, where they are given, its reasons.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Parts {
    /// The decision; it may be left out beside `selects` or `criteria`.
    decision: Option<ExpectedDecision>,
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
    /// Backstage, of a case without a resource: all entities of the fixtures that the answer
    /// selects, `component:default/ledger`.
    selects: Option<BTreeSet<String>>,
    /// Backstage, of a case without a resource: the criteria, as Backstage is answered them.
    criteria: Option<Value>,
    /// How many policies cannot be evaluated, where a format does not tell which.
    #[serde(skip)]
    error_count: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum ExpectedDecision {
    Allow,
    Deny,
    /// Backstage, of a case without a resource: it depends on the resource.
    Conditional,
}

impl ExpectedDecision {
    fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Conditional => "conditional",
        }
    }
}

impl Expectation {
    /// Returns the expectation of a decision whatever its reasons.
    pub(crate) fn of(decision: Decision) -> Self {
        let decision = match decision {
            Decision::Allow => ExpectedDecision::Allow,
            Decision::Deny => ExpectedDecision::Deny,
        };
        Self(Parts { decision: Some(decision), ..Parts::default() })
    }

    /// Returns the expectation of a decision, of policies among its reasons, and of so many
    /// errors.
    pub(crate) fn counting(
        decision: Decision,
        reasons_include: BTreeSet<String>,
        errors: usize,
    ) -> Self {
        let Self(parts) = Self::of(decision);
        Self(Parts { reasons_include, error_count: Some(errors), ..parts })
    }

    /// Returns the expectation of a decision, its reasons and its errors.
    pub(crate) fn exactly(
        decision: Decision,
        reasons: BTreeSet<String>,
        errors: BTreeSet<String>,
    ) -> Self {
        let Self(parts) = Self::of(decision);
        Self(Parts { reasons: Some(reasons), errors, ..parts })
    }

    /// Returns the expectation but for clauses that fail.
    pub(crate) fn without_clause(&self) -> Self {
        Self(Parts { clause: None, ..self.0.clone() })
    }

    /// Whether it is about all resources of a permission, and not about one.
    pub(crate) fn is_conditional(&self) -> bool {
        let Parts { decision, selects, criteria, .. } = &self.0;
        *decision == Some(ExpectedDecision::Conditional) || selects.is_some() || criteria.is_some()
    }

    /// Returns the entities that an answer is expected to select.
    pub(crate) fn selects(&self) -> Option<&BTreeSet<String>> {
        self.0.selects.as_ref()
    }

    /// Returns how the answer about all resources of a permission differs, a line each.
    pub(crate) fn selection_differences(&self, found: &Selection) -> Vec<String> {
        let Parts { decision, selects, criteria, .. } = &self.0;
        let mut differences: Vec<String> =
            found.errors.iter().map(|error| format!("an error: {error}")).collect();
        if let Some(decision) = decision.filter(|decision| decision.word() != found.decision) {
            let (expected, found) = (decision.word(), found.decision);
            differences.push(format!("expected {expected}, but the decision is {found}"));
        }
        match (selects, &found.entities) {
            (Some(expected), Ok(found)) if expected != found => {
                let missing: BTreeSet<String> = expected.difference(found).cloned().collect();
                let extra: BTreeSet<String> = found.difference(expected).cloned().collect();
                if !missing.is_empty() {
                    differences.push(format!("expected to be selected: {}", list(&missing)));
                }
                if !extra.is_empty() {
                    differences.push(format!("expected not to be selected: {}", list(&extra)));
                }
            }
            (Some(_), Err(reason)) => {
                differences.push(format!("what is selected cannot be told: {reason}"));
            }
            _ => {}
        }
        if let Some(expected) = criteria
            && found.criteria.as_ref() != Some(expected)
        {
            let found = found.criteria.as_ref().map_or("none".to_owned(), ToString::to_string);
            differences.push(format!("expected the criteria {expected}, but they are {found}"));
        }
        differences
    }

    /// Returns the expectation that one word names: `allow`, `deny` or `conditional`.
    pub(crate) fn word(word: &str) -> Option<Self> {
        use ExpectedDecision::{Allow, Conditional, Deny};
        let named = |decision: &ExpectedDecision| decision.word() == word;
        let decision = [Allow, Deny, Conditional].into_iter().find(named)?;
        Some(Self(Parts { decision: Some(decision), ..Parts::default() }))
    }

    /// Whether only an explanation can tell if it is met.
    pub(crate) fn needs_explanation(&self) -> bool {
        self.0.clause.is_some()
    }

    /// Returns what differs, a line each; nothing if the outcome is as expected.
    pub(crate) fn differences(&self, found: &Actual) -> Vec<String> {
        let Parts { decision, reasons, reasons_include, clause, errors, error_count, .. } = &self.0;
        let mut differences = Vec::new();
        if let Some(decision) = decision
            && decision.word() != word(found.decision)
        {
            let (expected, found) = (decision.word(), word(found.decision));
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
        if let Some(expected) = error_count
            && *expected != found.errors.len()
        {
            let found = list(&found.errors);
            differences.push(format!("expected {expected} errors, but they are in {found}"));
        } else if error_count.is_none() && *errors != found.errors {
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
pub(crate) struct Actual {
    pub(crate) decision: Decision,
    pub(crate) reasons: BTreeSet<String>,
    pub(crate) errors: BTreeSet<String>,
    /// Only where an explanation was asked for.
    pub(crate) clauses: Vec<String>,
}

impl Actual {
    pub(crate) fn of(outcome: &stagedoor_core::Outcome) -> Self {
        Self {
            decision: outcome.decision(),
            reasons: outcome.reasons().map(|policy| policy.id().to_owned()).collect(),
            errors: outcome.errors().iter().map(|error| error.policy().to_owned()).collect(),
            clauses: Vec::new(),
        }
    }

    /// Returns what is found of a request that is refused before policies are asked.
    pub(crate) fn refused() -> Self {
        Self {
            decision: Decision::Deny,
            reasons: BTreeSet::new(),
            errors: BTreeSet::new(),
            clauses: Vec::new(),
        }
    }

    /// Returns the same with policies by the names that they have instead of ids.
    pub(crate) fn renamed(mut self, names: &BTreeMap<String, String>) -> Self {
        if !names.is_empty() {
            let name = |id: String| names.get(&id).cloned().unwrap_or(id);
            self.reasons = self.reasons.into_iter().map(name).collect();
            self.errors = self.errors.into_iter().map(name).collect();
        }
        self
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
                f.write_str("`allow`, `deny`, `conditional`, or a map with `decision`")
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Expectation, E> {
                Expectation::word(word)
                    .ok_or_else(|| E::unknown_variant(word, &["allow", "deny", "conditional"]))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Expectation, A::Error> {
                let parts = Parts::deserialize(MapAccessDeserializer::new(map))?;
                if parts.decision.is_none() && parts.selects.is_none() && parts.criteria.is_none() {
                    return Err(serde::de::Error::missing_field("decision"));
                }
                Ok(Expectation(parts))
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
        // A map says at least one of these.
        let says = |key: &str| json_schema!({ "required": [key] });
        let any = [says("decision"), says("selects"), says("criteria")];
        json_schema!({
            "description": "What is expected.",
            "anyOf": [decision, { "allOf": [parts, { "anyOf": any }] }],
        })
    }
}
