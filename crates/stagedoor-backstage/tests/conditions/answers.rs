//! What each form of a condition becomes.

use stagedoor_backstage::{FindingCode, PermissionQuery, Permissions, Principal, User};

use crate::policies::{alice, ask, conditions, policy, readers, said, user, with_permissions};

const READ: &str = "catalog.entity.read";

#[test]
fn conditions_about_catalog_entities() -> anyhow::Result<()> {
    for (condition, expected) in [
        ("true", "ALLOW"),
        ("false", "DENY"),
        (r#"principal in Backstage::Group::"group:default/a""#, "ALLOW"),
        (r#"principal in Backstage::Group::"group:default/z""#, "DENY"),
        (
            "resource.owners.containsAny(principal.claims)",
            r#"{"rule":"IS_ENTITY_OWNER","params":{"claims":["group:default/a","group:default/b","user:default/alice"]}}"#,
        ),
        (
            "principal in resource.ownerGroups",
            r#"{"rule":"IS_ENTITY_OWNER","params":{"claims":["group:default/a","group:default/b"]}}"#,
        ),
        (
            r#"resource.ownerGroups.contains(Backstage::Group::"group:default/z")"#,
            r#"{"rule":"IS_ENTITY_OWNER","params":{"claims":["group:default/z"]}}"#,
        ),
        (
            r#"["component", "api"].contains(resource.kind)"#,
            r#"{"rule":"IS_ENTITY_KIND","params":{"kinds":["api","component"]}}"#,
        ),
        (
            r#"resource.kind == "component" || resource.kind == "api""#,
            r#"{"rule":"IS_ENTITY_KIND","params":{"kinds":["api","component"]}}"#,
        ),
        (
            r#"resource.kind != "user" && resource.kind != "group""#,
            r#"{"not":{"rule":"IS_ENTITY_KIND","params":{"kinds":["group","user"]}}}"#,
        ),
        // Cedar sees lower case alone.
        (r#"resource.kind == "Component""#, "DENY"),
        (r#"resource.kind != "Component""#, "ALLOW"),
        (
            r#"resource.name == "ledger" && resource.namespace == "default""#,
            r#"{"allOf":[{"rule":"HAS_METADATA","params":{"key":"name","value":"ledger"}},{"rule":"HAS_METADATA","params":{"key":"namespace","value":"default"}}]}"#,
        ),
        (
            r#"resource == Backstage::CatalogEntity::"component:default/ledger""#,
            r#"{"allOf":[{"rule":"IS_ENTITY_KIND","params":{"kinds":["component"]}},{"rule":"HAS_METADATA","params":{"key":"name","value":"ledger"}},{"rule":"HAS_METADATA","params":{"key":"namespace","value":"default"}}]}"#,
        ),
        (r#"resource == Backstage::CatalogEntity::"Component:default/ledger""#, "DENY"),
        (
            r#"resource.hasTag("spec.lifecycle")"#,
            r#"{"rule":"HAS_SPEC","params":{"key":"lifecycle"}}"#,
        ),
        (
            r#"resource.hasTag("spec.lifecycle") && resource.getTag("spec.lifecycle").contains("production")"#,
            r#"{"rule":"HAS_SPEC","params":{"key":"lifecycle","value":"production"}}"#,
        ),
        (
            r#"resource.hasTag("metadata.tags") && resource.getTag("metadata.tags").containsAny(["go", "java"])"#,
            r#"{"anyOf":[{"rule":"HAS_METADATA","params":{"key":"tags","value":"go"}},{"rule":"HAS_METADATA","params":{"key":"tags","value":"java"}}]}"#,
        ),
        (
            r#"resource.hasTag("metadata.tags") && resource.getTag("metadata.tags").containsAll(["go", "java"])"#,
            r#"{"allOf":[{"rule":"HAS_METADATA","params":{"key":"tags","value":"go"}},{"rule":"HAS_METADATA","params":{"key":"tags","value":"java"}}]}"#,
        ),
        (
            r#"resource.hasTag("metadata.tags") && !resource.getTag("metadata.tags").contains("go")"#,
            r#"{"allOf":[{"rule":"HAS_METADATA","params":{"key":"tags"}},{"not":{"rule":"HAS_METADATA","params":{"key":"tags","value":"go"}}}]}"#,
        ),
        (
            r#"resource.labels.hasTag("tier") && resource.labels.getTag("tier") == "gold""#,
            r#"{"rule":"HAS_LABEL","params":{"label":"tier","value":"gold"}}"#,
        ),
        (
            r#"resource.annotations.hasTag("a/b") && resource.annotations.getTag("a/b") like "x""#,
            r#"{"rule":"HAS_ANNOTATION","params":{"annotation":"a/b","value":"x"}}"#,
        ),
        (
            r#"resource.annotations.hasTag("a/b") && resource.annotations.getTag("a/b") like "*""#,
            r#"{"rule":"HAS_ANNOTATION","params":{"annotation":"a/b"}}"#,
        ),
        (r#"resource.hasTag("status.items")"#, "DENY"),
        (r#"resource.hasTag("spec.Lifecycle")"#, "DENY"),
        (
            r#"if resource.kind == "api" then resource.owners.contains("user:default/alice") else false"#,
            r#"{"allOf":[{"rule":"IS_ENTITY_KIND","params":{"kinds":["api"]}},{"rule":"IS_ENTITY_OWNER","params":{"claims":["user:default/alice"]}}]}"#,
        ),
    ] {
        let said = conditions(READ, &readers(condition))?;
        assert_eq!(said, expected, "{condition}");
    }
    Ok(())
}

#[test]
fn forbids_are_taken_away() -> anyhow::Result<()> {
    let permit = readers("true");
    let hidden = r#"forbid (principal is Backstage::User, action, resource is Backstage::CatalogEntity)
        when { resource.labels.hasTag("x") && resource.labels.getTag("x") == "hidden" }
        unless { resource.owners.containsAny(principal.claims) };"#;
    assert_eq!(
        conditions(READ, &format!("{permit}\n{hidden}"))?,
        r#"{"anyOf":[{"rule":"IS_ENTITY_OWNER","params":{"claims":["group:default/a","group:default/b","user:default/alice"]}},{"not":{"rule":"HAS_LABEL","params":{"label":"x","value":"hidden"}}}]}"#
    );
    // Nothing permits: the forbid is not what denies.
    let answer = ask(&policy(hidden)?, READ, &alice()?)?;
    assert_eq!((said(&answer)?.as_str(), answer.reasons().len()), ("DENY", 0));
    Ok(())
}

#[test]
fn many_grants_are_one_rule() -> anyhow::Result<()> {
    let grants = (0..300).map(|n| {
        format!(
            r#"permit (principal in Backstage::Group::"group:default/a",
                 action == Backstage::Action::"catalog.entity.read", resource is Backstage::CatalogEntity)
               when {{ resource.kind == "component" && resource.owners.contains("group:default/t{n:03}") }};"#
        )
    });
    let policy = policy(&grants.collect::<String>())?.with_budget(stagedoor_backstage::Budget {
        leaves: 2,
        depth: 1,
        bytes: 20_000,
    });
    let answer = ask(&policy, READ, &alice()?)?;
    assert!(said(&answer)?.starts_with(r#"{"allOf":[{"#), "{}", said(&answer)?);
    assert_eq!(answer.reasons().len(), 300);
    Ok(())
}

#[test]
fn the_scaffolder_s_resources() -> anyhow::Result<()> {
    for (permission, condition, expected) in [
        (
            "scaffolder.template.step.read",
            r#"!resource.tags.contains("Secret")"#,
            r#"{"not":{"rule":"HAS_TAG","params":{"tag":"Secret"}}}"#,
        ),
        (
            "scaffolder.action.execute",
            r#"resource.action == "debug:log" || resource.action == "fetch:plain""#,
            r#"{"anyOf":[{"rule":"HAS_ACTION_ID","params":{"actionId":"debug:log"}},{"rule":"HAS_ACTION_ID","params":{"actionId":"fetch:plain"}}]}"#,
        ),
        (
            "scaffolder.action.execute",
            r#"resource.input.hasTag("visibility") && resource.input.getTag("visibility") == "private""#,
            r#"{"rule":"HAS_STRING_PROPERTY","params":{"key":"visibility","value":"private"}}"#,
        ),
        (
            "scaffolder.action.execute",
            r#"resource.input.hasTag("n") && resource.input.getTag("n") == "1.5""#,
            r#"{"anyOf":[{"rule":"HAS_STRING_PROPERTY","params":{"key":"n","value":"1.5"}},{"rule":"HAS_NUMBER_PROPERTY","params":{"key":"n","value":1.5}}]}"#,
        ),
        (
            "scaffolder.action.execute",
            r#"resource.input.hasTag("n") && resource.input.getTag("n") == "true""#,
            r#"{"anyOf":[{"rule":"HAS_STRING_PROPERTY","params":{"key":"n","value":"true"}},{"rule":"HAS_BOOLEAN_PROPERTY","params":{"key":"n","value":true}}]}"#,
        ),
        (
            "scaffolder.task.read",
            "resource has createdBy && principal.claims.contains(resource.createdBy)",
            r#"{"rule":"IS_TASK_OWNER","params":{"createdBy":["group:default/a","group:default/b","user:default/alice"]}}"#,
        ),
        (
            "scaffolder.task.cancel",
            "resource has createdBy && resource.createdBy == principal.entityRef",
            r#"{"rule":"IS_TASK_OWNER","params":{"createdBy":["user:default/alice"]}}"#,
        ),
    ] {
        let policies = format!(
            r#"permit (principal is Backstage::User, action == Backstage::Action::"{permission}", resource)
               when {{ {condition} }};"#
        );
        assert_eq!(conditions(permission, &policies)?, expected, "{condition}");
    }
    Ok(())
}

#[test]
fn rules_of_other_plugins_come_from_files() -> anyhow::Result<()> {
    let file = "
pluginId: playlist
permissions:
  - {name: playlist.list.read, attributes: {action: read}, resourceType: playlist-list}
rules:
  - {rule: IS_OWNER, resourceType: playlist-list, tag: owners, values: owners}
  - {rule: IS_PUBLIC, resourceType: playlist-list, tag: public}
  - {rule: HAS_COLOR, resourceType: playlist-list, tag: 'color:*', key: name, value: shade}
";
    let permissions = Permissions::known()?.with_files([("x.permissions.yaml", file)])?;
    let text = r#"permit (principal is Backstage::User, action == Backstage::Action::"playlist.list.read", resource)
        when { resource.hasTag("public") ||
               (resource.hasTag("owners") && resource.getTag("owners").containsAny(principal.claims)) ||
               (resource.hasTag("color:red") && resource.getTag("color:red").contains("dark")) };"#;
    let policy = with_permissions(text, permissions)?;
    let answer = ask(&policy, "playlist.list.read", &user("user:default/u", &[])?)?;
    assert_eq!(
        said(&answer)?,
        r#"{"anyOf":[{"rule":"IS_PUBLIC","params":{}},{"rule":"HAS_COLOR","params":{"name":"red","shade":"dark"}},{"rule":"IS_OWNER","params":{"owners":["user:default/u"]}}]}"#
    );
    assert!(serde_json::to_string(answer.decision())?.contains(r#""pluginId":"playlist""#));
    Ok(())
}

#[test]
fn other_plugins_permissions_on_entities_go_to_the_catalog() -> anyhow::Result<()> {
    let text = r#"permit (principal is Backstage::User, action == Backstage::Action::"jenkins.execute", resource)
        when { resource.kind == "component" };"#;
    let answer = ask(&policy(text)?, "jenkins.execute", &alice()?)?;
    let json = serde_json::to_string(answer.decision())?;
    assert!(json.contains(r#""pluginId":"catalog","resourceType":"catalog-entity""#), "{json}");
    Ok(())
}

#[test]
fn basic_permissions_are_definitive() -> anyhow::Result<()> {
    let policy = policy(
        r#"@id("admins") permit (principal in Backstage::Group::"group:default/a",
             action == Backstage::Action::"kubernetes.proxy", resource);"#,
    )?;
    let allowed = ask(&policy, "kubernetes.proxy", &alice()?)?;
    assert_eq!(serde_json::to_string(allowed.decision())?, r#"{"result":"ALLOW"}"#);
    assert_eq!(allowed.reasons().collect::<Vec<_>>(), ["admins"]);
    let denied = ask(&policy, "kubernetes.proxy", &user("user:default/bob", &[])?)?;
    assert_eq!(said(&denied)?, "DENY");
    let service = Principal::Service("plugin:search".into());
    assert_eq!(said(&ask(&policy, "kubernetes.proxy", &service)?)?, "DENY");
    assert_eq!(policy.cached(), 3);
    Ok(())
}

#[test]
fn what_is_not_known_is_denied() -> anyhow::Result<()> {
    let policy = policy("permit (principal is Backstage::User, action, resource);")?;
    let alice = alice()?;
    for (name, action, resource_type, reason, code) in [
        ("no.such", None, None, "unknown permission", FindingCode::UnknownPermission),
        (
            "catalog.entity.read",
            Some("delete"),
            None,
            "asked with action `delete`",
            FindingCode::PermissionMismatch,
        ),
        (
            "catalog.entity.read",
            Some("delete"),
            Some("catalog-entity"),
            "action `delete`",
            FindingCode::PermissionMismatch,
        ),
        (
            "kubernetes.proxy",
            None,
            Some("catalog-entity"),
            "on no resources",
            FindingCode::PermissionMismatch,
        ),
    ] {
        let query = PermissionQuery { name, action, resource_type };
        let answer = policy.decide(&query, Some(&alice));
        assert_eq!(said(&answer)?, "DENY", "{name}");
        let errors = answer.errors().join("\n");
        assert!(errors.contains(reason), "{errors}");
        let codes: Vec<FindingCode> = answer.findings().iter().map(|f| f.code).collect();
        assert_eq!(codes, [code], "{name}");
    }
    let proxy = PermissionQuery { name: "kubernetes.proxy", action: None, resource_type: None };
    let nobody = policy.decide(&proxy, None);
    assert_eq!(said(&nobody)?, "DENY");
    assert_eq!(nobody.findings().first().map(|f| f.code), Some(FindingCode::NoUser));
    assert_eq!(said(&policy.decide(&proxy, Some(&alice)))?, "ALLOW");
    Ok(())
}

/// Backstage's new frontend asks by the name, and by the name and the action.
#[test]
fn a_name_is_enough_where_the_answer_does_not_hang_on_the_resource() -> anyhow::Result<()> {
    let admin = user("user:default/root", &["group:default/admins"])?;
    let policy = policy(
        r#"permit (principal in Backstage::Group::"group:default/admins", action, resource);
           permit (principal is Backstage::User, action, resource is Backstage::CatalogEntity)
             when { resource.owners.containsAny(principal.claims) };"#,
    )?;
    let alice = alice()?;
    for (name, action) in [
        ("catalog.entity.read", "read"),
        ("catalog.location.create", "create"),
        ("techdocs.actions.read", "read"),
    ] {
        for action in [None, Some(action)] {
            let query = PermissionQuery { name, action, resource_type: None };
            assert_eq!(said(&policy.decide(&query, Some(&admin)))?, "ALLOW", "{query:?}");
            let answer = policy.decide(&query, Some(&alice));
            assert_eq!(said(&answer)?, "DENY", "{query:?}");
        }
    }
    // Conditions would fail the whole page there, and are told in place of that.
    let query = PermissionQuery { name: "catalog.entity.read", action: None, resource_type: None };
    let codes = |answer: &stagedoor_backstage::PolicyAnswer| -> Vec<FindingCode> {
        answer.findings().iter().map(|finding| finding.code).collect()
    };
    assert_eq!(codes(&policy.decide(&query, Some(&alice))), [FindingCode::NeedsResource]);
    // The answer that is kept is that of the whole question.
    assert!(said(&ask(&policy, "catalog.entity.read", &alice)?)?.contains("IS_ENTITY_OWNER"));
    assert_eq!(codes(&policy.decide(&query, Some(&alice))), [FindingCode::NeedsResource]);
    Ok(())
}

#[test]
fn a_reference_that_is_none_takes_nothing_from_the_others() -> anyhow::Result<()> {
    let policy = policy(
        r#"permit (principal is Backstage::User, action, resource is Backstage::CatalogEntity)
             when { resource.owners.containsAny(principal.claims) };
           permit (principal in Backstage::Group::"group:default/a",
             action == Backstage::Action::"kubernetes.proxy", resource);
           forbid (principal in Backstage::Group::"team-x",
             action == Backstage::Action::"catalog.entity.delete", resource);"#,
    )?;
    let refs = ["group:default/a", "Team-X", ""];
    let odd = User::new("user:default/alice".parse()?).with_ownership_refs(refs).into();
    let read = ask(&policy, "catalog.entity.read", &odd)?;
    assert_eq!(
        said(&read)?,
        r#"{"rule":"IS_ENTITY_OWNER","params":{"claims":["","group:default/a","team-x","user:default/alice"]}}"#
    );
    let told: Vec<FindingCode> = read.findings().iter().map(|finding| finding.code).collect();
    assert_eq!(told, [FindingCode::UnreadableReference; 2]);
    assert_eq!(said(&ask(&policy, "kubernetes.proxy", &odd)?)?, "ALLOW");
    // What forbids something to a group of that name still does.
    assert_eq!(said(&ask(&policy, "catalog.entity.delete", &odd)?)?, "DENY");
    Ok(())
}

#[test]
fn groups_that_are_above_each_other_lock_nobody_out() -> anyhow::Result<()> {
    let policy = policy(
        r#"permit (principal in Backstage::Group::"group:default/top",
             action == Backstage::Action::"kubernetes.proxy", resource);
           permit (principal is Backstage::User, action == Backstage::Action::"devtools.info", resource);
           forbid (principal in Backstage::Group::"group:default/c",
             action == Backstage::Action::"devtools.info", resource);"#,
    )?;
    let group = |name: &str, parents: &[&str]| -> anyhow::Result<stagedoor_core::Entity> {
        let uid = |name: &str| format!(r#"Backstage::Group::"group:default/{name}""#).parse();
        let mut group = stagedoor_core::Entity::new(uid(name)?);
        for parent in parents {
            group = group.with_parent(uid(parent)?);
        }
        Ok(group)
    };
    let policy = policy.with_groups([
        group("a", &["b"])?,
        group("b", &["c"])?,
        group("c", &["a", "top"])?,
        group("d", &["d", "b"])?,
        group("e", &[])?,
    ])?;
    let told: Vec<FindingCode> = policy.group_findings().iter().map(|f| f.code).collect();
    assert_eq!(told, [FindingCode::GroupCircle]);
    for (of, proxy, info) in [
        ("a", "ALLOW", "DENY"),
        ("c", "ALLOW", "DENY"),
        ("d", "ALLOW", "DENY"),
        ("e", "DENY", "ALLOW"),
    ] {
        let user = user("user:default/u", &[&format!("group:default/{of}")])?;
        assert_eq!(said(&ask(&policy, "kubernetes.proxy", &user)?)?, proxy, "{of}");
        assert_eq!(said(&ask(&policy, "devtools.info", &user)?)?, info, "{of}");
    }
    Ok(())
}

/// What a running Backstage tells is known like what is listed, and one plugin that tells
/// nonsense takes nothing from the others.
#[test]
fn plugins_that_were_installed_later_are_known() -> anyhow::Result<()> {
    use stagedoor_backstage::{PluginMetadata, PolicyEngine};
    let directory = tempfile::tempdir()?;
    std::fs::write(
        directory.path().join("platform.cedar"),
        r#"@id("admins") permit (principal in Backstage::Group::"group:default/admins", action, resource);
           @id("readers") permit (principal is Backstage::User,
             action in Backstage::Action::"action:read", resource);"#,
    )?;
    let todo = r#"{"permissions":[
        {"type":"resource","name":"todo.item.read","attributes":{"action":"read"},"resourceType":"todo-item"},
        {"type":"basic","name":"todo.item.create","attributes":{"action":"create"}},
        {"type":"basic","name":"kubernetes.proxy","attributes":{"action":"read"}}],
        "rules":[{"name":"IS_OWNER","resourceType":"todo-item","paramsSchema":{}}]}"#;
    let plugins = [
        PluginMetadata::from_answer("broken", "<html>"),
        PluginMetadata::from_answer("todo", todo),
        PluginMetadata::from_answer(
            "odd",
            r#"{"permissions":[{"name":"a b","attributes":{}},{"name":"odd.ok","attributes":{}}]}"#,
        ),
    ];
    let engine = PolicyEngine::builder().directory(directory.path()).plugins(plugins).build()?;
    let admin = user("user:default/root", &["group:default/admins"])?;
    let alice = alice()?;
    for (name, action, resource_type, of_admin, of_alice) in [
        ("todo.item.read", Some("read"), Some("todo-item"), "ALLOW", "ALLOW"),
        ("todo.item.create", Some("create"), None, "ALLOW", "DENY"),
        ("todo.item.other", None, None, "DENY", "DENY"),
        ("kubernetes.proxy", None, None, "ALLOW", "DENY"),
    ] {
        let query = PermissionQuery { name, action, resource_type };
        assert_eq!(said(&engine.decide(&query, Some(&admin)))?, of_admin, "{name}");
        assert_eq!(said(&engine.decide(&query, Some(&alice)))?, of_alice, "{name}");
    }
    let told: Vec<String> = engine.findings().iter().map(ToString::to_string).collect();
    for expected in [
        "plugin `broken` answered with no",
        "`kubernetes.proxy` is known",
        "plugin `odd` is left out",
    ] {
        let times = told.iter().filter(|message| message.contains(expected)).count();
        assert_eq!(times, 1, "{expected}: {told:?}");
    }
    Ok(())
}
