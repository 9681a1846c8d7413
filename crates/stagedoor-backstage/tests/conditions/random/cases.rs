//! Policy sets, and what they decide for each user about each entity.

use serde::Serialize;
use serde_json::Value;
use stagedoor_backstage::{
    Budget, Catalog, EntityRef, Permissions, PolicyDecision, PolicyEngine, Principal, SCHEMA, User,
};
use stagedoor_core::{Decision, Engine, Entities, Entity};

use super::entities::entities;
use super::policies::policies;
use super::scaffolder::{self, ScaffolderCase};
use super::seed::Seed;
use crate::policies::ask;

const PERMISSION: &str = "catalog.entity.read";

/// Entities, and policies about them.
#[derive(Debug, Serialize)]
pub(crate) struct Cases {
    pub(crate) entities: Vec<Value>,
    pub(crate) cases: Vec<Case>,
    pub(crate) scaffolder: Vec<ScaffolderCase>,
}

/// A policy set.
#[derive(Debug, Serialize)]
pub(crate) struct Case {
    pub(crate) policies: String,
    pub(crate) users: Vec<UserDecision>,
}

/// What is decided for one user.
#[derive(Debug, Serialize)]
pub(crate) struct UserDecision {
    pub(crate) user: String,
    /// The answer to Backstage.
    pub(crate) decision: PolicyDecision,
    /// Cedar's decision about each entity: `1` for those that are allowed.
    pub(crate) allowed: String,
    /// Nothing was closed: the decision must be Cedar's for every entity.
    pub(crate) exact: bool,
}

impl Cases {
    /// Returns this many valid policy sets about this many entities.
    pub(crate) fn new(seed: &mut Seed, sets: usize, count: usize) -> anyhow::Result<Self> {
        let mut entities = entities(count, seed);
        entities.sort_by_cached_key(reference);
        let text = serde_json::to_string(&entities)?;
        let catalog = Catalog::from_files([("entities.json", text)])?;
        // A group above another: owners and members are told by their direct groups.
        let top: Entity = Entity::new(r#"Backstage::Group::"group:default/a""#.parse()?)
            .with_parent(r#"Backstage::Group::"group:default/top""#.parse()?);
        let mut groups: Vec<Entity> = catalog.groups().filter(|g| g.uid != top.uid).collect();
        groups.push(top);
        let resources = catalog.entities().filter(|e| e.uid.type_name().basename() != "Group");
        let store = Entities::from_entities(resources.chain(groups.iter().cloned()))?;
        let users = users()?;
        let mut cases = Vec::with_capacity(sets);
        while cases.len() < sets {
            let text = policies(seed);
            let built = Engine::builder().schema("s", SCHEMA).policies("p", text.as_str()).build();
            let Ok(engine) = built else { continue };
            let policy = PolicyEngine::new(engine, Permissions::known()?)
                .with_groups(groups.iter().cloned())?
                .with_budget(Budget { leaves: 2_000, depth: 100, bytes: 1 << 20 });
            let decided = users.iter().map(|user| decided(&policy, user, &catalog, &store));
            let users = decided.collect::<anyhow::Result<Vec<_>>>()?;
            cases.push(Case { policies: text, users });
        }
        let scaffolder = scaffolder::cases(seed, sets, 40)?;
        Ok(Self { entities, cases, scaffolder })
    }
}

fn decided(
    policy: &PolicyEngine,
    user: &User,
    catalog: &Catalog,
    store: &Entities,
) -> anyhow::Result<UserDecision> {
    let principal: Principal = user.clone().into();
    let answer = ask(policy, PERMISSION, &principal)?;
    let mut by_reference = std::collections::BTreeMap::new();
    let permission = policy.permissions().get(PERMISSION)?;
    let entities = store.with([principal.to_entity()])?;
    for reference in catalog.references() {
        let asked = permission.request(&principal, Some(catalog.resource(reference)?))?;
        let outcome = policy.engine().decide(&asked.request, &entities)?;
        by_reference.insert(reference.clone(), outcome.decision() == Decision::Allow);
    }
    let allowed = by_reference.values().map(|allowed| if *allowed { '1' } else { '0' }).collect();
    let exact = answer.findings().is_empty();
    Ok(UserDecision {
        user: user.reference().to_string(),
        decision: answer.decision().clone(),
        allowed,
        exact,
    })
}

/// Returns what the catalog sorts by.
fn reference(entity: &Value) -> Option<EntityRef> {
    let metadata = entity.get("metadata")?;
    let namespace = metadata.get("namespace").and_then(Value::as_str).unwrap_or("default");
    let kind = entity.get("kind")?.as_str()?;
    EntityRef::new(kind, namespace, metadata.get("name")?.as_str()?).ok()
}

fn users() -> anyhow::Result<Vec<User>> {
    [
        ("user:default/ana", vec!["group:default/a", "group:default/ünal"]),
        ("user:shop/bo", vec!["group:shop/a", "group:default/b", "team:default/x"]),
        ("user:default/nobody", vec![]),
    ]
    .into_iter()
    .map(|(reference, groups)| {
        let groups: Result<Vec<_>, _> = groups.into_iter().map(str::parse).collect();
        Ok(User::new(reference.parse()?).with_ownership(groups?))
    })
    .collect()
}
