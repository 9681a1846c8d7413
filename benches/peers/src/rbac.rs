//! `casbin`: roles for groups, a line for each grant, and lines that deny for the forbids.

use anyhow::{Context as _, Result};
use casbin::function_map::OperatorFunction;
use casbin::rhai::Dynamic;
use casbin::{CoreApi, DefaultModel, Enforcer, MemoryAdapter, MgmtApi};
use serde::Serialize;

use crate::Decide;
use crate::workload::Workload;

const MODEL: &str = r#"
[request_definition]
r = sub, act, obj

[policy_definition]
p = sub, acts, api, res, ns, cond, except, eft

[role_definition]
g = _, _

[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))

[matchers]
m = (p.sub == "*" || g(r.sub, p.sub)) && covers(p.acts, r.act) && (p.api == "*" || p.api == r.obj.api) && (p.res == "*" || p.res == r.obj.res) && (p.ns == "*" || p.ns == r.obj.ns) && (p.cond == "-" || holds(p.cond, r.sub, r.obj)) && (p.except == "-" || !g(r.sub, p.except))
"#;

const READS: &str = "get|list|watch";
const WRITES: &str = "create|update|patch|delete";

/// What is asked about, and whether the user who asks is suspended.
#[derive(Debug, Clone, Serialize, Hash)]
struct Object {
    api: String,
    res: String,
    ns: String,
    name: String,
    suspended: bool,
}

pub struct Casbin {
    enforcer: Enforcer,
    requests: Vec<(String, String, Object)>,
}

impl Casbin {
    pub fn new(workload: &Workload) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let enforcer = runtime.block_on(enforcer(workload))?;
        let request = |asked: &crate::workload::Asked| -> Result<_> {
            let user = workload.users.get(asked.user).context("a user")?;
            let object = Object {
                api: asked.api_group.clone(),
                res: asked.resource.clone(),
                ns: asked.namespace.clone().unwrap_or_default(),
                name: asked.name.clone(),
                suspended: user.suspended,
            };
            Ok((user.name.clone(), asked.verb.clone(), object))
        };
        let requests = workload.requests.iter().map(request).collect::<Result<_>>()?;
        Ok(Self { enforcer, requests })
    }
}

impl Decide for Casbin {
    fn is_allowed(&self, number: usize) -> Result<bool> {
        let (user, verb, object) = self.requests.get(number).context("a request")?;
        Ok(self.enforcer.enforce((user.as_str(), verb.as_str(), object.clone()))?)
    }
}

async fn enforcer(workload: &Workload) -> Result<Enforcer> {
    let model = DefaultModel::from_str(MODEL).await?;
    let mut enforcer = Enforcer::new(model, MemoryAdapter::default()).await?;
    enforcer.add_function("covers", OperatorFunction::Arg2(covers));
    enforcer.add_function("holds", OperatorFunction::Arg3(holds));
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

fn holds(condition: Dynamic, user: Dynamic, object: Dynamic) -> Dynamic {
    let field =
        |name: &str| object.read_lock::<casbin::rhai::Map>().and_then(|map| map.get(name).cloned());
    let starts =
        |name: &str, start: &str| field(name).is_some_and(|value| text(&value).starts_with(start));
    let held = match text(&condition).as_str() {
        "suspended" => field("suspended").is_some_and(|value| value.as_bool() == Ok(true)),
        "contractor-in-production" => {
            text(&user).starts_with("contractor-") && starts("ns", "prod-")
        }
        "of-the-system" => starts("name", "system:"),
        _ => false,
    };
    held.into()
}

fn text(value: &Dynamic) -> String {
    value.clone().into_string().unwrap_or_default()
}
