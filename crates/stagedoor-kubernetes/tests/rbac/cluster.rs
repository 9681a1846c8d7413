//! Roles and bindings as the tests write them, and the texts that they make.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// The roles and bindings of a test.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    pub roles: Vec<Role>,
    pub bindings: Vec<Binding>,
}

#[derive(Debug, Clone, Default)]
pub struct Role {
    /// `None` for a ClusterRole.
    pub namespace: Option<String>,
    pub name: String,
    pub rules: Vec<Rule>,
    pub labels: BTreeMap<String, String>,
    /// Which roles it takes the rules of over, if it does.
    pub aggregates: Option<Vec<Selector>>,
    /// Whether it is as a cluster has it, with the rules that the controller gave it.
    pub is_stored: bool,
}

/// A label selector: labels with their values, and requirements.
#[derive(Debug, Clone, Default)]
pub struct Selector {
    pub labels: BTreeMap<String, String>,
    /// A key, an operator and values.
    pub requirements: Vec<(String, &'static str, Vec<String>)>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rule {
    pub verbs: Vec<String>,
    pub api_groups: Vec<String>,
    pub resources: Vec<String>,
    pub resource_names: Vec<String>,
    pub non_resource_urls: Vec<String>,
}

#[derive(Debug, Clone, Default)]
pub struct Binding {
    /// `None` for a ClusterRoleBinding.
    pub namespace: Option<String>,
    pub name: String,
    pub subjects: Vec<Subject>,
    pub role_kind: &'static str,
    pub role_name: String,
}

#[derive(Debug, Clone, Default)]
pub struct Subject {
    pub kind: &'static str,
    pub name: String,
    pub namespace: String,
}

impl Cluster {
    /// Returns the list that `kubectl get -o json` prints.
    pub fn to_json(&self) -> String {
        let roles = self.roles.iter().map(|role| {
            let rules: Vec<Value> = role.rules.iter().map(Rule::to_json).collect();
            let mut written = object(
                if role.namespace.is_some() { "Role" } else { "ClusterRole" },
                role.namespace.as_deref(),
                &role.name,
                json!({ "rules": rules }),
            );
            if !role.labels.is_empty() {
                written["metadata"]["labels"] = json!(role.labels);
            }
            if role.is_stored {
                written["metadata"]["uid"] = "0b0e4c7a".into();
            }
            if let Some(selectors) = &role.aggregates {
                let selectors: Vec<Value> = selectors.iter().map(Selector::to_json).collect();
                written["aggregationRule"] = json!({ "clusterRoleSelectors": selectors });
            }
            written
        });
        let bindings = self.bindings.iter().map(|binding| {
            let subject =
                |s: &Subject| json!({"kind": s.kind, "name": s.name, "namespace": s.namespace});
            object(
                if binding.namespace.is_some() { "RoleBinding" } else { "ClusterRoleBinding" },
                binding.namespace.as_deref(),
                &binding.name,
                json!({
                    "subjects": binding.subjects.iter().map(subject).collect::<Vec<_>>(),
                    "roleRef": {"apiGroup": "rbac.authorization.k8s.io",
                                "kind": binding.role_kind, "name": binding.role_name},
                }),
            )
        });
        let items: Vec<Value> = roles.chain(bindings).collect();
        json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
    }
}

impl Selector {
    fn to_json(&self) -> Value {
        let requirements: Vec<Value> = self
            .requirements
            .iter()
            .map(|(key, operator, values)| match values.is_empty() {
                true => json!({ "key": key, "operator": operator }),
                false => json!({ "key": key, "operator": operator, "values": values }),
            })
            .collect();
        json!({ "matchLabels": self.labels, "matchExpressions": requirements })
    }
}

impl Rule {
    fn to_json(&self) -> Value {
        json!({
            "verbs": self.verbs,
            "apiGroups": self.api_groups,
            "resources": self.resources,
            "resourceNames": self.resource_names,
            "nonResourceURLs": self.non_resource_urls,
        })
    }
}

fn object(kind: &str, namespace: Option<&str>, name: &str, mut body: Value) -> Value {
    body["apiVersion"] = "rbac.authorization.k8s.io/v1".into();
    body["kind"] = kind.into();
    body["metadata"] = json!({"name": name});
    if let Some(namespace) = namespace {
        body["metadata"]["namespace"] = namespace.into();
    }
    body
}
