//! Decisions as Backstage's permission framework takes them.
//!
//! The JSON of these types is that of `@backstage/plugin-permission-common` 0.9:
//! `PolicyDecision`, `PermissionCriteria` and `PermissionCondition`.

use std::collections::BTreeMap;

use serde::ser::{Serialize, SerializeMap as _, Serializer};
use smol_str::SmolStr;

/// What a permission policy answers.
///
/// # Examples
///
/// ```
/// use stagedoor_backstage::PolicyDecision;
///
/// let json = serde_json::to_string(&PolicyDecision::Deny)?;
/// assert_eq!(json, r#"{"result":"DENY"}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum PolicyDecision {
    /// `ALLOW`: for every resource.
    Allow,
    /// `DENY`: for every resource.
    Deny,
    /// `CONDITIONAL`: for the resources that meet the criteria, which the plugin that owns
    /// them applies.
    Conditional {
        /// The plugin that owns the resources, whichever defines the permission.
        plugin_id: SmolStr,
        /// The type of the resources.
        resource_type: SmolStr,
        /// Which of them are meant.
        conditions: Criteria,
    },
}

/// Rules of a plugin, combined. Lists are never empty.
#[derive(Debug, Clone, PartialEq)]
pub enum Criteria {
    /// `allOf`
    AllOf(Vec<Self>),
    /// `anyOf`
    AnyOf(Vec<Self>),
    /// `not`
    Not(Box<Self>),
    /// One rule with its parameters.
    Condition(PermissionCondition),
}

/// One rule of a plugin with its parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct PermissionCondition {
    /// The type of the resources that the rule is about.
    pub resource_type: SmolStr,
    /// The rule's name, such as `IS_ENTITY_OWNER`.
    pub rule: SmolStr,
    /// Its parameters by name.
    pub params: BTreeMap<SmolStr, ConditionParam>,
}

/// A parameter of a rule.
#[derive(Debug, Clone, PartialEq)]
pub enum ConditionParam {
    /// A string.
    String(SmolStr),
    /// A list of strings.
    Strings(Vec<SmolStr>),
    /// A number, as JavaScript has them.
    Number(f64),
    /// `true` or `false`.
    Bool(bool),
}

impl Criteria {
    /// Returns how many rules are applied.
    #[must_use]
    pub fn leaves(&self) -> usize {
        match self {
            Self::AllOf(items) | Self::AnyOf(items) => items.iter().map(Self::leaves).sum(),
            Self::Not(item) => item.leaves(),
            Self::Condition(_) => 1,
        }
    }

    /// Returns how deep `allOf`, `anyOf` and `not` nest.
    #[must_use]
    pub fn depth(&self) -> usize {
        match self {
            Self::AllOf(items) | Self::AnyOf(items) => {
                1 + items.iter().map(Self::depth).max().unwrap_or_default()
            }
            Self::Not(item) => 1 + item.depth(),
            Self::Condition(_) => 0,
        }
    }
}

impl Criteria {
    /// Returns whether nothing in it is empty. Backstage takes an empty list for all resources
    /// in one place and for none in another.
    pub(crate) fn is_definite(&self) -> bool {
        match self {
            Self::AllOf(items) | Self::AnyOf(items) => {
                !items.is_empty() && items.iter().all(Self::is_definite)
            }
            Self::Not(item) => item.is_definite(),
            Self::Condition(condition) => condition.params.values().all(|param| match param {
                ConditionParam::Strings(texts) => !texts.is_empty(),
                ConditionParam::Number(number) => number.is_finite(),
                ConditionParam::String(_) | ConditionParam::Bool(_) => true,
            }),
        }
    }

    /// Returns how many bytes it takes as JSON.
    pub(crate) fn json_length(&self) -> usize {
        serde_json::to_string(self).map_or(usize::MAX, |json| json.len())
    }
}

impl Serialize for PolicyDecision {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Self::Allow => map.serialize_entry("result", "ALLOW")?,
            Self::Deny => map.serialize_entry("result", "DENY")?,
            Self::Conditional { plugin_id, resource_type, conditions } => {
                map.serialize_entry("result", "CONDITIONAL")?;
                map.serialize_entry("pluginId", plugin_id)?;
                map.serialize_entry("resourceType", resource_type)?;
                map.serialize_entry("conditions", conditions)?;
            }
        }
        map.end()
    }
}

impl Serialize for Criteria {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match self {
            Self::AllOf(items) => map.serialize_entry("allOf", items)?,
            Self::AnyOf(items) => map.serialize_entry("anyOf", items)?,
            Self::Not(item) => map.serialize_entry("not", item)?,
            Self::Condition(PermissionCondition { resource_type, rule, params }) => {
                map.serialize_entry("rule", rule)?;
                map.serialize_entry("resourceType", resource_type)?;
                map.serialize_entry("params", params)?;
            }
        }
        map.end()
    }
}

impl Serialize for ConditionParam {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        /// Up to here whole numbers are exact, and JavaScript prints them without a point.
        const WHOLE: f64 = 9_007_199_254_740_992.0;
        match self {
            Self::String(text) => serializer.serialize_str(text),
            Self::Strings(texts) => serializer.collect_seq(texts),
            #[expect(clippy::cast_possible_truncation, reason = "a whole number within range")]
            Self::Number(number) if number.fract() == 0.0 && number.abs() < WHOLE => {
                serializer.serialize_i64(*number as i64)
            }
            Self::Number(number) => serializer.serialize_f64(*number),
            Self::Bool(value) => serializer.serialize_bool(*value),
        }
    }
}
