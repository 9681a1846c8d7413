//! `casbin`: roles for groups, a line for each grant, and lines that deny for the forbids.

use crate::Decide;
use crate::workload::Workload;
use anyhow::{Context as _, Result};
use casbin::function_map::OperatorFunction;
use casbin::rhai::Dynamic;
use casbin::{CoreApi, DefaultModel, Enforcer, MemoryAdapter, MgmtApi};

const MODEL: &str = r#"
[request_definition]
r = sub, act, api, res, ns, name, suspended

[policy_definition]
p = sub, acts, api, res, ns, cond, except, eft

[role_definition]
g = _, _

[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))

[matchers]
m = (p.res == "*" || p.res == r.res) && (p.ns == "*" || p.ns == r.ns) && (p.api == "*" || p.api == r.api) && covers(p.acts, r.act) && (p.sub == "*" || g(r.sub, p.sub)) && (p.cond == "-" || holds(p.cond, r.sub, r.ns, r.name, r.suspended)) && (p.except == "-" || !g(r.sub, p.except))
"#;

const READS: &str = "get|list|watch";
const WRITES: &str = "create|update|patch|delete";

pub struct Casbin {
    enforcer: Enforcer,
    /// As the model lists them.
    requests: Vec<[String; 7]>,
}

impl Casbin {
    pub fn new(workload: &Workload) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let enforcer = runtime.block_on(enforcer(workload))?;
        let request = |asked: &crate::workload::WorkloadRequest| -> Result<_> {
            let user = workload.users.get(asked.user).context("a user")?;
            Ok([
                user.name.clone(),
                asked.verb.clone(),
                asked.api_group.clone(),
                asked.resource.clone(),
                asked.namespace.clone().unwrap_or_default(),
                asked.name.clone(),
                if user.suspended { "yes" } else { "no" }.to_owned(),
            ])
        };
        let requests = workload.requests.iter().map(request).collect::<Result<_>>()?;
        Ok(Self { enforcer, requests })
    }
}

impl Decide for Casbin {
    fn is_allowed(&self, number: usize) -> Result<bool> {
        let [user, verb, api, resource, namespace, name, suspended] =
            self.requests.get(number).context("a request")?;
        Ok(self.enforcer.enforce((user, verb, api, resource, namespace, name, suspended))?)
    }
}

async fn enforcer(workload: &Workload) -> Result<Enforcer> {
    let model = DefaultModel::from_str(MODEL).await?;
    let mut enforcer = Enforcer::new(model, MemoryAdapter::default()).await?;
    enforcer.add_function("covers", OperatorFunction::Arg2(covers));
    enforcer.add_function("holds", OperatorFunction::Arg5(holds));
    let line = |parts: [&str; 8]| parts.map(str::to_owned).to_vec();
    let mut lines = vec![
        line(["*", READS, "", "secrets", "*", "-", "secret-readers", "deny"]),
        line(["*", WRITES, "*", "*", "kube-system", "-", "platform-admins", "deny"]),
        line(["*", "*", "*", "*", "*", "suspended", "-", "deny"]),
        line(["*", WRITES, "*", "*", "*", "contractor-in-production", "-", "deny"]),
        line(["*", "delete", "*", "*", "*", "of-the-system", "platform-admins", "deny"]),
    ];
    lines.extend(workload.grants.iter().map(|grant| {
        let namespace = grant.namespace.as_deref().unwrap_or("*");
        let verbs = grant.verbs.join("|");
        line([
            &grant.group,
            &verbs,
            &grant.api_group,
            &grant.resource,
            namespace,
            "-",
            "-",
            "allow",
        ])
    }));
    // Of equal grants casbin takes one.
    lines.sort_unstable();
    lines.dedup();
    enforcer.add_policies(lines).await?;
    let members = workload
        .users
        .iter()
        .flat_map(|user| user.groups.iter().map(|group| vec![user.name.clone(), group.clone()]));
    enforcer.add_grouping_policies(members.collect()).await?;
    Ok(enforcer)
}

fn covers(verbs: Dynamic, verb: Dynamic) -> Dynamic {
    let (verbs, verb) = (text(&verbs), text(&verb));
    (verbs == "*" || verbs.split('|').any(|covered| covered == verb)).into()
}

fn holds(
    condition: Dynamic,
    user: Dynamic,
    namespace: Dynamic,
    name: Dynamic,
    suspended: Dynamic,
) -> Dynamic {
    let held = match text(&condition).as_str() {
        "suspended" => text(&suspended) == "yes",
        "contractor-in-production" => {
            text(&user).starts_with("contractor-") && text(&namespace).starts_with("prod-")
        }
        "of-the-system" => text(&name).starts_with("system:"),
        _ => false,
    };
    held.into()
}

fn text(value: &Dynamic) -> String {
    value.clone().into_string().unwrap_or_default()
}
