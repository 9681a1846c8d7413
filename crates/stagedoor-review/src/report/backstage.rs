//! Groups by permissions of Backstage.

use std::collections::BTreeSet;

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
                    let text = conditions.map(|json| format!("{json:#}"));
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
