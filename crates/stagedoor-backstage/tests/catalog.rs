//! Catalog files as people write them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use stagedoor_backstage::{Catalog, FileError};
use stagedoor_core::{Entities, Entity, Value};

/// One entity of `search_rows/odd.json`: the rows that `buildEntitySearch` of
/// `@backstage/plugin-catalog-backend` 4.0.0 makes of it, read by `yaml` 2.
#[derive(Deserialize)]
struct Golden {
    name: String,
    rows: BTreeMap<String, BTreeSet<String>>,
}

fn read(text: &str) -> Result<Catalog, FileError> {
    Catalog::from_files([("catalog-info.yaml", text)])
}

fn entity<'a>(entities: &'a [Entity], type_name: &str, id: &str) -> Result<&'a Entity> {
    let mut found = entities
        .iter()
        .filter(|e| e.uid.type_name().basename() == type_name && e.uid.id().unescaped() == id);
    found.next().with_context(|| format!("no {type_name} `{id}`"))
}

fn strings(value: Option<&Value>) -> Result<BTreeSet<String>> {
    let Some(Value::Set(items)) = value else { anyhow::bail!("not a set: {value:?}") };
    items.iter().map(|v| v.as_str().map(str::to_owned).context("not a string")).collect()
}

#[test]
fn tags_are_the_catalogs_own_search_rows() -> Result<()> {
    let catalog = read(include_str!("search_rows/odd.yaml"))?;
    let golden: Vec<Golden> = serde_json::from_str(include_str!("search_rows/odd.json"))?;
    assert_eq!(catalog.len(), golden.len());
    let entities: Vec<Entity> = catalog.entities().collect();
    for expected in golden {
        let name = Value::from(expected.name.to_lowercase());
        let entity = entities
            .iter()
            .find(|e| e.attributes.get("name") == Some(&name))
            .with_context(|| expected.name.clone())?;
        let mut rows = BTreeMap::new();
        for (path, values) in &entity.tags {
            rows.insert(path.to_string(), strings(Some(values))?);
        }
        assert_eq!(rows, expected.rows, "{}", expected.name);
    }
    Ok(())
}

#[test]
fn attributes_are_in_lower_case() -> Result<()> {
    let catalog = read(include_str!("search_rows/odd.yaml"))?;
    let entities: Vec<Entity> = catalog.entities().collect();
    let id = "component:team-a/upper.case_name";
    let component = entity(&entities, "CatalogEntity", id)?;
    for (attribute, value) in
        [("kind", "component"), ("namespace", "team-a"), ("name", "upper.case_name")]
    {
        assert_eq!(component.attributes.get(attribute), Some(&value.into()));
    }
    let owners = strings(component.attributes.get("owners"))?;
    assert_eq!(owners, BTreeSet::from(["group:team-a/team-a".to_owned()]));

    let annotations = &entity(&entities, "Annotations", id)?.tags;
    let expected = [
        ("example.com/empty", ""),
        ("example.com/mixed-key", "mixed value"),
        ("example.com/multi", "two\nlines\n"),
    ];
    let found: Vec<_> =
        annotations.iter().map(|(k, v)| (k.as_str(), v.as_str().unwrap_or("?"))).collect();
    assert_eq!(found, expected);
    let labels = &entity(&entities, "Labels", id)?.tags;
    assert_eq!(labels.get("example"), Some(&"value".into()));
    ensure!(entity(&entities, "Labels", "component:default/no-spec").is_err());
    Ok(())
}

#[test]
fn owners_are_those_the_catalog_relates() -> Result<()> {
    for (kind, spec, expected) in [
        ("Component", "{owner: team-a}", vec!["group:shop/team-a"]),
        ("API", "{owner: 'group:default/Team-A'}", vec!["group:default/team-a"]),
        ("System", "{owner: user:alice}", vec!["user:shop/alice"]),
        ("Domain", "{owner: other/team-a}", vec!["group:other/team-a"]),
        (
            "Resource",
            "{owner: [team-a, user:default/bob]}",
            vec!["group:shop/team-a", "user:default/bob"],
        ),
        ("Template", "{owner: team-a}", vec!["group:shop/team-a"]),
        ("Component", "{owner: ''}", vec![]),
        ("Component", "{owner: }", vec![]),
        ("Component", "{}", vec![]),
        ("Component", "", vec![]),
        // Kinds whose owner the catalog does not read.
        ("Location", "{owner: team-a}", vec![]),
        ("Playlist", "{owner: team-a}", vec![]),
    ] {
        let text = format!(
            "apiVersion: v1\nkind: {kind}\nmetadata: {{name: a, namespace: shop}}\nspec: {spec}"
        );
        let entities: Vec<Entity> = read(&text)?.entities().collect();
        let id = format!("{}:shop/a", kind.to_lowercase());
        let found = entity(&entities, "CatalogEntity", &id)?;
        let owners = strings(found.attributes.get("owners"))?;
        assert_eq!(owners, expected.iter().map(ToString::to_string).collect(), "{kind} {spec}");
        let Some(Value::Set(groups)) = found.attributes.get("ownerGroups") else {
            anyhow::bail!("no owner groups");
        };
        let expected = expected.iter().filter(|owner| owner.starts_with("group:")).count();
        assert_eq!(groups.len(), expected, "{kind} {spec}");
    }
    Ok(())
}

#[test]
fn what_the_api_returns_brings_its_relations() -> Result<()> {
    let text = r#"[
        {"apiVersion": "v1", "kind": "Component", "metadata": {"name": "a"},
         "spec": {"owner": "someone-else"},
         "relations": [{"type": "ownedBy", "targetRef": "group:default/team-a"},
                       {"type": "partOf", "targetRef": "system:default/s"}]},
        {"apiVersion": "v1", "kind": "User", "metadata": {"name": "alice"}, "spec": {},
         "relations": [{"type": "memberOf", "targetRef": "group:default/Team-A"}]},
        {"apiVersion": "v1", "kind": "Group", "metadata": {"name": "team-a"}, "spec": {"parent": "x"},
         "relations": [{"type": "childOf", "targetRef": "group:default/all"}]}
    ]"#;
    let catalog = read(text)?;
    let entities: Vec<Entity> = catalog.entities().collect();
    let owners = entity(&entities, "CatalogEntity", "component:default/a")?;
    let owners = strings(owners.attributes.get("owners"))?;
    assert_eq!(owners, BTreeSet::from(["group:default/team-a".to_owned()]));
    let parents = &entity(&entities, "Group", "group:default/team-a")?.parents;
    assert_eq!(
        parents.iter().map(|p| p.id().unescaped()).collect::<Vec<_>>(),
        ["group:default/all"]
    );
    let alice = catalog.user(&"user:default/alice".parse()?).context("alice")?;
    let refs: Vec<String> = alice.ownership_entity_refs().iter().map(ToString::to_string).collect();
    assert_eq!(refs, ["group:default/team-a", "user:default/alice"]);
    Ok(())
}

#[test]
fn membership_is_read_from_both_sides() -> Result<()> {
    let text = "
{apiVersion: v1, kind: User, metadata: {name: alice}, spec: {memberOf: [Team-A]}}
---
{apiVersion: v1, kind: User, metadata: {name: bob, namespace: ext}, spec: {}}
---
{apiVersion: v1, kind: Group, metadata: {name: team-a}, spec: {members: ['ext/Bob', nobody], parent: dept}}
---
{apiVersion: v1, kind: Group, metadata: {name: all}, spec: {children: [dept]}}
";
    let catalog = read(text)?;
    for user in ["user:default/alice", "user:ext/bob"] {
        let user = catalog.user(&user.parse()?).context(user)?;
        let entities = Entities::from_entities(catalog.entities().chain([user.to_entity()]))?;
        let mut above: Vec<_> =
            entities.ancestors(&user.uid()).map(|g| g.id().unescaped().to_owned()).collect();
        above.sort_unstable();
        assert_eq!(above, ["group:default/all", "group:default/dept", "group:default/team-a"]);
    }
    assert_eq!(catalog.user(&"user:default/nobody".parse()?), None);
    assert_eq!(catalog.users().count(), 2);
    ensure!(catalog.resource(&"user:default/alice".parse()?).is_ok());
    let unknown = catalog.resource(&"user:default/nobody".parse()?).err().context("it is known")?;
    ensure!(unknown.to_string().starts_with("unknown entity `user:default/nobody`: denied"));
    Ok(())
}

fn first_problem(text: &str) -> Result<String> {
    let error = read(text).err().with_context(|| format!("this was read: {text}"))?;
    let problem = error.problems().first().context("a problem")?;
    Ok(format!("{}:{}:{}: {}", problem.document, problem.line, problem.column, problem.message))
}

#[test]
fn bad_files_are_refused_where_they_are_wrong() -> Result<()> {
    const OK: &str = "{apiVersion: v1, kind: Component, metadata: {name: a}}\n---\n";
    let mut differences = Vec::new();
    for (text, expected) in [
        // Not YAML, or more than the catalog reads.
        ("a: b: c", "1:1:5: mapping values"),
        ("a: [1, 2", "1:1:4: unclosed"),
        ("a: 1\na: 2", "1:2:1: key `a` is given twice"),
        ("a: &x [*x]", "1:1:8: an alias inside the value that it stands for"),
        ("a: *x", "1:1:4: "),
        ("x: &x {b: 1}\na:\n  <<: *x", "1:3:3: merge keys (`<<`) are not read"),
        ("? [a]\n: b", "1:1:5: a key must be a string"),
        ("a: !ruby/object b", "1:1:17: tag `!ruby/object` is not read"),
        ("a: !!binary aGk=", "1:1:13: tag `!!binary` is not read"),
        ("a: !!int x", "1:1:10: tag `!!int` is not read"),
        ("a: .inf", "1:1:4: `.inf` is not a number that JSON can hold"),
        ("a: 1e999", "1:1:4: `1e999` is not a number that JSON can hold"),
        // Not entities.
        ("just text", "1:1:1: an entity must be a mapping, not a string"),
        ("[1]", "1:1:2: an entity must be a mapping, not a number"),
        ("kind: Component\nmetadata: {name: a}", "1:1:1: `apiVersion` is missing"),
        (
            "apiVersion: 1\nkind: Component\nmetadata: {name: a}",
            "1:1:13: `apiVersion` must be a string, not a number",
        ),
        ("apiVersion: v1\nkind: Component", "1:1:1: `metadata` is missing"),
        ("apiVersion: v1\nkind: Component\nmetadata: a", "1:3:11: `name` is missing"),
        (
            "apiVersion: v1\nkind: Component\nmetadata: {name: 7}",
            "1:3:18: `name` must be a string, not a number",
        ),
        ("apiVersion: v1\nkind: ''\nmetadata: {name: a}", "1:2:7: `kind` is empty"),
        (
            "apiVersion: v1\nkind: component\nmetadata: {name: a}",
            "1:2:7: `component` is not a kind of the catalog",
        ),
        ("apiVersion: v1\nkind: My-Kind\nmetadata: {name: a}", "1:2:7: `My-Kind` is not one"),
        ("apiVersion: v1\nkind: Component\nmetadata: {name: a/b}", "1:3:18: `a/b` is not one"),
        ("apiVersion: v1\nkind: Component\nmetadata: {name: 'ünal'}", "1:3:18: `ünal` is not one"),
        (
            "apiVersion: v1\nkind: Component\nmetadata: {name: a, namespace: Shop}",
            "1:3:32: `Shop` is not one",
        ),
        ("apiVersion: v1\nkind: Component\nmetadata: {name: a, namespace: }", "1:3:"),
        (
            "apiVersion: v1\nkind: Component\nmetadata: {name: a}\nowner: b",
            "1:4:1: the catalog refuses entities with a field `owner`",
        ),
        (
            "apiVersion: v1\nkind: Component\nmetadata: {name: a, labels: [x]}",
            "1:3:29: `labels` must be a mapping, not a list",
        ),
        (
            "apiVersion: v1\nkind: Component\nmetadata: {name: a, annotations: {x: true}}",
            "1:3:38: `x` must be a string, not a boolean",
        ),
        (
            "apiVersion: v1\nkind: Component\nmetadata: {name: a}\nspec: {Foo: 1, foo: 2}",
            "1:1:1: `spec.foo` is given twice, in different case",
        ),
        (
            "apiVersion: v1\nkind: Component\nmetadata: {name: a}\nspec: {owner: 7}",
            "1:4:15: `spec.owner` must be a string, not a number",
        ),
        (
            "apiVersion: v1\nkind: Component\nmetadata: {name: a}\nspec: {owner: 'group:'}",
            "1:4:15: `spec.owner`: `group:` is not",
        ),
        // Later documents.
        (&format!("{OK}---\n{OK}"), "3:4:1: `component:default/a` is given twice"),
        (&format!("{OK}kind: Component\nmetadata: {{name: b}}"), "2:3:1: `apiVersion` is missing"),
    ] {
        let found = first_problem(text)?;
        if !found.starts_with(expected) {
            differences.push(format!("{text}\n  {found}\n  {expected}"));
        }
    }
    ensure!(differences.is_empty(), "{}", differences.join("\n"));
    Ok(())
}

#[test]
fn one_bad_relation_stops_only_itself() -> Result<()> {
    let group = |name: &str, spec: &str| {
        format!("{{apiVersion: v1, kind: Group, metadata: {{name: {name}}}, spec: {spec}}}\n---\n")
    };
    let component = |name: &str, relation: &str| {
        format!(
            "{{apiVersion: v1, kind: Component, metadata: {{name: {name}}}, relations: [{relation}]}}\n---\n"
        )
    };
    let text = [
        group("a", "{parent: b}"),
        group("b", "{parent: a, children: ['group:']}"),
        group("above", "{children: [a]}"),
        "{apiVersion: v1, kind: User, metadata: {name: u}, spec: {memberOf: [a, 'group:', 7]}}\n---\n"
            .to_owned(),
        component("one", "{type: ownedBy, targetRef: team-a}"),
        component("two", "{targetRef: 'group:default/a'}"),
        component("three", "{type: likes, targetRef: odd}, {type: ownedBy, targetRef: 'group:default/b'}"),
    ]
    .concat();
    let catalog = read(&text)?;
    let warnings: Vec<String> = catalog.warnings().iter().map(ToString::to_string).collect();
    for expected in [
        "`group:default/b`: `spec.children`: `group:` is not",
        "`user:default/u`: `spec.memberOf`: `group:` is not",
        "`user:default/u`: `spec.memberOf` must be a string, not a number",
        "`component:default/one`: relation `ownedBy`: `team-a` is not a full",
        "`component:default/two`: a relation needs `type`",
        "`component:default/three`: relation `likes`: `odd` is not a full",
        "groups `group:default/a`, `group:default/b` are above each other",
    ] {
        let times = warnings.iter().filter(|warning| warning.contains(expected)).count();
        ensure!(times == 1, "{expected}: {}", warnings.join("\n"));
    }
    ensure!(warnings.len() == 7, "{}", warnings.join("\n"));
    // Without the owner that they state, the first two would be other entities.
    let names: Vec<String> = catalog.references().map(ToString::to_string).collect();
    ensure!(names.join(" ").contains("component:default/three"), "{names:?}");
    ensure!(!names.join(" ").contains("component:default/one"), "{names:?}");
    ensure!(!names.join(" ").contains("component:default/two"), "{names:?}");
    let user = catalog.user(&"user:default/u".parse()?).context("no user")?;
    let entities = Entities::from_entities(catalog.entities())?.with([user.to_entity()])?;
    let groups: Vec<String> = entities.ancestors(&user.uid()).map(ToString::to_string).collect();
    for group in ["a", "b", "above"] {
        let uid = format!(r#"Backstage::Group::"group:default/{group}""#);
        ensure!(groups.contains(&uid), "{group}: {groups:?}");
    }
    ensure!(user.ownership_entity_refs().len() == 2, "{user:?}");
    Ok(())
}

#[test]
fn all_problems_are_told_at_once_and_nothing_is_loaded() -> Result<()> {
    let good = "{apiVersion: v1, kind: Component, metadata: {name: a}}";
    let bad = "{apiVersion: v1, kind: Component, metadata: {name: _}}\n---\n".repeat(150);
    let read = Catalog::from_files([("good.yaml", good), ("bad.yaml", &bad), ("worse.yaml", "[")]);
    let error = read.err().context("it was read")?;
    assert_eq!((error.problems().len(), error.unreported()), (100, 51));
    let text = error.to_string();
    ensure!(text.starts_with("files were not read: 151 problems\n  bad.yaml:1:"), "{text}");
    ensure!(text.ends_with("and 51 more"), "{text}");
    Ok(())
}

#[test]
fn hostile_files_are_refused_in_time() -> Result<()> {
    let mut laughs = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (this, next) in ('a'..='i').zip('b'..='j') {
        let repeated = format!("*{this}, ").repeat(9);
        writeln!(laughs, "{next}: &{next} [{repeated}]")?;
    }
    let key = "k".repeat(1_000);
    let values = "a, ".repeat(100_000);
    let paths = format!(
        "apiVersion: v1\nkind: Component\nmetadata: {{name: a}}\nspec: {{{key}: [{values}]}}"
    );
    let files = [
        ("paths", paths, "too many fields, or too long ones"),
        ("aliases", laughs, "more than 4000000 values"),
        ("brackets", "[".repeat(100_000), "1:"),
        ("braces", "{a: ".repeat(100_000), "1:"),
        (
            "indents",
            (0..2_000).fold(String::new(), |text, n| text + &" ".repeat(n) + "a:\n"),
            "nest deeper",
        ),
        ("dashes", "- ".repeat(100_000), "nest deeper"),
        ("keys", "? ".repeat(100_000), "nest deeper"),
        ("documents", "---\n".repeat(200_000), "more than 100000 documents"),
        ("size", "#".repeat((64 << 20) + 1), "more than the limit"),
        ("nul", "a: \0".to_owned(), "1:1:"),
        ("anchors", "&a ".repeat(10_000), "1:1:"),
        ("quote", format!("\"{}", "a\n".repeat(100_000)), "1:"),
    ];
    for (name, text, expected) in files {
        let start = Instant::now();
        let found = first_problem(&text).with_context(|| name)?;
        ensure!(found.contains(expected), "{name}: {found}");
        ensure!(start.elapsed() < Duration::from_secs(60), "{name}: {:?}", start.elapsed());
    }
    Ok(())
}

#[test]
fn a_large_catalog_is_read_from_one_line() -> Result<()> {
    let mut text = String::from("[");
    for n in 0..5_000 {
        let separator = if n == 0 { "" } else { "," };
        write!(
            text,
            r#"{separator}{{"apiVersion":"v1","kind":"Component","metadata":{{"name":"c{n}","description":"{}"}},"spec":{{"owner":"team-{}"}}}}"#,
            "text ".repeat(100),
            n % 50
        )?;
    }
    text.push(']');
    assert_eq!(read(&text)?.len(), 5_000);
    Ok(())
}
