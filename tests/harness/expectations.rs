//! What cases may expect: conditional decisions of Backstage, admission of Kubernetes.

use anyhow::{Result, ensure};

use crate::place::{Place, run};

const POLICIES: &str = r#"@id("own")
permit (principal is Backstage::User, action == Backstage::Action::"catalog.entity.delete",
  resource is Backstage::CatalogEntity)
when { resource.owners.containsAny(principal.claims) && resource.kind == "component" };
@id("all-read")
permit (principal is Backstage::User, action == Backstage::Action::"catalog.entity.read",
  resource is Backstage::CatalogEntity);
"#;

const FIXTURES: &str = r#"
fixtures:
  catalogEntities:
    - { apiVersion: backstage.io/v1alpha1, kind: Component, metadata: { name: a },
        spec: { type: service, lifecycle: production, owner: user:default/ana } }
    - { apiVersion: backstage.io/v1alpha1, kind: API, metadata: { name: a },
        spec: { type: openapi, lifecycle: production, owner: user:default/ana, definition: x } }
  users: { ana: { user: user:default/ana, groups: [] } }
"#;

fn failures(case: &str) -> Result<String> {
    let tests = format!("{FIXTURES}cases:\n  - name: c\n    user: ana\n{case}");
    let place = Place::with(&[("a.cedar", POLICIES), ("a.test.yaml", &tests)])?;
    Ok(match place.suite() {
        Ok(suite) => run(&suite).1,
        Err(error) => error.to_string(),
    })
}

#[test]
fn a_conditional_decision_is_held_to_entities_and_criteria() -> Result<()> {
    let delete = "    permission: catalog.entity.delete\n    expect:\n";
    for (case, told) in [
        (format!("{delete}      selects: [component:default/a]\n"), "1 passed, 0 failed"),
        (format!("{delete}      decision: conditional\n"), "1 passed, 0 failed"),
        (
            format!(
                "{delete}      criteria: {{ allOf: [{{ rule: IS_ENTITY_KIND, resourceType: \
                 catalog-entity, params: {{ kinds: [component] }} }}, {{ rule: IS_ENTITY_OWNER, \
                 resourceType: catalog-entity, params: {{ claims: [user:default/ana] }} }}] }}\n"
            ),
            "1 passed, 0 failed",
        ),
        (format!("{delete}      criteria: {{ anyOf: [] }}\n"), "expected the criteria"),
        (format!("{delete}      selects: []\n"), "not to be selected: `component:default/a`"),
        (
            format!("{delete}      selects: [component:default/a, api:default/a]\n"),
            "expected to be selected: `api:default/a`",
        ),
        (
            format!("{delete}      decision: allow\n      selects: [component:default/a]\n"),
            "expected allow",
        ),
        (format!("{delete}      selects: [component:default/none]\n"), "unknown entity"),
        (
            format!("{delete}      selects: [Component:default/a]\n"),
            "write `Component:default/a` as",
        ),
        (format!("{delete}      reasons: [own]\n"), "`decision` is missing"),
        (
            "    permission: catalog.location.create\n    expect: { selects: [] }\n".to_owned(),
            "for a permission on resources",
        ),
        (
            "    permission: catalog.entity.read\n    expect: { decision: allow, selects: \
             [api:default/a, component:default/a] }\n"
                .to_owned(),
            "1 passed, 0 failed",
        ),
    ] {
        let said = failures(&case)?;
        ensure!(said.contains(told), "{case}: `{told}` is not in {said}");
    }
    Ok(())
}

const ADMISSION: &str = r#"@id("all")
permit (principal, action in k8s::admission::Action::"all", resource);
@id("no-host")
forbid (principal, action, resource is k8s::admission::Resource)
when { resource has object && resource.object.hasTag("/spec/hostNetwork") };
"#;

#[test]
fn objects_are_admitted_or_not() -> Result<()> {
    let pod = "apiVersion: v1\nkind: Pod\nspec: { hostNetwork: true }\n";
    for (case, told) in [
        ("operation: create, object: host, expect: deny", "1 passed"),
        ("operation: create, object: from-file, expect: deny", "1 passed"),
        ("operation: create, object: { kind: Pod, spec: {} }, expect: allow", "1 passed"),
        ("operation: create, object: nothing, expect: deny", "no object `nothing`"),
        ("operation: remove, object: host, expect: deny", "`REMOVE` is none of admission's"),
        ("operation: create, path: /x, object: host, expect: deny", "`path` cannot stand"),
        ("operation: create, verb: get, expect: deny", "a case has one of"),
        ("verb: get, object: host, expect: deny", "`object` cannot stand"),
    ] {
        let tests = format!(
            "fixtures:\n  objects:\n    host: {{ apiVersion: v1, kind: Pod, spec: {{ hostNetwork: \
             true }} }}\n    from-file: pod.yaml\ncases:\n  - {{ name: c, user: ana, groups: [], \
             resource: pods, namespace: x, {case} }}\n"
        );
        let place =
            Place::with(&[("a.cedar", ADMISSION), ("pod.yaml", pod), ("a.test.yaml", &tests)])?;
        let said = match place.suite() {
            Ok(suite) => run(&suite).1,
            Err(error) => error.to_string(),
        };
        ensure!(said.contains(told), "{case}: `{told}` is not in {said}");
    }
    Ok(())
}
