//! What logs of decisions have in common: who asked for what, and what the answer was.

use serde_json::Value;
use stagedoor_backstage::Principal;
use stagedoor_kubernetes::{Attributes, NonResourceAttributes, ResourceAttributes, Subject};

/// One decision that was made.
#[derive(Debug)]
pub(super) struct Event {
    /// What names it: an audit id, or that of a record.
    pub(super) id: String,
    pub(super) question: Question,
    pub(super) answer: Answer,
}

/// What the answer was, or is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    Allowed,
    Denied,
    /// Backstage's conditions.
    Conditional(Value),
}

impl Answer {
    pub(super) const fn of(allowed: bool) -> Self {
        if allowed { Self::Allowed } else { Self::Denied }
    }

    pub(super) const fn as_str(&self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Conditional(_) => "conditional",
        }
    }
}

/// What was asked.
#[derive(Debug)]
pub(super) enum Question {
    Kubernetes(Box<Subject>, Box<Attributes>),
    /// An AdmissionReview in JSON.
    Admission(String),
    /// The body of an evaluation.
    AuthZen(Value),
    Backstage(Box<BackstageQuestion>),
}

/// What Backstage asks its policy.
#[derive(Debug)]
pub(super) struct BackstageQuestion {
    /// Who asks, if anybody is known to.
    pub(super) principal: Option<Principal>,
    pub(super) permission: String,
    pub(super) action: Option<String>,
    pub(super) resource_type: Option<String>,
}

/// Why an entry of a log cannot be decided again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SkipReason {
    /// It is none of the forms that are read.
    Unknown,
    /// The event is of a stage that has no answer yet, or of a request that is there already.
    Stage,
    /// The caller was not known: nothing was decided.
    Unauthenticated,
    /// The caller was not allowed to act as somebody else: what it would have done then was never
    /// asked.
    Impersonation,
    /// It does not say what was decided.
    Undecided,
    /// It was denied for want of time, which policies have no say in.
    Overload,
    /// It is about an object, which is not in it.
    Object,
    /// It is a list, a reload, or conditions: no single yes or no.
    NoDecision,
    /// It is of Backstage and lacks the groups of whoever asked.
    Groups,
    /// Fields of it are masked.
    Masked,
    /// It lacks a field that the question needs.
    Incomplete,
    /// A program asked in Cedar's own words, by its own entities.
    Cedar,
}

impl SkipReason {
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Unknown => "not an entry of a form that is read",
            Self::Stage => "another event of the same request",
            Self::Unauthenticated => "the caller was not authenticated",
            Self::Impersonation => "the caller was not allowed to impersonate",
            Self::Overload => "denied for want of time, not by policies",
            Self::Undecided => "the entry does not say what was decided",
            Self::Object => "the object is not in the entry",
            Self::NoDecision => "no single yes or no",
            Self::Groups => "the groups of the user are not in the entry",
            Self::Masked => "parts of the request are masked",
            Self::Incomplete => "the entry lacks what was asked for",
            Self::Cedar => "asked in Cedar's own words, by entities of a program",
        }
    }
}

impl Question {
    /// Says in a line what was asked.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Kubernetes(subject, attributes) => match attributes.as_ref() {
                Attributes::Resource(a) => {
                    let slash = |text: &str| {
                        if text.is_empty() { String::new() } else { format!("/{text}") }
                    };
                    let group =
                        if a.group.is_empty() { String::new() } else { format!(".{}", a.group) };
                    let place = if a.namespace.is_empty() {
                        String::new()
                    } else {
                        format!(" in {}", a.namespace)
                    };
                    let (verb, resource) = (&a.verb, &a.resource);
                    let (sub, name) = (slash(&a.subresource), slash(&a.name));
                    format!("{}: {verb} {resource}{group}{sub}{name}{place}", subject.user)
                }
                Attributes::NonResource(a) => format!("{}: {} {}", subject.user, a.verb, a.path),
            },
            Self::Admission(review) => {
                let review: Value = serde_json::from_str(review).unwrap_or_default();
                let part = |name: &str| text(&review, &format!("/request/{name}"));
                let (user, operation) = (part("userInfo/username"), part("operation"));
                let (resource, name) = (part("resource/resource"), part("name"));
                format!("{user}: {operation} {resource}/{name} in {}", part("namespace"))
            }
            Self::Backstage(question) => {
                let who = match &question.principal {
                    Some(Principal::User(user)) => user.reference().to_string(),
                    Some(Principal::Service(service)) => service.to_string(),
                    _ => "nobody".to_owned(),
                };
                format!("{who}: {}", question.permission)
            }
            Self::AuthZen(body) => {
                let text =
                    |pointer| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
                let (subject, action) = (text("/subject/id"), text("/action/name"));
                let (type_, id) = (text("/resource/type"), text("/resource/id"));
                format!("{subject}: {action} {type_}/{id}")
            }
        }
    }
}

/// Returns a member's text, empty if it has none.
pub(super) fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Returns the texts of a list.
pub(super) fn texts(value: &Value, pointer: &str) -> Vec<String> {
    let list = value.pointer(pointer).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

/// Returns who is meant by `username` (or `user`), `uid`, `groups` and `extra` of an object.
pub(super) fn subject(user: &Value, name: &str, uid: &str) -> Subject {
    let mut subject = Subject::new(text(user, name));
    subject.uid = text(user, uid);
    subject.groups = texts(user, "/groups");
    if let Some(extra) = user.get("extra").and_then(Value::as_object) {
        for (key, values) in extra {
            let values = values.as_array().into_iter().flatten();
            let values = values.filter_map(|v| v.as_str().map(str::to_owned)).collect();
            subject.extra.insert(key.clone(), values);
        }
    }
    subject
}

/// Returns the attributes that were asked about.
pub(super) fn attributes(parts: ResourceAttributes, path: Option<String>) -> Attributes {
    match path {
        Some(path) => NonResourceAttributes::new(parts.verb, path).into(),
        None => parts.into(),
    }
}
