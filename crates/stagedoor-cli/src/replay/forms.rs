//! The forms of logs: own records, `audit.k8s.io`, and what clouds wrap them in.
//!
//! - EKS (CloudWatch): `{"events": [{"message": "…"}]}`, or one `{"message": "…"}` a line.
//! - AKS: `{"records": [{"category": "kube-audit", "properties": {"log": "…"}}]}`, or one of these.
//! - GKE: entries with `protoPayload`, which are no audit events.
//! - Backstage's auditor: `isAuditEvent`.
//! - Own records as OCSF (below `unmapped`) and ECS (below `stagedoor`), and as logs of OTLP:
//!   `{"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": "…"}}]}]}]}`.

use std::collections::HashSet;

use serde_json::{Value, json};
use stagedoor_backstage::{Principal, User};
use stagedoor_kubernetes::{FieldSelectorAttributes, LabelSelectorAttributes, ResourceAttributes};

use super::event::{
    Answer, BackstageQuestion, Event, Question, SkipReason, attributes, subject, text, texts,
};
use super::request_uri;

/// How deep wrappings may be nested.
const WRAPPINGS: usize = 12;
/// What kube-apiserver says to whoever may not act as somebody else.
const IMPERSONATION: &str = " cannot impersonate ";
/// The verbs whose selectors authorization sees.
const SELECTING: [&str; 3] = ["list", "watch", "deletecollection"];
/// How many ids of requests are remembered.
const REMEMBERED: usize = 1_000_000;

/// Reads entries, and knows which requests it has seen.
#[derive(Default)]
pub(super) struct Reader {
    seen: HashSet<String>,
}

impl Reader {
    /// Hands over every event that is in an entry, or why it is none.
    pub(super) fn read(&mut self, entry: &Value, take: &mut dyn FnMut(Result<Event, SkipReason>)) {
        self.unwrap(entry, WRAPPINGS, take);
    }

    fn unwrap(
        &mut self,
        entry: &Value,
        depth: usize,
        take: &mut dyn FnMut(Result<Event, SkipReason>),
    ) {
        let Some(depth) = depth.checked_sub(1) else { return take(Err(SkipReason::Unknown)) };
        // An object in a text, as CloudWatch and AKS have them.
        if let Value::String(inner) = entry {
            return match serde_json::from_str::<Value>(inner) {
                Ok(inner @ Value::Object(_)) => self.unwrap(&inner, depth, take),
                _ => take(Err(SkipReason::Unknown)),
            };
        }
        if let Value::Array(entries) = entry {
            return entries.iter().for_each(|entry| self.unwrap(entry, depth, take));
        }
        let lists = ["/events", "/records", "/items", "/resourceLogs", "/scopeLogs", "/logRecords"];
        for list in lists {
            if let Some(entries @ Value::Array(_)) = entry.pointer(list) {
                return self.unwrap(entries, depth, take);
            }
        }
        if entry.get("kind").and_then(Value::as_str) == Some("Event")
            && text(entry, "/apiVersion").starts_with("audit.k8s.io/")
        {
            return take(self.audit_event(entry));
        }
        if let Some(log) = entry.pointer("/properties/log") {
            return match text(entry, "/category").as_str() {
                "" | "kube-audit" | "kube-audit-admin" => self.unwrap(log, depth, take),
                _ => take(Err(SkipReason::Unknown)),
            };
        }
        if entry.get("protoPayload").is_some() {
            return take(gke(entry));
        }
        if entry.get("isAuditEvent") == Some(&Value::Bool(true)) {
            return take(auditor(entry));
        }
        let is_own = |entry: &Value| entry.get("platform").and(entry.get("outcome")).is_some();
        let forms = [Some(entry), entry.get("unmapped"), entry.get("stagedoor")];
        if let Some(record) = forms.into_iter().flatten().find(|form| is_own(form)) {
            return take(own(record));
        }
        match entry.get("message").or_else(|| entry.pointer("/body/stringValue")) {
            Some(message @ Value::String(_)) => self.unwrap(message, depth, take),
            _ => take(Err(SkipReason::Unknown)),
        }
    }

    fn audit_event(&mut self, event: &Value) -> Result<Event, SkipReason> {
        match text(event, "/stage").as_str() {
            "ResponseComplete" | "" => {}
            "ResponseStarted" if text(event, "/verb") == "watch" => {}
            _ => return Err(SkipReason::Stage),
        }
        let id = text(event, "/auditID");
        if !id.is_empty() && self.seen.len() < REMEMBERED && !self.seen.insert(id.clone()) {
            return Err(SkipReason::Stage);
        }
        let code = event.pointer("/responseStatus/code").and_then(Value::as_u64);
        let decision =
            event.pointer("/annotations/authorization.k8s.io~1decision").and_then(Value::as_str);
        let allowed = match (decision, code) {
            (Some("allow"), _) => true,
            (Some("forbid"), _) => false,
            (_, Some(401)) => return Err(SkipReason::Unauthenticated),
            // It was refused before the request itself was asked about, which has no decision then.
            (_, Some(403)) if text(event, "/responseStatus/message").contains(IMPERSONATION) => {
                return Err(SkipReason::Impersonation);
            }
            (_, Some(403)) => false,
            // Whoever got something else got past authorization.
            (_, Some(200..=499)) => true,
            _ => return Err(SkipReason::Undecided),
        };
        let user = match event.get("impersonatedUser") {
            Some(user @ Value::Object(_)) => user,
            _ => event.get("user").ok_or(SkipReason::Incomplete)?,
        };
        let subject = subject(user, "/username", "/uid");
        if subject.user.is_empty() {
            return Err(SkipReason::Incomplete);
        }
        let verb = text(event, "/verb");
        let object = |name: &str| text(event, &format!("/objectRef/{name}"));
        let (parts, path) = if event.get("objectRef").is_some() {
            let parts = ResourceAttributes::new(&verb, object("apiGroup"), object("resource"))
                .with_version(object("apiVersion"))
                .with_namespace(object("namespace"))
                .with_subresource(object("subresource"));
            // What is created has its name from its body, which authorization does not see.
            let is_new = verb == "create" && object("subresource").is_empty();
            let name = if is_new { String::new() } else { object("name") };
            let mut parts = parts.with_name(name);
            if SELECTING.contains(&verb.as_str()) {
                add_selectors(&mut parts, &text(event, "/requestURI"));
            }
            (parts, None)
        } else {
            let path = request_uri::path(&text(event, "/requestURI")).to_owned();
            if path.is_empty() {
                return Err(SkipReason::Incomplete);
            }
            (ResourceAttributes::new(&verb, "", ""), Some(path))
        };
        if verb.is_empty() {
            return Err(SkipReason::Incomplete);
        }
        let question = Question::Kubernetes(Box::new(subject), Box::new(attributes(parts, path)));
        Ok(Event { id, question, answer: Answer::of(allowed) })
    }
}

/// Adds the selectors of a request, which are in its URI alone.
fn add_selectors(parts: &mut ResourceAttributes, uri: &str) {
    if let Some(raw) = request_uri::parameter(uri, "fieldSelector") {
        let mut selector = FieldSelectorAttributes::default();
        selector.raw_selector = raw;
        parts.field_selector = Some(selector);
    }
    if let Some(raw) = request_uri::parameter(uri, "labelSelector") {
        let mut selector = LabelSelectorAttributes::default();
        selector.raw_selector = raw;
        parts.label_selector = Some(selector);
    }
}

/// Reads an entry of Google's audit logs. It has no groups of the user.
fn gke(entry: &Value) -> Result<Event, SkipReason> {
    let payload = |pointer: &str| text(entry, &format!("/protoPayload{pointer}"));
    let method = payload("/methodName");
    let verb = match method.strip_prefix("io.k8s.").and_then(|rest| rest.rsplit('.').next()) {
        Some(verb) => verb.to_owned(),
        None => return Err(SkipReason::Unknown),
    };
    let decision = entry.pointer("/labels/authorization.k8s.io~1decision").and_then(Value::as_str);
    let granted =
        entry.pointer("/protoPayload/authorizationInfo/0/granted").and_then(Value::as_bool);
    let status = entry.pointer("/protoPayload/status/code").and_then(Value::as_u64);
    let allowed = match (decision, granted, status) {
        (Some("allow"), ..) => true,
        (Some("forbid"), ..) => false,
        (_, Some(granted), _) => granted,
        (_, None, Some(7)) => false,
        _ => return Err(SkipReason::Undecided),
    };
    let user = payload("/authenticationInfo/principalEmail");
    let name = payload("/resourceName");
    let mut parts = name.split('/');
    let group = match parts.next() {
        None | Some("") => return Err(SkipReason::Incomplete),
        Some("core") => "",
        Some(group) => group,
    };
    let version = parts.next().unwrap_or_default();
    let mut rest: Vec<&str> = parts.collect();
    let mut namespace = "";
    if let [space, name, _, ..] = rest.as_slice()
        && *space == "namespaces"
    {
        namespace = name;
        rest.drain(..2);
    }
    let mut rest = rest.into_iter();
    let resource = rest.next().unwrap_or_default();
    if user.is_empty() || resource.is_empty() {
        return Err(SkipReason::Incomplete);
    }
    let (name, subresource) = (rest.next().unwrap_or_default(), rest.next().unwrap_or_default());
    // What is created has no name when it is authorized; that of a subresource's owner is there.
    let name = if verb == "create" && subresource.is_empty() { "" } else { name };
    let attributes = ResourceAttributes::new(verb, group, resource)
        .with_version(version)
        .with_namespace(if resource == "namespaces" { name } else { namespace })
        .with_name(name)
        .with_subresource(subresource);
    let subject = stagedoor_kubernetes::Subject::new(user);
    let question = Question::Kubernetes(Box::new(subject), Box::new(attributes.into()));
    Ok(Event { id: text(entry, "/insertId"), question, answer: Answer::of(allowed) })
}

/// Reads a line of Backstage's auditor.
fn auditor(entry: &Value) -> Result<Event, SkipReason> {
    // Of other plugins there are events of many kinds.
    if text(entry, "/eventId") != "permission-decision" {
        return Err(SkipReason::NoDecision);
    }
    // An event has a line for its beginning and one for its end.
    if text(entry, "/status") != "succeeded" {
        return Err(SkipReason::Stage);
    }
    let meta = entry.get("meta").filter(|meta| meta.is_object()).ok_or(SkipReason::Incomplete)?;
    let answer = match text(meta, "/result").as_str() {
        "ALLOW" => Answer::Allowed,
        "DENY" => Answer::Denied,
        "CONDITIONAL" => {
            Answer::Conditional(meta.get("conditions").cloned().ok_or(SkipReason::Incomplete)?)
        }
        _ => return Err(SkipReason::Undecided),
    };
    let question = backstage(meta)?;
    Ok(Event { id: text(entry, "/timestamp"), question, answer })
}

/// Reads what Backstage asked: `user` with `ownershipEntityRefs`, or `service`; `permission`,
/// `action`, `resourceType`.
fn backstage(request: &Value) -> Result<Question, SkipReason> {
    let optional = |name: &str| request.get(name).and_then(Value::as_str).map(str::to_owned);
    let principal = match (optional("user"), optional("service")) {
        (_, Some(service)) => Some(Principal::Service(service)),
        (Some(user), None) => {
            if request.get("ownershipEntityRefs").is_none_or(|refs| !refs.is_array()) {
                return Err(SkipReason::Groups);
            }
            let user = user.parse().map_err(|_| SkipReason::Incomplete)?;
            let groups = texts(request, "/ownershipEntityRefs");
            Some(User::new(user).with_ownership_refs(groups).into())
        }
        (None, None) => None,
    };
    let permission = optional("permission").ok_or(SkipReason::Incomplete)?;
    let (action, resource_type) = (optional("action"), optional("resourceType"));
    let question = BackstageQuestion { principal, permission, action, resource_type };
    Ok(Question::Backstage(Box::new(question)))
}

/// Reads a record of our own.
fn own(record: &Value) -> Result<Event, SkipReason> {
    let platform = text(record, "/platform");
    if platform == "cedar" {
        return Err(SkipReason::Cedar);
    }
    let answer = match text(record, "/outcome").as_str() {
        "allowed" => Answer::Allowed,
        "denied" | "no-opinion" => Answer::Denied,
        "conditional" if platform == "backstage" => {
            let condition = text(record, "/conditions/0/condition");
            let criteria = serde_json::from_str(&condition);
            Answer::Conditional(criteria.map_err(|_| SkipReason::Incomplete)?)
        }
        _ => return Err(SkipReason::NoDecision),
    };
    if text(record, "/error/code") == "authzen::no-time" {
        return Err(SkipReason::Overload);
    }
    let masked = record.get("masked").and_then(Value::as_array);
    let is_masked = |path: &Value| path.as_str().is_some_and(|path| path.starts_with("/request"));
    if masked.is_some_and(|paths| paths.iter().any(is_masked)) {
        return Err(SkipReason::Masked);
    }
    let request = record.get("request").filter(|r| r.is_object()).ok_or(SkipReason::Incomplete)?;
    let question = match (platform.as_str(), text(record, "/endpoint").as_str()) {
        ("kubernetes", "authorize") => kubernetes(request)?,
        ("kubernetes", "admit") => admission(request)?,
        ("authzen", _) => Question::AuthZen(request.clone()),
        ("backstage", _) => backstage(request)?,
        _ => return Err(SkipReason::NoDecision),
    };
    Ok(Event { id: text(record, "/id"), question, answer })
}

/// Makes the review again of which a record of admission is.
fn admission(request: &Value) -> Result<Question, SkipReason> {
    // It is there where objects are recorded, be it as nothing.
    let object = request.get("object").ok_or(SkipReason::Object)?;
    let part = |name: &str| request.get(name).cloned().unwrap_or_default();
    let review = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": request.get("uid").ok_or(SkipReason::Incomplete)?,
            "kind": {
                "group": part("kindGroup"), "version": part("kindVersion"), "kind": part("kind"),
            },
            "resource": {
                "group": part("apiGroup"),
                "version": part("apiVersion"),
                "resource": part("resource"),
            },
            "subResource": part("subresource"),
            "name": part("name"),
            "namespace": part("namespace"),
            "operation": part("operation"),
            "userInfo": {
                "username": part("user"),
                "uid": part("userUid"),
                "groups": part("groups"),
                "extra": part("extra"),
            },
            "object": object,
            "oldObject": part("oldObject"),
            "options": part("options"),
            "dryRun": part("dryRun"),
        },
    });
    Ok(Question::Admission(review.to_string()))
}

fn kubernetes(request: &Value) -> Result<Question, SkipReason> {
    let field = |name: &str| text(request, &format!("/{name}"));
    let verb = field("verb");
    let path = request.get("path").and_then(Value::as_str).map(str::to_owned);
    if verb.is_empty() && path.is_none() {
        return Err(SkipReason::Incomplete);
    }
    let mut parts = ResourceAttributes::new(verb, field("apiGroup"), field("resource"))
        .with_version(field("apiVersion"))
        .with_namespace(field("namespace"))
        .with_name(field("name"))
        .with_subresource(field("subresource"));
    let selector = |name: &str| request.get(name).filter(|value| value.is_object()).cloned();
    if let Some(selector) = selector("fieldSelector") {
        parts.field_selector =
            serde_json::from_value(selector).map_err(|_| SkipReason::Incomplete)?;
    }
    if let Some(selector) = selector("labelSelector") {
        parts.label_selector =
            serde_json::from_value(selector).map_err(|_| SkipReason::Incomplete)?;
    }
    let subject = subject(request, "/user", "/uid");
    Ok(Question::Kubernetes(Box::new(subject), Box::new(attributes(parts, path))))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Answer, Event, Question, Reader, SkipReason};

    fn read(entries: &[Value]) -> Vec<Result<(String, bool), SkipReason>> {
        let mut reader = Reader::default();
        let mut found = Vec::new();
        let mut take = |event: Result<Event, SkipReason>| {
            let told = |event: Event| (event.question.describe(), event.answer == Answer::Allowed);
            found.push(event.map(told));
        };
        entries.iter().for_each(|entry| reader.read(entry, &mut take));
        found
    }

    #[test]
    fn selectors_are_read_from_the_uri() -> anyhow::Result<()> {
        let mut list = event("3", 200);
        let uri = "/api/v1/pods?labelSelector=app%3Dweb&fieldSelector=spec.nodeName%3Dn1";
        for verb in ["list", "get"] {
            if let Some(event) = list.as_object_mut() {
                event.insert("auditID".to_owned(), json!(verb));
                event.insert("verb".to_owned(), json!(verb));
                event.insert("requestURI".to_owned(), json!(uri));
            }
            let mut found = Vec::new();
            Reader::default().read(&list, &mut |event| found.push(event));
            let [Ok(Event { question: Question::Kubernetes(_, attributes), .. })] =
                found.as_slice()
            else {
                anyhow::bail!("{found:?}");
            };
            let stagedoor_kubernetes::Attributes::Resource(of) = attributes.as_ref() else {
                anyhow::bail!("{attributes:?}");
            };
            let label = of.label_selector.as_ref().map(|s| s.raw_selector.as_str());
            let field = of.field_selector.as_ref().map(|s| s.raw_selector.as_str());
            let expected = if verb == "list" {
                (Some("app=web"), Some("spec.nodeName=n1"))
            } else {
                (None, None)
            };
            assert_eq!((label, field), expected);
        }
        Ok(())
    }

    fn event(id: &str, code: u64) -> Value {
        json!({"kind": "Event", "apiVersion": "audit.k8s.io/v1", "auditID": id,
               "stage": "ResponseComplete", "verb": "create", "user": {"username": "ann"},
               "objectRef": {"resource": "pods", "namespace": "n", "name": "p", "apiVersion": "v1"},
               "responseStatus": {"code": code}})
    }

    fn decision(status: &str, meta: &Value) -> Value {
        json!({"isAuditEvent": true, "plugin": "permission", "eventId": "permission-decision",
               "status": status, "meta": meta})
    }

    #[test]
    fn events_are_unwrapped_whatever_cloud_they_come_from() {
        let allowed = Ok(("ann: create pods in n".to_owned(), true));
        let text = event("1", 201).to_string();
        let wrapped = [
            event("1", 201),
            json!({"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "items": [event("1", 201)]}),
            json!({"events": [{"message": text, "timestamp": 1}]}),
            json!({"message": text}),
            json!({"records": [{"category": "kube-audit", "properties": {"log": text}}]}),
            json!({"category": "kube-audit-admin", "properties": {"log": event("1", 201)}}),
        ];
        for entry in wrapped {
            assert_eq!(
                read(std::slice::from_ref(&entry)),
                std::slice::from_ref(&allowed),
                "{entry}"
            );
        }
        let record = json!({"platform": "kubernetes", "endpoint": "authorize", "outcome": "denied",
            "request": {"user": "ann", "verb": "get", "path": "/metrics"}});
        let logs = json!([{"body": {"stringValue": record.to_string()}}]);
        for entry in [
            record.clone(),
            json!({"class_uid": 6003, "unmapped": record}),
            json!({"@timestamp": "2026-12-01T00:00:00.000000Z", "stagedoor": record}),
            json!({"resourceLogs": [{"scopeLogs": [{"logRecords": logs}]}]}),
        ] {
            let told = Ok(("ann: get /metrics".to_owned(), false));
            assert_eq!(read(std::slice::from_ref(&entry)), [told], "{entry}");
        }
        let gke = json!({"insertId": "x", "protoPayload": {
            "methodName": "io.k8s.core.v1.pods.exec.create",
            "resourceName": "core/v1/namespaces/n/pods/p/exec",
            "authenticationInfo": {"principalEmail": "ann@example.com"},
            "authorizationInfo": [{"granted": false}]}});
        assert_eq!(
            read(&[gke]),
            [Ok(("ann@example.com: create pods/exec/p in n".to_owned(), false))]
        );
    }

    #[test]
    fn what_decided_nothing_is_left_out_and_said() {
        let change = |pointer: &str, value: Value| {
            let mut event = event("2", 200);
            if let Some(member) = event.pointer_mut(pointer) {
                *member = value;
            }
            event
        };
        let cases = [
            (change("/stage", json!("RequestReceived")), SkipReason::Stage),
            (change("/responseStatus/code", json!(401)), SkipReason::Unauthenticated),
            (change("/responseStatus/code", json!(500)), SkipReason::Undecided),
            (change("/user", json!({})), SkipReason::Incomplete),
            (json!({"hello": 1}), SkipReason::Unknown),
            (json!("not json"), SkipReason::Unknown),
            (json!({"isAuditEvent": true, "meta": {}}), SkipReason::NoDecision),
            (decision("initiated", &json!({"result": "ALLOW"})), SkipReason::Stage),
            (decision("succeeded", &json!({"result": "MAYBE"})), SkipReason::Undecided),
            (
                decision("succeeded", &json!({"result": "DENY", "user": "user:default/ana"})),
                SkipReason::Groups,
            ),
            (
                json!({"platform": "kubernetes", "endpoint": "admit", "outcome": "denied", "request": {"uid": "u"}}),
                SkipReason::Object,
            ),
            (
                json!({"platform": "cedar", "endpoint": "decide", "outcome": "denied"}),
                SkipReason::Cedar,
            ),
            (
                json!({"platform": "authzen", "endpoint": "search-action", "outcome": "listed", "request": {}}),
                SkipReason::NoDecision,
            ),
            (
                json!({"platform": "authzen", "endpoint": "evaluation", "outcome": "denied", "request": {}, "masked": ["/request/subject"]}),
                SkipReason::Masked,
            ),
            (
                json!({"platform": "authzen", "endpoint": "evaluations", "outcome": "denied", "request": {}, "error": {"code": "authzen::no-time"}}),
                SkipReason::Overload,
            ),
            (
                change(
                    "/responseStatus",
                    json!({"code": 403, "message": "users \"bob\" is forbidden: User \"ann\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope"}),
                ),
                SkipReason::Impersonation,
            ),
        ];
        for (entry, reason) in cases {
            assert_eq!(read(std::slice::from_ref(&entry)), [Err(reason)], "{entry}");
        }
        let mut impersonated = change("/responseStatus/code", json!(403));
        if let Some(event) = impersonated.as_object_mut() {
            let bob = json!({"username": "bob", "groups": ["g"]});
            event.insert("impersonatedUser".to_owned(), bob);
        }
        let twice = read(&[impersonated.clone(), impersonated]);
        assert_eq!(
            twice,
            [Ok(("bob: create pods in n".to_owned(), false)), Err(SkipReason::Stage)]
        );
    }
}
