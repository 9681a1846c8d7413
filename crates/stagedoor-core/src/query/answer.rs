//! What is left of policies for a request of which parts are not known.

use std::fmt;
use std::sync::Arc;

use cedar_policy::{Decision, Effect, EntityUid};
use cedar_policy_core::{ast, est};

use crate::expr;
use crate::policy::PolicyInfo;

/// The answer to a query about one action, as far as it can be told.
#[derive(Debug, Clone)]
pub struct QueryAnswer<'e> {
    pub(super) action: EntityUid,
    pub(super) residuals: Vec<QueryResidual<'e>>,
    pub(super) exact: bool,
}

/// One policy, and what is left of its scope and condition.
#[derive(Debug, Clone)]
pub struct QueryResidual<'e> {
    /// The policy. Its guards are asked nothing: it counts as far as they let it.
    pub policy: PolicyInfo<'e>,
    /// When it is satisfied.
    pub condition: QueryCondition,
}

/// When a policy is satisfied, as far as that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueryCondition {
    /// In any case.
    Always,
    /// In none. Answers leave such policies out.
    Never,
    /// Its evaluation fails in any case, and why: a permit does not count, and a forbid does.
    Failed(String),
    /// Where this holds. What is known is replaced by what it is. Where its evaluation fails, the
    /// policy's does.
    If(Arc<ast::Expr>),
}

impl<'e> QueryAnswer<'e> {
    /// Returns the action.
    #[must_use]
    pub fn action(&self) -> &EntityUid {
        &self.action
    }

    /// Returns the policies that may be satisfied or fail, in the order of the policy set.
    #[must_use]
    pub fn residuals(&self) -> &[QueryResidual<'e>] {
        &self.residuals
    }

    /// Returns the decision, if it is the same whatever the unknown turns out to be, and whatever
    /// guards say.
    #[must_use]
    pub fn decision(&self) -> Option<Decision> {
        let of = |effect: Effect| {
            self.residuals.iter().filter(move |residual| residual.policy.effect() == effect)
        };
        // What counts in any case, and what may count.
        let denies = |residual: &QueryResidual<'_>| match residual.condition {
            QueryCondition::Always => residual.policy.guards().len() == 0,
            QueryCondition::Failed(_) => !self.exact,
            QueryCondition::Never | QueryCondition::If(_) => false,
        };
        let may_deny = |residual: &QueryResidual<'_>| match residual.condition {
            QueryCondition::Always | QueryCondition::If(_) => true,
            QueryCondition::Failed(_) => !self.exact,
            QueryCondition::Never => false,
        };
        let permits = |residual: &QueryResidual<'_>| {
            residual.condition == QueryCondition::Always && residual.policy.guards().len() == 0
        };
        let may_permit = |residual: &QueryResidual<'_>| {
            matches!(residual.condition, QueryCondition::Always | QueryCondition::If(_))
        };
        if of(Effect::Forbid).any(denies) || !of(Effect::Permit).any(may_permit) {
            return Some(Decision::Deny);
        }
        let is_allowed = of(Effect::Permit).any(permits) && !of(Effect::Forbid).any(may_deny);
        is_allowed.then_some(Decision::Allow)
    }

    /// Returns in Cedar's words when the request is allowed: `if` a permit holds and no forbid.
    ///
    /// `error()` stands for what fails in any case, and `guards` of a policy for their answer.
    #[must_use]
    pub fn when(&self) -> String {
        match self.decision() {
            Some(Decision::Allow) => return "true".to_owned(),
            Some(Decision::Deny) => return "false".to_owned(),
            None => {}
        }
        let parts = |effect: Effect| -> Vec<String> {
            let mut parts: Vec<String> = Vec::new();
            for residual in self.residuals.iter().filter(|r| r.policy.effect() == effect) {
                let part = residual.to_string();
                let counts = match residual.condition {
                    QueryCondition::Failed(_) => effect == Effect::Forbid && !self.exact,
                    QueryCondition::Never => false,
                    QueryCondition::Always | QueryCondition::If(_) => true,
                };
                if counts && !parts.contains(&part) {
                    parts.push(part);
                }
            }
            parts
        };
        let joined = |parts: Vec<String>| match parts.as_slice() {
            [] => None,
            [only] => Some(only.clone()),
            several => Some(
                several.iter().map(|part| format!("({part})")).collect::<Vec<_>>().join(" || "),
            ),
        };
        let permits = joined(parts(Effect::Permit));
        let is_sure = |residual: &QueryResidual<'_>| {
            residual.policy.effect() == Effect::Permit
                && residual.condition == QueryCondition::Always
                && residual.policy.guards().len() == 0
        };
        let permits =
            if self.residuals.iter().any(is_sure) { Some("true".to_owned()) } else { permits };
        match (permits, joined(parts(Effect::Forbid))) {
            (None, _) => "false".to_owned(),
            (Some(permit), None) => permit,
            (Some(permit), Some(forbid)) if permit == "true" => format!("!({forbid})"),
            (Some(permit), Some(forbid)) => format!("({permit}) && !({forbid})"),
        }
    }
}

impl QueryCondition {
    /// Returns the condition as Cedar's JSON form of an expression, for programs: `true`, `false`
    /// and what fails are `{"Value": true}`, `{"Value": false}` and `{"error": []}`.
    #[must_use]
    pub fn tree(&self) -> serde_json::Value {
        let literal = |held: bool| serde_json::json!({ "Value": held });
        match self {
            Self::Always => literal(true),
            Self::Never => literal(false),
            Self::Failed(_) => serde_json::json!({ "error": [] }),
            Self::If(tree) => {
                let tree = tree.as_ref().clone().into_expr::<est::Builder>();
                // Every expression of Cedar's has this form.
                serde_json::to_value(tree).unwrap_or_default()
            }
        }
    }
}

/// Writes when the policy counts, in Cedar's words.
impl fmt::Display for QueryResidual<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let guards: Vec<String> =
            self.policy.guards().map(|guard| format!("@guard({:?})", guard.rule())).collect();
        let guards = guards.join(" && ");
        match (&self.condition, guards.is_empty()) {
            (QueryCondition::Always, false) => f.write_str(&guards),
            (condition, true) => condition.fmt(f),
            (condition, false) => write!(f, "({condition}) && {guards}"),
        }
    }
}

/// Writes the condition in Cedar's words.
impl fmt::Display for QueryCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => f.write_str("true"),
            Self::Never => f.write_str("false"),
            Self::Failed(_) => f.write_str("error()"),
            Self::If(tree) => f.write_str(&expr::written(tree)),
        }
    }
}
