//! The starter policies decide the cases that ship with them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use cedar_policy::{
    Authorizer, Context, Decision, Entities, PolicySet, Request, RestrictedExpression, Schema,
    ValidationMode, Validator,
};
use serde::Deserialize;
use stagedoor_backstage::{Catalog, EntityRef, Permissions, Resource, SCHEMA, User};
use stagedoor_core::Record;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Suite {
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

fn policies() -> Result<PolicySet> {
    let mut policies = PolicySet::new();
    for file in std::fs::read_dir(shipped())? {
        let path = file?.path();
        if path.extension().is_none_or(|extension| extension != "cedar") {
            continue;
        }
        let file: PolicySet = std::fs::read_to_string(&path)?.parse()?;
        for policy in file.policies() {
            let id = policy.annotation("id").context("a shipped policy without @id")?;
            ensure!(policy.annotation("doc").is_some_and(|doc| !doc.is_empty()), "{id}: no @doc");
            policies.add(policy.new_id(id.parse()?))?;
        }
    }
    ensure!(!policies.is_empty(), "no policies");
    Ok(policies)
}

fn catalog() -> Result<Catalog> {
    let text = std::fs::read_to_string(shipped().join("demo/catalog-info.yaml"))?;
    Ok(Catalog::from_files([("demo/catalog-info.yaml", text)])?)
}

fn suite() -> Result<Suite> {
    Ok(serde_saphyr::from_str(&std::fs::read_to_string(shipped().join("starter.test.yaml"))?)?)
}

fn to_cedar(entity: &stagedoor_core::Entity) -> Result<cedar_policy::Entity> {
    let parents: HashSet<_> = entity.parents.iter().cloned().collect();
    let (attributes, tags) = (expressions(&entity.attributes)?, expressions(&entity.tags)?);
    let attributes: HashMap<_, _> = attributes.into_iter().collect();
    Ok(cedar_policy::Entity::new_with_tags(entity.uid.clone(), attributes, parents, tags)?)
}

fn expressions(record: &Record) -> Result<Vec<(String, RestrictedExpression)>> {
    record.iter().map(|(name, value)| Ok((name.to_string(), value.to_cedar()?))).collect()
}

struct Decider {
    schema: Schema,
    policies: PolicySet,
    catalog: Catalog,
    permissions: Permissions,
}

impl Decider {
    fn new() -> Result<Self> {
        let (schema, _) = Schema::from_cedarschema_str(SCHEMA)?;
        let (policies, catalog) = (policies()?, catalog()?);
        Ok(Self { schema, policies, catalog, permissions: Permissions::known()? })
    }

    fn decide(&self, case: &Case) -> Result<Expectation> {
        let reference: EntityRef = case.user.parse()?;
        let user = match &case.groups {
            Some(groups) => User::new(reference)
                .with_ownership(groups.iter().map(|g| g.parse::<EntityRef>()).collect::<Result<Vec<_>, _>>()?),
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
        let entities = self.catalog.entities().chain(asked.entities);
        let entities = entities.map(|e| to_cedar(&e)).collect::<Result<Vec<_>>>()?;
        let entities = Entities::from_entities(entities, Some(&self.schema))?;
        let request = Request::new(
            asked.request.principal,
            asked.request.action,
            asked.request.resource,
            Context::empty(),
            Some(&self.schema),
        )?;
        let response = Authorizer::new().is_authorized(&request, &self.policies, &entities);
        let errors: Vec<_> = response.diagnostics().errors().map(ToString::to_string).collect();
        ensure!(errors.is_empty(), "{errors:?}");
        let decision = match response.decision() {
            Decision::Allow => "allow",
            Decision::Deny => "deny",
        };
        let reasons = response.diagnostics().reason().map(ToString::to_string).collect();
        Ok(Expectation { decision: decision.to_owned(), reasons })
    }
}

#[test]
fn the_shipped_policies_are_valid() -> Result<()> {
    let (schema, warnings) = Schema::from_cedarschema_str(SCHEMA)?;
    assert_eq!(warnings.map(|w| w.to_string()).collect::<Vec<_>>(), Vec::<String>::new());
    let result = Validator::new(schema).validate(&policies()?, ValidationMode::Strict);
    let errors = result.validation_errors().map(ToString::to_string);
    let warnings = result.validation_warnings().map(ToString::to_string);
    assert_eq!(errors.chain(warnings).collect::<Vec<_>>(), Vec::<String>::new());
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

/// A policy counts as shown when it determines a decision in one case, and in
/// another the answer is the opposite one without it.
#[test]
fn every_policy_has_a_case_where_it_decides_and_one_where_it_does_not() -> Result<()> {
    let cases = suite()?.cases;
    for policy in policies()?.policies() {
        let id = policy.id().to_string();
        let own = match policy.effect() {
            cedar_policy::Effect::Permit => "allow",
            cedar_policy::Effect::Forbid => "deny",
        };
        let determines = |case: &Case| case.expect.reasons.contains(&id);
        ensure!(
            cases.iter().any(|case| determines(case) && case.expect.decision == own),
            "no case where `{id}` decides"
        );
        ensure!(
            cases.iter().any(|case| !determines(case) && case.expect.decision != own),
            "no case where `{id}` does not apply"
        );
    }
    Ok(())
}

#[test]
fn literals_are_in_lower_case() -> Result<()> {
    // Entity ids and catalog values are in lower case: another literal matches nothing.
    for policy in policies()?.policies() {
        for literal in policy.entity_literals() {
            if literal.type_name().basename() != "Action" {
                let id = literal.id().unescaped();
                assert_eq!(id, id.to_lowercase(), "{}", policy.id());
            }
        }
    }
    Ok(())
}
