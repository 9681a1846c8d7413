//! The workload as JSON, for engines that are no part of this program.

use serde_json::{Value, json};

use crate::{FORBIDS, Form, SCHEMA, Workload};

/// Returns the workload as one object: `schema`, `policies` and `forbids` in Cedar's syntax, and
/// `grants`, `users` and `requests` with their words. What is in no namespace has none.
#[must_use]
pub fn exported(workload: &Workload) -> Value {
    let grants = workload.grants().iter().map(|grant| {
        let (api_group, resource) = grant.kind;
        json!({
            "group": grant.group(),
            "verbs": grant.verbs(),
            "apiGroup": api_group,
            "resource": resource,
            "namespace": grant.namespace(),
        })
    });
    let users = workload.users().iter().map(|user| {
        json!({
            "name": user.name(),
            "groups": user.groups().collect::<Vec<_>>(),
            "suspended": user.is_suspended(),
        })
    });
    let requests = workload.requests().iter().map(|asked| {
        let (api_group, resource) = asked.kind();
        json!({
            "user": asked.user,
            "verb": asked.verb,
            "id": asked.object_id(),
            "apiGroup": api_group,
            "resource": resource,
            "namespace": asked.namespace(),
            "name": asked.name(),
            "allowed": asked.allowed,
        })
    });
    json!({
        "schema": SCHEMA,
        "policies": workload.policies(Form::Text),
        "forbids": FORBIDS,
        "grants": grants.collect::<Vec<_>>(),
        "users": users.collect::<Vec<_>>(),
        "requests": requests.collect::<Vec<_>>(),
    })
}
