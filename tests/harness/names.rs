//! Names that nobody has, exceptions that exclude nothing, and where failures are told.

use anyhow::{Result, ensure};
use stagedoor_testing::format;

use crate::place::{Place, run};

const SCHEMA: &str = "entity Team; entity User in [Team]; entity Doc;
    action read appliesTo { principal: User, resource: Doc };";
const POLICIES: &str = r#"@id("red") permit (principal in Team::"red", action == Action::"read",
    resource == Doc::"plan");"#;
const FIXTURES: &str = "fixtures:
  strangers: ['User::\"mallory\"']
  entities:
    - { uid: { type: User, id: ana }, attrs: {}, parents: [{ type: Team, id: red }] }
    - { uid: { type: Doc, id: memo }, attrs: {}, parents: [] }
";

/// Returns what is told of a Cedar test file, with the fixtures above.
fn told(tests: &str) -> Result<String> {
    let tests = format!("{FIXTURES}{tests}");
    let place = Place::with(&[
        ("a.cedarschema", SCHEMA),
        ("a.cedar", POLICIES),
        ("a.test.yaml", tests.as_str()),
    ])?;
    Ok(match place.suite() {
        Ok(suite) => run(&suite).1,
        Err(error) => error.to_string(),
    })
}

fn case(principal: &str, resource: &str) -> String {
    format!(
        "cases:\n- {{ name: c, principal: 'User::\"{principal}\"', action: 'Action::\"read\"', \
         resource: 'Doc::\"{resource}\"', expect: deny }}\n"
    )
}

#[test]
fn a_misspelt_entity_is_no_denial() -> Result<()> {
    for (principal, resource, expected) in [
        ("ana", "memo", "1 passed"),
        ("anna", "memo", "no fixture is `User::\"anna\"`: did you mean `User::\"ana\"`?"),
        ("ana", "mem", "did you mean `Doc::\"memo\"`?"),
        ("zacharias", "memo", "list it under `fixtures: strangers`"),
        ("mallory", "memo", "1 passed"),
    ] {
        let told = told(&case(principal, resource))?;
        ensure!(told.contains(expected), "{principal} {resource}: {told}");
    }
    // A policy names it: nobody has to give it attributes.
    let told = told(&case("ana", "plan"))?;
    ensure!(told.contains("expected deny, but the decision is allow"), "{told}");
    Ok(())
}

const CATALOG: &str = "fixtures:
  catalogEntities:
    - { apiVersion: backstage.io/v1alpha1, kind: Group, metadata: { name: engineering },
        spec: { type: team, children: [] } }
    - { apiVersion: backstage.io/v1alpha1, kind: User, metadata: { name: ana },
        spec: { memberOf: [engineering] } }
    - { apiVersion: backstage.io/v1alpha1, kind: Component, metadata: { name: ledger },
        spec: { type: service, lifecycle: production, owner: engineering } }
cases:
";
const READS: &str = r#"@id("all") permit (principal in Backstage::Group::"group:default/staff",
    action == Backstage::Action::"catalog.entity.read", resource is Backstage::CatalogEntity);"#;

#[test]
fn a_misspelt_user_or_group_is_no_denial() -> Result<()> {
    for (who, expected) in [
        ("user: user:default/ana", "1 passed"),
        ("user: user:default/anna", "the catalog has no `user:default/anna`: did you mean"),
        ("user: user:default/ana, groups: [group:default/enginering]", "did you mean"),
        ("user: user:default/ana, groups: [group:default/other]", "strangers"),
        // Whoever comes with groups need not be in the catalog; a policy names the group.
        ("user: user:default/visitor, groups: [group:default/engineering]", "1 passed"),
    ] {
        let tests = format!(
            "{CATALOG}- {{ name: c, {who}, permission: catalog.entity.read, \
             entity: component:default/ledger, expect: deny }}\n"
        );
        let place = Place::with(&[("a.cedar", READS), ("a.test.yaml", &tests)])?;
        let told = match place.suite() {
            Ok(suite) => run(&suite).1,
            Err(error) => error.to_string(),
        };
        ensure!(told.contains(expected), "{who}: {told}");
    }
    Ok(())
}

const PODS: &str = r#"@id("pods") permit (principal in k8s::Group::"devs",
    action == k8s::Action::"get", resource is k8s::Resource)
    when { resource.apiGroup == "" && resource.resource == "pods" };"#;

#[test]
fn what_kubernetes_cannot_be_asked_is_no_denial() -> Result<()> {
    for (asked, expected) in [
        ("verb: get, resource: configmaps", "1 passed"),
        ("verb: GET, resource: pods", "verbs are in lower case"),
        ("verb: get, resource: pod", "write `pods`"),
        ("verb: get, resource: pods/log", "`subresource: log`"),
        ("verb: get, resource: pods, subresource: logs", "has no `pods/logs`"),
        ("verb: get, apiGroup: apps/v1, resource: deployments", "write `apps`"),
        ("verb: get, apiGroup: core, resource: pods", "the core group is"),
        ("verb: get, apiGroup: example.com, resource: widgets", "1 passed"),
        ("verb: get, path: metrics", "paths begin with `/`"),
    ] {
        let tests = format!(
            "cases:\n- {{ name: c, user: vera, groups: [others], {asked}, expect: deny }}\n"
        );
        let place = Place::with(&[("a.cedar", PODS), ("a.test.yaml", &tests)])?;
        let told = match place.suite() {
            Ok(suite) => run(&suite).1,
            Err(error) => error.to_string(),
        };
        ensure!(told.contains(expected), "{asked}: {told}");
    }
    Ok(())
}

#[test]
fn an_exception_that_excludes_nothing_is_told() -> Result<()> {
    let invariant = |except: &str| {
        format!(
            "invariants:\n- name: i\n  never: allow\n  over: {{ principal: 'User::\"ana\"', \
             action: 'Action::\"read\"', resource: ['Doc::\"memo\"', 'Doc::\"plan\"'] }}\n  \
             except: [{except}]\n"
        )
    };
    for (except, expected) in [
        ("{ resource: 'Doc::\"plan\"' }", "1 passed"),
        ("{ resource: 'Doc::\"plam\"' }", "did you mean `Doc::\"plan\"`?"),
        ("{ ressource: 'Doc::\"plan\"' }", "did you mean `resource`?"),
        ("{ user: ana }", "`over` has no key `user`"),
        ("{}", "is empty"),
    ] {
        let told = told(&invariant(except))?;
        ensure!(told.contains(expected), "{except}: {told}");
    }
    Ok(())
}

#[test]
fn a_cell_fails_at_its_line() -> Result<()> {
    let table = "tables:
- name: t
  columns: principal
  with: { action: 'Action::\"read\"' }
  grid: |
    | resource     | User::\"ana\" |
    |--------------|-------------|
    | Doc::\"memo\"  | deny        |
    | Doc::\"plan\"  | deny        |
";
    let tests = format!("{FIXTURES}{table}");
    let place = Place::with(&[
        ("a.cedarschema", SCHEMA),
        ("a.cedar", POLICIES),
        ("a.test.yaml", tests.as_str()),
    ])?;
    let (report, _) = run(&place.suite()?);
    let line =
        tests.lines().position(|line| line.contains("Doc::\"plan\"")).unwrap_or_default() + 1;
    let github = format::github(&report, &[]);
    ensure!(github.contains(&format!(",line={line},")), "{line}: {github}");
    ensure!(format::junit(&report, &[]).is_ok_and(|xml| xml.contains(&format!("line=\"{line}\""))));
    Ok(())
}

#[test]
fn what_does_not_load_is_in_the_reports() -> Result<()> {
    let tests = "cases:\n- { name: c, principal: x, expekt: deny }\n";
    let place =
        Place::with(&[("a.cedarschema", SCHEMA), ("a.cedar", POLICIES), ("a.test.yaml", tests)])?;
    let Some(error) = place.suite().err() else { anyhow::bail!("it loads") };
    let github = format::github_problems(&error);
    ensure!(github.starts_with("::error file=") && github.contains("line=2"), "{github}");
    let told = "did you mean `expect`?";
    ensure!(github.contains(told), "{github}");
    ensure!(format::junit_problems(&error).is_ok_and(|xml| xml.contains("<error")), "{error}");
    Ok(())
}
