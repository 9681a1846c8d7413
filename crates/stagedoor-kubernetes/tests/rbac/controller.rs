//! What a cluster adds to roles and bindings by itself, written down as Kubernetes has it: the
//! built-in ones, and the controller `clusterrole-aggregation`.
//!
//! It shares no code with the import.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::cluster::{Binding, Cluster, Role, Rule, Selector, Subject};

/// The built-in objects by version, as `bootstrappolicy` has them.
const BUILT_IN: &str = include_str!("../../data/built-in-roles.jsonl");

/// Returns the built-in roles and bindings of a minor version.
pub fn built_in(minor: u64) -> Result<Cluster> {
    let mut cluster = Cluster::default();
    for line in BUILT_IN.lines() {
        let line: Value = serde_json::from_str(line)?;
        let has = |end: &str| line[end].as_u64().context("a version");
        if !(has("since")?..=has("until")?).contains(&minor) {
            continue;
        }
        let object = &line["object"];
        match text(&object["kind"]).as_str() {
            "ClusterRole" | "Role" => cluster.roles.push(role(object)),
            _ => cluster.bindings.push(binding(object)),
        }
    }
    Ok(cluster)
}

/// Returns a cluster with what every cluster has but for what it has itself.
pub fn with_built_in(cluster: &Cluster, minor: u64) -> Result<Cluster> {
    let mut all = cluster.clone();
    let built_in = built_in(minor)?;
    for role in built_in.roles {
        let is_it = |own: &Role| own.name == role.name && own.namespace == role.namespace;
        if !all.roles.iter().any(is_it) {
            all.roles.push(role);
        }
    }
    for binding in built_in.bindings {
        let is_it = |own: &Binding| own.name == binding.name && own.namespace == binding.namespace;
        if !all.bindings.iter().any(is_it) {
            all.bindings.push(binding);
        }
    }
    Ok(all)
}

/// Returns a cluster in which the controller has done its work.
pub fn settled(mut cluster: Cluster) -> Cluster {
    let mut order: Vec<usize> = (0..cluster.roles.len()).collect();
    order.sort_by(|a, b| cluster.roles[*a].name.cmp(&cluster.roles[*b].name));
    loop {
        let mut changed = false;
        for at in 0..cluster.roles.len() {
            let aggregating = &cluster.roles[at];
            let Some(selectors) = aggregating.aggregates.clone() else { continue };
            let mut rules: Vec<Rule> = Vec::new();
            for selector in &selectors {
                for source in &order {
                    let role = &cluster.roles[*source];
                    if *source == at || role.namespace.is_some() || !selects(selector, role) {
                        continue;
                    }
                    for rule in &role.rules {
                        if !rules.contains(rule) {
                            rules.push(rule.clone());
                        }
                    }
                }
            }
            if aggregating.rules != rules {
                cluster.roles[at].rules = rules;
                changed = true;
            }
        }
        if !changed {
            return cluster;
        }
    }
}

fn selects(selector: &Selector, role: &Role) -> bool {
    selector.labels.iter().all(|(key, value)| role.labels.get(key) == Some(value))
        && selector.requirements.iter().all(|(key, operator, values)| {
            let label = role.labels.get(key);
            match *operator {
                "In" => label.is_some_and(|label| values.contains(label)),
                "NotIn" => !label.is_some_and(|label| values.contains(label)),
                "Exists" => label.is_some(),
                "DoesNotExist" => label.is_none(),
                _ => false,
            }
        })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}

fn map(value: &Value) -> BTreeMap<String, String> {
    let members = value.as_object().into_iter().flatten();
    members.map(|(key, value)| (key.clone(), text(value))).collect()
}

fn role(object: &Value) -> Role {
    let rule = |rule: &Value| Rule {
        verbs: texts(&rule["verbs"]),
        api_groups: texts(&rule["apiGroups"]),
        resources: texts(&rule["resources"]),
        resource_names: texts(&rule["resourceNames"]),
        non_resource_urls: texts(&rule["nonResourceURLs"]),
    };
    let selectors = object["aggregationRule"]["clusterRoleSelectors"].as_array();
    Role {
        namespace: object["metadata"]["namespace"].as_str().map(str::to_owned),
        name: text(&object["metadata"]["name"]),
        rules: object["rules"].as_array().into_iter().flatten().map(rule).collect(),
        labels: map(&object["metadata"]["labels"]),
        aggregates: selectors.map(|selectors| {
            let labels = |selector: &Value| map(&selector["matchLabels"]);
            selectors
                .iter()
                .map(|selector| Selector { labels: labels(selector), requirements: Vec::new() })
                .collect()
        }),
        is_stored: false,
    }
}

fn binding(object: &Value) -> Binding {
    let kind = |value: &Value| match text(value).as_str() {
        "User" => "User",
        "Group" => "Group",
        "ServiceAccount" => "ServiceAccount",
        "Role" => "Role",
        "ClusterRole" => "ClusterRole",
        _ => "",
    };
    let subject = |subject: &Value| Subject {
        kind: kind(&subject["kind"]),
        name: text(&subject["name"]),
        namespace: text(&subject["namespace"]),
    };
    Binding {
        namespace: object["metadata"]["namespace"].as_str().map(str::to_owned),
        name: text(&object["metadata"]["name"]),
        subjects: object["subjects"].as_array().into_iter().flatten().map(subject).collect(),
        role_kind: kind(&object["roleRef"]["kind"]),
        role_name: text(&object["roleRef"]["name"]),
    }
}
