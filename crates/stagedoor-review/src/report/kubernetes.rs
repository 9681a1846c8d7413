//! Groups by verbs of Kubernetes.

use std::collections::BTreeSet;

use stagedoor_core::Engine;
use stagedoor_kubernetes::Subject;
use stagedoor_kubernetes::access::{AccessPolicies, Permission, PermissionEffect};

use super::{AccessCell, AccessColumn, AccessMatrix, AccessMatrixRow, Verdict, named};

/// The verbs that there always is a column for, by what they do.
const VERBS: [(&str, &str); 8] = [
    ("get", "read"),
    ("list", "read"),
    ("watch", "read"),
    ("create", "write"),
    ("update", "write"),
    ("patch", "write"),
    ("delete", "write"),
    ("deletecollection", "write"),
];
/// The word for all verbs.
const ALL: &str = "*";

pub(super) fn matrix(engine: &Engine) -> Option<AccessMatrix> {
    let access = AccessPolicies::of(engine).ok()?;
    let name = |uid: stagedoor_core::EntityUid| uid.id().unescaped().to_owned();
    let everybody = "system:authenticated".to_owned();
    let groups: BTreeSet<String> =
        named(engine, &["k8s::Group"]).into_iter().map(name).chain([everybody]).collect();
    let users: BTreeSet<String> =
        named(engine, &["k8s::UserName", "k8s::User", "k8s::ServiceAccount", "k8s::Node"])
            .into_iter()
            .map(name)
            .collect();
    let groups = groups.into_iter().map(|group| {
        let found = access.what_can_members_of(&group);
        (format!("Group {group}"), found)
    });
    let users = users.into_iter().map(|user| {
        let found = access.what_can(&Subject::new(user.clone()));
        (format!("User {user}"), found)
    });
    let rows: Vec<(String, Vec<Permission>)> = groups.chain(users).collect();

    let mut others: BTreeSet<&str> = BTreeSet::new();
    for permission in rows.iter().flat_map(|(_, found)| found) {
        others.extend(permission.verbs.iter().map(String::as_str));
    }
    others.retain(|verb| *verb != ALL && VERBS.iter().all(|(known, _)| known != verb));
    let columns: Vec<AccessColumn> = VERBS
        .into_iter()
        .chain(others.into_iter().map(|verb| (verb, "other")))
        .map(|(name, group)| AccessColumn { name: name.to_owned(), group: group.to_owned() })
        .collect();
    let rows = rows
        .into_iter()
        .map(|(name, found)| AccessMatrixRow {
            name,
            cells: columns.iter().map(|column| cell(&column.name, &found)).collect(),
        })
        .collect();
    Some(AccessMatrix {
        title: "Kubernetes".to_owned(),
        columns_are: "verb".to_owned(),
        note: "A row is a member of this group, whoever else it is. A cell is marked as allowed \
               if the verb is for some resource; which ones, it tells when it is opened."
            .to_owned(),
        columns,
        rows,
        left_out: 0,
    })
}

fn cell(verb: &str, found: &[Permission]) -> AccessCell {
    let about = |permission: &&Permission| {
        permission.verbs.iter().any(|named| named == verb || named == ALL)
    };
    let of = |effect: PermissionEffect| {
        found.iter().filter(move |permission| permission.effect == effect).filter(about)
    };
    let permits: Vec<&Permission> = of(PermissionEffect::Permit).collect();
    if permits.is_empty() {
        return AccessCell { verdict: Verdict::Deny, details: Vec::new(), policies: Vec::new() };
    }
    let unconditional = permits.iter().any(|permission| permission.condition.is_none());
    let forbids: Vec<&Permission> = of(PermissionEffect::Forbid).collect();
    let verdict = match unconditional && forbids.is_empty() {
        true => Verdict::Allow,
        false => Verdict::Conditional,
    };
    let all = || permits.iter().chain(&forbids);
    let mut policies: Vec<String> = all().map(|permission| permission.policy.clone()).collect();
    policies.sort_unstable();
    policies.dedup();
    AccessCell {
        verdict,
        details: all().map(|permission| described(permission)).collect(),
        policies,
    }
}

fn described(permission: &Permission) -> String {
    let mut text = match permission.effect {
        PermissionEffect::Permit => "allowed: ".to_owned(),
        PermissionEffect::Forbid => "forbidden: ".to_owned(),
    };
    let what: Vec<&str> = permission
        .resources
        .iter()
        .chain(&permission.non_resource_urls)
        .map(String::as_str)
        .collect();
    text.push_str(&if what.is_empty() { "everything".to_owned() } else { what.join(", ") });
    let named = |lead: &str, words: &[String]| match words.iter().all(String::is_empty) {
        true => String::new(),
        false => format!(" {lead} {}", words.join(", ")),
    };
    text.push_str(&named("of group", &permission.api_groups));
    text.push_str(&named("named", &permission.resource_names));
    text.push_str(&named("in namespace", &permission.namespaces));
    if let Some(condition) = &permission.condition {
        text.push_str(&format!("\nif {condition}"));
    }
    text.push_str(&format!("\nby {}", permission.policy));
    text
}
