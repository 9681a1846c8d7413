//! The corpus of what programs read and write, through the command: byte for byte what the
//! library answers.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use stagedoor_tests::wire::{POLICIES, REVISION, SCHEMA, WireCase, WireSuite, write_rules};

use crate::run::{Run, repository, stagedoor};

#[test]
fn the_command_answers_as_all_faces_do() -> Result<()> {
    let mut cases = 0;
    for entry in fs::read_dir(repository("tests/cases/wire"))? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let suite: WireSuite = serde_json::from_str(&fs::read_to_string(&path)?)?;
        let expected = fs::read_to_string(path.with_extension("jsonl"))?;
        ensure!(expected.lines().count() == suite.cases.len(), "{}", path.display());
        let directory = tempfile::tempdir()?;
        let here = directory.path();
        fs::write(here.join(SCHEMA), suite.schema.join("\n"))?;
        let entities = suite.entities.as_ref().map_or("[]", |raw| raw.get());
        fs::write(here.join("entities.json"), entities)?;
        fs::create_dir(here.join("rules"))?;
        write_rules(&here.join("rules"), &suite.rules)?;
        for (case, expected) in suite.cases.iter().zip(expected.lines()) {
            cases += usize::from(
                run(here, &suite, case, expected)
                    .with_context(|| format!("{}: {}", path.display(), case.name))?,
            );
        }
    }
    ensure!(cases > 40, "only {cases} cases");
    Ok(())
}

/// Runs one case; returns whether the command can be asked it.
fn run(here: &Path, suite: &WireSuite, case: &WireCase, expected: &str) -> Result<bool> {
    let policies = case.load.as_ref().unwrap_or(&suite.policies);
    fs::write(here.join(POLICIES), policies.join("\n"))?;
    let mut args: Vec<String> = Vec::new();
    let mut add = |given: &[&str]| args.extend(given.iter().map(|arg| (*arg).to_owned()));
    let mut stdin = String::new();
    if let Some(asked) = &case.backstage {
        let Some(user) = asked.user.as_ref().filter(|user| {
            user.user_entity_ref.as_deref().is_some_and(|reference| reference.contains(':'))
        }) else {
            return Ok(false);
        };
        add(&["check", "backstage", "--policies", POLICIES, "--format", "json"]);
        add(&["--permission", &asked.permission.name]);
        add(&["--user", user.user_entity_ref.as_deref().unwrap_or_default()]);
        for group in user.ownership_entity_refs.iter().filter(|owned| owned.starts_with("group:")) {
            add(&["--group", group]);
        }
    } else if case.query.is_some() {
        return Ok(false);
    } else if let Some(asked) = &case.list {
        let asked: Value = serde_json::from_str(asked.get())?;
        let word = |key: &str| asked.get(key).and_then(Value::as_str);
        let sought = match (word("principal"), word("action"), word("resource")) {
            (None, ..) => "principals",
            (_, None, _) => "actions",
            _ => "resources",
        };
        add(&["list", sought, "--policies", POLICIES, "--schema", SCHEMA, "--format", "json"]);
        add(&["--entities", "entities.json"]);
        for key in ["principal", "action", "resource", "after"] {
            word(key).into_iter().for_each(|word| add(&[&format!("--{key}"), word]));
        }
        for key in ["principalType", "resourceType"] {
            word(key).into_iter().for_each(|word| add(&["--type", word]));
        }
        if let Some(limit) = asked.get("limit") {
            add(&["--limit", &limit.to_string()]);
        }
        if let Some(context) = asked.get("context") {
            fs::write(here.join("context.json"), context.to_string())?;
            add(&["--context", "context.json"]);
        }
        if asked.get("openContext").is_some() {
            add(&["--open-context"]);
        }
    } else if case.load.is_some() {
        add(&["validate", POLICIES, "--schema", SCHEMA, "--format", "json"]);
    } else {
        let asked = case.explain.as_ref().or(case.decide.as_ref()).context("nothing is asked")?;
        let command = if case.explain.is_some() { "explain" } else { "authorize" };
        // One line, as a batch has it.
        stdin = serde_json::from_str::<Value>(asked.get())?.to_string();
        add(&[command, "--policies", POLICIES, "--schema", SCHEMA, "--format", "json"]);
        add(&["--entities", "entities.json", "--requests", "-"]);
        if !suite.rules.is_empty() {
            add(&["--rules", "rules"]);
        }
    }
    let Run { stdout, stderr, .. } = stagedoor(here, &args, stdin.as_bytes())?;
    let line = stdout.trim_end();
    if case.backstage.is_some() {
        // It is told Backstage's own fields, and nothing else.
        ensure!(expected.starts_with(&format!("{{\"decision\":{line},")), "{line}{stderr}");
        return Ok(true);
    }
    // The line of a batch, and that policies are not valid, are the command's own.
    let line = line.replace("<standard input>:1: ", "").replace("{\"valid\":false,", "{");
    let answer: Value = serde_json::from_str(&line).with_context(|| format!("{line}{stderr}"))?;
    let line = match answer.get("revision").and_then(Value::as_str) {
        Some(revision) => line.replace(revision, REVISION),
        None => line,
    };
    ensure!(line == expected, "{line}\ninstead of\n{expected}\n{stderr}");
    Ok(true)
}
