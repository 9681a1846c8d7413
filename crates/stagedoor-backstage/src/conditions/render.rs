//! Formulas as Backstage's criteria: which rule, with which parameters, says a fact.

use std::collections::BTreeMap;

use smol_str::SmolStr;

use super::facet::{Facet, printed_number};
use super::formula::{Fact, Formula, Junction, Literal, Values};
use crate::criteria::{ConditionParam, Criteria, PermissionCondition};
use crate::permission_rules::{PermissionRules, RuleParams};

/// Says formulas in the rules of one resource type.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Renderer<'a> {
    pub(crate) resource_type: &'a str,
    pub(crate) rules: &'a PermissionRules,
}

impl Renderer<'_> {
    /// Returns the criteria; `None` if a part of the formula is a constant or has no rule.
    pub(crate) fn criteria(&self, formula: &Formula) -> Option<Criteria> {
        match formula {
            Formula::Constant(_) => None,
            Formula::Literal(literal) => self.literal(literal),
            Formula::All(parts) => self.items(parts, Junction::All).map(Criteria::AllOf),
            Formula::Any(parts) => self.items(parts, Junction::Any).map(Criteria::AnyOf),
        }
    }

    /// Returns the criteria of parts; a list within a list of the same sort is not kept apart.
    fn items(&self, parts: &[Formula], of: Junction) -> Option<Vec<Criteria>> {
        let mut items = Vec::with_capacity(parts.len());
        for part in parts {
            match (of, self.criteria(part)?) {
                (Junction::All, Criteria::AllOf(parts))
                | (Junction::Any, Criteria::AnyOf(parts)) => {
                    items.extend(parts);
                }
                (_, item) => items.push(item),
            }
        }
        Some(items)
    }

    fn literal(&self, literal: &Literal) -> Option<Criteria> {
        let mut conditions = match &literal.fact {
            Fact::Present(facet) => self.present(facet),
            Fact::OneOf(facet, values) => self.one_of(facet, values),
            Fact::Unsupported { .. } => Vec::new(),
        };
        let said = match conditions.len() {
            0 => return None,
            1 => Criteria::Condition(conditions.pop()?),
            _ => Criteria::AnyOf(conditions.into_iter().map(Criteria::Condition).collect()),
        };
        Some(if literal.holds { said } else { Criteria::Not(Box::new(said)) })
    }

    /// Returns the rules of which one holds where the facet is there.
    fn present(&self, facet: &Facet) -> Vec<PermissionCondition> {
        match facet {
            Facet::Row(path) => row(path)
                .map(|(rule, key)| self.rule(rule, [("key", text(key))]))
                .into_iter()
                .collect(),
            Facet::Label(key) => vec![self.rule("HAS_LABEL", [("label", text(key))])],
            Facet::Annotation(key) => {
                vec![self.rule("HAS_ANNOTATION", [("annotation", text(key))])]
            }
            Facet::Input(key) => {
                ["HAS_STRING_PROPERTY", "HAS_NUMBER_PROPERTY", "HAS_BOOLEAN_PROPERTY"]
                    .map(|rule| self.rule(rule, [("key", text(key))]))
                    .into()
            }
            Facet::Kind
            | Facet::Owner
            | Facet::TemplateTag
            | Facet::ActionId
            | Facet::CreatedBy
            | Facet::Tag(_) => Vec::new(),
            Facet::Flag(tag) => {
                let rule = self.rules.of_tag(self.resource_type, tag);
                rule.map(|rule| self.condition(&rule.rule, rule.fixed(tag))).into_iter().collect()
            }
        }
    }

    /// Returns the rules of which one holds where the facet has one of the values.
    fn one_of(&self, facet: &Facet, values: &Values) -> Vec<PermissionCondition> {
        let list = || ConditionParam::Strings(values.iter().cloned().collect());
        let each = |condition: &dyn Fn(&SmolStr) -> PermissionCondition| {
            values.iter().map(condition).collect()
        };
        match facet {
            Facet::Kind => vec![self.rule("IS_ENTITY_KIND", [("kinds", list())])],
            Facet::Owner => vec![self.rule("IS_ENTITY_OWNER", [("claims", list())])],
            Facet::CreatedBy => vec![self.rule("IS_TASK_OWNER", [("createdBy", list())])],
            Facet::Row(path) => match row(path) {
                Some((rule, key)) => {
                    each(&|v| self.rule(rule, [("key", text(key)), ("value", text(v))]))
                }
                None => Vec::new(),
            },
            Facet::Label(key) => {
                each(&|v| self.rule("HAS_LABEL", [("label", text(key)), ("value", text(v))]))
            }
            Facet::Annotation(key) => each(&|v| {
                self.rule("HAS_ANNOTATION", [("annotation", text(key)), ("value", text(v))])
            }),
            Facet::TemplateTag => each(&|v| self.rule("HAS_TAG", [("tag", text(v))])),
            Facet::ActionId => each(&|v| self.rule("HAS_ACTION_ID", [("actionId", text(v))])),
            Facet::Input(key) => values.iter().flat_map(|value| self.input(key, value)).collect(),
            Facet::Tag(tag) => self.tag(tag, values),
            Facet::Flag(_) => Vec::new(),
        }
    }

    /// Cedar sees numbers and booleans as they are printed, next to strings of that text.
    fn input(&self, key: &str, value: &SmolStr) -> Vec<PermissionCondition> {
        let rule = |rule, value| self.rule(rule, [("key", text(key)), ("value", value)]);
        let mut conditions = vec![rule("HAS_STRING_PROPERTY", text(value))];
        match value.as_str() {
            "true" => conditions.push(rule("HAS_BOOLEAN_PROPERTY", ConditionParam::Bool(true))),
            "false" => conditions.push(rule("HAS_BOOLEAN_PROPERTY", ConditionParam::Bool(false))),
            other => {
                let number = printed_number(other).map(ConditionParam::Number);
                conditions.extend(number.map(|number| rule("HAS_NUMBER_PROPERTY", number)));
            }
        }
        conditions
    }

    fn tag(&self, tag: &str, values: &Values) -> Vec<PermissionCondition> {
        let Some(rule) = self.rules.of_tag(self.resource_type, tag) else { return Vec::new() };
        let fixed = rule.fixed(tag);
        let with = |name: &SmolStr, value| {
            let mut params = fixed.clone();
            params.insert(name.clone(), value);
            self.condition(&rule.rule, params)
        };
        match &rule.params {
            RuleParams::Values(name) => {
                vec![with(name, ConditionParam::Strings(values.iter().cloned().collect()))]
            }
            RuleParams::Value(name) => values.iter().map(|v| with(name, text(v))).collect(),
            RuleParams::None => Vec::new(),
        }
    }

    fn rule<const N: usize>(
        &self,
        rule: &str,
        params: [(&str, ConditionParam); N],
    ) -> PermissionCondition {
        self.condition(rule, params.map(|(name, value)| (name.into(), value)).into())
    }

    fn condition(
        &self,
        rule: &str,
        params: BTreeMap<SmolStr, ConditionParam>,
    ) -> PermissionCondition {
        PermissionCondition { resource_type: self.resource_type.into(), rule: rule.into(), params }
    }
}

fn text(text: &str) -> ConditionParam {
    ConditionParam::String(text.into())
}

/// Returns the rule about a search row, and its key.
fn row(path: &str) -> Option<(&'static str, &str)> {
    let metadata = path.strip_prefix("metadata.").map(|key| ("HAS_METADATA", key));
    metadata.or_else(|| path.strip_prefix("spec.").map(|key| ("HAS_SPEC", key)))
}
