//! OCSF 1.8.0: API Activity, whose `actor.authorizations` name the policies.
//!
//! See <https://schema.ocsf.io/1.8.0/classes/api_activity>.

use serde_json::{Value, json};

use super::Subject;
use crate::record::{DecisionRecord, Outcome};

const VERSION: &str = "1.8.0";
const CATEGORY: u64 = 6;
const CLASS: u64 = 6003;

/// Returns a record as an event. `own` is its own form, after masking.
pub(super) fn event(record: &DecisionRecord, own: &Value) -> Value {
    let subject = Subject::of(own);
    let (activity, activity_name) = activity(&subject.action);
    let (action, disposition) = match record.outcome {
        Outcome::Allowed | Outcome::Listed | Outcome::Changed => (1, 1),
        Outcome::Denied | Outcome::NoOpinion => (2, 26),
        // Neither allowed nor denied yet: 99 is "Other".
        Outcome::Conditional => (99, 99),
        Outcome::Failed => (2, 27),
    };
    let is_success = matches!(
        record.outcome,
        Outcome::Allowed | Outcome::Listed | Outcome::Conditional | Outcome::Changed
    );
    let decision = record.outcome.as_str();
    let authorizations: Vec<Value> = record
        .policies
        .iter()
        .map(|policy| {
            json!({
                "decision": decision,
                "policy": {
                    "uid": policy.id,
                    "type": policy.effect,
                    "version": record.revision,
                    "is_applied": true,
                },
            })
        })
        .collect();
    let groups: Vec<Value> = subject.groups.iter().map(|name| json!({"name": name})).collect();
    let mut event = json!({
        "time": milliseconds(&record.time),
        "category_uid": CATEGORY,
        "class_uid": CLASS,
        "activity_id": activity,
        "type_uid": CLASS * 100 + activity,
        "severity_id": if is_success { 1 } else { 2 },
        "status_id": if is_success { 1 } else { 2 },
        "status_code": decision,
        "action_id": action,
        "disposition_id": disposition,
        "duration": record.duration_micros / 1000,
        "metadata": {
            "version": VERSION,
            "profiles": ["security_control"],
            "uid": record.id,
            "correlation_uid": record.request_id,
            "log_name": record.endpoint,
            "product": {
                "name": "Stagedoor",
                "vendor_name": "Stagedoor",
                "version": env!("CARGO_PKG_VERSION"),
            },
        },
        "actor": {
            "user": {"uid": subject.user, "name": subject.user, "groups": groups},
        },
        "api": {"operation": subject.action, "request": {"uid": record.request_id}},
        "src_endpoint": {"svc_name": record.platform.as_str()},
        "resources": [resource(&subject)],
        "authorizations": authorizations,
        "unmapped": own,
    });
    let activity_name = activity_name.map(|name| ("activity_name", name.to_owned()));
    let action_name = (action == 99).then(|| ("action", decision.to_owned()));
    let disposition_name = (disposition == 99).then(|| ("disposition", decision.to_owned()));
    let detail = record.error.as_ref().map(|error| ("status_detail", error.message.clone()));
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

/// Returns a time of RFC 3339, as records have it, in milliseconds since 1970.
fn milliseconds(time: &str) -> u64 {
    let number = |range: std::ops::Range<usize>| {
        time.get(range).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default()
    };
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    // After Howard Hinnant's `days_from_civil`; years from 1970 on.
    let shifted = if month <= 2 { year.saturating_sub(1) } else { year };
    let (era, year_of_era) = (shifted / 400, shifted % 400);
    let month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * month + 2) / 5 + day.saturating_sub(1);
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = (era * 146_097 + day_of_era).saturating_sub(719_468);
    let seconds = days * 86_400 + number(11..13) * 3600 + number(14..16) * 60 + number(17..19);
    seconds * 1000 + number(20..23)
}

#[cfg(test)]
mod tests {
    use super::milliseconds;

    #[test]
    fn times_are_read_as_they_are_written() {
        assert_eq!(milliseconds("2025-11-29T07:06:40.123456Z"), 1_764_400_000_123);
        assert_eq!(milliseconds("2000-02-29T00:00:00.000000Z"), 951_782_400_000);
        assert_eq!(milliseconds("nonsense"), 0);
    }
}
