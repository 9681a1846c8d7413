//! Policies about the scaffolder's resources, and what Cedar decides about each.

use serde::Serialize;
use serde_json::{Map, Value, json};
use stagedoor_backstage::{
    Budget, Permissions, PolicyDecision, PolicyEngine, Principal, Resource, SCHEMA, User,
};
use stagedoor_core::{Decision, Engine, Entities};

use super::seed::Seed;
use crate::policies::ask;

const TAGS: [&str; 4] = ["restricted", "Secret", "beta", ""];
const ACTIONS: [&str; 5] = [
    "publish:github",
    "gitlab:group:ensureExists",
    "debug:log",
    "fetch:plain",
    "publish:bitbucketCloud",
];
const KEYS: [&str; 9] = [
    "owner",
    "repoName",
    "projectId",
    "visibility",
    "n",
    "flag",
    "nested.a",
    "path",
    "values.name",
];
// Newer scaffolders compare digits as numbers in some of these inputs.
const VALUES: [&str; 12] = [
    "acme",
    "Acme",
    "private",
    "",
    "true",
    "false",
    "1.5",
    "0",
    "1e+21",
    "1000000000000000000000",
    "42",
    "042",
];
const USERS: [&str; 4] =
    ["user:default/ana", "user:default/bo", "user:default/Ana", "group:default/a"];

/// A policy set about one permission, and resources as the scaffolder's rules take them.
#[derive(Debug, Serialize)]
pub(crate) struct ScaffolderCase {
    pub(crate) policies: String,
    pub(crate) decision: PolicyDecision,
    pub(crate) resources: Vec<Value>,
    /// Cedar's decision about each: `1` for those that are allowed.
    pub(crate) allowed: String,
    /// Nothing was closed.
    pub(crate) exact: bool,
}

/// Returns this many cases about this many resources each.
pub(crate) fn cases(
    seed: &mut Seed,
    count: usize,
    resources: usize,
) -> anyhow::Result<Vec<ScaffolderCase>> {
    let ana: Principal =
        User::new("user:default/ana".parse()?).with_ownership(["group:default/a".parse()?]).into();
    let mut cases = Vec::with_capacity(count);
    while cases.len() < count {
        let kind = seed.below(3);
        let permission =
            ["scaffolder.template.step.read", "scaffolder.action.execute", "scaffolder.task.read"]
                .get(kind)
                .copied()
                .unwrap_or_default();
        let mut policies = policy("permit", permission, kind, seed);
        if seed.chance(60) {
            policies.push_str(&policy("forbid", permission, kind, seed));
        }
        let built = Engine::builder().schema("s", SCHEMA).policies("p", policies.as_str()).build();
        let Ok(engine) = built else { continue };
        let policy = PolicyEngine::new(engine, Permissions::known()?).with_budget(Budget {
            leaves: 2_000,
            depth: 100,
            bytes: 1 << 20,
        });
        let answer = ask(&policy, permission, &ana)?;
        let known = policy.permissions().get(permission)?;
        let (mut said, mut allowed) = (Vec::new(), String::new());
        for _ in 0..resources {
            let (json, resource) = resource(kind, seed);
            let asked = known.request(&ana, Some(resource))?;
            let entities = Entities::from_entities(asked.entities)?;
            let outcome = policy.engine().decide(&asked.request, &entities)?;
            allowed.push(if outcome.decision() == Decision::Allow { '1' } else { '0' });
            said.push(json);
        }
        cases.push(ScaffolderCase {
            policies,
            decision: answer.decision().clone(),
            resources: said,
            allowed,
            exact: answer.findings().is_empty(),
        });
    }
    Ok(cases)
}

fn policy(effect: &str, permission: &str, kind: usize, seed: &mut Seed) -> String {
    let condition = condition(2, kind, seed);
    format!(
        "{effect} (principal is Backstage::User,\n  action == Backstage::Action::{permission:?}, \
         resource)\nwhen {{ {condition} }};\n"
    )
}

fn condition(depth: usize, kind: usize, seed: &mut Seed) -> String {
    if depth == 0 || seed.chance(30) {
        return fact(kind, seed);
    }
    let (a, b) = (condition(depth - 1, kind, seed), condition(depth - 1, kind, seed));
    match seed.below(5) {
        0 | 1 => format!("({a} && {b})"),
        2 | 3 => format!("({a} || {b})"),
        _ => format!("!({a})"),
    }
}

fn fact(kind: usize, seed: &mut Seed) -> String {
    match kind {
        0 => format!("resource.tags.contains({:?})", seed.pick(&TAGS)),
        1 => {
            let (key, value) = (seed.pick(&KEYS), seed.pick(&VALUES));
            match seed.below(4) {
                0 => format!("resource.action == {:?}", seed.pick(&ACTIONS)),
                1 => format!("resource.input.hasTag({key:?})"),
                _ => format!(
                    "(resource.input.hasTag({key:?}) && resource.input.getTag({key:?}) == {value:?})"
                ),
            }
        }
        _ => match seed.below(3) {
            0 => "(resource has createdBy && principal.claims.contains(resource.createdBy))"
                .to_owned(),
            1 => "resource has createdBy".to_owned(),
            _ => {
                format!("(resource has createdBy && resource.createdBy == {:?})", seed.pick(&USERS))
            }
        },
    }
}

/// Returns a resource in the scaffolder's form and in Cedar's.
fn resource(kind: usize, seed: &mut Seed) -> (Value, Resource) {
    match kind {
        0 => {
            let tags = if seed.chance(80) { seed.some(&TAGS) } else { Vec::new() };
            let json = match tags.as_slice() {
                [] => json!({"title": "x"}),
                tags => json!({"backstage:permissions": {"tags": tags}}),
            };
            (json, Resource::scaffolder_template("x", tags))
        }
        1 => {
            let action = seed.pick(&ACTIONS);
            let (mut input, mut flat) = (Map::new(), Vec::new());
            for key in KEYS {
                if seed.chance(50) {
                    continue;
                }
                let text = seed.pick(&VALUES);
                // Numbers and booleans stand beside strings of the same text.
                let value: Value = match seed.below(3) {
                    // JavaScript prints no number like these.
                    0 if text != "042" && !text.starts_with("10") => {
                        text.parse::<f64>().ok().map_or(text.into(), Value::from)
                    }
                    1 => text.parse::<bool>().map_or(text.into(), Value::from),
                    _ => text.into(),
                };
                match key.split_once('.') {
                    Some((above, below)) => input.insert(above.into(), json!({below: value})),
                    None => input.insert(key.into(), value),
                };
                flat.push((key, text));
            }
            (
                json!({"action": action, "input": input}),
                Resource::scaffolder_action("x", action, flat),
            )
        }
        _ => match seed.below(6) {
            0 => (json!({"id": "x"}), Resource::scaffolder_task("x", None)),
            1 => (json!({"createdBy": ""}), Resource::scaffolder_task("x", Some(""))),
            _ => {
                let user = seed.pick(&USERS);
                (json!({"createdBy": user}), Resource::scaffolder_task("x", Some(user)))
            }
        },
    }
}
