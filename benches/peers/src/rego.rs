//! `regorus`: the grants as data by group, the rules in Rego; compiled for its interpreter and for
//! its virtual machine.

use std::cell::RefCell;
use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use regorus::languages::rego::compiler::Compiler;
use regorus::rvm::RegoVM;
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

const ALLOW: &str = "data.k8s.allow";

pub struct Regorus {
    policy: CompiledPolicy,
    machine: RefCell<RegoVM>,
    inputs: Vec<Value>,
}

/// The virtual machine of a policy.
pub struct Machine<'r>(pub &'r Regorus);

impl Regorus {
    pub fn new(workload: &Workload) -> Result<Self> {
        let mut by_group: BTreeMap<&str, Vec<&Grant>> = BTreeMap::new();
        for grant in &workload.grants {
            by_group.entry(&grant.group).or_default().push(grant);
        }
        let mut engine = Engine::new();
        engine.add_policy("k8s.rego".to_owned(), RULES.to_owned())?;
        let data = json!({ "grants": by_group }).to_string();
        engine.add_data_json(&data)?;
        let policy = engine.compile_with_entrypoint(&ALLOW.into())?;
        let mut machine = RegoVM::new();
        machine.load_program(Compiler::compile_from_policy(&policy, &[ALLOW])?);
        machine.set_data(Value::from_json_str(&data)?)?;
        let input = |asked: &crate::workload::WorkloadRequest| -> Result<Value> {
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
        Ok(Self { policy, machine: RefCell::new(machine), inputs })
    }
}

impl Decide for Regorus {
    fn is_allowed(&self, number: usize) -> Result<bool> {
        let input = self.inputs.get(number).context("a request")?;
        Ok(self.policy.eval_with_input(input.clone())? == Value::Bool(true))
    }
}

impl Decide for Machine<'_> {
    fn is_allowed(&self, number: usize) -> Result<bool> {
        let input = self.0.inputs.get(number).context("a request")?;
        let mut machine = self.0.machine.borrow_mut();
        machine.set_input(input.clone());
        Ok(machine.execute()? == Value::Bool(true))
    }
}
