//! `regorus`: the grants as data by group, the rules in Rego, compiled.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use regorus::{CompiledPolicy, Engine, Value};
use serde_json::json;

use crate::Decide;
use crate::workload::{Grant, Workload};

const RULES: &str = r#"
package k8s

import rego.v1

reads := {"get", "list", "watch"}

writes := {"create", "update", "patch", "delete"}

default allow := false

allow if {
    granted
    not forbidden
}

granted if {
    some group in input.groups
    some grant in data.grants[group]
    grant.apiGroup == input.apiGroup
    grant.resource == input.resource
    input.verb in grant.verbs
    covers(grant)
}

covers(grant) if grant.namespace == null

covers(grant) if grant.namespace == input.namespace

forbidden if {
    input.verb in reads
    input.apiGroup == ""
    input.resource == "secrets"
    not "secret-readers" in input.groups
}

forbidden if {
    input.verb in writes
    input.namespace == "kube-system"
    not "platform-admins" in input.groups
}

forbidden if input.suspended

forbidden if {
    input.verb in writes
    startswith(input.user, "contractor-")
    startswith(input.namespace, "prod-")
}

forbidden if {
    input.verb == "delete"
    startswith(input.name, "system:")
    not "platform-admins" in input.groups
}
"#;

pub struct Regorus {
    policy: CompiledPolicy,
    inputs: Vec<Value>,
}

impl Regorus {
    pub fn new(workload: &Workload) -> Result<Self> {
        let mut by_group: BTreeMap<&str, Vec<&Grant>> = BTreeMap::new();
        for grant in &workload.grants {
            by_group.entry(&grant.group).or_default().push(grant);
        }
        let mut engine = Engine::new();
        engine.add_policy("k8s.rego".to_owned(), RULES.to_owned())?;
        engine.add_data_json(&json!({ "grants": by_group }).to_string())?;
        let policy = engine.compile_with_entrypoint(&"data.k8s.allow".into())?;
        let input = |asked: &crate::workload::Asked| -> Result<Value> {
            let user = workload.users.get(asked.user).context("a user")?;
            let mut input = json!({
                "user": user.name,
                "groups": user.groups,
                "suspended": user.suspended,
                "verb": asked.verb,
                "apiGroup": asked.api_group,
                "resource": asked.resource,
                "name": asked.name,
            });
            if let (Some(namespace), Some(input)) = (&asked.namespace, input.as_object_mut()) {
                input.insert("namespace".to_owned(), json!(namespace));
            }
            Value::from_json_str(&input.to_string())
        };
        let inputs = workload.requests.iter().map(input).collect::<Result<_>>()?;
        Ok(Self { policy, inputs })
    }
}

impl Decide for Regorus {
    fn is_allowed(&self, number: usize) -> Result<bool> {
        let input = self.inputs.get(number).context("a request")?;
        Ok(self.policy.eval_with_input(input.clone())? == Value::Bool(true))
    }
}
