//! Groups by permissions of Backstage.

use std::collections::BTreeSet;

use serde_json::Value;
use stagedoor_backstage::{
    EntityRef, Permission, PermissionQuery, PolicyDecision, PolicyEngine, User,
};
use stagedoor_core::{Entity, EntityUid};

use super::{AccessCell, AccessColumn, AccessMatrix, AccessMatrixRow, Verdict, named};
use crate::loading::Policies;

/// Who is in no group, and whom no policy names.
const SOMEBODY: &str = "user:default/somebody-in-no-group";
/// Who is a member of the group of a row.
const MEMBER: &str = "user:default/a-member-of-the-group";

pub(super) fn matrix(policies: &Policies, known: &[Entity]) -> Option<AccessMatrix> {
    let is_group = |uid: &EntityUid| uid.type_name().to_string() == "Backstage::Group";
    let groups: Vec<Entity> = known.iter().filter(|e| is_group(&e.uid)).cloned().collect();
    let mut rows: BTreeSet<EntityRef> = groups
        .iter()
        .map(|group| group.uid.clone())
        .chain(named(&policies.engine, &["Backstage::Group", "Backstage::User"]))
        .filter_map(|uid| uid.id().unescaped().parse().ok())
        .collect();
    let policy = PolicyEngine::new(policies.engine.clone(), policies.permissions.clone());
    let policy = policy.with_groups(groups).ok()?;
    let mut columns: Vec<&Permission> = policies.permissions.iter().collect();
    columns.sort_by_key(|permission| (permission.plugin_id(), permission.name()));

    let row = |name: String, user: User| {
        let principal = user.into();
        let cell = |permission: &&Permission| {
            let asked = PermissionQuery {
                name: permission.name(),
                action: permission.action().map(|action| action.as_str()),
                resource_type: permission.resource_type(),
            };
            let answer = policy.decide(&asked, Some(&principal));
            let (verdict, mut details) = match answer.decision() {
                PolicyDecision::Allow => (Verdict::Allow, Vec::new()),
                PolicyDecision::Deny => (Verdict::Deny, Vec::new()),
                PolicyDecision::Conditional { .. } => {
                    let text = serde_json::to_value(answer.decision()).ok();
                    let conditions = text.and_then(|json| json.get("conditions").cloned());
                    let text = conditions.map(|json| in_words(&json, false));
                    (Verdict::Conditional, text.into_iter().collect())
                }
            };
            details.extend(answer.errors().iter().cloned());
            let policies = answer.reasons().map(str::to_owned).collect();
            AccessCell { verdict, details, policies }
        };
        AccessMatrixRow { name, cells: columns.iter().map(cell).collect() }
    };
    let somebody: EntityRef = SOMEBODY.parse().ok()?;
    let member: EntityRef = MEMBER.parse().ok()?;
    let mut all = vec![row("everybody".to_owned(), User::new(somebody))];
    let users: Vec<EntityRef> = rows.extract_if(.., |entity| entity.kind() == "user").collect();
    for group in rows {
        let user = User::new(member.clone()).with_ownership([group.clone()]);
        all.push(row(group.to_string(), user));
    }
    all.extend(users.into_iter().map(|user| row(user.to_string(), User::new(user))));
    let columns = columns
        .into_iter()
        .map(|permission| AccessColumn {
            name: permission.name().to_owned(),
            group: permission.plugin_id().to_owned(),
        })
        .collect();
    Some(AccessMatrix {
        title: "Backstage".to_owned(),
        columns_are: "permission".to_owned(),
        note: "A row is a signed-in user who is in this group and in those above it. A cell is \
               what Backstage is answered before it knows the resource."
            .to_owned(),
        columns,
        rows: all,
        left_out: 0,
    })
}

/// Returns conditions as Backstage takes them in words; a part of others in parentheses.
fn in_words(condition: &Value, is_part: bool) -> String {
    for (key, word) in [("allOf", " and "), ("anyOf", " or ")] {
        if let Some(parts) = condition.get(key).and_then(Value::as_array) {
            let parts: Vec<String> = parts.iter().map(|part| in_words(part, true)).collect();
            let joined = parts.join(word);
            return if is_part && parts.len() > 1 { format!("({joined})") } else { joined };
        }
    }
    if let Some(part) = condition.get("not") {
        return format!("not {}", in_words(part, true));
    }
    let param = |name: &str| condition.get("params").and_then(|params| params.get(name));
    let list = |name: &str| param(name).map(listed).unwrap_or_default();
    let is_value = || match param("value") {
        Some(value) => format!(" with {}", listed(value)),
        None => String::new(),
    };
    match condition.get("rule").and_then(Value::as_str).unwrap_or_default() {
        "IS_ENTITY_KIND" => format!("it is of kind {}", list("kinds")),
        "IS_ENTITY_OWNER" => format!("it is owned by {}", list("claims")),
        "HAS_LABEL" => format!("it has label {}{}", list("label"), is_value()),
        "HAS_ANNOTATION" => format!("it has annotation {}{}", list("annotation"), is_value()),
        "HAS_METADATA" => format!("it has metadata {}{}", list("key"), is_value()),
        "HAS_SPEC" => format!("it has spec {}{}", list("key"), is_value()),
        rule => {
            let params = condition.get("params").filter(|params| !params.is_null());
            let params = params.map(|params| format!(" {params}")).unwrap_or_default();
            format!("{rule}{params}")
        }
    }
}

/// Returns a parameter: a word, or one of several.
fn listed(value: &Value) -> String {
    match value {
        Value::Array(items) => items.iter().map(listed).collect::<Vec<_>>().join(" or "),
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_told_in_words() {
        let kind = serde_json::json!({"rule": "IS_ENTITY_KIND", "params": {"kinds": ["api", "component"]}});
        let label =
            serde_json::json!({"rule": "HAS_LABEL", "params": {"label": "a", "value": "b"}});
        let owner = serde_json::json!({"rule": "IS_ENTITY_OWNER", "params": {"claims": ["group:default/x"]}});
        let other = serde_json::json!({"rule": "MINE", "params": {"n": 1}});
        let any = serde_json::json!({"anyOf": [owner, {"not": label}]});
        let all = serde_json::json!({"allOf": [kind, any, other]});
        assert_eq!(
            in_words(&all, false),
            "it is of kind `api` or `component` and (it is owned by `group:default/x` or not it has \
             label `a` with `b`) and MINE {\"n\":1}"
        );
    }
}
