//! Files that people might have, and the policies that come of them. Goldens are loaded and
//! asked, not only compared.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use stagedoor_backstage::rbac::{Parity, Precedence};
use stagedoor_backstage::{Catalog, Permissions, User};
use stagedoor_core::{Decision, Entities};

use crate::{engine, imported, read};

fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/community_rbac/cases").join(name)
}

fn golden(name: &str, precedence: Precedence) -> Result<(String, Parity)> {
    let csv = std::fs::read_to_string(case(&format!("{name}.csv")))?;
    let yaml = std::fs::read_to_string(case(&format!("{name}.yaml"))).ok();
    let (import, parity) = imported(&csv, yaml.as_deref(), precedence)?;
    let suffix = if precedence == Precedence::Basic { ".basic" } else { "" };
    let path = case(&format!("{name}{suffix}.cedar"));
    let mut text = import.to_cedar();
    for remark in import.remarks() {
        text.push_str(&format!("\n// {remark}"));
    }
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        std::fs::write(&path, format!("{}\n", text.trim_end()))?;
    }
    let expected = std::fs::read_to_string(&path).context(path.display().to_string())?;
    ensure!(text.trim_end() == expected.trim_end(), "{name} is now\n{text}");
    Ok((text, parity))
}

/// Asks policies about a permission without a resource, or about the creation of entities.
fn allowed(cedar: &str, user: &str, groups: &[&str], permission: &str) -> Result<bool> {
    let groups: Result<Vec<_>, _> = groups.iter().map(|group| group.parse()).collect();
    let user = User::new(user.parse()?).with_ownership(groups?);
    let asked = Permissions::known()?.get(permission)?.request(&user.into(), None)?;
    let entities = Entities::from_entities(asked.entities)?;
    Ok(engine(cedar)?.decide(&asked.request, &entities)?.decision() == Decision::Allow)
}

#[test]
fn the_plugins_own_example() -> Result<()> {
    let (_, parity) = golden("starter", Precedence::Conditional)?;
    assert_eq!(parity.different, 0, "{:?}", parity.differences);
    Ok(())
}

#[test]
fn a_company() -> Result<()> {
    for precedence in crate::PRECEDENCES {
        let (cedar, parity) = golden("company", precedence)?;
        // What a policy cannot say of inputs permits less, and nothing permits more.
        assert!(parity.different > 0 && parity.wider == 0, "{:?}", parity.differences);
        let on_actions = |of: &&stagedoor_backstage::rbac::Difference| {
            of.permitted && of.permission == "scaffolder.action.execute"
        };
        assert_eq!(parity.differences.iter().filter(on_actions).count(), parity.different);

        let ask = |user: &str, groups: &[&str], permission: &str| {
            allowed(&cedar, user, groups, permission)
        };
        assert!(ask("user:default/ann", &[], "catalog.entity.create")?);
        assert!(ask("user:default/eve", &["group:default/team_c"], "catalog.entity.create")?);
        assert!(!ask("user:default/eve", &[], "catalog.entity.create")?);
        assert!(ask("user:default/eve", &["group:default/guests"], "kubernetes.proxy")?);
        // A denial counts more than an allowance.
        assert!(!ask("user:default/bob", &["group:default/guests"], "kubernetes.proxy")?);
        // Rows of users themselves are for those who have no role.
        assert!(ask("user:default/lone", &[], "kubernetes.proxy")?);
        assert!(!ask("user:default/lone", &["group:default/devs"], "kubernetes.proxy")?);
        // The resource type stands for the permission that creates policies.
        assert!(ask("user:default/eve", &["group:default/devs"], "policy.entity.create")?);
    }
    Ok(())
}

#[test]
fn groups_above_groups_have_roles_too() -> Result<()> {
    let csv = "g, group:default/all, role:default/all\n\
               p, role:default/all, catalog-entity, read, allow\n";
    let catalog = "
{apiVersion: backstage.io/v1alpha1, kind: Group, metadata: {name: all}, spec: {type: team, children: [web]}}
---
{apiVersion: backstage.io/v1alpha1, kind: Group, metadata: {name: web}, spec: {type: team, children: []}}
---
{apiVersion: backstage.io/v1alpha1, kind: User, metadata: {name: ana}, spec: {memberOf: [web]}}
---
{apiVersion: backstage.io/v1alpha1, kind: Component, metadata: {name: shop}, spec: {owner: web}}
";
    let catalog = Catalog::from_files([("catalog.yaml", catalog)])?;
    let (import, alone) = imported(csv, None, Precedence::Conditional)?;
    let engine = engine(&import.to_cedar())?;
    let permissions = Permissions::known()?;
    let files = read(csv, None)?;
    let parity = Parity::of(&files, Precedence::Conditional, &engine, &permissions, &catalog)?;
    assert_eq!(parity.different, 0, "{:?}", parity.differences);
    assert_eq!(parity.users, alone.users + 1);
    Ok(())
}

#[test]
fn policies_that_differ_are_found() -> Result<()> {
    let csv = "g, group:default/web, role:default/web\n\
               p, role:default/web, kubernetes.proxy, use, allow\n\
               p, role:default/web, catalog-entity, read, deny\n";
    let (import, parity) = imported(csv, None, Precedence::Conditional)?;
    assert_eq!(parity.different, 0, "{:?}", parity.differences);
    let permissions = Permissions::known()?;
    let files = read(csv, None)?;
    let differing = |cedar: &str| -> Result<Parity> {
        let engine = engine(cedar)?;
        let catalog = Catalog::default();
        Ok(Parity::of(&files, Precedence::Conditional, &engine, &permissions, &catalog)?)
    };
    let text = import.to_cedar();
    let all = differing(&format!("{text}\n@id(\"all\") permit (principal, action, resource);"))?;
    assert!(all.wider > 10, "{all:?}");
    let proxy = differing(&text.replace("kubernetes.proxy", "kubernetes.clusters.read"))?;
    assert_eq!((proxy.different, proxy.wider), (2, 1), "{proxy:?}");
    let none = differing(&text.replace("permit (", "forbid ("))?;
    assert_eq!((none.different, none.wider), (1, 0), "{none:?}");
    Ok(())
}

#[test]
fn the_configuration_counts_as_the_files_do() -> Result<()> {
    let csv = "g, group:default/web, role:default/web\n\
               g, group:default/ops, role:default/ops\n\
               p, role:default/web, kubernetes.proxy, use, deny\n\
               p, role:default/web, catalog-entity, read, deny\n\
               p, role:default/ops, catalog-entity, delete, allow\n\
               p, group:default/web, catalog-entity, read, allow\n";
    let yaml = "result: CONDITIONAL\nroleEntityRef: role:default/everybody\npluginId: catalog\n\
                resourceType: catalog-entity\npermissionMapping: [update]\n\
                conditions: {rule: IS_ENTITY_OWNER, resourceType: catalog-entity, \
                params: {claims: [$ownerRefs]}}\n";
    let config = "
permission:
  rbac:
    admin:
      superUsers: [{name: user:default/root}, {name: group:default/web}]
      users: [{name: user:default/adm}]
    defaultPermissions:
      defaultRole: role:default/everybody
      basicPermissions: [{permission: kubernetes.proxy}, {permission: catalog-entity, action: read}]
";
    let permissions = Permissions::known()?;
    for precedence in crate::PRECEDENCES {
        let files = stagedoor_backstage::rbac::RbacFiles::read(
            ("policy.csv", csv),
            Some(("conditions.yaml", yaml)),
            &permissions,
        )?
        .with_app_config("app-config.yaml", config, &permissions)?;
        let import = stagedoor_backstage::rbac::RbacImport::of(&files, precedence, &permissions);
        let text = import.to_cedar();
        let catalog = Catalog::default();
        let parity = Parity::of(&files, precedence, &engine(&text)?, &permissions, &catalog)?;
        assert_eq!(parity.different, 0, "{:?}\n{text}", parity.differences);
        assert!(parity.decisions > 500, "{parity:?}");
        let ask = |user: &str, groups: &[&str]| allowed(&text, user, groups, "kubernetes.proxy");
        assert!(ask("user:default/anybody", &[])?);
        // A super user is denied nothing; a member of a group below a super group is.
        assert!(ask("user:default/x", &["group:default/web"])?);
        assert!(ask("user:default/root", &["group:default/web"])?);
        assert!(allowed(&text, "user:default/root", &[], "devtools.info")?);
        assert!(!allowed(&text, "user:default/adm", &[], "devtools.info")?);
        assert!(allowed(&text, "user:default/adm", &[], "policy.entity.create")?);
    }
    Ok(())
}
