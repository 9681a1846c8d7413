//! What Backstage asks and is answered. The crate `stagedoor-backstage` makes these of its own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::decision::Effect;
use crate::problem::Problem;

/// A permission, as Backstage's `permission` has it. Other fields are left alone: Backstage has
/// some that are of no concern here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct BackstagePermission {
    /// Such as `catalog.entity.read`.
    pub name: String,
    /// What the permission states about itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<PermissionAttributes>,
    /// The type of the resources that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<String>,
}

/// What a permission states about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PermissionAttributes {
    /// Such as `read`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
}

/// A signed-in user, as `coreServices.userInfo` tells, or a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackstageUser {
    /// The user's reference, such as `user:default/alice`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_entity_ref: Option<String>,
    /// The references by which the user owns entities.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ownership_entity_refs: Vec<String>,
    /// In place of a user: a service by its subject, such as `plugin:catalog`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}

/// A group of Backstage's catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackstageGroup {
    /// The group's reference, such as `group:default/web`.
    pub entity_ref: String,
    /// References of the groups right above it.
    pub parents: Vec<String>,
}

/// How many entities an owner has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackstageOwner {
    /// The owner's reference, such as `group:default/web`.
    pub entity_ref: String,
    /// How many entities it owns.
    pub count: u32,
}

/// An answer for Backstage. In JavaScript it is frozen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct BackstageAnswer {
    /// What the policy answers: nothing but Backstage's own fields.
    pub decision: BackstageDecision,
    /// Ids of the policies that lead to it.
    pub reasons: Vec<String>,
    /// Why nothing was decided, and the policies that could not be evaluated.
    pub errors: Vec<String>,
    /// Where the decision is narrower than the policies, since no rule of Backstage says what
    /// they say.
    pub findings: Vec<Problem>,
    /// The revision of the policies that decided.
    pub revision: String,
    /// Whether the same question has the same answer as long as the policies and groups are the
    /// same. It is not where a guard gave no answer.
    pub may_keep: bool,
}

/// What a policy says about a permission of somebody, whatever the resource is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BackstageResidual {
    /// Id of the policy.
    pub policy: String,
    /// Its file, or the name that was given for the text.
    pub file: String,
    /// The line at which it begins, from 1; none for policies that were read from JSON.
    pub line: Option<usize>,
    /// Its annotation `@doc`.
    pub doc: Option<String>,
    /// Whether it permits or forbids.
    pub effect: Effect,
    /// To which resources it applies.
    pub applies: ResidualApplies,
    /// Of a policy that applies to some: what must hold for a resource, in Cedar. What is known
    /// of whoever asks stands in it as it is. Cut where it is longer than 4,000 characters.
    pub condition: Option<String>,
    /// Of a policy that could not be evaluated: the reason.
    pub message: Option<String>,
}

/// To which resources a policy applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ResidualApplies {
    /// To every one.
    Always,
    /// To those of which its condition holds.
    Some,
    /// To none.
    Never,
    /// It cannot be evaluated: a permit counts as if it applied to none, a forbid to every one.
    Failed,
}

/// `PolicyDecision` of `@backstage/plugin-permission-common`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "result", rename_all = "UPPERCASE", rename_all_fields = "camelCase")]
pub enum BackstageDecision {
    /// For every resource.
    Allow,
    /// For no resource.
    Deny,
    /// For the resources that meet the conditions.
    Conditional {
        /// The plugin that owns the resources.
        plugin_id: String,
        /// The type of the resources.
        resource_type: String,
        /// Which of them are meant.
        conditions: BackstageCriteria,
    },
}

/// Rules, combined: `PermissionCriteria` of `@backstage/plugin-permission-common`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum BackstageCriteria {
    /// All of these hold.
    AllOf {
        /// All of these hold.
        all_of: Vec<Self>,
    },
    /// One of these holds.
    AnyOf {
        /// One of these holds.
        any_of: Vec<Self>,
    },
    /// This does not hold.
    Not {
        /// This does not hold.
        not: Box<Self>,
    },
    /// A rule holds.
    Rule(BackstageCondition),
}

/// One rule of a plugin with its parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct BackstageCondition {
    /// The name of the rule.
    pub rule: String,
    /// The type of the resources that the rule is about.
    pub resource_type: String,
    /// The rule's parameters.
    pub params: BTreeMap<String, BackstageParam>,
}

/// A parameter of a rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum BackstageParam {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number, which is written without a point.
    Integer(i64),
    /// A number, as JavaScript has them.
    Number(f64),
    /// A string.
    String(String),
    /// A list of strings.
    Strings(Vec<String>),
}
