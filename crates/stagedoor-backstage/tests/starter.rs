//! The starter policies decide the cases that ship with them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use cedar_policy::PolicySet;
use serde::Deserialize;
use stagedoor_backstage::{
    Catalog, DEMO_CATALOG, EntityRef, Permissions, Resource, SCHEMA, STARTER_POLICIES, User,
};
use stagedoor_core::{Decision, Effect, Engine, Entities};
use stagedoor_source::FromFiles as _;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Suite {
    /// For the policy test harness; here the catalog is read as it is.
    #[serde(rename = "fixtures")]
    _fixtures: serde::de::IgnoredAny,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    user: String,
    #[serde(default)]
    groups: Option<Vec<String>>,
    permission: String,
    #[serde(default)]
    entity: Option<String>,
    #[serde(default)]
    template: Option<Template>,
    #[serde(default)]
    action: Option<Action>,
    #[serde(default)]
    task: Option<Task>,
    expect: Expectation,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Template {
    tags: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Action {
    id: String,
    input: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Task {
    #[serde(default)]
    created_by: Option<String>,
}

#[derive(Deserialize, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields)]
struct Expectation {
    decision: String,
    reasons: BTreeSet<String>,
}

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies/backstage")
}

fn engine() -> Result<Engine> {
    Ok(Engine::builder().directory(shipped()).build()?)
}

fn catalog() -> Result<Catalog> {
    let text = std::fs::read_to_string(shipped().join("demo/catalog-info.yaml"))?;
    Ok(Catalog::from_files([("demo/catalog-info.yaml", text)])?)
}

fn suite() -> Result<Suite> {
    Ok(serde_saphyr::from_str(&std::fs::read_to_string(shipped().join("starter.test.yaml"))?)?)
}

struct Decider {
    engine: Engine,
    catalog: Catalog,
    entities: Entities,
    permissions: Permissions,
}

impl Decider {
    fn new() -> Result<Self> {
        let (engine, catalog, permissions) = (engine()?, catalog()?, Permissions::known()?);
        let entities = Entities::from_entities(catalog.entities())?;
        Ok(Self { engine, catalog, entities, permissions })
    }

    fn decide(&self, case: &Case) -> Result<Expectation> {
        let reference: EntityRef = case.user.parse()?;
        let user = match &case.groups {
            Some(groups) => User::new(reference).with_ownership(
                groups.iter().map(|g| g.parse::<EntityRef>()).collect::<Result<Vec<_>, _>>()?,
            ),
            None => self.catalog.user(&reference).context("a user of the catalog")?,
        };
        let resource = match case {
            Case { entity: Some(entity), .. } => Some(self.catalog.resource(&entity.parse()?)?),
            Case { template: Some(template), .. } => {
                Some(Resource::scaffolder_template("java-service", &template.tags))
            }
            Case { action: Some(action), .. } => {
                Some(Resource::scaffolder_action("step-1", &action.id, &action.input))
            }
            Case { task: Some(task), .. } => {
                Some(Resource::scaffolder_task("run-1", task.created_by.as_deref()))
            }
            _ => None,
        };
        let asked = self.permissions.get(&case.permission)?.request(&user.into(), resource)?;
        let entities = self.entities.with(asked.entities)?;
        let outcome = self.engine.decide(&asked.request, &entities)?;
        ensure!(outcome.errors().is_empty(), "{:?}", outcome.errors());
        let decision = match outcome.decision() {
            Decision::Allow => "allow",
            Decision::Deny => "deny",
        };
        let reasons = outcome.reasons().map(|policy| policy.id().to_owned()).collect();
        Ok(Expectation { decision: decision.to_owned(), reasons })
    }
}

#[test]
fn the_shipped_policies_are_the_embedded_ones() -> Result<()> {
    let engine = engine()?;
    let mut embedded = Engine::builder().schema("backstage.cedarschema", SCHEMA);
    for (name, text) in STARTER_POLICIES {
        embedded = embedded.policies(name, text);
    }
    let embedded = embedded.build()?;
    let texts = |engine: &Engine| -> BTreeSet<_> {
        engine.policies().map(|p| (p.id().to_owned(), p.text().to_owned())).collect()
    };
    assert_eq!(texts(&engine), texts(&embedded));
    assert_eq!(std::fs::read_to_string(shipped().join("demo/catalog-info.yaml"))?, DEMO_CATALOG);
    for policy in engine.policies() {
        let id = format!("@id(\"{}\")", policy.id());
        ensure!(policy.text().starts_with(&id), "{}: no @id", policy.id());
        let doc = policy.annotation("doc").unwrap_or_default();
        ensure!(!doc.is_empty(), "{}: no @doc", policy.id());
    }
    ensure!(engine.warnings().is_empty(), "{:?}", engine.warnings());
    Ok(())
}

#[test]
fn the_cases_are_decided_as_they_say() -> Result<()> {
    let decider = Decider::new()?;
    let mut differences = Vec::new();
    for case in suite()?.cases {
        let decided = decider.decide(&case).with_context(|| case.name.clone())?;
        if decided != case.expect {
            differences.push(format!("{}: {decided:?}, not {:?}", case.name, case.expect));
        }
    }
    assert_eq!(differences, Vec::<String>::new());
    Ok(())
}

#[test]
fn every_policy_has_a_case_where_it_decides_and_one_where_it_does_not() -> Result<()> {
    let cases = suite()?.cases;
    for policy in engine()?.policies() {
        let id = policy.id();
        let own = match policy.effect() {
            Effect::Permit => "allow",
            Effect::Forbid => "deny",
        };
        let decides = |case: &&Case| case.expect.reasons.contains(id);
        let decided: Vec<&Case> = cases.iter().filter(decides).collect();
        ensure!(decided.iter().any(|case| case.expect.decision == own), "`{id}` never decides");
        let opposite = cases.iter().filter(|case| !decides(case) && case.expect.decision != own);
        let mut same = opposite.filter(|b| decided.iter().any(|a| a.permission == b.permission));
        ensure!(same.next().is_some(), "no case of the same permission without `{id}`");
    }
    Ok(())
}

#[test]
fn literals_are_in_lower_case() -> Result<()> {
    // Entity ids and catalog values are in lower case: another literal matches nothing.
    for (name, text) in STARTER_POLICIES {
        let policies: PolicySet = text.parse()?;
        for policy in policies.policies() {
            for literal in policy.entity_literals() {
                let id = literal.id().unescaped();
                let checked = !["Action", "Plugin"].contains(&literal.type_name().basename());
                ensure!(!checked || id == id.to_lowercase(), "{name}: {literal}");
            }
        }
    }
    Ok(())
}
