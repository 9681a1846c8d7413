//! OCSF 1.8.0: API Activity, whose `actor.authorizations` name the policies.
//!
//! See <https://schema.ocsf.io/1.8.0/classes/api_activity>.

use serde_json::{Value, json};

use super::{Subject, number, policies, text};
use crate::clock::micros;
use crate::record::Outcome;

const VERSION: &str = "1.8.0";
const CATEGORY: u64 = 6;
const CLASS: u64 = 6003;

/// Returns a record of the own form, after masking, as an event.
pub(super) fn event(own: &Value) -> Value {
    let subject = Subject::of(own);
    let (activity, activity_name) = activity(&subject.action);
    let decision = text(own, "/outcome");
    let outcome = Outcome::named(decision);
    let (action, disposition) = match outcome {
        Some(Outcome::Allowed | Outcome::Listed | Outcome::Changed) => (1, 1),
        Some(Outcome::Denied | Outcome::NoOpinion) => (2, 26),
        // Neither allowed nor denied yet: 99 is "Other".
        Some(Outcome::Conditional) | None => (99, 99),
        Some(Outcome::Failed) => (2, 27),
    };
    let is_success = matches!(
        outcome,
        Some(Outcome::Allowed | Outcome::Listed | Outcome::Conditional | Outcome::Changed)
    );
    let authorizations: Vec<Value> = policies(own)
        .map(|policy| {
            json!({
                "decision": decision,
                "policy": {
                    "uid": text(policy, "/id"),
                    "type": text(policy, "/effect"),
                    "version": text(own, "/revision"),
                    "is_applied": true,
                },
            })
        })
        .collect();
    let groups: Vec<Value> = subject.groups.iter().map(|name| json!({"name": name})).collect();
    let mut event = json!({
        "time": micros(text(own, "/time")) / 1000,
        "category_uid": CATEGORY,
        "class_uid": CLASS,
        "activity_id": activity,
        "type_uid": CLASS * 100 + activity,
        "severity_id": if is_success { 1 } else { 2 },
        "status_id": if is_success { 1 } else { 2 },
        "status_code": decision,
        "action_id": action,
        "disposition_id": disposition,
        "duration": number(own, "/durationMicros") / 1000,
        "metadata": {
            "version": VERSION,
            "profiles": ["security_control"],
            "uid": text(own, "/id"),
            "correlation_uid": text(own, "/requestId"),
            "log_name": text(own, "/endpoint"),
            "product": {
                "name": "Stagedoor",
                "vendor_name": "Stagedoor",
                "version": env!("CARGO_PKG_VERSION"),
            },
        },
        "actor": {
            "user": {"uid": subject.user, "name": subject.user, "groups": groups},
        },
        "api": {"operation": subject.action, "request": {"uid": text(own, "/requestId")}},
        "src_endpoint": {"svc_name": text(own, "/platform")},
        "resources": [resource(&subject)],
        "authorizations": authorizations,
        "unmapped": own,
    });
    let activity_name = activity_name.map(|name| ("activity_name", name.to_owned()));
    let action_name = (action == 99).then(|| ("action", decision.to_owned()));
    let disposition_name = (disposition == 99).then(|| ("disposition", decision.to_owned()));
    let detail = text(own, "/error/message");
    let detail = (!detail.is_empty()).then(|| ("status_detail", detail.to_owned()));
    if let Some(members) = event.as_object_mut() {
        let extra = [activity_name, action_name, disposition_name, detail];
        members.extend(extra.into_iter().flatten().map(|(k, v)| (k.to_owned(), v.into())));
    }
    event
}

/// Returns the activity of an action, and its name where it is "Other".
fn activity(action: &str) -> (u64, Option<&str>) {
    match action {
        "create" | "CREATE" | "catalog.entity.create" => (1, None),
        "get" | "list" | "watch" | "read" | "view" | "catalog.entity.read" => (2, None),
        "update" | "patch" | "UPDATE" | "edit" | "write" => (3, None),
        "delete" | "deletecollection" | "DELETE" | "catalog.entity.delete" => (4, None),
        other => (99, Some(other)),
    }
}

fn resource(subject: &Subject) -> Value {
    let mut resource = json!({"type": subject.resource_type, "uid": subject.resource_name});
    if let (Some(members), Some(namespace)) = (resource.as_object_mut(), &subject.namespace) {
        members.insert("namespace".to_owned(), json!(namespace));
    }
    resource
}
