//! The RBAC authorizer, written down as Kubernetes has it: loops and string comparisons.
//!
//! The structure is that of `DefaultRuleResolver` and `RuleAllows`, so that it can be read
//! beside them. It shares no code with the import.

use stagedoor_kubernetes::{Attributes, Subject as User};

use crate::cluster::{Cluster, Rule, Subject};

/// Returns whether the authorizer allows a request.
pub fn allows(cluster: &Cluster, user: &User, attributes: &Attributes) -> bool {
    for binding in cluster.bindings.iter().filter(|b| b.namespace.is_none()) {
        if binding.subjects.iter().any(|s| applies_to(s, user, ""))
            && rules_of(cluster, binding.role_kind, &binding.role_name, "")
                .iter()
                .any(|rule| rule_allows(rule, attributes))
        {
            return true;
        }
    }
    let namespace = match attributes {
        Attributes::Resource(a) => a.namespace.as_str(),
        Attributes::NonResource(_) => "",
    };
    if namespace.is_empty() {
        return false;
    }
    for binding in cluster.bindings.iter().filter(|b| b.namespace.as_deref() == Some(namespace)) {
        if binding.subjects.iter().any(|s| applies_to(s, user, namespace))
            && rules_of(cluster, binding.role_kind, &binding.role_name, namespace)
                .iter()
                .any(|rule| rule_allows(rule, attributes))
        {
            return true;
        }
    }
    false
}

fn applies_to(subject: &Subject, user: &User, namespace: &str) -> bool {
    match subject.kind {
        "User" => user.user == subject.name,
        "Group" => user.groups.contains(&subject.name),
        "ServiceAccount" => {
            let own = if subject.namespace.is_empty() { namespace } else { &subject.namespace };
            !own.is_empty() && user.user == format!("system:serviceaccount:{own}:{}", subject.name)
        }
        _ => false,
    }
}

/// A role that is not there has no rules.
fn rules_of<'a>(cluster: &'a Cluster, kind: &str, name: &str, namespace: &str) -> &'a [Rule] {
    let is_it = |role: &&crate::cluster::Role| {
        role.name == name
            && match kind {
                "Role" => role.namespace.as_deref() == Some(namespace) && !namespace.is_empty(),
                "ClusterRole" => role.namespace.is_none(),
                _ => false,
            }
    };
    cluster.roles.iter().find(is_it).map_or(&[], |role| role.rules.as_slice())
}

fn rule_allows(rule: &Rule, attributes: &Attributes) -> bool {
    match attributes {
        Attributes::Resource(a) => {
            let combined = if a.subresource.is_empty() {
                a.resource.clone()
            } else {
                format!("{}/{}", a.resource, a.subresource)
            };
            verb_matches(rule, &a.verb)
                && rule.api_groups.iter().any(|group| group == "*" || *group == a.group)
                && resource_matches(rule, &combined, &a.subresource)
                && (rule.resource_names.is_empty() || rule.resource_names.contains(&a.name))
        }
        Attributes::NonResource(a) => {
            verb_matches(rule, &a.verb)
                && rule.non_resource_urls.iter().any(|url| {
                    url == "*"
                        || *url == a.path
                        || (url.ends_with('*') && a.path.starts_with(url.trim_end_matches('*')))
                })
        }
    }
}

fn verb_matches(rule: &Rule, verb: &str) -> bool {
    rule.verbs.iter().any(|v| v == "*" || v == verb)
}

fn resource_matches(rule: &Rule, combined: &str, subresource: &str) -> bool {
    for resource in &rule.resources {
        if resource == "*" || resource == combined {
            return true;
        }
        if subresource.is_empty() {
            continue;
        }
        if resource.len() == subresource.len() + 2
            && resource.starts_with("*/")
            && resource.ends_with(subresource)
        {
            return true;
        }
    }
    false
}
