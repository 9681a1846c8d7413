//! Questions about requests of which parts are not known, lists, and the answers to both.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use stagedoor_core::{
    Engine, EntityTypeName, ListPage, Page, PartialContext, Party, Query, Record, Request,
};

use crate::decision::{Effect, Verdict};
use crate::error::{Result, WireError};
use crate::keys;
use crate::uid::Uid;
use crate::value::record;

const QUERY: [&str; 11] = [
    "principal",
    "principalType",
    "principalAttrs",
    "action",
    "resource",
    "resourceType",
    "resourceAttrs",
    "context",
    "openContext",
    "after",
    "limit",
];

/// A request of which parts may be left open, and which page of a list is asked for.
///
/// Instead of `principal` and `resource` their types may be given. A query without an `action` is
/// about every action that applies.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
#[serde(rename_all = "camelCase")]
pub struct QueryInput {
    /// Who asks, if that is known: `'User::"alice"'` or `{type: 'User', id: 'alice'}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<Uid>,
    /// Else the type of whoever asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal_type: Option<String>,
    /// Beside `principalType`: the attributes of whoever asks that are known.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub principal_attrs: Map<String, Json>,
    /// What they want to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Uid>,
    /// What they want to do it to, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<Uid>,
    /// Else the type of what they want to do it to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<String>,
    /// Beside `resourceType`: its attributes that are known.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub resource_attrs: Map<String, Json>,
    /// The circumstances.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub context: Map<String, Json>,
    /// Whether there may be more circumstances than `context` says.
    #[serde(default)]
    pub open_context: bool,
    /// Of a list: the id after which the page begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Of a list: the most entries of the page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

impl QueryInput {
    /// Reads the JSON of a query.
    ///
    /// # Errors
    ///
    /// [`WireError`] that names the key or field that is wrong.
    pub fn from_json(text: &str) -> Result<Self> {
        let mut fields = keys::object(text, "not a query", "request::refused")?;
        keys::check(&fields, &QUERY)?;
        let mut uid = |name: &str| {
            let uid = fields.remove(name).map(Uid::from_json).transpose();
            uid.map_err(|error| error.within(format!("`{name}`")))
        };
        let (principal, action, resource) = (uid("principal")?, uid("action")?, uid("resource")?);
        let mut text = |name: &str| match fields.remove(name) {
            None => Ok(None),
            Some(Json::String(text)) => Ok(Some(text)),
            Some(_) => Err(WireError::mistyped(format!("`{name}`"), "a string")),
        };
        let (principal_type, resource_type, after) =
            (text("principalType")?, text("resourceType")?, text("after")?);
        let mut object = |name: &str| match fields.remove(name) {
            Some(json) => keys::fields(json, &format!("`{name}`")),
            None => Ok(Map::new()),
        };
        let (principal_attrs, resource_attrs, context) =
            (object("principalAttrs")?, object("resourceAttrs")?, object("context")?);
        let open_context = match fields.remove("openContext") {
            None => false,
            Some(Json::Bool(open)) => open,
            Some(_) => return Err(WireError::mistyped("`openContext`", "true or false")),
        };
        let limit = match fields.remove("limit") {
            None => None,
            Some(limit) => {
                let limit = limit.as_u64().and_then(|limit| usize::try_from(limit).ok());
                let limit = limit.filter(|limit| *limit > 0);
                let wrong = || WireError::mistyped("`limit`", "an integer of 1 or more");
                Some(limit.ok_or_else(wrong)?)
            }
        };
        Ok(Self {
            principal,
            principal_type,
            principal_attrs,
            action,
            resource,
            resource_type,
            resource_attrs,
            context,
            open_context,
            after,
            limit,
        })
    }

    /// Returns the query, with its context as the engine's schema types it, and the page.
    ///
    /// # Errors
    ///
    /// [`WireError`] for ids, types and values that are not Cedar's, and for parts that do not go
    /// with each other.
    pub fn read(self, engine: &Engine) -> Result<(Query, Page)> {
        let principal =
            party("principal", self.principal, self.principal_type, self.principal_attrs)?;
        let resource = party("resource", self.resource, self.resource_type, self.resource_attrs)?;
        let action = self.action.map(|action| action.read("action")).transpose()?;
        let mut context = record(self.context, "context")?;
        let mut query = Query::new(principal, resource);
        if let Some(action) = action {
            // Only the action tells what the context is typed as.
            let mut request = Request::new(action.clone(), action.clone(), action.clone());
            request.context = context;
            context = engine.typed_request(request).context;
            query = query.with_action(action);
        }
        let query = query.with_context(match (self.open_context, context.is_empty()) {
            (false, _) => PartialContext::Known(context),
            (true, false) => PartialContext::Partly(context),
            (true, true) => PartialContext::Unknown,
        });
        let mut page = Page::all().with_limit(self.limit.unwrap_or(usize::MAX));
        if let Some(after) = self.after {
            page = page.after(after);
        }
        Ok((query, page))
    }
}

fn party(
    what: &str,
    uid: Option<Uid>,
    type_: Option<String>,
    attributes: Map<String, Json>,
) -> Result<Party> {
    let wrong = |reason: String| {
        WireError::new("argument::type", reason)
            .with_help(format!("give `{what}`, or its type as `{what}Type`"))
    };
    match (uid, type_) {
        (Some(_), Some(_)) => Err(wrong(format!("`{what}` is given, and `{what}Type` as well"))),
        (None, None) => Err(wrong(format!("neither `{what}` nor `{what}Type` is given"))),
        (Some(_), None) if !attributes.is_empty() => {
            Err(wrong(format!("`{what}Attrs` stands beside `{what}Type`")))
        }
        (Some(uid), None) => Ok(uid.read(what)?.into()),
        (None, Some(name)) => {
            let type_: EntityTypeName = name
                .parse()
                .map_err(|_| wrong(format!("`{name}` is not a name of an entity type")))?;
            if attributes.is_empty() {
                return Ok(Party::Any(type_));
            }
            let attributes: Record = record(attributes, &format!("{what}Attrs"))?;
            Ok(Party::Partly(type_, attributes))
        }
    }
}

/// A page of a list: entities or actions for which a request is allowed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct List {
    /// What is allowed, or may be, in the order of ids.
    pub entries: Vec<ListEntry>,
    /// After which id the next page begins; `null` on the last page.
    pub next: Option<String>,
    /// What could not be decided, and is therefore not listed; left out where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<ListRefusal>,
    /// Hash of the policies that decided, in hexadecimal.
    pub revision: String,
}

/// An entity or action of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListEntry {
    /// The entity or action, as Cedar writes it.
    pub uid: String,
    /// What it depends on, in Cedar's words, where not all of the context is known; left out for
    /// what is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#if: Option<String>,
    /// The policies that it depends on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub residuals: Vec<PolicyResidual>,
}

/// What could not be decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListRefusal {
    /// The entity or action.
    pub uid: String,
    /// The stable code.
    pub code: String,
    /// Why.
    pub error: String,
}

/// The answer to a query about one action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct QueryAnswer {
    /// The action.
    pub action: String,
    /// The decision, if it is the same whatever the unknown turns out to be.
    pub decision: Option<Verdict>,
    /// When the request is allowed, in Cedar's words.
    pub when: String,
    /// What is left of the policies that may be satisfied.
    pub residuals: Vec<PolicyResidual>,
    /// Hash of the policies, in hexadecimal.
    pub revision: String,
}

/// A policy, and what is left of it where parts of a request are not known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PolicyResidual {
    /// Its id.
    pub policy: String,
    /// Whether it permits or forbids.
    pub effect: Effect,
    /// When it is satisfied.
    pub holds: Holds,
    /// The condition in Cedar's words.
    pub text: String,
    /// The condition in the JSON form that Cedar has for expressions.
    pub tree: Json,
    /// The rules that guard it, which were not asked; left out where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guards: Vec<String>,
    /// Why it cannot be evaluated; left out where it can be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// When a policy is satisfied, as far as that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Holds {
    /// In any case.
    Always,
    /// Where the condition holds.
    If,
    /// Never: its evaluation fails in any case. A forbid denies then.
    Failed,
}

impl List {
    /// Returns what was listed by the policies of this revision.
    #[must_use]
    pub fn of(listed: &ListPage<'_>, revision: &str) -> Self {
        let entries = listed.entries.iter().map(|shown| ListEntry {
            uid: shown.uid.to_string(),
            r#if: shown.condition.as_ref().map(stagedoor_core::QueryAnswer::when),
            residuals: shown
                .condition
                .iter()
                .flat_map(|answer| answer.residuals())
                .map(PolicyResidual::from)
                .collect(),
        });
        let refused = listed.refused.iter().map(|(uid, error)| ListRefusal {
            uid: uid.to_string(),
            code: error.code().to_owned(),
            error: error.to_string(),
        });
        Self {
            entries: entries.collect(),
            next: listed.next.clone(),
            refused: refused.collect(),
            revision: revision.to_owned(),
        }
    }
}

impl QueryAnswer {
    /// Returns the answer of the policies of this revision.
    #[must_use]
    pub fn of(answer: &stagedoor_core::QueryAnswer<'_>, revision: &str) -> Self {
        Self {
            action: answer.action().to_string(),
            decision: answer.decision().map(Verdict::from),
            when: answer.when(),
            residuals: answer.residuals().iter().map(PolicyResidual::from).collect(),
            revision: revision.to_owned(),
        }
    }
}

impl From<&stagedoor_core::QueryResidual<'_>> for PolicyResidual {
    fn from(residual: &stagedoor_core::QueryResidual<'_>) -> Self {
        use stagedoor_core::QueryCondition;

        let (holds, message) = match &residual.condition {
            QueryCondition::Always => (Holds::Always, None),
            QueryCondition::Failed(message) => (Holds::Failed, Some(message.clone())),
            // Of what is satisfied in no case, the condition says so: `false`.
            QueryCondition::If(_) | QueryCondition::Never => (Holds::If, None),
        };
        Self {
            policy: residual.policy.id().to_owned(),
            effect: residual.policy.effect().into(),
            holds,
            text: residual.condition.to_string(),
            tree: residual.condition.tree(),
            guards: residual.policy.guards().map(|guard| guard.rule().to_owned()).collect(),
            message,
        }
    }
}
