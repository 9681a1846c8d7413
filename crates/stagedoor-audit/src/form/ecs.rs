//! The Elastic Common Schema: category `api`, types `access` and what came of it.
//!
//! See <https://www.elastic.co/docs/reference/ecs/ecs-allowed-values-event-category>.

use serde_json::{Value, json};

use super::{Subject, number, policies, text};
use crate::record::Outcome;

/// Returns a record of the own form, after masking, as an event. The record itself is below
/// `stagedoor`.
pub(super) fn event(own: &Value) -> Value {
    let subject = Subject::of(own);
    let (types, outcome) = match Outcome::named(text(own, "/outcome")) {
        Some(Outcome::Allowed | Outcome::Listed) => (&["access", "allowed"][..], "success"),
        Some(Outcome::Denied | Outcome::NoOpinion) => (&["access", "denied"][..], "failure"),
        Some(Outcome::Conditional) | None => (&["access"][..], "unknown"),
        Some(Outcome::Changed) => (&["change"][..], "success"),
        Some(Outcome::Failed) => (&["change"][..], "failure"),
    };
    let groups = (!subject.groups.is_empty()).then(|| json!({"name": subject.groups}));
    let mut user = json!({"id": subject.user, "name": subject.user});
    if let (Some(members), Some(groups)) = (user.as_object_mut(), groups) {
        members.insert("group".to_owned(), groups);
    }
    json!({
        "@timestamp": text(own, "/time"),
        "ecs": {"version": "9.1.0"},
        "event": {
            "kind": "event",
            "category": ["api"],
            "type": types,
            "outcome": outcome,
            "action": subject.action,
            "id": text(own, "/id"),
            "duration": number(own, "/durationMicros").saturating_mul(1000),
            "module": "stagedoor",
            "dataset": "stagedoor.decision",
            "provider": text(own, "/platform"),
        },
        "user": user,
        "rule": {"id": policies(own).map(|policy| text(policy, "/id")).collect::<Vec<_>>()},
        "http": {"request": {"id": text(own, "/requestId")}},
        "stagedoor": own,
    })
}
