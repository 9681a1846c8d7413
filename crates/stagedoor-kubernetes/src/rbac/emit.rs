//! Writes patterns as Cedar, formatted as people write it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::pattern::{FieldPattern, Objects, Pattern, Target};
use super::resolve::Grantee;
use super::verbs::Actions;

/// Lists longer than this stand one item a line.
const LINE: usize = 92;

/// For whom and where a policy holds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scope<'a> {
    /// For one grantee, in one namespace or the whole cluster.
    Grant { grantee: &'a Grantee, namespace: Option<&'a str> },
    /// A template: for whom each link says, and in which namespace if there is one.
    Template { in_namespace: bool },
}

/// Returns the policy or template of this id.
pub(crate) fn policy(id: &str, pattern: &Pattern, scope: Scope<'_>) -> String {
    let mut text = format!("@id({})\npermit (\n  ", quoted(id));
    match scope {
        Scope::Grant { grantee, .. } => {
            text.push_str("principal in ");
            text.push_str(&grantee_uid(grantee));
        }
        Scope::Template { .. } => text.push_str("principal in ?principal"),
    }
    text.push_str(",\n  ");
    text.push_str(&action(&pattern.actions));
    text.push_str(",\n  resource");
    if let Some(name) = type_name(&pattern.target) {
        text.push_str(" is k8s::");
        text.push_str(name);
    }
    match scope {
        Scope::Grant { namespace: Some(namespace), .. } => {
            text.push_str(&format!(" in k8s::Namespace::{}", quoted(namespace)));
        }
        Scope::Template { in_namespace: true } => text.push_str(" in ?resource"),
        Scope::Grant { .. } | Scope::Template { .. } => {}
    }
    text.push_str("\n)");
    let in_cluster = matches!(
        scope,
        Scope::Grant { namespace: None, .. } | Scope::Template { in_namespace: false }
    );
    conditions(pattern, in_cluster, &mut text);
    text.push_str(";\n");
    text
}

/// Returns a string literal of Cedar's.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.escape_debug())
}

/// Returns the entity type and id that a grantee's requests have as an ancestor.
pub(crate) fn grantee_uid(grantee: &Grantee) -> String {
    match grantee {
        Grantee::User(name) => format!("k8s::UserName::{}", quoted(name)),
        Grantee::Group(name) => format!("k8s::Group::{}", quoted(name)),
    }
}

fn type_name(target: &Target) -> Option<&'static str> {
    Some(match target {
        Target::Everything => return None,
        Target::Objects(_) => "Resource",
        Target::Users(_) => "User",
        Target::Nodes(_) => "Node",
        Target::Groups(_) => "Group",
        Target::PrincipalUids(_) => "PrincipalUID",
        Target::ServiceAccounts(_) => "ServiceAccount",
        Target::Extras { .. } => "Extra",
        Target::EveryPath | Target::Paths(_) | Target::PathPrefixes(_) => "NonResourceURL",
    })
}

fn action(actions: &Actions) -> String {
    let uid = |verb: &String| format!("k8s::Action::{}", quoted(verb));
    match actions {
        Actions::All => "action".to_owned(),
        Actions::Unlisted(_) => "action == k8s::Action::\"unlistedVerb\"".to_owned(),
        Actions::Impersonate | Actions::Constrained(_) => {
            "action == k8s::Action::\"impersonate\"".to_owned()
        }
        Actions::Listed(verbs) => match (verbs.len(), verbs.first()) {
            (1, Some(verb)) => format!("action == {}", uid(verb)),
            _ => format!("action in {}", list(verbs.iter().map(uid), "action in ".len())),
        },
    }
}

fn conditions(pattern: &Pattern, in_cluster: bool, text: &mut String) {
    let (mut all, mut none) = (Vec::new(), Vec::new());
    match &pattern.actions {
        Actions::Unlisted(verbs) | Actions::Constrained(Some(verbs)) => {
            all.push("context has verb".to_owned());
            all.push(one_of("context.verb", verbs));
        }
        Actions::Constrained(None) => all.push("context has verb".to_owned()),
        Actions::Impersonate => none.push("context has verb".to_owned()),
        Actions::All | Actions::Listed(_) => {}
    }
    let after_verb = all.len();
    let ids = |name: &str, ids: &BTreeSet<String>| {
        let uid = |id: &String| format!("k8s::{name}::{}", quoted(id));
        match (ids.len(), ids.first()) {
            (1, Some(id)) => format!("resource == {}", uid(id)),
            _ => format!("resource in {}", list(ids.iter().map(uid), "  resource in ".len())),
        }
    };
    let mut part = |name: &str, part: &FieldPattern| match part {
        FieldPattern::Any => {}
        FieldPattern::Absent => none.push(format!("resource has {name}")),
        FieldPattern::OneOf(names) => {
            all.push(format!("resource has {name}"));
            all.push(one_of(&format!("resource.{name}"), names));
        }
    };
    match &pattern.target {
        // In a namespace there are no paths anyway.
        Target::Everything if in_cluster => none.push("resource is k8s::NonResourceURL".to_owned()),
        Target::Everything | Target::EveryPath => {}
        Target::Objects(Objects { groups, resources, subresource, name }) => {
            let mut objects = Vec::new();
            objects.extend(groups.as_ref().map(|groups| one_of("resource.apiGroup", groups)));
            objects.extend(resources.as_ref().map(|names| one_of("resource.resource", names)));
            part("subresource", subresource);
            part("name", name);
            // After the verb, before the parts that not every request has.
            all.splice(after_verb..after_verb, objects);
        }
        Target::Users(names) => all.extend(names.as_ref().map(|n| ids("User", n))),
        Target::Nodes(names) => all.extend(names.as_ref().map(|n| ids("Node", n))),
        Target::Groups(names) => all.extend(names.as_ref().map(|n| ids("Group", n))),
        Target::PrincipalUids(names) => {
            all.extend(names.as_ref().map(|n| ids("PrincipalUID", n)));
        }
        Target::ServiceAccounts(Some(names)) => part("name", &FieldPattern::OneOf(names.clone())),
        Target::ServiceAccounts(None) => {}
        Target::Extras { keys, value } => {
            let keys = keys.as_ref().map(|keys| ids("Extra", keys));
            part("value", value);
            all.splice(after_verb..after_verb, keys);
        }
        Target::Paths(paths) => all.push(ids("NonResourceURL", paths)),
        Target::PathPrefixes(prefixes) => {
            let like = |prefix: &String| {
                format!(
                    "resource.path like \"{}*\"",
                    prefix.escape_debug().to_string().replace('*', "\\*")
                )
            };
            let any: Vec<String> = prefixes.iter().map(like).collect();
            match any.as_slice() {
                // `||` binds less than the `&&` around it.
                [_, _, ..] => all.push(format!("({})", any.join(" ||\n   "))),
                _ => all.extend(any),
            }
        }
    }
    for (word, clauses, joint) in [("when", all, " &&\n  "), ("unless", none, " ||\n  ")] {
        match clauses.as_slice() {
            [] => {}
            [clause] if clause.len() < LINE && !clause.contains('\n') => {
                let _ = write!(text, "\n{word} {{ {clause} }}");
            }
            clauses => {
                let _ = write!(text, "\n{word}\n{{\n  {}\n}}", clauses.join(joint));
            }
        }
    }
}

/// Returns the clause that a value is one of these.
fn one_of(path: &str, values: &BTreeSet<String>) -> String {
    match (values.len(), values.first()) {
        (1, Some(value)) => format!("{path} == {}", quoted(value)),
        _ => {
            let around = ".contains() &&".len() + path.len();
            format!("{}.contains({path})", list(values.iter().map(|v| quoted(v)), around))
        }
    }
}

/// Returns a set literal, on one line if it and what stands around it fit.
fn list(items: impl Iterator<Item = String>, around: usize) -> String {
    let items: Vec<String> = items.collect();
    let line = items.join(", ");
    if line.len() + around < LINE {
        format!("[{line}]")
    } else {
        format!("[\n    {}\n  ]", items.join(",\n    "))
    }
}
