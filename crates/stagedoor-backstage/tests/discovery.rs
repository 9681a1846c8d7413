//! What plugins tell of themselves becomes a permission file, rule by rule, and what cannot is told.

use anyhow::{Context as _, Result, ensure};
use stagedoor_backstage::{Permissions, PluginMetadata};

/// The JSON schema of a rule's parameters, and what of the rule is written beside its name and type;
/// none where no tag can fill the parameters.
const RULES: [(&str, Option<&str>); 13] = [
    ("{}", Some(r#""tag":"color""#)),
    ("null", Some(r#""tag":"color""#)),
    (r#"{"type":"object","properties":{}}"#, Some(r#""tag":"color""#)),
    (r#"{"properties":{"v":{"type":"string"}}}"#, Some(r#""tag":"color","value":"v""#)),
    (
        r#"{"properties":{"list":{"type":"array","items":{"type":"string"}}}}"#,
        Some(r#""tag":"color","values":"list""#),
    ),
    (
        r#"{"properties":{"a":{"type":"string"},"b":{"type":"string"}}}"#,
        Some(r#""tag":"color:*","key":"a","value":"b""#),
    ),
    (
        r#"{"properties":{"value":{"type":"string"},"z":{"type":"string"}}}"#,
        Some(r#""tag":"color:*","key":"z","value":"value""#),
    ),
    (
        r#"{"properties":{"k":{"type":"string"},"list":{"type":"array","items":{"type":"string"}}}}"#,
        Some(r#""tag":"color:*","key":"k","values":"list""#),
    ),
    (r#"{"properties":{"n":{"type":"number"}}}"#, None),
    (r#"{"properties":{"n":{}}}"#, None),
    (r#"{"properties":{"list":{"type":"array","items":{"type":"number"}}}}"#, None),
    (r#"{"properties":["v"]}"#, None),
    (r#"{"properties":{"a":{"type":"string"},"b":{"type":"string"},"c":{"type":"string"}}}"#, None),
];

fn plugin(rules: &str, permissions: &str) -> Result<PluginMetadata> {
    let json = format!(r#"{{"permissions":[{permissions}],"rules":[{rules}]}}"#);
    PluginMetadata::from_json("palette", &json).context(json)
}

fn rule(name: &str, params: &str) -> String {
    format!(r#"{{"name":"{name}","resourceType":"palette","paramsSchema":{params}}}"#)
}

#[test]
fn parameters_of_rules_become_a_tag() -> Result<()> {
    for (params, expected) in RULES {
        let found = Permissions::known()?.discover(&[plugin(&rule("HAS_COLOR", params), "")?])?;
        let Some(expected) = expected else {
            ensure!(found.rules == 0 && found.file.ends_with("[]\n"), "{params}: {}", found.file);
            let told = "rule `HAS_COLOR` of `palette` is left out: no tag can fill its parameters";
            ensure!(found.remarks == [told], "{params}: {:?}", found.remarks);
            continue;
        };
        let line = format!(r#"    - {{"rule":"HAS_COLOR","resourceType":"palette",{expected}}}"#);
        ensure!(found.file.lines().any(|own| own == line), "{params}: no\n{line}\n{}", found.file);
        ensure!(found.rules == 1 && found.remarks.is_empty(), "{params}: {found:?}");
    }
    Ok(())
}

#[test]
fn tags_are_named_after_rules_and_each_differs() -> Result<()> {
    let names = ["IS_OWNER_OF", "HAS_OWNER_OF", "OWNER_OF", "HAS", "VISIBLE"];
    let rules: Vec<String> = names.iter().map(|name| rule(name, "{}")).collect();
    let found = Permissions::known()?.discover(&[plugin(&rules.join(","), "")?])?;
    for tag in ["owner-of", "owner-of-2", "owner-of-3", "has", "visible"] {
        let count = found.file.matches(&format!(r#""tag":"{tag}""#)).count();
        ensure!(count == 1, "`{tag}` is there {count} times:\n{}", found.file);
    }
    Ok(())
}

#[test]
fn what_is_known_is_left_out_and_what_differs_is_told() -> Result<()> {
    let known = r#"{"name":"catalog.entity.read","attributes":{"action":"read"},"resourceType":"catalog-entity"}"#;
    let new = r#"{"name":"palette.read","attributes":{"action":"read"},"resourceType":"palette"}"#;
    let plain = r#"{"name":"palette.mix"}"#;
    let other_action = known.replace(r#":"read"}"#, r#":"delete"}"#);
    let other_type = known.replace("catalog-entity", "palette");
    for (permissions, count, remarks) in
        [(vec![known, new, plain], 2, 0), (vec![&other_action], 0, 1), (vec![&other_type], 0, 1)]
    {
        let found = Permissions::known()?.discover(&[plugin("", &permissions.join(","))?])?;
        ensure!(found.permissions == count, "{permissions:?}: {found:?}");
        ensure!(found.remarks.len() == remarks, "{permissions:?}: {found:?}");
        let says_known = found.remarks.iter().all(|r| r.contains("is known with other attributes"));
        ensure!(says_known, "{:?}", found.remarks);
        ensure!(!found.file.contains("catalog.entity.read"), "{}", found.file);
        let written = found.file.contains(r#"{"name":"palette.mix"}"#);
        ensure!(written == (count == 2), "{}", found.file);
    }
    Ok(())
}

#[test]
fn a_plugin_that_cannot_be_taken_is_left_out_alone() -> Result<()> {
    let new = r#"{"name":"palette.read","attributes":{"action":"read"},"resourceType":"palette"}"#;
    let odd = r#"{"name":"palette.odd","attributes":{"action":"bend"}}"#;
    let plugins = [
        PluginMetadata::from_answer("gone", "<html>"),
        PluginMetadata::from_json("odd", &format!(r#"{{"permissions":[{odd}]}}"#))?,
        plugin("", new)?,
    ];
    let (permissions, remarks) = Permissions::known()?.with_plugins(&plugins);
    ensure!(permissions.get("palette.read").is_ok(), "{remarks:?}");
    ensure!(permissions.get("palette.odd").is_err(), "{remarks:?}");
    let [gone, odd] = remarks.as_slice() else { anyhow::bail!("{remarks:?}") };
    ensure!(gone.starts_with("plugin `gone` answered with no permission metadata: "), "{gone}");
    ensure!(odd.starts_with("plugin `odd` is left out: "), "{odd}");
    let (same, remarks) = permissions.with_plugins(&[plugin("", new)?]);
    ensure!(remarks.is_empty() && same.get("palette.read").is_ok(), "{remarks:?}");
    Ok(())
}
