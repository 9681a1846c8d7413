//! Files of the community RBAC plugin, imported.

#[path = "../conditions/random/seed.rs"]
mod seed;

mod cases;
mod generated;
mod wrong;

use stagedoor_backstage::rbac::{Parity, Precedence, RbacFiles, RbacImport};
use stagedoor_backstage::{Catalog, Permissions, SCHEMA};
use stagedoor_core::Engine;

const PRECEDENCES: [Precedence; 2] = [Precedence::Conditional, Precedence::Basic];

/// Imports files, loads what comes of it, and compares both.
fn imported(
    csv: &str,
    yaml: Option<&str>,
    precedence: Precedence,
) -> anyhow::Result<(RbacImport, Parity)> {
    let permissions = Permissions::known()?;
    let files = read(csv, yaml)?;
    let import = RbacImport::of(&files, precedence, &permissions);
    let parity = Parity::of(
        &files,
        precedence,
        &engine(&import.to_cedar())?,
        &permissions,
        &Catalog::default(),
    )?;
    Ok((import, parity))
}

fn read(csv: &str, yaml: Option<&str>) -> anyhow::Result<RbacFiles> {
    let yaml = yaml.map(|text| ("conditions.yaml", text));
    Ok(RbacFiles::read(("policy.csv", csv), yaml, &Permissions::known()?)?)
}

fn engine(cedar: &str) -> anyhow::Result<Engine> {
    Ok(Engine::builder().schema("s", SCHEMA).policies("rbac.cedar", cedar).build()?)
}
