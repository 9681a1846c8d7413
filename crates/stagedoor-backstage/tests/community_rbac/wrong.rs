//! Files that the plugin would not take, or not as they were meant.

use anyhow::{Context as _, Result, ensure};
use stagedoor_backstage::rbac::RbacFiles;
use stagedoor_backstage::{FileError, Permissions};

fn refused(csv: &str, yaml: Option<&str>) -> Result<FileError> {
    let yaml = yaml.map(|text| ("c.yaml", text));
    let read = RbacFiles::read(("p.csv", csv), yaml, &Permissions::known()?);
    read.err().with_context(|| format!("read: {csv}{yaml:?}"))
}

#[test]
fn lines_are_named() -> Result<()> {
    for (line, message) in [
        ("p, role:default/a, catalog-entity, read", "4 fields in place of 5"),
        ("g, user:default/a", "2 fields in place of 3"),
        ("x, user:default/a, role:default/a", "neither a `p` nor a `g` line"),
        ("p, role:default/a, catalog-entity, view, allow", "`view` is not an action"),
        ("p, role:default/a, catalog-entity, read, Allow", "`Allow` is not an effect"),
        ("p, role:default/a, , read, allow", "the permission is missing"),
        ("p, component:default/a, catalog-entity, read, allow", "is not the reference of"),
        ("p, a, catalog-entity, read, allow", "`a` is not the reference of"),
        ("p, role:default/-a, catalog-entity, read, allow", "is not the reference of"),
        ("p, role:Default/a, catalog-entity, read, allow", "is not the reference of"),
        ("p, user:default/Ann, catalog-entity, read, allow", "`user:default/Ann` is nobody"),
        ("g, role:default/a, role:default/b", "roles have no roles"),
        ("g, user:default/a, group:default/b", "`group:default/b` is not a role"),
        ("p, \"role:default/a\", catalog-entity, read, allow", "double quotes are not read"),
    ] {
        let error = refused(&format!("# first\n{line}\n"), None)?;
        let [problem] = error.problems() else { anyhow::bail!("{line}: {error}") };
        ensure!(problem.line == 2 && problem.message.contains(message), "{line}: {problem}");
    }
    Ok(())
}

#[test]
fn lines_that_the_plugin_drops_are_refused() -> Result<()> {
    let row = "p, role:default/a, catalog-entity, read, allow\n";
    let error = refused(&format!("{row}{row}"), None)?;
    ensure!(error.to_string().contains("p.csv:2:1: document 1: the same as line 1"), "{error}");
    let error = refused(&format!("{row}{}", row.replace("allow", "deny")), None)?;
    ensure!(error.to_string().contains("allows and denies what line 1 does not"), "{error}");
    let member = "g, user:default/Ann, role:default/a\n";
    let error = refused(&format!("{member}{}", member.to_lowercase()), None)?;
    ensure!(error.to_string().contains("the same as line 1"), "{error}");
    Ok(())
}

fn document(mapping: &str, conditions: &str) -> String {
    format!(
        "result: CONDITIONAL\nroleEntityRef: role:default/a\npluginId: catalog\n\
         resourceType: catalog-entity\npermissionMapping: {mapping}\nconditions: {conditions}\n"
    )
}

const KIND: &str = "{rule: IS_ENTITY_KIND, resourceType: catalog-entity, params: {kinds: [API]}}";

#[test]
fn conditions_are_checked_as_backstage_would() -> Result<()> {
    let nested = (0..13).fold(KIND.to_owned(), |inner, _| format!("{{not: {inner}}}"));
    let wide = format!("{{anyOf: [{}]}}", vec![KIND; 65].join(", "));
    let inner = format!("{{anyOf: [{}]}}", vec![KIND; 60].join(", "));
    let many = format!("{{allOf: [{}]}}", [inner.as_str(); 5].join(", "));
    for (conditions, message) in [
        ("{allOf: []}", "a list of 1 to 64 conditions"),
        (wide.as_str(), "a list of 1 to 64 conditions"),
        (nested.as_str(), "nest deeper than 12"),
        (many.as_str(), "more than 256 parts"),
        ("{rule: IS_NICE, resourceType: catalog-entity}", "`catalog-entity` has no rule `IS_NICE`"),
        ("{rule: IS_ENTITY_KIND, resourceType: catalog-entity}", "needs the parameter `kinds`"),
        (
            "{rule: IS_ENTITY_KIND, resourceType: catalog-entity, params: {kinds: API}}",
            "`kinds` of `IS_ENTITY_KIND` must be a list of texts",
        ),
        (
            "{rule: HAS_SPEC, resourceType: catalog-entity, params: {key: a, value: 1}}",
            "`value` of `HAS_SPEC` must be a text",
        ),
        (
            "{rule: HAS_SPEC, resourceType: catalog-entity, params: {key: a, valu: b}}",
            "`HAS_SPEC` has no parameter `valu`",
        ),
        ("{rule: HAS_SPEC, params: {key: a}}", "`resourceType` is missing"),
        ("text", "a mapping is expected"),
    ] {
        let error = refused("", Some(&document("[read]", conditions)))?;
        ensure!(error.to_string().contains(message), "{conditions}: {error}");
        ensure!(error.problems().iter().all(|p| p.file == "c.yaml" && p.line == 6), "{error}");
    }
    let beside = format!("{{not: {KIND}, allOf: [{KIND}]}}");
    let error = refused("", Some(&document("[read]", &beside)))?;
    ensure!(error.to_string().contains("allOf and not stand beside each other"), "{error}");
    let beside = format!("{{not: {KIND}, rule: IS_ENTITY_KIND}}");
    ensure!(refused("", Some(&document("[read]", &beside)))?.to_string().contains("`rule`"));
    Ok(())
}

#[test]
fn documents_are_checked() -> Result<()> {
    for (mapping, message) in [
        ("[]", "must have 1 to 25 items"),
        ("read", "must be a list"),
        ("[look]", "`look` is not an action"),
        ("[read, read]", "given twice"),
        ("[read, {name: catalog.entity.delete, action: delete}]", "cannot stand in one list"),
        ("[{name: catalog.entity.delete}]", "`action` is missing"),
    ] {
        let error = refused("", Some(&document(mapping, KIND)))?;
        ensure!(error.to_string().contains(message), "{mapping}: {error}");
    }
    let two = [document("[read]", KIND), document("[read, delete]", KIND)].join("---\n");
    let error = refused("", Some(&two))?;
    ensure!(error.to_string().contains("overlaps with the document at line 1"), "{error}");
    let creates = document("[create]", KIND).replace("catalog-entity\np", "policy-entity\np");
    ensure!(refused("", Some(&creates))?.to_string().contains("no conditions for creating"));
    for (from, to, message) in [
        ("CONDITIONAL", "ALLOW", "`result` must be `CONDITIONAL`"),
        ("pluginId", "plugin", "unknown field `plugin`"),
        ("conditions", "id", "`conditions` is missing"),
        ("result: CONDITIONAL", "result: [", "c.yaml:"),
    ] {
        let text = document("[read]", KIND).replace(from, to);
        ensure!(refused("", Some(&text))?.to_string().contains(message), "{text}");
    }
    let large = format!("{}#{}", document("[read]", KIND), "x".repeat(1 << 20));
    ensure!(refused("", Some(&large))?.to_string().contains("more than the limit"));
    let documents = vec![document("[read]", KIND); 257].join("---\n");
    ensure!(refused("", Some(&documents))?.to_string().contains("more than 256 documents"));
    Ok(())
}
