//! The Elastic Common Schema: category `api`, types `access` and what came of it.
//!
//! See <https://www.elastic.co/docs/reference/ecs/ecs-allowed-values-event-category>.

use serde_json::{Value, json};

use super::Subject;
use crate::record::{DecisionRecord, Outcome};

/// Returns a record as an event. `own` is its own form, after masking, below `stagedoor`.
pub(super) fn event(record: &DecisionRecord, own: &Value) -> Value {
    let subject = Subject::of(own);
    let (types, outcome) = match record.outcome {
        Outcome::Allowed | Outcome::Listed => (&["access", "allowed"][..], "success"),
        Outcome::Denied | Outcome::NoOpinion => (&["access", "denied"][..], "failure"),
        Outcome::Conditional => (&["access"][..], "unknown"),
        Outcome::Changed => (&["change"][..], "success"),
        Outcome::Failed => (&["change"][..], "failure"),
    };
    let groups = (!subject.groups.is_empty()).then(|| json!({"name": subject.groups}));
    let mut user = json!({"id": subject.user, "name": subject.user});
    if let (Some(members), Some(groups)) = (user.as_object_mut(), groups) {
        members.insert("group".to_owned(), groups);
    }
    json!({
        "@timestamp": record.time,
        "ecs": {"version": "9.1.0"},
        "event": {
            "kind": "event",
            "category": ["api"],
            "type": types,
            "outcome": outcome,
            "action": subject.action,
            "id": record.id,
            "duration": record.duration_micros.saturating_mul(1000),
            "module": "stagedoor",
            "dataset": "stagedoor.decision",
            "provider": record.platform.as_str(),
        },
        "user": user,
        "rule": {"id": record.policies.iter().map(|p| p.id.as_str()).collect::<Vec<_>>()},
        "http": {"request": {"id": record.request_id}},
        "stagedoor": own,
    })
}
