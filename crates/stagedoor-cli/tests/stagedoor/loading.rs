//! One table of directories, read by every face: the same policies, the same revision, the same
//! problems.
#![expect(clippy::indexing_slicing, reason = "a key that is missing from JSON reads as null")]

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use stagedoor_backstage::PolicyEngine;
use stagedoor_core::Limits;
use stagedoor_review::{LoadingError, Policies};
use stagedoor_source::{Bundle, GitTree, PolicySet, PolicySources, RealFileSystem};
use stagedoor_tests::loading::{Outcome, ROOT, Row, Table, codes};
use stagedoor_webhook::{PoliciesError, PolicySource};

use crate::run::stagedoor;

/// What the command says of a directory.
fn by_command(row: &Row, directory: &Path) -> Result<Outcome> {
    let mut args = vec!["validate", ROOT, "--format", "json"];
    args.extend(row.platform.iter().flat_map(|platform| ["--platform", platform.as_str()]));
    let run = stagedoor(directory, args, b"")?;
    let mut outcome = Outcome::default();
    for line in run.stdout.lines() {
        let said: serde_json::Value = serde_json::from_str(line)?;
        if said["valid"] == true {
            let count = said["policies"].as_u64().context("no count")?;
            let revision = said["revision"].as_str().context("no revision")?;
            outcome.sets.push((usize::try_from(count)?, revision.to_owned()));
        }
        let problems = said["problems"].as_array().into_iter().flatten();
        let told = problems.filter_map(|problem| problem["code"].as_str());
        outcome.told = codes(told.filter(|code| !code.starts_with("conditions::")));
    }
    let loads = outcome.sets.len() == run.stdout.lines().count();
    ensure!((run.exit == 0) == loads, "exit {}: {}{}", run.exit, run.stdout, run.stderr);
    Ok(outcome)
}

fn by_review(row: &Row, sources: PolicySources) -> Result<Outcome> {
    let rules = row.rules_of(&sources)?;
    let mut outcome = Outcome::default();
    match Policies::all(sources, rules, &Limits::default()) {
        Ok(sets) => sets.into_iter().for_each(|set| outcome.add(Ok(set.engine))),
        Err(LoadingError::Policies(error)) => outcome.add(Err(error)),
        Err(other) => return Err(other.into()),
    }
    Ok(outcome)
}

fn by_webhook(directory: PathBuf) -> Result<Outcome> {
    let source = PolicySource::new([directory]).beside(stagedoor_backstage::VOCABULARY);
    let mut outcome = Outcome::default();
    match source.builder() {
        Ok(builder) => outcome.add(builder.build()),
        Err(PoliciesError::Load(error)) => outcome.add(Err(error)),
        Err(other) => return Err(other.into()),
    }
    Ok(outcome)
}

fn git(directory: &Path, args: &[&str]) -> Result<()> {
    let run = Command::new("git")
        .args(["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=m"])
        .args(["-c", "core.autocrlf=false"])
        .args(args)
        .current_dir(directory)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()?;
    ensure!(run.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&run.stderr));
    Ok(())
}

fn check(row: &Row) -> Result<()> {
    let limits = Limits::default();
    let memory = row.in_memory()?;
    let expected = row.load(PolicySources::read(&memory, &[ROOT], &limits))?;
    let counts: Vec<usize> = expected.sets.iter().map(|(count, _)| *count).collect();
    let mut told = row.told.clone();
    told.sort();
    ensure!(expected.told == told, "told {:?}", expected.told);
    ensure!(counts == row.loads.clone().unwrap_or_default(), "loads {counts:?}");
    if let Some(about) = &row.about {
        let sets = row.sets(PolicySources::read(&memory, &[ROOT], &limits))?;
        let found: Vec<&str> = sets.iter().flat_map(PolicySet::platforms).collect();
        ensure!(found == *about, "about {found:?}");
    }
    if !row.denied.is_empty() {
        return Ok(());
    }

    let place = tempfile::tempdir()?;
    let directory = place.path().join(ROOT);
    std::fs::create_dir(&directory)?;
    row.on_disk(&directory)?;
    let read = || PolicySources::read(&RealFileSystem, &[&directory], &limits);
    let mut faces: Vec<(&str, Outcome)> = Vec::new();
    // Rules are read at their paths, which files in memory have not.
    faces.push(("disk", row.load(read())?));
    faces.push(("command", by_command(row, place.path())?));
    if row.platform.is_none() {
        faces.push(("review", by_review(row, read())?));
    }
    let about = row.about.as_deref().unwrap_or_default();
    if about == ["kubernetes"] {
        faces.push(("webhook", by_webhook(directory.clone())?));
    }
    if about == ["backstage"] {
        let policies = PolicyEngine::load(&directory)?;
        let mut outcome = Outcome::default();
        outcome.add(Ok(policies.engine().clone()));
        faces.push(("backstage", outcome));
    }
    if row.elsewhere {
        let texts = row.files()?.into_iter();
        let texts: Vec<(&str, String)> = texts
            .map(|(name, bytes)| Ok((name, String::from_utf8(bytes)?)))
            .collect::<Result<_>>()?;
        let hidden =
            |name: &str| name.split('/').any(|n| n.starts_with('.') || n == "node_modules");
        let texts = texts.into_iter().rev().filter(|(name, _)| !hidden(name));
        faces.push(("texts", row.load(PolicySources::from_texts(texts))?));
        for set in row.sets(read())? {
            let Ok(engine) = set.builder().build() else { continue };
            let json = Bundle::of(set.sources(), &engine)?.to_json();
            let bundle = Bundle::from_json("b", &json)?;
            let again = row.sets(PolicySources::from_bundle(&bundle))?;
            let [again] = again.as_slice() else { anyhow::bail!("a bundle of one set is one") };
            ensure!(again.builder().build()?.revision() == engine.revision(), "bundle");
            ensure!(Bundle::of(again.sources(), &engine)?.to_json() == json, "bundle of a bundle");
        }
    }
    if row.is_for_git() {
        git(place.path(), &["init", "--quiet"])?;
        git(place.path(), &["add", "--all", "--force"])?;
        git(place.path(), &["commit", "--quiet", "--message", "all"])?;
        let tree = GitTree::open_in(place.path(), &format!("HEAD:{ROOT}"))?;
        faces.push(("git", row.load(PolicySources::read(&tree, &[tree.path()], &limits))?));
    }
    for (face, outcome) in faces {
        // Files in memory cannot be read by those who run rules.
        let expected = if row.rules { row.load(read())? } else { expected.clone() };
        ensure!(outcome == expected, "{face}: {outcome:?}, not {expected:?}");
    }
    Ok(())
}

/// Commands that load a directory, each as its arguments before and after it.
fn commands(row: &Row) -> Vec<Vec<&'static str>> {
    let mut commands = vec![
        vec!["lint", ROOT, "--fail-on", "error"],
        vec!["report", ROOT],
        vec!["bundle", ROOT],
        vec!["diff", ROOT, ROOT, "--allow-undecided"],
    ];
    match row.about.as_deref().unwrap_or_default() {
        [platform] if platform == "kubernetes" => {
            commands.push(vec!["what-can", "ann", "--policies", ROOT]);
        }
        [platform] if platform == "backstage" => {
            commands.push(vec![
                "check",
                "backstage",
                "--policies",
                ROOT,
                "--user",
                "user:default/a",
            ]);
        }
        _ => {}
    }
    commands
}

/// What keeps one command from loading a directory keeps all of them, and what one warns of all
/// warn of.
#[test]
fn every_command_tells_the_same_of_a_directory() -> Result<()> {
    let mut wrong = Vec::new();
    let mut ran = 0;
    for row in Table::read()?.rows {
        // Which set of several a command takes is asked of each in its own way.
        if !row.denied.is_empty()
            || row.platform.is_some()
            || row.loads.as_ref().is_some_and(|sets| sets.len() > 1)
        {
            continue;
        }
        let place = tempfile::tempdir()?;
        let directory = place.path().join(ROOT);
        std::fs::create_dir(&directory)?;
        row.on_disk(&directory)?;
        for args in commands(&row) {
            ran += 1;
            let run =
                stagedoor(place.path(), args.iter().copied().chain(["--format", "json"]), b"")?;
            let printed = format!("{}{}", run.stdout, run.stderr);
            let loads = !printed.contains("\"problems\":[{");
            let told = row.told.iter().all(|code| printed.contains(code.as_str()));
            if loads != row.loads.is_some() || !told || loads && run.exit > 2 {
                wrong.push(format!("{}: {args:?}: exit {}: {printed}", row.name, run.exit));
            }
        }
    }
    ensure!(wrong.is_empty(), "{} of {ran}:\n{}", wrong.len(), wrong.join("\n"));
    ensure!(ran > 150, "only {ran} commands ran");
    Ok(())
}

#[test]
fn every_face_reads_the_same_of_a_directory() -> Result<()> {
    let table = Table::read()?;
    let mut wrong = Vec::new();
    for row in &table.rows {
        if let Err(error) = check(row) {
            wrong.push(format!("{}: {error:#}", row.name));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
