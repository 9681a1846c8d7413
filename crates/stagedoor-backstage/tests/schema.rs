//! The shipped schema and the table of permissions.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use cedar_policy::{PolicySet, Schema, SchemaFragment, ValidationMode, Validator};
use stagedoor_backstage::{FileError, PermissionAction, Permissions, SCHEMA, UnknownPermission};

fn schema_of(fragments: &[&str]) -> Result<Schema> {
    let mut parsed = Vec::new();
    for text in fragments {
        let (fragment, warnings) = SchemaFragment::from_cedarschema_str(text)?;
        let warnings: Vec<String> = warnings.map(|w| w.to_string()).collect();
        ensure!(warnings.is_empty(), "{warnings:?}");
        parsed.push(fragment);
    }
    Ok(Schema::from_schema_fragments(parsed)?)
}

fn strict_errors(schema: Schema, policy: &str) -> Result<Vec<String>> {
    let policies: PolicySet = policy.parse()?;
    let result = Validator::new(schema).validate(&policies, ValidationMode::Strict);
    Ok(result.validation_errors().map(ToString::to_string).collect())
}

#[test]
fn the_shipped_schema_is_the_generated_one() -> Result<()> {
    let generated = Permissions::known()?.schema();
    ensure!(
        generated == SCHEMA,
        "policies/backstage/backstage.cedarschema is out of date; run \
         `cargo run -p stagedoor-backstage --example schema > policies/backstage/backstage.cedarschema`"
    );
    Ok(())
}

#[test]
fn every_permission_is_an_action_in_two_groups() -> Result<()> {
    let schema = schema_of(&[SCHEMA])?;
    let actions = schema.action_entities()?;
    let permissions = Permissions::known()?;
    assert_eq!(permissions.iter().count(), 42);
    for permission in permissions.iter() {
        let action =
            actions.get(&permission.uid()).with_context(|| permission.name().to_owned())?;
        let plugin = format!("plugin:{}", permission.plugin_id());
        let verb = permission.action().map_or("none", PermissionAction::as_str);
        let groups: BTreeSet<String> = actions
            .ancestors(&action.uid())
            .context("an action of the schema")?
            .map(|group| group.id().unescaped().to_owned())
            .collect();
        assert_eq!(groups, BTreeSet::from([plugin, format!("action:{verb}")]));
    }
    Ok(())
}

#[test]
fn permissions_of_other_plugins_can_be_added() -> Result<()> {
    let playlist = "
pluginId: playlist
permissions:
  - name: playlist.list.create
    attributes: {action: create}
  - {type: resource, name: playlist.list.read, attributes: {action: read}, resourceType: playlist-list}
---
- pluginId: catalog
  permissions:
    - name: catalog.entity.archive
      attributes: {}
      resourceType: catalog-entity
    # Known already, and the same.
    - {name: catalog.entity.read, attributes: {action: read}, resourceType: catalog-entity}
";
    let permissions =
        Permissions::known()?.with_files([("playlist.permissions.yaml", playlist)])?;
    let added: Vec<&str> = permissions.added().map(|p| p.name()).collect();
    assert_eq!(added, ["playlist.list.create", "playlist.list.read", "catalog.entity.archive"]);

    let fragment = permissions.schema_fragment().context("a fragment")?;
    let errors = strict_errors(
        schema_of(&[SCHEMA, &fragment])?,
        r#"permit(principal, action in Backstage::Action::"plugin:playlist", resource);
           permit(principal, action == Backstage::Action::"playlist.list.read", resource)
           when { resource.hasTag("genre") && resource.getTag("genre").contains("jazz") };
           permit(principal, action in Backstage::Action::"action:none", resource is Backstage::CatalogEntity)
           when { resource.kind == "component" };"#,
    )?;
    assert_eq!(errors, Vec::<String>::new());
    // The whole schema of the larger table says the same in one piece.
    schema_of(&[&permissions.schema()])?;
    assert_eq!(Permissions::known()?.schema_fragment(), None);
    Ok(())
}

#[test]
fn unknown_permissions_are_denied_with_what_to_do() -> Result<()> {
    let permissions = Permissions::known()?;
    let error = permissions.get("playlist.list.read").err().context("it is not known")?;
    assert_eq!(error, UnknownPermission("playlist.list.read".to_owned()));
    assert_eq!(error.to_string(), "unknown permission `playlist.list.read`: denied");
    // The help is a file that works.
    let help = error.help();
    let (_, file) = help.split_once('\n').context("a file below the first line")?;
    let file = file.replace("<plugin>", "playlist");
    permissions.with_files([("help.permissions.yaml", file)])?.get("playlist.list.read")?;
    Ok(())
}

fn problem(text: &str) -> Result<String> {
    let read = Permissions::known()?.with_files([("x.permissions.yaml", text)]);
    let error: FileError = read.err().with_context(|| format!("this was read: {text}"))?;
    let problem = error.problems().first().context("a problem")?;
    Ok(format!("{}:{}: {}", problem.line, problem.column, problem.message))
}

#[test]
fn bad_permission_files_are_refused_where_they_are_wrong() -> Result<()> {
    let mut differences = Vec::new();
    for (text, expected) in [
        ("a: [", "1:4: unclosed bracket"),
        ("just text", "1:1: a mapping is expected here, not a string"),
        ("pluginId: a\nplugins: []\npermissions: []", "2:1: unknown field `plugins`"),
        ("permissions: []", "1:1: `pluginId` is missing"),
        ("pluginId: 'a b'\npermissions: []", "1:11: `pluginId` is not a name"),
        ("pluginId: a", "1:1: `permissions` must be a list"),
        ("pluginId: a\npermissions: [{}]", "2:15: `name` is missing"),
        ("pluginId: a\npermissions: [{name: ''}]", "2:22: `name` is not a name"),
        (r#"{"pluginId":"a","permissions":[{"name":"x\"; y"}]}"#, "1:40: `name` is not a name"),
        ("pluginId: a\npermissions: [{name: 'plugin:catalog'}]", "2:15: `plugin:catalog` is the"),
        ("pluginId: a\npermissions: [{name: 'action:read'}]", "2:15: `action:read` is the name"),
        (
            "pluginId: a\npermissions: [{name: a.b, attributes: {action: use}}]",
            "2:48: `action` must be `create`, `read`, `update` or `delete`",
        ),
        (
            "pluginId: a\npermissions: [{name: a.b, resourceType: user}]",
            "2:15: `user` is not a resource type",
        ),
        (
            "pluginId: a\npermissions: [{name: a.b, resourceType: -x}]",
            "2:15: `-x` is not a resource type",
        ),
        (
            "pluginId: a\npermissions: [{name: a.b, resourceType: CatalogEntity}]",
            "2:15: `CatalogEntity` is not a resource type",
        ),
        (
            "pluginId: a\npermissions: [{name: a.b, type: resource}]",
            "2:33: `type` must be `basic` here",
        ),
        (
            "pluginId: a\npermissions: [{name: a.b}, {name: a.b}]",
            "2:28: permission `a.b` is already known",
        ),
        (
            "pluginId: catalog\npermissions: [{name: catalog.entity.read}]",
            "2:15: permission `catalog.entity.read` is already known",
        ),
        (
            "pluginId: a\npermissions: [{name: a.b, resourceType: a-b}, {name: a.c, resourceType: a_b}]",
            "2:47: resource types `a_b` and `a-b` would both be `AB`",
        ),
    ] {
        let found = problem(text)?;
        if !found.starts_with(expected) {
            differences.push(format!("{text}\n  {found}\n  {expected}"));
        }
    }
    assert_eq!(differences, Vec::<String>::new());
    Ok(())
}

#[test]
fn permission_files_are_found_below_a_directory() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text);
    std::fs::create_dir(directory.path().join("plugins"))?;
    write("plugins/a.permissions.yaml", "pluginId: a\npermissions: [{name: a.b}]")?;
    write("b.permissions.json", r#"{"pluginId": "b", "permissions": [{"name": "b.c"}]}"#)?;
    write("permissions.yaml", "not one of them")?;
    let permissions = Permissions::known()?.with_directory(directory.path())?;
    let added: Vec<&str> = permissions.added().map(|p| p.name()).collect();
    assert_eq!(added, ["b.c", "a.b"]);

    write("c.permissions.yml", "pluginId: a")?;
    let error = Permissions::known()?.with_directory(directory.path()).err();
    ensure!(error.context("it was read")?.to_string().contains("c.permissions.yml:1:1"));
    let missing = directory.path().join("missing");
    ensure!(Permissions::known()?.with_directory(&missing).is_err());
    Ok(())
}
