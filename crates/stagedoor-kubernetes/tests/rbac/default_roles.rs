//! The cluster's own default roles and bindings answer a table of requests.

use anyhow::{Result, ensure};
use stagedoor_core::Engine;
use stagedoor_kubernetes::rbac::{RbacImport, RbacObjects};
use stagedoor_kubernetes::{Reviewer, SCHEMA};

use crate::request::RequestCase;

pub const ROLES: &str = include_str!("data/default-roles.yaml");
const REQUESTS: &str = include_str!("data/default-roles.requests.yaml");

#[test]
fn default_roles_answer_as_a_cluster_does() -> Result<()> {
    let mut objects = RbacObjects::default();
    objects.read("default-roles.yaml", ROLES)?;
    let import = RbacImport::of(&objects.resolve()?)?;
    ensure!(import.warnings().is_empty(), "{:?}", import.warnings());
    let base = || Engine::builder().schema("kubernetes.cedarschema", SCHEMA);
    let schema = import.schema().unwrap_or_default();
    let inline = base().policies("rbac.cedar", import.to_cedar()).schema("verbs", schema);
    let asked: Vec<RequestCase> = serde_saphyr::from_str(REQUESTS)?;
    ensure!(asked.len() >= 60, "only {} requests", asked.len());
    for builder in [import.add_to(base()), inline] {
        let reviewer = Reviewer::new(builder.build()?)?;
        for asked in &asked {
            asked.check(&reviewer)?;
        }
    }
    println!("{} requests to {} policies and links", asked.len(), import.len());
    Ok(())
}

#[test]
fn imported_roles_stand_beside_the_starter_policies() -> Result<()> {
    let mut objects = RbacObjects::default();
    objects.read("default-roles.yaml", ROLES)?;
    let import = RbacImport::of(&objects.resolve()?)?;
    let mut builder = Engine::builder().schema("kubernetes.cedarschema", SCHEMA);
    for (name, text) in stagedoor_kubernetes::STARTER_POLICIES {
        builder = builder.policies(*name, *text);
    }
    let reviewer = Reviewer::new(import.add_to(builder).build()?)?;
    let vocabulary = reviewer.vocabulary();
    let edit = stagedoor_kubernetes::Subject::new("ed").with_group("payments-editors");
    let principal = vocabulary.principal(&edit)?;
    let pods = stagedoor_kubernetes::ResourceAttributes::new("get", "", "pods")
        .with_namespace("payments")
        .with_name("x");
    let status = reviewer.status(&principal, &pods.into());
    ensure!(status.allowed, "{status:?}");
    ensure!(status.reason.contains("RoleBinding/payments/payments-editors"), "{status:?}");
    // What a role grants, a guard may forbid.
    let secrets = stagedoor_kubernetes::ResourceAttributes::new("get", "", "secrets")
        .with_namespace("payments")
        .with_name("x");
    let status = reviewer.status(&principal, &secrets.into());
    ensure!(status.denied && status.reason.contains("secrets-are-not-read-by-accident"));
    Ok(())
}
