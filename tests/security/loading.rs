//! What loading must not lose, overwrite or take in part.

use anyhow::{Context as _, Result, ensure};
use stagedoor_core::{Engine, EngineHolder, Entities, Entity, LoadError, Request, TemplateLink};
use stagedoor_source::FromFiles as _;

use super::{SCHEMA, codes, decided, doc, exact, request, strict, uid, user};

/// Class 10: cedar#357, cedar#358. Nothing that is given twice is overwritten.
#[test]
fn nothing_is_given_twice() -> Result<()> {
    let permit = "permit(principal, action, resource);";
    let json = "{\"effect\": \"permit\", \"principal\": {\"op\": \"All\"}, \
         \"action\": {\"op\": \"All\"}, \"resource\": {\"op\": \"All\"}, \"conditions\": []}";
    let template = json.replacen("\"All\"", "\"==\", \"slot\": \"?principal\"", 1);
    let link = "{\"templateId\": \"t\", \"newId\": \"l\", \
         \"values\": {\"?principal\": {\"type\": \"User\", \"id\": \"a\"}}}";
    let set = |statics: &str, links: &str| {
        format!(
            "{{\"templates\": {{\"t\": {template}}}, \"staticPolicies\": {{{statics}}}, \
              \"templateLinks\": [{links}]}}"
        )
    };
    let from_json = |text: String| Engine::builder().policies_json("p.json", text).exact_cedar();
    from_json(set(&format!("\"a\": {json}"), link)).build()?;
    for twice in [
        set(&format!("\"a\": {json}, \"a\": {json}"), ""),
        set(&format!("\"t\": {json}"), ""),
        set(&format!("\"l\": {json}"), link),
        set("", &format!("{link}, {link}")),
        set("", &link.replace("{\"?principal\"", "{\"?principal\": {\"type\": \"User\", \"id\": \"b\"}, \"?principal\"")),
        set("", &link.replace("\"newId\"", "\"newId\": \"k\", \"newId\"")),
        set(&format!("\"a\": {}", json.replace("{\"effect\"", "{\"effect\": \"forbid\", \"effect\"")), ""),
        set(&format!("\"a\": {}", json.replace("\"conditions\"", "\"conditions\": [{\"kind\": \"when\", \"body\": {\"Value\": false}}], \"conditions\"")), ""),
        set(&format!("\"a\": {}", json.replace("[]", "[{\"kind\": \"when\", \"body\": {\"Value\": false, \"Value\": true}}]")), ""),
        "{\"staticPolicies\": {}, \"staticPolicies\": {}}".to_owned(),
    ] {
        ensure!(from_json(twice.clone()).build().is_err(), "{twice}");
    }

    let ids = [
        format!("@id(\"a\") {permit} @id(\"a\") {permit}"),
        format!("@id(\"policy1\") {permit} {permit}"),
        format!("@id(\"a\") @id(\"b\") {permit}"),
    ];
    for text in ids {
        ensure!(strict(&text).build().is_err(), "{text}");
    }
    let two_files =
        strict(&format!("@id(\"a\") {permit}")).policies("q.cedar", format!("@id(\"a\") {permit}"));
    ensure!(codes(two_files.build())? == ["policy::duplicate-id"]);
    let of_template = TemplateLink {
        template: "t".into(),
        id: "a".into(),
        principal: Some(uid("User::\"a\"")?),
        resource: None,
    };
    let taken = strict(&format!(
        "@id(\"a\") {permit} @id(\"t\") permit(principal == ?principal, action, resource);"
    ));
    ensure!(codes(taken.link(of_template).build())? == ["policy::duplicate-id"]);
    ensure!(strict(permit).schema("again.cedarschema", SCHEMA).build().is_err(), "schema twice");

    let requests = [
        "{\"principal\": P, \"principal\": P, \"action\": A, \"resource\": R}",
        "{\"principal\": P, \"action\": A, \"resource\": R, \"context\": {}, \"context\": {}}",
        "{\"principal\": P, \"action\": A, \"resource\": R, \"context\": {\"a\": 1, \"a\": 2}}",
        "{\"principal\": P, \"action\": A, \"resource\": R, \"context\": {\"r\": {\"a\": 1, \"\\u0061\": 2}}}",
        "{\"principal\": P, \"action\": A, \"resource\": R, \"contxt\": {}}",
    ];
    for json in requests {
        let json = json
            .replace('P', "\"U::\\\"u\\\"\"")
            .replace('A', "\"A::\\\"a\\\"\"")
            .replace('R', "\"R::\\\"r\\\"\"");
        ensure!(Request::from_json_str(&json, None).is_err(), "{json}");
    }
    let entity =
        "{\"uid\": {\"type\": \"U\", \"id\": \"u\"}, \"attrs\": {\"a\": 1}, \"parents\": []}";
    let other = entity.replace(": 1}", ": 2}");
    Entities::from_json_str(&format!("[{entity}]"), None)?;
    for twice in [
        format!("[{entity}, {other}]"),
        format!("[{}]", entity.replace("\"a\": 1", "\"a\": 1, \"a\": 2")),
        format!("[{}]", entity.replace("\"parents\"", "\"attrs\": {}, \"parents\"")),
        format!("[{}]", entity.replace("\"id\": \"u\"", "\"id\": \"u\", \"id\": \"v\"")),
    ] {
        ensure!(Entities::from_json_str(&twice, None).is_err(), "{twice}");
    }
    let alice = Entity::new(uid("User::\"a\"")?);
    ensure!(Entities::from_entities([alice.clone(), alice.clone()]).is_err());
    ensure!(Entities::from_entities([alice.clone()])?.with([alice]).is_err());
    Ok(())
}

/// Classes 5 and 6: what identifies something is never joined from parts.
#[test]
fn revisions_do_not_run_together() -> Result<()> {
    let permit = "permit(principal, action, resource);";
    let named = |id: &str| format!("@id(\"{id}\") {permit}");
    let texts = [
        vec![],
        vec![permit.to_owned()],
        vec![format!("{permit}{permit}")],
        vec![permit.replace(", ", ",")],
        vec![named("a"), named("b")],
        vec![named("ab")],
        vec![named("a"), named("")],
        vec![named("a"), named("b").replace("permit", "forbid")],
        vec![named("b"), named("a").replace("permit", "forbid")],
        vec![named("a").replace(';', " when { true };"), named("b")],
    ];
    let mut seen = std::collections::BTreeSet::new();
    for parts in texts {
        let revision = |parts: &[String], schema: Option<&str>| {
            let builder = match schema {
                Some(schema) => Engine::builder().schema("s", schema),
                None => Engine::builder().exact_cedar(),
            };
            let builder =
                parts.iter().fold(builder, |b, part| b.policies("p.cedar", part.as_str()));
            Ok::<_, LoadError>(builder.build()?.revision().to_owned())
        };
        let strict = revision(&parts, Some(SCHEMA))?;
        ensure!(seen.insert(strict.clone()), "{parts:?}");
        ensure!(seen.insert(revision(&parts, Some(&format!("{SCHEMA} ")))?), "{parts:?}, schema");
        ensure!(seen.insert(revision(&parts, None)?), "{parts:?}, exact");
        // The policies make it, not the files that they stand in.
        let joined = [format!("// all\n{}", parts.join("\n\n"))];
        ensure!(revision(&joined, Some(SCHEMA))? == strict, "{parts:?} in one file");
        if parts.iter().all(|part| part.contains("@id")) {
            let turned: Vec<String> = parts.iter().rev().cloned().collect();
            ensure!(revision(&turned, Some(SCHEMA))? == strict, "{parts:?} in another order");
        }
    }
    Ok(())
}

/// Class 14: unitycatalog#1766, casdoor#5048. A reload counts at once, or not at all.
#[test]
fn a_reload_that_fails_changes_nothing_and_one_that_succeeds_all() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text);
    write("s.cedarschema", SCHEMA)?;
    write("a.cedar", "@id(\"all\") permit(principal, action, resource);")?;
    let load = || Engine::builder().directory(folder.path());
    let holder = EngineHolder::new(load().build()?);
    let first = holder.current();
    let entities = Entities::from_entities([user(1)?, doc()?])?;
    ensure!(decided(&first, &request()?, &entities)?.0);

    // The revocation comes in a file beside one that does not parse.
    write("b.cedar", "@id(\"no\") forbid(principal, action, resource);")?;
    write("c.cedar", "permit(principal, action")?;
    let error = holder.reload(load()).err().context("it loaded")?;
    ensure!(error.problems().iter().any(|p| p.file().is_some_and(|f| f.ends_with("c.cedar"))));
    ensure!(holder.current().revision() == first.revision());

    std::fs::remove_file(folder.path().join("c.cedar"))?;
    holder.reload(load())?;
    ensure!(!decided(&holder.current(), &request()?, &entities)?.0);
    // Who holds the old engine goes on with it.
    ensure!(decided(&first, &request()?, &entities)?.0);

    std::fs::remove_dir_all(folder.path())?;
    ensure!(holder.reload(load()).is_err(), "an empty place replaced the policies");
    ensure!(!decided(&holder.current(), &request()?, &entities)?.0);
    Ok(())
}

/// Nothing is loaded in part, and everything wrong is told at once, with its place.
#[test]
fn all_problems_are_told_and_nothing_is_loaded() -> Result<()> {
    let text = "permit(principal, action, resource);
permit(principal, action, resource) when { resource.nothing };
permit(principal, action, resource
);;
forbid(principal, action, resource) when { 1 + };
permit(principal == ?principal, action, resource) when { resource.kind == 1 };
permit(principal, action == Action::\"fly\", resource);";
    let error = strict(text).build().err().context("it loaded")?;
    let lines: std::collections::BTreeSet<_> =
        error.problems().iter().filter_map(|p| p.line()).collect();
    ensure!(lines.is_superset(&[2, 4, 5, 6, 7].into()), "{lines:?}: {error}");
    for problem in error.problems() {
        ensure!(problem.file() == Some("p.cedar") && problem.column().is_some(), "{problem:?}");
        ensure!(problem.help().is_some_and(|help| !help.is_empty()), "no help: {problem:?}");
    }
    Ok(())
}

/// A comment hides exactly what it hides from Cedar.
#[test]
fn a_forbid_after_an_odd_line_end_is_not_lost() -> Result<()> {
    for end in ["\n", "\r", "\r\n"] {
        let text = format!("// comment{end}forbid(principal, action, resource);");
        ensure!(exact(&text).build()?.policies().len() == 1, "{end:?}");
    }
    // No line end to Cedar, either: these stay comments.
    for end in ["\u{2028}", "\u{85}", "\u{b}", " "] {
        let text = format!("// comment{end}forbid(principal, action, resource);");
        ensure!(exact(&text).build()?.policies().len() == 0, "{end:?}");
    }
    Ok(())
}

/// A directory that is not read could hold a forbid.
#[cfg(unix)]
#[test]
fn a_link_to_a_directory_is_refused_and_one_to_a_file_is_read() -> Result<()> {
    use std::os::unix::fs::symlink;

    let (folder, other) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let permit = "@id(\"all\") permit(principal, action, resource);";
    std::fs::write(folder.path().join("a.cedar"), permit)?;
    std::fs::write(other.path().join("b.cedar"), permit.replace("permit", "forbid"))?;
    let load = || Engine::builder().directory(folder.path()).exact_cedar().build();

    symlink(other.path(), folder.path().join("more"))?;
    ensure!(codes(load())? == ["directory::link"]);
    // As in Kubernetes' volumes, where the hidden link is what changes.
    std::fs::remove_file(folder.path().join("more"))?;
    // Packages of Node link to each other, and are no policies.
    std::fs::create_dir(folder.path().join("node_modules"))?;
    symlink(other.path(), folder.path().join("node_modules/package"))?;
    ensure!(load()?.policies().len() == 1);
    symlink(other.path(), folder.path().join("..data"))?;
    symlink("..data/b.cedar", folder.path().join("b.cedar"))?;
    ensure!(load()?.policies().len() == 2);
    std::fs::remove_file(other.path().join("b.cedar"))?;
    ensure!(codes(load())? == ["file::read"]);
    Ok(())
}

/// In Cedar's JSON form a link names its template's key, which `@id` does not replace.
#[test]
fn a_json_link_names_the_key_of_its_template() -> Result<()> {
    let text = r#"{
        "templates": {"key": {
            "effect": "permit", "annotations": {"id": "named"},
            "principal": {"op": "==", "slot": "?principal"}, "action": {"op": "All"},
            "resource": {"op": "All"}, "conditions": []
        }},
        "templateLinks": [
            {"templateId": "TEMPLATE", "newId": "link",
             "values": {"?principal": {"type": "User", "id": "a"}}}
        ]
    }"#;
    for (template, loads) in [("key", true), ("named", true), ("other", false)] {
        let text = text.replace("TEMPLATE", template);
        let engine =
            Engine::builder().schema("s.cedarschema", SCHEMA).policies_json("p.json", text).build();
        ensure!(engine.is_ok() == loads, "{template}: {:?}", engine.err());
    }
    Ok(())
}
