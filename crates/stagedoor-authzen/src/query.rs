//! What is asked, as the specification writes it: subject, action, resource and context.

use std::borrow::Cow;

use serde::Serialize;

use crate::json::{Json, Object, member};

/// A request that is not one of the specification's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadRequest(pub(crate) String);

impl BadRequest {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// The four things that a question is made of, as they were given.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct QueryParts<'a> {
    pub(crate) subject: Option<&'a Json>,
    pub(crate) action: Option<&'a Json>,
    pub(crate) resource: Option<&'a Json>,
    pub(crate) context: Option<&'a Json>,
}

impl<'a> QueryParts<'a> {
    pub(crate) fn of(object: &'a Object) -> Self {
        Self {
            subject: member(object, "subject"),
            action: member(object, "action"),
            resource: member(object, "resource"),
            context: member(object, "context"),
        }
    }

    /// Returns what is given here, and what is not from the defaults: whole, nothing is merged.
    pub(crate) fn or(self, defaults: Self) -> Self {
        Self {
            subject: self.subject.or(defaults.subject),
            action: self.action.or(defaults.action),
            resource: self.resource.or(defaults.resource),
            context: self.context.or(defaults.context),
        }
    }
}

/// A subject or a resource.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct EntityRef<'a> {
    #[serde(rename = "type")]
    pub(crate) type_: &'a str,
    pub(crate) id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) properties: Option<&'a Object>,
}

/// An action.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct ActionRef<'a> {
    pub(crate) name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) properties: Option<&'a Object>,
}

/// One question: may this subject do this to this resource? It is recorded as it is.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Query<'a> {
    pub(crate) subject: EntityRef<'a>,
    pub(crate) action: ActionRef<'a>,
    pub(crate) resource: EntityRef<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) context: Option<&'a Object>,
}

impl<'a> Query<'a> {
    pub(crate) fn of(given: QueryParts<'a>) -> Result<Self, BadRequest> {
        Ok(Self {
            subject: entity("subject", given.subject)?,
            action: action(given.action)?,
            resource: entity("resource", given.resource)?,
            context: context(given.context)?,
        })
    }
}

/// Reads the body of a request: a JSON object.
pub(crate) fn body(text: &str) -> Result<Object, BadRequest> {
    if text.trim().is_empty() {
        return Err(BadRequest::new("the body is empty; give a JSON object"));
    }
    match Json::parse(text) {
        Ok(Json::Object(object)) => Ok(object),
        Ok(other) => Err(BadRequest(format!("the body is {}, not a JSON object", other.kind()))),
        Err(error) => Err(BadRequest(format!("the body is not JSON: {error}"))),
    }
}

/// Reads a subject or a resource with its id.
pub(crate) fn entity<'a>(
    what: &'static str,
    given: Option<&'a Json>,
) -> Result<EntityRef<'a>, BadRequest> {
    let object = required_object(what, given)?;
    Ok(EntityRef {
        type_: required_string(what, "type", object)?,
        id: required_string(what, "id", object)?,
        properties: optional_object(&format!("{what}.properties"), member(object, "properties"))?,
    })
}

/// Reads the type of what is looked for. Its id is ignored, whatever it is.
pub(crate) fn entity_type<'a>(
    what: &'static str,
    given: Option<&'a Json>,
) -> Result<&'a str, BadRequest> {
    required_string(what, "type", required_object(what, given)?)
}

/// Reads an action.
pub(crate) fn action<'a>(given: Option<&'a Json>) -> Result<ActionRef<'a>, BadRequest> {
    let object = required_object("action", given)?;
    Ok(ActionRef {
        name: required_string("action", "name", object)?,
        properties: optional_object("action.properties", member(object, "properties"))?,
    })
}

/// Reads a context.
pub(crate) fn context(given: Option<&Json>) -> Result<Option<&Object>, BadRequest> {
    optional_object("context", given)
}

fn required_object<'a>(what: &str, given: Option<&'a Json>) -> Result<&'a Object, BadRequest> {
    optional_object(what, given)?.ok_or_else(|| BadRequest(format!("give `{what}`")))
}

pub(crate) fn optional_object<'a>(
    what: &str,
    given: Option<&'a Json>,
) -> Result<Option<&'a Object>, BadRequest> {
    let Some(value) = given else { return Ok(None) };
    let wrong = || BadRequest(format!("`{what}` is {}, not an object", value.kind()));
    value.as_object().map(Some).ok_or_else(wrong)
}

fn required_string<'a>(what: &str, name: &str, object: &'a Object) -> Result<&'a str, BadRequest> {
    let value = member(object, name).ok_or_else(|| BadRequest(format!("give `{what}.{name}`")))?;
    let wrong = || BadRequest(format!("`{what}.{name}` is {}, not a string", value.kind()));
    value.as_str().ok_or_else(wrong)
}

/// The options of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) semantic: Semantic,
    /// Whether the answer is to say why.
    pub(crate) explain: bool,
}

/// How several evaluations are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Semantic {
    ExecuteAll,
    DenyOnFirstDeny,
    PermitOnFirstPermit,
}

impl Semantic {
    /// Returns whether nothing is evaluated after this decision.
    pub(crate) fn ends_with(self, decision: bool) -> bool {
        match self {
            Self::ExecuteAll => false,
            Self::DenyOnFirstDeny => !decision,
            Self::PermitOnFirstPermit => decision,
        }
    }
}

impl Options {
    pub(crate) fn of(object: &Object) -> Result<Self, BadRequest> {
        let options = optional_object("options", member(object, "options"))?;
        let options = options.map_or(Cow::Owned(Object::new()), Cow::Borrowed);
        let semantic = match member(&options, "evaluations_semantic") {
            None => Semantic::ExecuteAll,
            Some(value) => match value.as_str() {
                Some("execute_all") => Semantic::ExecuteAll,
                Some("deny_on_first_deny") => Semantic::DenyOnFirstDeny,
                Some("permit_on_first_permit") => Semantic::PermitOnFirstPermit,
                _ => {
                    return Err(BadRequest::new(
                        "`options.evaluations_semantic` is none of `execute_all`, \
                         `deny_on_first_deny` and `permit_on_first_permit`",
                    ));
                }
            },
        };
        // Other options, and other values of this one, are not ours to understand.
        let explain = options.get("explain") == Some(&Json::Bool(true));
        Ok(Self { semantic, explain })
    }
}
